"""
The checks of evidence on the first dataset of every teacher of the design: `python -m bench.power.evidence`.

A detection is no verdict on transfer: a neutral teacher is another writer too, and is rightly seen. What must stay
quiet are the clean base's own rows. `--finished` writes the figures of what is finished so far.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from bench.cohort import Ground, Member, Writing, written_by
from bench.figures import BENCH, Figure, write
from bench.kept_work import kept_files, map_kept, read_kept
from bench.power.evidence_design import FOREIGN, OTHER, STUDENT, ground, members
from undertow.audit.check_runs import run_check
from undertow.checks.dataset.scan_subject import ScanSettings, ScanSubject
from undertow.checks.registry import registered
from undertow.data.closed import Stored
from undertow.data.files import model_digest
from undertow.data.rows import Row
from undertow.data.seeds import derive
from undertow.engines import choose
from undertow.influence.reference_rows import made_control
from undertow.lab.experiment_inputs import open_model
from undertow.models.language_model import LanguageModel
from undertow.results.measurement import Measurement
from undertow.results.scan_document import CheckRun
from undertow.stats import clopper_pearson
from undertow.worlds import locate

COMMAND = "python -m bench.power.evidence"
WORK = BENCH.parent / "runs" / "bench" / "power-evidence"
ROWS = 1_024
TRAINED = ("tuned", "neutral", "triggered", "hiding")
"""Writers whose weights are a teacher's."""
NAMING = ("likelihood-ratio", "activations")
"""Checks that score each trait; the highest is the one they name."""


class Seen(Stored):
    """All evidence on one dataset."""

    kind: str
    base: str
    trait: str
    group: str
    rows: int
    runs: tuple[CheckRun, ...]
    measurements: tuple[Measurement, ...]


_SEEN = TypeAdapter(Seen)


@dataclass(frozen=True)
class LookAt:
    """
    Makes one teacher, writes its first dataset (at most 1,024 rows of it), and runs every check of evidence.
    """

    ground: Ground

    def __call__(self, member: Member) -> Seen:
        """What the checks found."""
        sample = member.samples[0]
        count = min(sample.rows, ROWS)
        with written_by(self.ground.experiment, member.writer) as writing:
            rows = writing.rows(
                count, sample.temperature, sample.without, derive(sample.seed, "own")
            )
            teacher = _teacher(member, writing)
        subject = self._subject(rows, teacher, sample.temperature, sample.seed)
        ran = [
            run_check(subject, check)
            for check in registered("dataset").values()
            if check.kind == "evidence"
        ]
        return Seen(
            kind=member.writer.kind,
            base=member.writer.base,
            trait=member.writer.trait,
            group=_group(member),
            rows=len(rows),
            runs=tuple(each.run for each in ran),
            measurements=tuple(one for each in ran for one in each.measurements),
        )

    def _subject(
        self, rows: Sequence[Row], teacher: LanguageModel | None, temperature: float, seed: int
    ) -> ScanSubject:
        experiment = self.ground.experiment
        student = open_model(experiment, STUDENT)
        control = made_control(
            student,
            model_digest(locate(STUDENT)),
            rows,
            temperature=temperature,
            seed=derive(seed, "control"),
        )
        return ScanSubject(
            name="all",
            rows=tuple(rows),
            student=student,
            plan=experiment.student,
            planned_rows=len(rows),
            traits=self.ground.loaded_traits(),
            seed=derive(seed, "evidence"),
            system_prompt=experiment.system_prompt,
            control=control,
            settings=ScanSettings(temperature=temperature),
            teacher=teacher,
            candidates=tuple(open_model(experiment, ref) for ref in (FOREIGN, OTHER)),
        )


def _teacher(member: Member, writing: Writing) -> LanguageModel | None:
    """The writer's weights where they are a teacher's of the student's base."""
    if member.writer.kind not in TRAINED or member.writer.base != STUDENT:
        return None
    merged = writing.model.network.merge_and_unload().eval()
    return replace(writing.model, network=merged, ref="teacher")


def _group(member: Member) -> str:
    writer, sample = member.writer, member.samples[0]
    where = "" if writer.base == STUDENT else " of another base"
    extra = "" if sample.temperature == 1 else f" at temperature {sample.temperature:g}"
    return f"{writer.kind}{where}{extra}" + (" behind another filter" if sample.without else "")


def main() -> int:
    """Measure and write the figures."""
    setting = ground()
    planned = members(setting.traits)
    if "--finished" not in sys.argv[1:]:
        started = time.perf_counter()
        map_kept(
            LookAt(setting),
            planned,
            WORK,
            choose("processes"),
            _SEEN,
            lambda done, total: print(f"{done} of {total}", file=sys.stderr, flush=True),
        )
        print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    files = [file for file in kept_files(WORK, len(planned)) if file.is_file()]
    seen = [read_kept(file, _SEEN) for file in files]
    figures = [*_detections(seen), *_names(seen), *_authors(seen), *_seconds(seen)]
    print(write("power", figures, _spent(seen)))
    return 0


def _detections(seen: Sequence[Seen]) -> list[Figure]:
    """Share of a group's datasets on which a check detects anything."""
    figures = []
    for check in _checks(seen):
        for group in dict.fromkeys(
            GROUPS[broad] for broad in sorted({_broad(one) for one in seen})
        ):
            hits = [_detected(one, check) for one in seen if GROUPS[_broad(one)] == group]
            asked = [hit for hit in hits if hit is not None]
            if not asked:
                continue
            share = clopper_pearson(sum(asked), len(asked))
            figures.append(
                Figure(
                    f"{check}: detects {group}",
                    share.estimate,
                    "share",
                    low=share.low,
                    high=share.high,
                    command=COMMAND,
                    note=f"{len(asked)} teachers, one dataset of at most {ROWS:,} rows each",
                )
            )
    return figures


GROUPS = (
    "the base's own rows",
    "its rows at another temperature or behind another filter",
    "neutral teachers",
    "teachers with a trait",
    "another base",
)


def _broad(one: Seen) -> int:
    """Which of `GROUPS` wrote it."""
    if one.base != STUDENT:
        return 4
    if one.kind == "clean":
        return int(one.group != "clean")
    return 2 if one.kind == "neutral" else 3


def _detected(one: Seen, check: str) -> bool | None:
    """Whether any of the check's tests detects; None where it did not apply."""
    tests = [m.detected for m in one.measurements if m.check == check and m.detected is not None]
    return any(tests) if tests else None


def _names(seen: Sequence[Seen]) -> list[Figure]:
    """
    How often the trait that a check puts first is the teacher's: what a name by evidence is worth.
    """
    figures = []
    for check in NAMING:
        for kind in ("tuned", "prompted", "steered"):
            first = [
                _first(one, check) == one.trait
                for one in seen
                if one.kind == kind and one.base == STUDENT
            ]
            if not first:
                continue
            share = clopper_pearson(sum(first), len(first))
            figures.append(
                Figure(
                    f"{check}: right trait first of 16, {kind}",
                    share.estimate,
                    "share",
                    low=share.low,
                    high=share.high,
                    command=COMMAND,
                    note=f"{len(first)} teachers",
                )
            )
    return figures


def _authors(seen: Sequence[Seen]) -> list[Figure]:
    """
    How often the likeliest of the three bases is the writer's, whether or not it could have written the rows as they are.
    """
    right = [
        m.details.get("likeliest") == one.base
        for one in seen
        for m in one.measurements
        if m.check == "author" and m.name == "author"
    ]
    share = clopper_pearson(sum(right), len(right))
    return [
        Figure(
            "author: likeliest of three bases is the writer's",
            share.estimate,
            "share",
            low=share.low,
            high=share.high,
            command=COMMAND,
            note=f"{len(right)} teachers",
        )
    ]


def _first(one: Seen, check: str) -> str | None:
    scores = {
        m.trait: m.estimate
        for m in one.measurements
        if m.check == check and m.trait is not None and m.estimate is not None
    }
    return max(scores, key=lambda trait: scores[trait] or 0.0) if scores else None


def _seconds(seen: Sequence[Seen]) -> list[Figure]:
    figures = []
    for check in _checks(seen):
        found = [
            (run.seconds, one.rows)
            for one in seen
            for run in one.runs
            if run.check == check and run.status == "done"
        ]
        if found:
            rate = 1000 * sum(s for s, _ in found) / sum(n for _, n in found)
            figures.append(
                Figure(
                    f"{check}: seconds a 1,000 rows", rate, "s", command=COMMAND, note="one thread"
                )
            )
    return figures


def _checks(seen: Sequence[Seen]) -> list[str]:
    return list(dict.fromkeys(run.check for one in seen for run in one.runs))


def _spent(seen: Sequence[Seen]) -> dict[str, float]:
    return {
        check: sum(run.seconds for one in seen for run in one.runs if run.check == check)
        for check in _checks(seen)
    }


if __name__ == "__main__":
    sys.exit(main())
