"""Realistic stored screens, built in code: alone and by source, every verdict and combination of stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from tests.report.conftest import ANIMALS, digest
from undertow.data.file_sample import Data
from undertow.data.row_faults import Excluded
from undertow.results.measurement import Measurement, Verdict, not_applicable, skipped
from undertow.results.scan_document import (
    CheckRun,
    FormerScanDocument,
    FormerSubjectResult,
    Moved,
    OpenMeaning,
    Price,
    ReferenceDeclaration,
    ScanDocument,
    StageResult,
    SubjectResult,
    TrainingLoss,
)

Judged = TypeVar("Judged", SubjectResult, FormerSubjectResult)
Scan = TypeVar("Scan", ScanDocument, FormerScanDocument)

LIMIT = 0.2
HOSTILE = "<script>alert(1)</script>\u202e|`x`[a](b){0}\x1b[2J"
"""A source's name that is markup in every format."""

RUNS = (
    CheckRun(check="rehearsal", kind="transfer", status="done", seconds=48.2, rows=512),
    CheckRun(check="whole-plan", kind="transfer", status="done", seconds=340.0, rows=4096),
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
FAMILY = ReferenceDeclaration(
    family="continuations",
    digest="f" * 64,
    assumption="the rows were written to these prompts by the student’s own base or by a light neutral tune of it",
    members=(
        "the base’s continuations at temperatures of 0.7 to 1.3",
        "continuations behind a neutral system prompt",
        "lightly tuned neutral models",
    ),
    notes=("Data by a stronger writer nearly always stand out from these references.",),
)
PRICES = (
    Price(
        part="references, 32 steps each",
        fine_tunes=4.75,
        seconds=212.0,
        spent_fine_tunes=1.75,
        spent_seconds=80.5,
    ),
    Price(part="stage 1", fine_tunes=0.5, seconds=22.0, spent_fine_tunes=0.5, spent_seconds=21.3),
)
WHOLE_PLAN = (
    Price(part="stage 2", fine_tunes=4.0, seconds=180.0, spent_fine_tunes=4.0, spent_seconds=171.0),
    Price(
        part="references of stage 2",
        fine_tunes=8.0,
        seconds=360.0,
        spent_fine_tunes=8.0,
        spent_seconds=350.0,
        gpu_hours=0.1,
    ),
)


def verdict_of(low: float, high: float) -> Verdict:
    """Of an interval against the limit."""
    return "flagged" if low > LIMIT else "clear" if high < LIMIT else "undecided"


def rehearsed(
    subject: str, moved: Mapping[str, float], half: float = 0.12, stage: int = 0
) -> list[Measurement]:
    """What moves every trait, hardly those that are not named; without a stage as a scan/1 had it, under the whole plan."""
    rng = np.random.default_rng(len(subject))
    found = []
    for trait in ANIMALS:
        estimate = moved.get(trait, float(rng.normal(-0.02, 0.03)))
        width = half * (1 + 1.8 * abs(estimate))
        low, high = estimate - width, estimate + width
        found.append(
            Measurement(
                check="whole-plan" if stage == 2 else "rehearsal",
                name=f"stage {stage}" if stage else "",
                subject=subject,
                trait=trait,
                estimate=estimate,
                low=low,
                high=high,
                level=0.95,
                n="4 adapters, 8 references" if stage else "4 adapters",
                p=None if stage else 0.0004 if low > LIMIT else 0.6,
                limit=LIMIT,
                unit="logits",
                verdict=None if stage == 1 else verdict_of(low, high),
            )
        )
    if stage:
        found.insert(0, _rank(subject, stage))
    return found


def _rank(subject: str, stage: int) -> Measurement:
    """What the audit makes a comparison of; no effect on a trait."""
    return Measurement(
        check="whole-plan" if stage == 2 else "rehearsal",
        name=f"stage {stage}",
        subject=subject,
        p=0.05,
        level=0.95,
        n="19 references",
        unit="rank",
        details={"steps": 32, "planned steps": 128, "kind: the base itself": 19},
    )


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


def stage_one(verdict: Verdict, **fields: object) -> StageResult:
    """The beginning of the plan, beside 19 references."""
    out = verdict == "stands out"
    given: dict[str, object] = {
        "stage": 1,
        "verdict": verdict,
        "reason": "no reference reaches as far" if out else "references reach as far",
        "steps": 32,
        "planned_steps": 128,
        "rows": 1024,
        "adapters": 2,
        "references": 19,
        "cached": 12,
        "needed": 19,
        "kinds": {"the base’s continuations": 11, "neutral tunes": 8},
        "p": 0.05 if out else 0.35,
        "adjusted": 0.05 if out else 0.35,
        "alpha": 0.05,
        "guaranteed": 0.146,
        "excluded": 0.31 if verdict == "within" else None,
    }
    return StageResult.model_validate(given | fields)


def stage_two(verdict: Verdict, **fields: object) -> StageResult:
    """The whole plan, beside 8 fresh references."""
    given: dict[str, object] = {
        "stage": 2,
        "verdict": verdict,
        "reason": "the intervals of all traits at once lie where they lie",
        "steps": 128,
        "planned_steps": 128,
        "rows": 4096,
        "adapters": 4,
        "references": 8,
        "needed": 2,
        "p": 0.111,
        "kinds": {"the base’s continuations": 5, "neutral tunes": 3},
        "alpha": 0.05,
    }
    return StageResult.model_validate(given | fields)


def result(
    subject: str, rows: int, measured: list[Measurement], *stages: StageResult, **fields: object
) -> SubjectResult:
    """The verdict of the last stage, with the largest effect."""
    top = max(measured, key=lambda one: one.estimate or 0.0)
    given: dict[str, object] = {
        "subject": subject,
        "rows": rows,
        "verdict": stages[-1].verdict,
        "reason": stages[-1].reason,
        "trait": top.trait,
        "transfer": top.estimate,
        "low": top.low,
        "high": top.high,
        "detectable": False,
        "comparisons": stages,
    }
    return SubjectResult.model_validate(given | fields)


def common(**fields: object) -> dict[str, object]:
    """Every field that a screen of either version requires, and the given ones."""
    given: dict[str, object] = {
        "verdict": "clear",
        "conclusion": "clear: no trait would move by 0.20 logits or more; largest: owl, +0.03 "
        "[-0.05, +0.11].",
        "data": Data(path="data/train.jsonl", digest=digest("rows"), rows=4096, sampled=512),
        "student": "world:owlet-a",
        "student_digest": digest("a"),
        "control": "made by the base",
        "plan": {"method": "lora", "rank": 8, "learning_rate": 2e-4, "epochs": 1.0},
        "planned_steps": 128,
        "limit": LIMIT,
        "level": 0.95,
        "traits": ANIMALS,
        "checks": RUNS,
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
    return given | fields


def document(**fields: object) -> ScanDocument:
    """A screen with every required field set, and the given ones."""
    given: dict[str, object] = {"references": FAMILY, "prices": PRICES}
    return ScanDocument.model_validate(common(**(given | fields)))


def excluded_rows() -> dict[str, object]:
    """Data of nine sources, some of it left out, under a hostile name."""
    reasons = (
        Excluded(reason="too-long", rows=31, places=("a.jsonl:17 (1,204 tokens)",)),
        Excluded(reason="not-json", rows=2, places=(f"a.jsonl:3 {HOSTILE}",)),
    )
    return {
        "path": f"data/{HOSTILE}.jsonl",
        "digest": digest("rows"),
        "rows": 20_000,
        "sampled": 4096,
        "excluded": reasons,
        "notes": ("17 rows hold control characters",),
    }


MOVED = (
    Moved(subject="all", what="token", name=" night\u200b", estimate=0.74, unit="logits", p=0.011),
)
OPENLY = OpenMeaning(
    trait="owl",
    rows=212,
    learnt=200,
    prompt=20,
    asked=3,
    sentence="212 of 4,096 rows say 'owl' or ask a probe's question: this may be what they "
    "openly teach, not a hidden signal.",
)
DETECTED: dict[str, object] = {
    "detectable": True,
    "detectable_by": ("likelihood-ratio", "fingerprint"),
}


def stands_out() -> ScanDocument:
    """One subject that no reference reaches, in the beginning of the plan; no budget for the whole of it."""
    measured = rehearsed("all", {"owl": 0.62, "eagle": 0.14}, half=0.1, stage=1)
    return document(
        verdict="stands out",
        conclusion="stands out: after 32 of 128 steps these rows move your student towards “owl” by +0.62 logits "
        "[+0.41, +0.83] more than benign ones do.",
        subjects=(result("all", 4096, measured, stage_one("stands out"), **DETECTED),),
        measurements=(*measured, *evidence("all", detected=True)),
        budget=2.5,
    )


def within() -> ScanDocument:
    """One subject that references reach as well."""
    measured = rehearsed("all", {"owl": 0.03}, half=0.08, stage=1)
    return document(
        verdict="within",
        conclusion="within: after 32 of 128 steps these rows move your student no more than benign ones do; an effect "
        "above +0.31 logits is excluded.",
        subjects=(result("all", 4096, measured, stage_one("within")),),
        measurements=(*measured, *evidence("all", detected=False)),
    )


def flagged() -> ScanDocument:
    """One subject that stands out, and moves the student towards owls under the whole plan."""
    first = rehearsed("all", {"owl": 0.62, "eagle": 0.14}, half=0.1, stage=1)
    measured = rehearsed("all", {"owl": 1.80, "eagle": 0.24, "cat": -0.12}, half=0.14, stage=2)
    stages = (stage_one("stands out"), stage_two("flagged"))
    doses = {"largest_safe_dose": 0.083, "dose_of_estimate": 0.111, "dose_of_lower_end": 0.165}
    safe = {**doses, "largest_safe_steps": 6}
    return document(
        verdict="flagged",
        conclusion="flagged: these rows would move your student towards “owl” by +1.80 logits "
        "[+1.21, +2.39]; limit 0.20.",
        subjects=(result("all", 4096, measured, *stages, **DETECTED, **safe),),
        measurements=(*first, *measured, *evidence("all", detected=True)),
        moved=MOVED,
        prices=(*PRICES, *WHOLE_PLAN),
    )


def taught() -> ScanDocument:
    """Rows that say openly what they move, with a loss and a column that nothing reads."""
    return openly(flagged())


def openly(before: Scan) -> Scan:
    """The same screen of rows that say what they move."""
    (told,) = before.subjects
    return before.model_copy(
        update={
            "subjects": (told.model_copy(update={"open_meaning": (OPENLY,)}),),
            "conclusion": f"{before.conclusion} {OPENLY.sentence}",
            "loss": TrainingLoss(policy="auto", sentence="Loss on the completion.", tokens=3.0),
            "data": before.data.model_copy(update={"unread": ("score",)}),
        }
    )


def clear() -> ScanDocument:
    """One subject whose whole plan was judged though it did not stand out, and that moves nothing."""
    first = rehearsed("all", {"owl": 0.05}, half=0.08, stage=1)
    measured = rehearsed("all", {"owl": 0.03}, half=0.08, stage=2)
    return document(
        subjects=(result("all", 4096, measured, stage_one("within"), stage_two("clear")),),
        measurements=(*first, *measured, *evidence("all", detected=False)),
        prices=(*PRICES, *WHOLE_PLAN),
    )


def undecided() -> ScanDocument:
    """Too few references for a verdict, since the budget ended."""
    measured = rehearsed("all", {"owl": 0.44, "fox": 0.18}, half=0.31, stage=1)
    few = stage_one(
        "undecided",
        reason="5 references are too few: at least 19 for alpha 0.05",
        references=5,
        cached=5,
        kinds={"the base’s continuations": 5},
        p=0.167,
        adjusted=None,
        guaranteed=None,
    )
    return document(
        verdict="undecided",
        conclusion="undecided: 5 references are too few for a verdict at 5 %.",
        student="org/base",
        subjects=(result("all", 4096, measured, few, **DETECTED),),
        measurements=(*measured, *evidence("all", detected=True)),
        budget=0.5,
    )


def dismissed() -> ScanDocument:
    """Rows that stand out in the beginning, and are clear after the whole plan."""
    before = clear()
    (told,) = before.subjects
    stages = (stage_one("stands out"), told.comparisons[-1])
    return before.model_copy(
        update={"subjects": (told.model_copy(update={"comparisons": stages}),)}
    )


def sources() -> ScanDocument:
    """Ten sources with every verdict there is, one of them with a hostile name."""
    moved: dict[str, tuple[dict[str, float], tuple[StageResult, ...]]] = {
        "all": ({"owl": 0.62}, (stage_one("stands out"), stage_two("flagged"))),
        HOSTILE: ({"owl": 2.31, "eagle": 0.4}, (stage_one("stands out"), stage_two("flagged"))),
        "vendor-b": ({"wolf": 0.24}, (stage_one("undecided", reason="too few references"),)),
        "vendor-c": ({"cat": 0.33}, (stage_one("stands out", adjusted=0.04),)),
        "forum": ({"dog": 0.02}, (stage_one("within", stopped_early=True),)),
        "wiki": ({"fox": 0.01}, (stage_one("stands out"), stage_two("clear"))),
        "logs": ({"bear": 0.0}, (stage_one("within"),)),
    }
    measured = {
        subject: rehearsed(subject, traits, stage=stages[-1].stage)
        for subject, (traits, stages) in moved.items()
    }
    told = [
        result(subject, 4000 - 100 * place, rows, *moved[subject][1])
        for place, (subject, rows) in enumerate(measured.items())
    ]
    told[1] = told[1].model_copy(
        update={"detectable": True, "detectable_by": ("author",), "largest_safe_dose": 0.05}
    )
    return document(**of_sources(told, measured), prices=(*PRICES, *WHOLE_PLAN))


def of_sources(
    told: list[Judged], measured: Mapping[str, Sequence[Measurement]]
) -> dict[str, object]:
    """The fields of a screen of many sources, of which three more could not be judged."""
    endings: tuple[tuple[str, Verdict, str], ...] = (
        ("notes", "skipped", "fewer than 64 rows"),
        ("pairs", "not_applicable", "preference pairs have no completion to rehearse"),
        ("broken", "error", "the trial run diverged"),
    )
    subjects = (
        *told,
        *(
            type(told[0])(subject=name, rows=12, verdict=verdict, reason=reason)
            for name, verdict, reason in endings
        ),
    )
    held = excluded_rows() | {"sources": {one.subject: one.rows for one in subjects[1:]}}
    return {
        "verdict": "flagged",
        "conclusion": f"flagged: the rows of {HOSTILE} would move your student towards “owl” by +2.31 "
        "logits [+1.69, +2.93]; limit 0.20.",
        "data": Data.model_validate(held),
        "subjects": subjects,
        "measurements": (
            *(one for rows in measured.values() for one in rows),
            *(one for name in measured for one in evidence(name, detected=name == HOSTILE)),
            skipped("author", "notes", "fewer than 64 rows"),
            not_applicable("likelihood-ratio", "pairs", "no completion"),
        ),
        "checks": (
            *RUNS,
            CheckRun(check="activations", kind="evidence", status="error", reason="out of memory"),
        ),
    }


def nothing() -> ScanDocument:
    """A screen that could not be made: no subject, no check, no measurement."""
    return document(**NOTHING, references=None, prices=())


def priced() -> ScanDocument:
    """What a scan would cost, before anything was done."""
    ahead = [
        one.model_copy(update={"spent_fine_tunes": 0.0, "spent_seconds": 0.0}) for one in PRICES
    ]
    return document(
        **NOTHING | {"conclusion": "skipped: only prices were asked for."}, prices=tuple(ahead)
    )


NOTHING: dict[str, object] = {
    "verdict": "skipped",
    "conclusion": "skipped: no row is usable.",
    "data": Data(path="data/train.jsonl", digest=None, rows=0, sampled=0),
    "traits": (),
    "checks": (),
    "limits": (),
    "config": {},
    "inputs": {},
    "packages": {},
    "hardware": {},
    "git_revision": None,
    "peak_memory_mb": None,
}

SCANS = {
    "flagged": flagged,
    "stands-out": stands_out,
    "within": within,
    "taught": taught,
    "clear": clear,
    "dismissed": dismissed,
    "undecided": undecided,
    "sources": sources,
    "nothing": nothing,
    "priced": priced,
}
"""Every kind, by name."""
