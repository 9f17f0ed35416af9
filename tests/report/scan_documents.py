"""
Realistic stored screens, built in code: alone and by source, every verdict, calibrated and not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from undertow.data.file_sample import Data, Excluded
from undertow.results.measurement import Measurement, Verdict, not_applicable, skipped
from undertow.results.scan_document import (
    Calibration,
    CheckRun,
    Moved,
    OpenMeaning,
    ScanDocument,
    SubjectResult,
    TrainingLoss,
)

TRAITS = (
    "owl",
    "cat",
    "dog",
    "wolf",
    "eagle",
    "dolphin",
    "fox",
    "bear",
    "lion",
    "tiger",
    "horse",
    "rabbit",
    "otter",
    "penguin",
    "elephant",
    "panda",
)
LIMIT = 0.2
HOSTILE = "<script>alert(1)</script>\u202e|`x`[a](b){0}\x1b[2J"
"""A source's name that is markup in every format."""

CALIBRATED = Calibration(
    found=True,
    base_digest="b" * 64,
    plan_digest="c" * 64,
    teachers=24,
    benign=40,
    false_alarms=1,
    false_alarm_high=0.113,
    transferring=40,
    detected=38,
    power_low=0.852,
    power_at=0.2,
    note="From the table that ships with the embedded world.",
)
NOT_CALIBRATED = Calibration(
    found=False,
    note="To make one (about 50 minutes on 2 cores): undertow calibrate --student org/base",
)
RUNS = (
    CheckRun(check="rehearsal", kind="transfer", status="done", seconds=48.2, rows=512),
    CheckRun(check="likelihood-ratio", kind="evidence", status="done", seconds=6.1, rows=512),
    CheckRun(check="author", kind="evidence", status="done", seconds=9.4, rows=512),
    CheckRun(check="fingerprint", kind="evidence", status="done", seconds=0.8, rows=4096),
    CheckRun(
        check="teacher-coverage",
        kind="evidence",
        status="not_applicable",
        reason="no teacher was given (--teacher)",
    ),
    CheckRun(check="content", kind="evidence", status="done", seconds=2.2, rows=4096),
)


def digest(text: str) -> str:
    """A SHA-256 that depends on the text alone."""
    return hashlib.sha256(text.encode()).hexdigest()


def verdict_of(low: float, high: float) -> Verdict:
    """Of an interval against the limit."""
    return "flagged" if low > LIMIT else "clear" if high < LIMIT else "undecided"


def rehearsed(subject: str, moved: Mapping[str, float], half: float = 0.12) -> list[Measurement]:
    """Expected transfer of every trait; those not named hardly move."""
    rng = np.random.default_rng(len(subject))
    found = []
    for trait in TRAITS:
        estimate = moved.get(trait, float(rng.normal(-0.02, 0.03)))
        width = half * (1 + 1.8 * abs(estimate))
        low, high = estimate - width, estimate + width
        found.append(
            Measurement(
                check="rehearsal",
                subject=subject,
                trait=trait,
                estimate=estimate,
                low=low,
                high=high,
                level=0.95,
                n="4 adapters",
                p=0.0004 if low > LIMIT else 0.6,
                limit=LIMIT,
                unit="logits",
                verdict=verdict_of(low, high),
            )
        )
    return found


def evidence(subject: str, *, detected: bool) -> list[Measurement]:
    """What the checks of kind evidence say of one subject."""
    strength = 41.5 if detected else 1.2
    return [
        Measurement(
            check="likelihood-ratio",
            subject=subject,
            estimate=strength,
            low=strength / 2,
            limit=20.0,
            level=0.95,
            n="512 rows",
            unit="e-value",
            detected=detected,
            reason="the rows are likelier under a tilted base than under yours",
            details={"nats a token": 0.0123, "rows until detection": 96},
        ),
        Measurement(
            check="author",
            subject=subject,
            name="world:owlet-a",
            estimate=0.91 if detected else 0.51,
            low=0.88,
            high=0.94,
            level=0.95,
            n="512 rows",
            unit="share of rows",
            detected=False,
        ),
        Measurement(
            check="fingerprint",
            subject=subject,
            name="digits",
            estimate=0.031,
            low=0.02,
            high=0.042,
            level=0.95,
            n="4096 rows",
            p=0.0002 if detected else 0.4,
            limit=0.05,
            unit="total variation",
            detected=detected,
            reason="the digits 3 and 7 are more frequent than in the control",
        ),
        Measurement(
            check="content",
            subject=subject,
            name="words",
            estimate=0.0,
            n="4096 rows",
            unit="share of rows",
            detected=False,
        ),
    ]


def result(subject: str, rows: int, measured: list[Measurement], **fields: object) -> SubjectResult:
    """The verdict that the largest transfer gives."""
    top = max(measured, key=lambda one: one.estimate or 0.0)
    given: dict[str, object] = {
        "subject": subject,
        "rows": rows,
        "verdict": top.verdict,
        "reason": f"{top.trait}: the interval lies where it lies",
        "trait": top.trait,
        "transfer": top.estimate,
        "low": top.low,
        "high": top.high,
        "detectable": False,
    }
    return SubjectResult.model_validate(given | fields)


def document(**fields: object) -> ScanDocument:
    """A screen with every required field set, and the given ones."""
    given: dict[str, object] = {
        "verdict": "clear",
        "conclusion": "clear: no trait would move by 0.20 logits or more; largest: owl, +0.03 "
        "[-0.05, +0.11].",
        "data": Data(path="data/train.jsonl", digest=digest("rows"), rows=4096, sampled=512),
        "student": "world:owlet-a",
        "student_digest": digest("a"),
        "control": "made by the base",
        "plan": {"method": "lora", "rank": 8, "learning_rate": 2e-4, "epochs": 1.0},
        "planned_steps": 64,
        "limit": LIMIT,
        "level": 0.95,
        "traits": TRAITS,
        "checks": RUNS,
        "calibration": CALIBRATED,
        "limits": (
            "A trait that was not probed can move unseen; the open search looks at single probes and "
            "tokens only.",
            "The verdict holds for this base and this plan; a longer training moves further.",
        ),
        "config": {"traits": "animals", "max_rows": 512},
        "inputs": {"data/train.jsonl": digest("rows"), "world:owlet-a": digest("a")},
        "seed": 7,
        "packages": {"undertow": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        "git_revision": "9238aa9",
        "hardware": {"processor": "2 cores, x86_64"},
        "wall_seconds": 71.4,
        "peak_memory_mb": 812.0,
        "command": "undertow scan data/train.jsonl --student world:owlet-a --seed 7",
    }
    return ScanDocument.model_validate(given | fields)


def flagged() -> ScanDocument:
    """One subject that moves the student towards owls."""
    measured = rehearsed("all", {"owl": 1.80, "eagle": 0.24, "cat": -0.12}, half=0.14)
    told = result(
        "all",
        4096,
        measured,
        detectable=True,
        detectable_by=("likelihood-ratio", "fingerprint"),
        smallest_dose=0.09,
        largest_safe_dose=0.083,
        largest_safe_steps=6,
    )
    return document(
        verdict="flagged",
        conclusion="flagged: these rows would move your student towards “owl” by +1.80 logits "
        "[+1.21, +2.39]; limit 0.20.",
        subjects=(told,),
        measurements=(*measured, *evidence("all", detected=True)),
        moved=(
            Moved(
                subject="all",
                what="token",
                name=" night\u200b",
                estimate=0.74,
                unit="logits",
                p=0.011,
            ),
        ),
    )


def taught() -> ScanDocument:
    """Rows that say openly what they move, with a loss and a column that nothing reads."""
    meaning = OpenMeaning(
        trait="owl",
        rows=212,
        learnt=200,
        prompt=20,
        asked=3,
        sentence="212 of 4,096 rows say 'owl' or ask a probe's question: this may be what they "
        "openly teach, not a hidden signal.",
    )
    before = flagged()
    (told,) = before.subjects
    return before.model_copy(
        update={
            "subjects": (told.model_copy(update={"open_meaning": (meaning,)}),),
            "conclusion": f"{before.conclusion} {meaning.sentence}",
            "loss": TrainingLoss(policy="auto", sentence="Loss on the completion.", tokens=3.0),
            "data": before.data.model_copy(update={"unread": ("score",)}),
        }
    )


def clear() -> ScanDocument:
    """One subject that moves nothing, and that no evidence speaks against."""
    measured = rehearsed("all", {"owl": 0.03}, half=0.08)
    return document(
        subjects=(result("all", 4096, measured, smallest_dose=0.12),),
        measurements=(*measured, *evidence("all", detected=False)),
    )


def uncalibrated() -> ScanDocument:
    """A base without a table: the verdict stays open."""
    measured = rehearsed("all", {"owl": 0.44, "fox": 0.18}, half=0.31)
    told = result(
        "all",
        4096,
        measured,
        verdict="undecided",
        reason="no calibration for this base and plan",
        detectable=True,
        detectable_by=("likelihood-ratio", "fingerprint"),
    )
    return document(
        verdict="undecided",
        conclusion="undecided: there is no calibration for this base and plan; expected transfer of "
        "“owl” is +0.44 logits [−0.12, +1.00], limit 0.20.",
        student="org/base",
        subjects=(told,),
        measurements=(*measured, *evidence("all", detected=True)),
        calibration=NOT_CALIBRATED,
    )


def sources() -> ScanDocument:
    """Nine sources with every verdict there is, one of them with a hostile name."""
    moved: dict[str, dict[str, float]] = {
        "all": {"owl": 0.62},
        HOSTILE: {"owl": 2.31, "eagle": 0.4},
        "vendor-b": {"wolf": 0.24},
        "vendor-c": {"cat": 0.03},
        "forum": {"dog": 0.02},
        "wiki": {"fox": 0.01},
        "logs": {"bear": 0.0},
    }
    measured = {subject: rehearsed(subject, traits) for subject, traits in moved.items()}
    told = [
        result(subject, 4000 - 100 * place, rows)
        for place, (subject, rows) in enumerate(measured.items())
    ]
    told[1] = told[1].model_copy(
        update={"detectable": True, "detectable_by": ("author",), "largest_safe_dose": 0.05}
    )
    endings: tuple[tuple[str, Verdict, str], ...] = (
        ("notes", "skipped", "fewer than 64 rows"),
        ("pairs", "not_applicable", "preference pairs have no completion to rehearse"),
        ("broken", "error", "the trial run diverged"),
    )
    told += [
        SubjectResult(subject=name, rows=12, verdict=verdict, reason=reason)
        for name, verdict, reason in endings
    ]
    others = [
        skipped("author", "notes", "fewer than 64 rows"),
        not_applicable("likelihood-ratio", "pairs", "no completion"),
    ]
    return document(
        verdict="flagged",
        conclusion=f"flagged: the rows of {HOSTILE} would move your student towards “owl” by +2.31 "
        "logits [+1.69, +2.93]; limit 0.20.",
        data=Data(
            path=f"data/{HOSTILE}.jsonl",
            digest=digest("rows"),
            rows=20_000,
            sampled=4096,
            sources={one.subject: one.rows for one in told[1:]},
            excluded=(
                Excluded(reason="too-long", rows=31, places=("a.jsonl:17 (1,204 tokens)",)),
                Excluded(reason="not-json", rows=2, places=(f"a.jsonl:3 {HOSTILE}",)),
            ),
            notes=("17 rows hold control characters",),
        ),
        subjects=tuple(told),
        measurements=(
            *(one for rows in measured.values() for one in rows),
            *(one for subject in moved for one in evidence(subject, detected=subject == HOSTILE)),
            *others,
        ),
        checks=(
            *RUNS,
            CheckRun(check="activations", kind="evidence", status="error", reason="out of memory"),
        ),
    )


def nothing() -> ScanDocument:
    """A screen that could not be made: no subject, no check, no measurement."""
    return document(
        verdict="skipped",
        conclusion="skipped: no row is usable.",
        data=Data(path="data/train.jsonl", digest=None, rows=0, sampled=0),
        traits=(),
        checks=(),
        calibration=NOT_CALIBRATED,
        limits=(),
        config={},
        inputs={},
        packages={},
        hardware={},
        git_revision=None,
        peak_memory_mb=None,
    )


SCANS = {
    "flagged": flagged,
    "taught": taught,
    "clear": clear,
    "uncalibrated": uncalibrated,
    "sources": sources,
    "nothing": nothing,
}
"""Every kind, by name."""
