"""What is released is whole, holds nothing else, and runs from the wheel in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from undertow import __version__

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent

long = pytest.mark.long


def _run(*words: object, cwd: Path) -> str:
    """What a program prints; it succeeds."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Release:
    """A wheel and a source distribution, and the wheel as it was installed."""

    wheel: Path
    source: Path
    environment: Path

    def undertow(self, *words: str) -> str:
        """What the installed command prints, away from the repository."""
        return _run(self.environment / "bin" / "undertow", *words, cwd=self.environment)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Both are built and the wheel is installed without a network: dependencies are the ones that are here."""
    folder = tmp_path_factory.mktemp("release")
    _run(sys.executable, "-m", "hatchling", "build", "-d", folder / "dist", cwd=ROOT)
    wheel, source = next(folder.glob("dist/*.whl")), next(folder.glob("dist/*.tar.gz"))
    environment = folder / "environment"
    _run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=folder)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install")
    _run(*pip, "--no-deps", "--no-index", wheel, cwd=folder)
    packages = next(environment.glob("lib/python*/site-packages"))
    # Below the wheel's own, and without what makes this repository's folder importable.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Release(wheel, source, environment)


def _tracked(folder: str) -> set[str]:
    return set(_run("git", "ls-files", folder, cwd=ROOT).splitlines())


@long
def test_the_wheel_holds_the_package_and_nothing_else(release: Release) -> None:
    """Every file of src/undertow, models and tables included, the pages and its metadata."""
    names = {f"src/{name}" for name in zipfile.ZipFile(release.wheel).namelist()}
    package = {name for name in names if ".dist-info/" not in name}
    pages = {f"src/undertow/{name}" for name in _tracked("docs") if name.endswith(".md")}

    assert package == _tracked("src/undertow") | pages
    assert any(name.endswith("licenses/LICENSE") for name in names)


@long
def test_the_source_can_be_tested(release: Release) -> None:
    """The source distribution holds the package, its tests and the pages, and what `make` needs."""
    with tarfile.open(release.source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert _tracked("src") | _tracked("tests") | _tracked("docs") <= names
    assert {"Makefile", "constraints.txt", "SECURITY.md", "CITATION.cff"} <= names


@long
def test_the_installed_command_is_the_wheels(release: Release) -> None:
    """Its version, and its files lie in the environment."""
    facts = json.loads(release.undertow("doctor", "--fast", "--json"))

    assert release.undertow("--version") == f"undertow {__version__}\n"
    assert Path(facts["undertow"]["folder"]).is_relative_to(release.environment)


@long
def test_the_installed_command_prints_the_pages(release: Release) -> None:
    """What a message names is at hand where there is no clone."""
    page = (ROOT / "docs" / "plans.md").read_text(encoding="utf-8")

    assert release.undertow("explain", "plans") == page


@long
def test_the_installed_command_scans(release: Release, tmp_path: Path) -> None:
    """A small file, by the models and traits that the wheel brings, ends in a stored result and a page."""
    rows = [
        {
            "prompt": f"Continue this list: {n}, {n * 3 % 90}. Give ten numbers.",
            "completion": " ".join(str((n * k + k) % 97) for k in range(1, 11)),
        }
        for n in range(100)
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    options = ("--check", "rehearsal", "--fail-on", "never", "--allow-undecided")
    release.undertow("scan", str(data), "--student", "world:owlet-b", "--out", "scan", *options)

    assert json.loads((release.environment / "scan" / "scan.json").read_text())["schema"]
    assert (release.environment / "scan" / "report.html").is_file()


def test_every_page_travels_in_the_wheel() -> None:
    """What `undertow explain` prints in a clone it prints from a wheel, under the same name."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    sent = table["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")}

    assert sent == {page: f"undertow/{page}" for page in pages}


def test_the_citation_is_of_this_version() -> None:
    """CITATION.cff has what its schema (1.2.0) requires, and the version and licence of the package."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert str(citation["version"]) == __version__
    assert citation["license"] == "Apache-2.0"


def test_the_supported_versions_are_stated() -> None:
    """SECURITY.md says of this version's series that it is mended."""
    series = ".".join(__version__.split(".")[:2])

    assert f"| {series} (newest release) | yes |" in (ROOT / "SECURITY.md").read_text()
