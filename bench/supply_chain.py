"""
What undertow is built of: `python -m bench.supply_chain sbom` tells it, `lock` pins it by the hashes of its files.

The bill of materials is CycloneDX 1.6 in JSON, over the packages of this environment; the locks are for `pip`, over the
wheels that the index offers for Linux.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion

from undertow import __version__
from undertow.data.files import atomic_write

ROOT = Path(__file__).parent.parent
LOCKS = {"run": ("lab",), "dev": ("dev",)}
"""By the file in `locks/`, the extras that it is for; what an earlier file holds is left out of a later one."""

BUILD = (
    "editables",
    "hatchling",
    "packaging",
    "pathspec",
    "pluggy",
    "tomlkit",
    "trove-classifiers",
)
"""What an editable installation is built with; need not be installed here."""

UNHASHED = ("torch",)
"""
torch's file differs by index: with CUDA or without it, and under a version of its own (`+cpu`), so that a hash of one
would refuse the others.
"""

PYTHONS = ("cp311", "cp312", "cp313")
MACHINES = ("x86_64", "aarch64")


def closure(extras: Iterable[str]) -> dict[str, Distribution]:
    """The installed packages that undertow with these extras needs, by canonical name; itself left out."""
    todo = own_needs(extras)
    seen: set[tuple[str, frozenset[str]]] = set()
    known: dict[str, Distribution] = {}
    while todo:
        wanted = todo.pop()
        name, asked = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, asked) not in seen:
            seen.add((name, asked))
            known[name] = distribution(wanted.name)
            todo += needs(known[name], asked)
    return dict(sorted(known.items()))


def own_needs(extras: Iterable[str]) -> list[Requirement]:
    """What `pyproject.toml` asks for: an editable installation keeps what it asked for when it was made."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts, todo, seen = list(project["dependencies"]), list(extras), set()
    while todo:
        if (extra := todo.pop()) not in seen:
            seen.add(extra)
            texts += project["optional-dependencies"][extra]
            own = [Requirement(text) for text in texts if text.startswith("undertow[")]
            todo += [each for part in own for each in part.extras]
    return [Requirement(text) for text in texts if not text.startswith("undertow[")]


def needs(package: Distribution, extras: Iterable[str] = ()) -> Iterator[Requirement]:
    """What a package asks for on this machine, with these extras."""
    for text in package.requires or ():
        wanted = Requirement(text)
        marker = wanted.marker
        if marker is None or any(marker.evaluate({"extra": each}) for each in extras or ("",)):
            yield wanted


def bill(extras: Iterable[str]) -> dict[str, Any]:
    """The bill of materials, CycloneDX 1.6: each package with its version, licence and what it needs."""
    packages = closure(extras)
    parts = [_component(name, package) for name, package in packages.items()]
    own = {
        "type": "application",
        "bom-ref": _purl("undertow", __version__),
        "name": "undertow",
        "version": __version__,
        "purl": _purl("undertow", __version__),
        "licenses": [{"expression": "Apache-2.0"}],
    }
    links = {own["bom-ref"]: own_needs(extras)} | {
        _purl(name, package.version): list(needs(package)) for name, package in packages.items()
    }
    content = "\n".join(part["purl"] for part in parts)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": own},
        "components": parts,
        "dependencies": [
            {"ref": ref, "dependsOn": _references(wanted, packages)}
            for ref, wanted in links.items()
        ],
    }


def _references(wanted: Iterable[Requirement], packages: Mapping[str, Distribution]) -> list[str]:
    names = {canonicalize_name(each.name) for each in wanted}
    return sorted(_purl(name, packages[name].version) for name in names if name in packages)


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version.replace('+', '%2B')}"


def _component(name: str, package: Distribution) -> dict[str, Any]:
    purl = _purl(name, package.version)
    part: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": package.version,
        "purl": purl,
    }
    meta: Mapping[str, str] = package.metadata  # type: ignore[assignment]
    if expression := meta.get("License-Expression"):
        part["licenses"] = [{"expression": expression}]
    elif (licence := meta.get("License") or "") and len(licence) < 100:
        part["licenses"] = [{"license": {"name": " ".join(licence.split())}}]
    return part


def locks() -> dict[str, str]:
    """The locks by the names of their files, as the index has the wheels now."""
    tested = constraints()
    pinned: dict[str, str] = {}
    written = {}
    for name, extras in LOCKS.items():
        names = sorted({*closure(extras), *BUILD} - {*pinned, *UNHASHED})
        written[name] = {each: tested[each] for each in names}
        pinned |= written[name]
    hashes = _hashes(pinned)
    return {name: _text(fresh, hashes) for name, fresh in written.items()}


def constraints() -> dict[str, str]:
    """The versions of `constraints.txt` by canonical name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def _text(versions: Mapping[str, str], hashes: Mapping[str, set[str]]) -> str:
    lines = [
        "# The files that `make` installs on Linux, by their hashes; torch has its own step (docs/supply-chain.md).",
        "# Made by `python -m bench.supply_chain lock` from constraints.txt.",
    ]
    for name, version in versions.items():
        lines.append(f"{name}=={version} \\")
        lines.append(" \\\n".join(f"    --hash=sha256:{digest}" for digest in sorted(hashes[name])))
    return "\n".join(lines) + "\n"


def _hashes(versions: Mapping[str, str]) -> dict[str, set[str]]:
    """The hashes of each package's wheels for these Pythons and machines, as the indices of pip's settings list them."""
    known: dict[str, dict[str, str]] = {name: {} for name in versions}
    for name, filename, digest in _listed(versions):
        if known[name].setdefault(filename, digest) != digest:
            raise SystemExit(f"error: two indices have other bytes under the name {filename}")
    missing = sorted(name for name, files in known.items() if not files)
    if missing:
        raise SystemExit(f"error: no wheel of {', '.join(missing)} was found")
    return {name: set(files.values()) for name, files in known.items()}


def _listed(versions: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, file and SHA-256 of each wheel that fits, from the pages that pip itself would read."""
    # pip's own classes: it has no command that lists hashes without fetching the files.
    from pip._internal.commands import create_command
    from pip._internal.index.collector import parse_links
    from pip._internal.models.link import Link

    command: Any = create_command("index")
    options, _ = command.parse_args(["versions", "pip"])
    with command.main_context():
        finder = command._build_package_finder(options, command._build_session(options))
        collector = finder._link_collector
        for name, version in versions.items():
            for place in collector.search_scope.get_index_urls_locations(name):
                page = collector.fetch_response(Link(place))
                for link in parse_links(page) if page else ():
                    if link.hash_name == "sha256" and fits(link.filename, version):
                        yield name, link.filename, link.hash


def fits(filename: str, version: str) -> bool:
    """
    Whether a file is a wheel of this version for one of the Pythons and machines.

    >>> fits("numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", "2.4.6")
    True
    >>> fits("numpy-2.4.6-cp311-cp311-macosx_14_0_arm64.whl", "2.4.6"), fits("a-1.tar.gz", "1")
    (False, False)
    """
    try:
        _, found, _, tags = parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion):
        return False
    return str(found) == version and any(_suits(tag) for tag in tags)


def _suits(tag: Tag) -> bool:
    machine = tag.platform == "any" or (
        tag.platform.startswith(("manylinux", "linux")) and tag.platform.endswith(MACHINES)
    )
    python = tag.interpreter in PYTHONS or tag.abi == "abi3" or tag.interpreter.startswith("py")
    return machine and python and not tag.abi.endswith("t")


def main(words: list[str]) -> int:
    """Write the locks, or print the bill of materials for an extra."""
    if words[:1] == ["lock"]:
        for name, text in locks().items():
            atomic_write(ROOT / "locks" / f"{name}.txt", text)
        return 0
    if words[:1] == ["sbom"]:
        print(json.dumps(bill(words[1:] or ["lab"]), indent=1))
        return 0
    print(f"usage: python -m bench.supply_chain sbom [EXTRA ...] | lock (undertow {__version__})")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
