"""The fuzzing campaign: its units, the faults that are planted to know that it finds any, and hypothesis' own tries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count, repeat, zip_longest
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.figures import Figure
from bench.reliability import fuzz, row_fuzz
from bench.reliability.kinds import KINDS, laid_out
from bench.reliability.tries import (
    FIRST_SEED,
    Unit,
    counted,
    figure,
    figure_of_each,
    first_seed,
    trap_figure,
    tried,
)
from undertow.cli.terminal import Failure
from undertow.data.row_faults import Faults
from undertow.errors import InputError

COMMAND = "python -m bench.reliability fuzz"
ROWS, DOCUMENTS = 1_000_000, 100_000
"""Asked: rows, and documents of all other kinds together."""

FEWEST = 3_000
"""Documents of each kind."""

PARTS = ("rows", "documents", *KINDS)

MISSING = (
    "the fuzzing campaign needs {names}, which `make` does not install: pip install --target build/campaigns {names} && "
    "PYTHONPATH=build/campaigns python -m bench.reliability fuzz"
)

HYPOTHESIS = 2_000
"""Examples of a unit by hypothesis."""


Makers = Iterator[Callable[[], Unit]]


def units(kept: Mapping[str, Unit], parts: Sequence[str] = ()) -> Makers:
    """What is still to do, rows and documents by turns, each until as many are read as were asked for."""
    chosen = [kind for kind in KINDS if kind in parts or not parts or "documents" in parts]
    turns = [_rows(kept)] if not parts or "rows" in parts else []
    turns += [_documents(kept, chosen)] if chosen else []
    for both in zip_longest(*turns):
        yield from filter(None, both)


def _rows(kept: Mapping[str, Unit]) -> Makers:
    for seed in count(FIRST_SEED):
        if tried("fuzz", kept, "rows") >= ROWS:
            return
        if f"fuzz/rows/by lot/{seed}" not in kept:
            yield lambda seed=seed: row_fuzz.batch(seed)  # type: ignore[misc]


def _documents(kept: Mapping[str, Unit], kinds: Sequence[str]) -> Makers:
    """Each kind by hypothesis and by lot, and then by lot those that have the fewest of what is still asked."""
    if names := fuzz.missing(kinds):
        raise SystemExit(MISSING.format(names=names))
    fuzz.preload(kinds)
    for kind in kinds:
        if f"fuzz/{kind}/hypothesis/{first_seed(kind)}" not in kept:
            yield lambda kind=kind: hypothesis(kind, first_seed(kind))  # type: ignore[misc]
    for further in count():
        # A kind at a time is enough: who fuzzes some of them fuzzes until each has its share.
        share = max(FEWEST, -(-DOCUMENTS // len(KINDS)))
        short = [kind for kind in kinds if tried("fuzz", kept, kind) < share]
        if not short:
            return
        for kind in short:
            seed = first_seed(kind) + further
            if f"fuzz/{kind}/by lot/{seed}" not in kept:
                yield lambda kind=kind, seed=seed: fuzz.batch(kind, seed)  # type: ignore[misc]


def hypothesis(kind: str, seed: int, tries: int = HYPOTHESIS) -> Unit:
    """The same readers on what hypothesis draws: any JSON, any bytes, and edits of honest documents."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    plain = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
    honest = KINDS[kind].seeds()
    cut = st.tuples(
        st.sampled_from(honest), st.integers(0, 6000), st.integers(0, 40), st.binary(max_size=12)
    )
    documents = st.one_of(
        st.binary(max_size=400),
        plain.map(lambda value: json.dumps(value).encode()),
        cut.map(lambda drawn: drawn[0][: drawn[1]] + drawn[3] + drawn[0][drawn[1] + drawn[2] :]),
    )

    def work(unit: Unit, path: Path, done: fuzz.Done) -> None:
        settled = settings(
            max_examples=tries, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip

        @seeded(seed)
        @settled
        @given(documents)
        def look(content: bytes) -> None:
            fuzz.read_all(unit, path, 1, lambda: content)

        look()
        done()

    return fuzz.run_in_child(Unit("fuzz", kind, "hypothesis", seed), partial(laid_out, kind), work)


def planted() -> list[Unit]:
    """One unit for each planted fault; what it is called has to be among its outcomes."""
    made = [
        _planted("recursion", "crash", _recursing),
        _planted("hang", "hang", _hanging),
        _planted("deaf", "hang", _deaf),
        _planted("memory", "memory", _hoarding),
        _planted("hidden-memory", "memory", _hoarding_in_secret),
        _planted("hollow", "hollow", _refusing),
        _planted("death", "died", _dying),
    ]
    with patch.object(fuzz, "describe", lambda error, *_: Failure(2, error.message)):
        made.append(_planted("untold", "untold", KINDS["index"].read))
    whole = Faults.excluded
    with patch.object(Faults, "excluded", lambda self: whole(self)[1:]):
        made.append(replace(row_fuzz.batch(0, 2), subject="planted-swallowed", way="dropped"))
    return made


def _planted(name: str, outcome: str, read: Callable[[Path], object]) -> Unit:
    kind = replace(KINDS["index"], name="planted", read=read)
    small = patch.multiple(fuzz, SECONDS=0.2, BYTES=64 << 20)
    with patch.dict(KINDS, {"planted": kind}), small:
        unit = fuzz.batch("planted", 0, 200)
    return replace(unit, subject=f"planted-{name}", way=outcome)


def _recursing(path: Path) -> None:
    """A parser that goes down as deep as its input does."""

    def down(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(down, inner), default=0) if isinstance(value, dict | list) else 0

    try:
        down(json.loads(path.read_bytes()))
    except ValueError as error:
        raise InputError("no index", hint="write it anew") from error


def _hanging(path: Path) -> None:
    content = path.read_bytes()
    while b"99999" in content:
        pass


def _hoarding(path: Path) -> None:
    if b"999999" in path.read_bytes():
        bytearray(fuzz.ROOM * 2)


def _hoarding_in_secret(path: Path) -> None:
    """A reader that takes too much, and refuses the document where there is no more."""
    if b"999999" in path.read_bytes():
        hoard = b"x" * (2 * fuzz.BYTES)
        raise InputError("no index", hint="write it anew") from MemoryError(len(hoard))


def _deaf(path: Path) -> None:
    """A loop in C, which no signal reaches."""
    if b"99999" in path.read_bytes():
        sum(repeat(1))


def _refusing(path: Path) -> None:
    """A reader that lacks something, and so reads nothing at all."""
    raise InputError(f"no {path.suffix}", hint="install it")


def _dying(path: Path) -> None:
    import ctypes

    if b"null" in path.read_bytes():
        ctypes.string_at(0)


def figures(kept: list[Unit]) -> list[Figure]:
    """Rows; documents of all kinds; each kind; and how many planted faults were found."""
    ours = counted("fuzz", kept)
    rows = [unit for unit in ours.units if unit.subject == "rows"]
    documents = [unit for unit in ours.units if unit.subject != "rows"]
    left = ours.left_out
    return [
        trap_figure("fuzz", ours.traps, COMMAND),
        figure("fuzz: rows lost, and readers that crashed", rows, ROWS, COMMAND, left),
        figure("fuzz: documents of other kinds", documents, DOCUMENTS, COMMAND, left),
        *figure_of_each("fuzz", KINDS, documents, COMMAND),
    ]
