"""The fuzzing campaign: its units, the faults that are planted to know that it finds any, and hypothesis' own tries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.figures import Figure
from bench.reliability import fuzz, row_fuzz
from bench.reliability.kinds import KINDS
from bench.reliability.tries import Unit, figure, figure_of_each, trap_figure
from undertow.cli.terminal import Failure
from undertow.data.row_faults import Faults
from undertow.errors import InputError

COMMAND = "python -m bench.reliability fuzz"
ROWS, DOCUMENTS = 1_000_000, 100_000
"""Asked: rows, and documents of all other kinds together."""

FIRST_SEED = 1000
"""Those before it were for finding what has been mended since."""

HYPOTHESIS = 2_000
"""Examples of a unit by hypothesis."""


def units(kept: set[str]) -> Iterator[Callable[[], Unit]]:
    """What is still to do, rows and documents by turns, the kinds one after another."""
    fuzz.preload(list(KINDS))
    seed = FIRST_SEED
    while True:
        makers: list[tuple[str, Callable[[], Unit]]] = [
            (f"fuzz/rows/by lot/{seed}", lambda seed=seed: row_fuzz.batch(seed))  # type: ignore[misc]
        ]
        makers += [
            (f"fuzz/{kind}/by lot/{seed}", lambda kind=kind, seed=seed: fuzz.batch(kind, seed))  # type: ignore[misc]
            for kind in KINDS
        ]
        makers += [
            (f"fuzz/{kind}/hypothesis/{seed}", lambda kind=kind, seed=seed: hypothesis(kind, seed))  # type: ignore[misc]
            for kind in KINDS
            if seed == FIRST_SEED
        ]
        yield from (make for name, make in makers if name not in kept)
        seed += 1


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

    return fuzz.run_in_child(
        Unit("fuzz", kind, "hypothesis", seed), lambda f: f / KINDS[kind].file, work
    )


def planted() -> list[Unit]:
    """One unit for each planted fault; what it is called has to be among its outcomes."""
    made = [
        _planted("recursion", "crash", _recursing),
        _planted("hang", "hang", _hanging),
        _planted("memory", "memory", _hoarding),
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
    with patch.dict(KINDS, {"planted": kind}), patch.object(fuzz, "SECONDS", 0.2):
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
        bytearray(fuzz.BYTES * 2)


def _dying(path: Path) -> None:
    import ctypes

    if b"null" in path.read_bytes():
        ctypes.string_at(0)


def figures(kept: list[Unit]) -> list[Figure]:
    """Rows; documents of all kinds; each kind; and how many planted faults were found."""
    ours = [unit for unit in kept if unit.campaign == "fuzz"]
    traps = [unit for unit in ours if unit.subject.startswith("planted-")]
    ours = [unit for unit in ours if unit not in traps]
    rows = [unit for unit in ours if unit.subject == "rows"]
    documents = [unit for unit in ours if unit.subject != "rows"]
    return [
        trap_figure("fuzz", traps, COMMAND),
        figure("fuzz: rows lost, and readers that crashed", rows, ROWS, COMMAND),
        figure("fuzz: documents of other kinds", documents, DOCUMENTS, COMMAND),
        *figure_of_each("fuzz", KINDS, documents, COMMAND),
    ]
