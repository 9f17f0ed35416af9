"""
What is released is whole, holds nothing else, and runs from a wheel that was built from the source distribution.

The environment is fresh, and of undertow holds that wheel alone; what undertow needs is borrowed from the environment of the
tests, since there is no network here. `make release`, which CI runs behind the tests, borrows nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from docs.generate import PROJECT
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
    """A source distribution, the wheel that was built of it, and this as it was installed."""

    wheel: Path
    source: Path
    environment: Path

    def undertow(self, *words: str) -> str:
        """What the installed command prints, away from the repository."""
        return _run(self.environment / "bin" / "undertow", *words, cwd=self.environment)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Built and installed without a network: dependencies, and the builder, are the ones that are here."""
    folder = tmp_path_factory.mktemp("release")
    build = (sys.executable, "-m", "hatchling", "build", "-d", folder)
    _run(*build, "-t", "sdist", cwd=ROOT)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    _run(*build, "-t", "wheel", cwd=folder / source.name.removesuffix(".tar.gz"))
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    _run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=folder)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install")
    _run(*pip, "--no-deps", "--no-index", wheel, cwd=folder)
    (packages,) = environment.glob("lib/python*/site-packages")
    _borrow(packages, Path(sysconfig.get_path("purelib")))
    return Release(wheel, source, environment)


def _borrow(packages: Path, here: Path) -> None:
    """Make the tests' packages importable behind the environment's own, but for what of undertow is among them."""
    # A line of a .pth is a folder behind the others; the .pth files in that folder, by which an editable undertow would
    # come along, are not read.
    (packages / "borrowed.pth").write_text(f"{here}\n", encoding="utf-8")
    # An editable install leaves the pages that the wheel brings there, and no code.
    assert not (here / "undertow" / "__init__.py").exists(), "undertow is installed here as a copy"


def _tracked(folder: str) -> set[str]:
    return set(_run("git", "ls-files", folder, cwd=ROOT).splitlines())


@long
def test_the_wheel_holds_the_package_and_nothing_else(release: Release) -> None:
    """Every file of src/undertow, models and tables included, the pages, the examples and its metadata."""
    names = {f"src/{name}" for name in zipfile.ZipFile(release.wheel).namelist()}
    package = {name for name in names if ".dist-info/" not in name}
    pages = {name for name in _tracked("docs") if name.endswith(".md")} | _tracked("examples")

    assert package == _tracked("src/undertow") | {f"src/undertow/{name}" for name in pages}
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
    """Its version, and its files lie in the environment; of what it needs nothing does."""
    facts = json.loads(release.undertow("doctor", "--fast", "--json"))
    (packages,) = release.environment.glob("lib/python*/site-packages")
    own = {path.name.partition("-")[0] for path in packages.iterdir()}

    assert release.undertow("--version") == f"undertow {__version__}\n"
    assert Path(facts["undertow"]["folder"]).is_relative_to(release.environment)
    assert own == {"undertow", "borrowed.pth"}


@long
def test_the_installed_command_prints_the_pages(release: Release) -> None:
    """What a message names is at hand where there is no clone."""
    page = (ROOT / "docs" / "plans.md").read_text(encoding="utf-8")

    assert release.undertow("explain", "plans") == page
    for example in _tracked("examples"):
        assert release.undertow("explain", example) == (ROOT / example).read_text(encoding="utf-8")


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


def test_every_page_and_example_travels_in_the_wheel() -> None:
    """What `undertow explain` prints in a clone it prints from a wheel, under the same name."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    sent = table["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")}

    assert sent == {page: f"undertow/{page}" for page in pages | _tracked("examples")}


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


def test_who_found_a_weakness_is_told_where_to_say_so() -> None:
    """SECURITY.md names a way that every place of a repository has, and none that nobody reads: no address is made up."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    addresses = set(re.findall(r"https?://[^\s)>]+|[\w.+-]+@[\w-]+\.[\w.]+", text))

    assert "“Report a vulnerability”" in text
    assert addresses <= set(project.get("urls", {}).values())


def test_the_site_has_the_promises() -> None:
    """SECURITY.md is a page of the site, in its navigation."""
    assert PROJECT["SECURITY.md"] in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
