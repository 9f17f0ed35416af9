"""
Documents and rows that a fuzzer finds which sees what of a reader they reach: libFuzzer, by atheris.

Half of what it tries is its own, half is damaged as the documents by lot are; what reaches a new branch is gone on from.
"""

from __future__ import annotations

import gc
import importlib
import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from types import FunctionType
from typing import Any, NoReturn
from unittest.mock import patch

from bench.reliability.document_readers import DroppedError
from bench.reliability.fuzz import Done, honest, outcome, peak_mb, run_in_child
from bench.reliability.kinds import KINDS, Kind, damaged_further, laid_out
from bench.reliability.mutation import as_json
from bench.reliability.row_fuzz import HONEST, as_chunks, counted
from bench.reliability.tries import Unit

LARGEST = 1 << 16
"""Bytes of a document."""

MISSING = (
    "the guided campaign needs {names} (atheris: Linux, Python 3.11 to 3.13): "
    "pip install --target build/campaigns {names} && PYTHONPATH=build/campaigns python -m bench.reliability guided"
)


def atheris() -> Any:
    """
    The fuzzer.

    Raises:
        SystemExit: it is not installed; how to install it.
    """
    try:
        return importlib.import_module("atheris")
    except ImportError as error:
        raise SystemExit(MISSING.format(names="atheris")) from error


def _read_rows(path: Path) -> None:
    """By the scan's pass and by the reader of rows: each line is used or told, by both alike."""
    lines = sum(bool(line.strip()) for line in path.read_bytes().split(b"\n"))
    used, told = counted(path, 0)
    if used >= 0 and used + sum(told.values()) != lines:
        raise DroppedError(f"{lines} rows, {used} used and {dict(told)} told")
    if used >= 0 and as_chunks(path) != (used, told):
        raise DroppedError(f"the readers differ: {used}, {dict(told)} and {as_chunks(path)}")


def _honest_rows() -> list[bytes]:
    lot = Random(0)
    lines = [as_json(row, lot) + b"\n" for row in HONEST]
    return [*lines, b"".join(lines)]


ROWS = Kind("rows", "rows.jsonl", _honest_rows, _read_rows, "lines", modules=("undertow.data",))
TARGETS: dict[str, Kind] = {"rows": ROWS} | KINDS
"""Rows, and every kind of document."""


def run(
    kind: Kind, seed: int, seconds: float, guide: bool = True, to_the_first: bool = False
) -> Unit:
    """So many seconds of one target, or until the first fault; not guided, it is as blind as the other campaigns."""
    lot = Random(f"guided {kind.name} {seed}")
    work = partial(
        _fuzz, kind=kind, lot=lot, seconds=seconds, guide=guide, to_the_first=to_the_first
    )
    # Named, so that it is loaded and damaged as the others are.
    with patch.dict(KINDS, {kind.name: kind}):
        unit = Unit("guided", kind.name, "by coverage", seed)
        return run_in_child(unit, partial(laid_out, kind.name), work)


def _fuzz(
    unit: Unit,
    path: Path,
    done: Done,
    *,
    kind: Kind,
    lot: Random,
    seconds: float,
    guide: bool,
    to_the_first: bool,
) -> NoReturn:
    fuzzer = atheris()
    corpus = path.parent / "corpus"
    corpus.mkdir()
    for number, content in enumerate(kind.seeds()):
        (corpus / str(number)).write_bytes(content)
    reached = instrumented(fuzzer, (*kind.modules, kind.read.__module__)) if guide else 0
    slowest, until = 0.0, 0.0

    def look(content: bytes) -> None:
        nonlocal slowest, until
        if (
            not until
        ):  # under the fuzzer and its instruments, where a reader may fail that does not elsewhere
            honest(unit, path)
            until = time.monotonic() + seconds
        path.write_bytes(content)
        began = time.process_time()
        what, fault = outcome(lambda: kind.read(path))
        slowest = max(slowest, time.process_time() - began)
        unit.add_document(what, fault, content)
        if time.monotonic() > until or (to_the_first and fault):
            unit.told = {
                "functions": reached,
                "corpus": sum(1 for _ in corpus.iterdir()),
                "slowest_seconds": round(slowest, 3),
                "peak_mb": peak_mb(),
            }
            done()

    def mutated(content: bytes, most: int, number: int) -> bytes:
        if lot.random() < 0.5:
            own: bytes = fuzzer.Mutate(content, most)
            return own
        return damaged_further(kind.name, content, lot)[:most]

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    # Its own limits of time and memory are off: `outcome` and the process have theirs.
    limits = ("-timeout=0", "-rss_limit_mb=0", "-malloc_limit_mb=0", f"-max_len={LARGEST}")
    fuzzer.Setup(
        ["guided", *limits, f"-seed={unit.seed}", f"-artifact_prefix={path.parent}/", str(corpus)],
        look,
        custom_mutator=mutated,
    )
    fuzzer.Fuzz()
    raise AssertionError("libFuzzer does not return")


def instrumented(fuzzer: Any, modules: tuple[str, ...]) -> int:
    """Functions of these modules, and of those below them, that are loaded: each branch is seen from here on."""
    count = 0
    # By their type alone: some objects warn, or load a library, where they are asked for their class.
    for function in [one for one in gc.get_objects() if type(one) is FunctionType]:
        where = function.__module__ or ""
        if any(where == name or where.startswith(f"{name}.") for name in modules):
            with suppress(Exception):  # what it cannot read stays as it is
                fuzzer.instrument_func(function)
                count += 1
    return count
