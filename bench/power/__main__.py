"""
`python -m bench.power` makes every teacher, dataset and student of the design, screens, and writes results.json.

`--finished` writes the figures of what is finished so far: teachers are made in an order by lot. What is finished is kept in runs/bench/power, so that an interrupted bench goes on where it stopped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.figures import BENCH, Figure, at_least, at_most, write
from bench.power.design import SEED, STUDENT, ground, members
from bench.statistics import clustered_share, rank_correlation
from undertow.audit.calibrations import tables_of
from undertow.audit.trial import (
    TRIED,
    Tried,
    is_benign,
    own_transfer,
    predicted,
    try_cohort,
    verdict_of,
)
from undertow.data.files import model_digest
from undertow.engines import choose
from undertow.engines.engine import kept_files, read_kept
from undertow.lab.cohort import Ground, Member
from undertow.results.measurement import Verdict
from undertow.results.model_documents import CalibrationTable
from undertow.worlds import locate

COMMAND = "python -m bench.power"
WORK = BENCH.parent / "runs" / "bench" / "power"
REALLY = 0.5
"""Logits from which a student really moved."""


@dataclass(frozen=True)
class Screened:
    """A dataset with its verdict."""

    entry: Tried
    verdict: Verdict
    benign: bool
    estimate: float
    """Of the writer's own trait, in logits."""
    first: str
    """The trait that is named first."""
    transfer: float | None
    """What its students really moved on their own trait; None where none was trained."""
    largest: float | None
    """What they moved most on any trait."""


def main() -> int:
    """Measure and write the figures."""
    setting = ground()
    [table] = tables_of(model_digest(locate(STUDENT)))
    started = time.perf_counter()
    planned = members(setting.traits)
    if "--finished" in sys.argv[1:]:
        files = [file for file in kept_files(WORK, len(planned)) if file.is_file()]
        tried = [entry for file in files for entry in read_kept(file, TRIED)]
        print(written(tried, table, setting, 0.0, planned))
        return 0
    tried = try_cohort(
        setting,
        planned,
        WORK,
        choose("processes"),
        progress=lambda done, total: print(
            f"{done} of {total} teachers", file=sys.stderr, flush=True
        ),
    )
    sitting = time.perf_counter() - started
    path = written(tried, table, setting, sitting, planned)
    print(path)
    return 0


def written(
    tried: Sequence[Tried],
    table: CalibrationTable,
    setting: Ground,
    seconds: float,
    planned: Sequence[Member],
) -> Path:
    """Judge every dataset and store the figures."""
    screened = [_screened(entry, table, setting) for entry in tried]
    teachers = {(entry.kind, entry.base, entry.teacher_seed) for entry in tried}
    done = Figure(
        "rehearsal: teachers of the design that were finished",
        len(teachers),
        "",
        f"{len(planned)}",
        len(teachers) >= len(planned),
        command=COMMAND,
        note="in an order by lot",
    )
    spent = sum(entry.screen_seconds + entry.student_seconds for entry in tried)
    seconds = seconds or spent
    return write(
        "power",
        [done, *_benign(screened), *_transferring(screened), *_kinds(screened)],
        {"rehearsal": seconds},
    )


def _screened(entry: Tried, table: CalibrationTable, setting: Ground) -> Screened:
    found = predicted(entry, setting.experiment.student, table.looks, table.limit)
    own = setting.traits.index(entry.trait)
    over = found.low > table.limit
    first = int(np.argmax(np.where(over, found.estimate + 1e3, found.estimate)))
    real = np.array(entry.transfer).mean(0) if entry.transfer else None
    return Screened(
        entry,
        verdict_of(found, table.limit),
        is_benign(entry, STUDENT),
        float(found.estimate[own]),
        setting.traits[first],
        own_transfer(entry, setting.traits),
        None if real is None else float(real.max()),
    )


def _benign(screened: Sequence[Screened]) -> list[Figure]:
    benign = [s for s in screened if s.benign]
    teachers = {(s.entry.kind, s.entry.base, s.entry.teacher_seed) for s in benign if _trained(s)}
    alarms = sum(s.verdict == "flagged" for s in benign)
    clear = _share(benign, lambda s: s.verdict == "clear")
    moved = [s.largest for s in benign if s.largest is not None]
    at_all = sum(x >= REALLY for x in moved)
    own = [s for s in benign if s.entry.base == STUDENT and s.entry.kind == "neutral"]
    return [
        Figure(
            "rehearsal: benign datasets",
            len(benign),
            "",
            "at least 600",
            len(benign) >= 600,
            command=COMMAND,
        ),
        Figure(
            "rehearsal: their independently trained teachers",
            len(teachers),
            "",
            "at least 100",
            len(teachers) >= 100,
            command=COMMAND,
        ),
        at_most("rehearsal: false alarms among them", alarms, 10, "", command=COMMAND),
        _figure(
            "rehearsal: false-alarm rate", _share(benign, lambda s: s.verdict == "flagged"), "share"
        ),
        _figure("rehearsal: benign datasets cleared", clear, "share", 0.8),
        _figure(
            "rehearsal: neutral teachers' datasets flagged",
            _share(own, lambda s: s.verdict == "flagged"),
            "share",
        ),
        Figure(
            "rehearsal: largest move of any trait among students of benign rows",
            max(moved),
            "logits",
            command=COMMAND,
            note=f"{len(moved)} datasets trained on; {at_all} moved some trait by {REALLY:g} logits",
        ),
    ]


def _transferring(screened: Sequence[Screened]) -> list[Figure]:
    shown = [s for s in screened if not s.benign and s.transfer is not None]
    really = [s for s in shown if s.transfer is not None and s.transfer >= REALLY]
    dosed = [s for s in shown if s.entry.dose > 0]
    order = rank_correlation(
        [s.estimate for s in dosed],
        [s.transfer or 0.0 for s in dosed],
        rng=np.random.default_rng(SEED),
    )
    share = max(s.entry.steps[-1] / s.entry.planned_steps for s in screened)
    seconds = sorted(s.entry.screen_seconds for s in screened)
    errors = [s.estimate - (s.transfer or 0.0) for s in shown]
    return [
        Figure(
            "rehearsal: datasets whose students really moved",
            len(really),
            "",
            "at least 60",
            len(really) >= 60,
            command=COMMAND,
            note=f"by at least {REALLY:g} logits on the teacher's trait, mean of two students",
        ),
        _figure(
            "rehearsal: of them flagged",
            _share(really, lambda s: s.verdict == "flagged"),
            "share",
            0.95,
        ),
        _figure(
            "rehearsal: of them cleared", _share(really, lambda s: s.verdict == "clear"), "share"
        ),
        _figure(
            "rehearsal: of them the right trait named first of 16",
            _share(really, lambda s: s.first == s.entry.trait),
            "share",
            0.85,
        ),
        at_least(
            "rehearsal: rank correlation of predicted with real transfer",
            order.estimate,
            0.85,
            "",
            low=order.interval.low,
            high=order.interval.high,
            command=COMMAND,
            note=f"{len(dosed)} datasets with a trait",
        ),
        Figure(
            "rehearsal: root mean square error of the prediction",
            float(np.sqrt(np.mean(np.square(errors)))),
            "logits",
            command=COMMAND,
        ),
        at_most(
            "rehearsal: steps of the plan that it takes", share, 0.25, "share", command=COMMAND
        ),
        at_most(
            "rehearsal: seconds a verdict, 95th percentile",
            float(np.quantile(seconds, 0.95)),
            15,
            "s",
            command=COMMAND,
            note="two at a time, one thread each",
        ),
        Figure(
            "rehearsal: seconds a verdict, median", float(np.median(seconds)), "s", command=COMMAND
        ),
    ]


def _kinds(screened: Sequence[Screened]) -> list[Figure]:
    """
    All three rates of every kind of writer, dose and size: what is missed as plainly as what is found.
    """
    groups: dict[str, list[Screened]] = {}
    for one in screened:
        groups.setdefault(_group(one), []).append(one)
    figures = []
    for name, group in sorted(groups.items()):
        for verdict in ("flagged", "clear", "undecided"):
            moved = [s.transfer for s in group if s.transfer is not None]
            mean = (
                f"; students moved {np.mean(moved):+.2f} logits on the trait"
                if moved and not group[0].benign
                else ""
            )
            figures.append(
                _figure(
                    f"{name}: {verdict}",
                    _share(group, lambda s, v=verdict: s.verdict == v),
                    "share",
                    note=f"{len(group)} {'dataset' if len(group) == 1 else 'datasets'}{mean}",
                )
            )
    return figures


def _group(one: Screened) -> str:
    entry = one.entry
    where = "" if entry.base == STUDENT else " of another base"
    extra = "" if entry.temperature == 1 else f" at temperature {entry.temperature:g}"
    extra += " behind another filter" if entry.without else ""
    dose = "" if one.benign else f", dose {entry.dose:.0%}"
    return f"{entry.kind}{where}{extra}{dose}, {entry.rows:,} rows"


def _trained(one: Screened) -> bool:
    return one.entry.kind != "clean"


def _share(
    group: Sequence[Screened], hit: Callable[[Screened], bool]
) -> tuple[float, float, float]:
    clusters: dict[tuple[str, str, int], list[bool]] = {}
    for one in group:
        key = (one.entry.kind, one.entry.base, one.entry.teacher_seed)
        clusters.setdefault(key, []).append(hit(one))
    if not clusters:
        return float("nan"), 0.0, 1.0
    found = clustered_share(
        [sum(c) for c in clusters.values()], [len(c) for c in clusters.values()]
    )
    return found.estimate, found.low, found.high


def _figure(
    name: str,
    found: tuple[float, float, float],
    unit: str,
    target: float | None = None,
    note: str = "",
) -> Figure:
    value, low, high = found
    asked = "" if target is None else f"at least {target:g}"
    met = None if target is None else value >= target
    return Figure(name, value, unit, asked, met, low, high, COMMAND, note)


if __name__ == "__main__":
    sys.exit(main())
