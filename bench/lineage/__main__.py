"""
`python -m bench.lineage` trains initialisations, makes children of each, asks who belongs to whom, and writes results.json.

What is finished is kept in runs/bench/lineage, so that an interrupted bench goes on where it stopped; `--finished` writes
the figures of that.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from bench.figures import BENCH, Figure, at_least, at_most, write
from bench.kept_work import kept_files, map_kept, read_kept
from bench.lineage.family import BASES, SEED, base, children, save, words
from bench.statistics import clustered_share
from undertow.audit.lineage import lineage
from undertow.audit.requests import LineageRequest
from undertow.data.closed import Stored
from undertow.engines import choose
from undertow.stats.unit_alignment import trace_alignment
from undertow.worlds.base_models import recipe
from undertow.worlds.pretraining import untrained

COMMAND = "python -m bench.lineage"
WORK = BENCH.parent / "runs" / "bench" / "lineage"
FOREIGN = 2
"""Other bases that each child is held against."""
NOISE = (1, 3, 5, 8, 12, 20)
UNITS = 256
REPEATS = 60


class Asked(Stored):
    """One pair and what was said of it."""

    base: int
    kind: str
    kin: bool
    relation: str
    p: float | None
    csw: float | None
    seconds: float


_ASKED = TypeAdapter(list[Asked])


@dataclass(frozen=True)
class AskFamily:
    """One base, its children, and strangers: the callable that engines spread."""

    folder: Path

    def __call__(self, number: int) -> list[Asked]:
        """Every child against its parent and against other bases."""
        parent = base(number, self.folder)
        others = [base((number + k) % BASES, self.folder) for k in range(1, FOREIGN + 1)]
        found = []
        with tempfile.TemporaryDirectory() as scratch:
            for i, (kind, network) in enumerate(children(number, parent).items()):
                child = Path(scratch) / str(i)
                save(network, child)
                found.append(_ask(number, kind, child, parent, kin=True))
                found += [_ask(number, kind, child, other, kin=False) for other in others]
        return found


def _ask(number: int, kind: str, student: Path, teacher: Path, *, kin: bool) -> Asked:
    started = time.perf_counter()
    request = LineageRequest(str(student), (str(teacher),), checks=("lineage-weights",), seed=SEED)
    document = lineage(request)
    [one] = document.teachers
    csw = document.measurements[0].details.get("csw")
    return Asked(
        base=number,
        kind=kind,
        kin=kin,
        relation=one.relation,
        p=one.p,
        csw=float(csw) if csw is not None else None,
        seconds=time.perf_counter() - started,
    )


def main() -> int:
    """Measure and write the figures."""
    folder = WORK / "bases"
    folder.mkdir(parents=True, exist_ok=True)
    if "--finished" not in sys.argv[1:]:
        for number in range(BASES):
            base(number, folder)
            print(f"base {number + 1} of {BASES}", file=sys.stderr, flush=True)
        map_kept(
            AskFamily(folder),
            list(range(BASES)),
            WORK,
            choose("inprocess"),
            _ASKED,
            lambda done, total: print(f"{done} of {total} families", file=sys.stderr, flush=True),
        )
    files = [file for file in kept_files(WORK, BASES) if file.is_file()]
    asked = [one for file in files for one in read_kept(file, _ASKED)]
    asked += _strangers(folder)
    seconds = sum(one.seconds for one in asked)
    figures = [*_rates(asked), *_kinds(asked), *_shipped(), *_noise()]
    print(write("lineage", figures, {"lineage": seconds}))
    return 0


def _strangers(folder: Path) -> list[Asked]:
    """Every two bases: the same corpus, other initialisations."""
    there = [n for n in range(BASES) if (folder / f"base-{n:02d}").is_dir()]
    return [
        _ask(a, "bases of the same corpus", base(a, folder), base(b, folder), kin=False)
        for a, b in combinations(there, 2)
    ]


def _rates(asked: Sequence[Asked]) -> list[Figure]:
    kin, strangers = [a for a in asked if a.kin], [a for a in asked if not a.kin]
    found, wrong = _share(kin), _share(strangers)
    note = f"{len(strangers)} pairs of unrelated models; intervals over bases"
    return [
        at_least(
            "lineage: children found",
            found[0],
            0.99,
            "share",
            low=found[1],
            high=found[2],
            command=COMMAND,
            note=f"{len(kin)} children of {len({a.base for a in kin})} initialisations",
        ),
        at_most(
            "lineage: strangers taken for kin",
            wrong[0],
            0.01,
            "share",
            low=wrong[1],
            high=wrong[2],
            command=COMMAND,
            note=note,
        ),
        Figure(
            "lineage: children found by CSW at the same level",
            float(np.mean([_csw_sees(a) for a in kin])),
            "share",
            command=COMMAND,
            note="the published statistic, Spearman's p by its t approximation",
        ),
        Figure(
            "lineage: seconds a pair",
            float(np.median([a.seconds for a in asked])),
            "s",
            command=COMMAND,
        ),
    ]


def _csw_sees(one: Asked) -> bool:
    from scipy.stats import t

    if one.csw is None:
        return False
    n = 192
    r = min(one.csw, 1 - 1e-12)
    return bool(t.sf(r * np.sqrt((n - 2) / (1 - r * r)), n - 2) < 1e-3)


def _kinds(asked: Sequence[Asked]) -> list[Figure]:
    figures = []
    for kind in dict.fromkeys(a.kind for a in asked):
        for kin, what in ((True, "found"), (False, "taken for kin of another base")):
            group = [a for a in asked if a.kind == kind and a.kin == kin]
            if group:
                share, low, high = _share(group)
                figures.append(
                    Figure(
                        f"{kind}: {what}",
                        share,
                        "share",
                        low=low,
                        high=high,
                        command=COMMAND,
                        note=f"{len(group)} pairs",
                    )
                )
    return figures


def _share(asked: Sequence[Asked]) -> tuple[float, float, float]:
    groups: dict[int, list[bool]] = {}
    for one in asked:
        groups.setdefault(one.base, []).append(one.relation in ("same", "disguised"))
    found = clustered_share([sum(g) for g in groups.values()], [len(g) for g in groups.values()])
    return found.estimate, found.low, found.high


def _shipped() -> list[Figure]:
    """The shipped bases, trained for 2,000 steps, against the networks as they were drawn."""
    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("owlet-a", "owlet-b"):
            start = Path(scratch) / name
            save(untrained(recipe(name), words()), start)
            for of in ("owlet-a", "owlet-b"):
                request = LineageRequest(f"world:{of}", (str(start),), checks=("lineage-weights",))
                [one] = lineage(request).teachers
                figures.append(
                    Figure(
                        f"shipped bases: {of} against the start of {name}",
                        min(layer.z for layer in one.layers),
                        "standard deviations, least over layers",
                        command=COMMAND,
                        note=f"2,000 steps of training lie between; said: {one.relation}",
                    )
                )
    return figures


def _noise() -> list[Figure]:
    """Power against noise in heavy-tailed rows of unequal features, at .001."""
    figures = []
    for times in NOISE:
        rng = np.random.default_rng([SEED, times])
        seen = 0
        for _ in range(REPEATS):
            rows = rng.standard_t(4, (UNITS, UNITS)) * np.linspace(0.3, 2, UNITS)
            child = rows + times * rows.std() * rng.standard_normal(rows.shape)
            seen += trace_alignment(rows.astype(np.float32), child.astype(np.float32)).p < 1e-3
        figures.append(
            Figure(
                f"noise {times} times the weights: found",
                seen / REPEATS,
                "share",
                command=COMMAND,
                note=f"{REPEATS} pairs of {UNITS} units",
            )
        )
    return figures


if __name__ == "__main__":
    sys.exit(main())
