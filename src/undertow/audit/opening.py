"""Opens what a scan needs: models, plan, traits, calibration, control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from undertow.audit.control import made_control
from undertow.audit.plans import covering, load_plan, tables_of
from undertow.audit.request import ScanRequest
from undertow.data.reading import read_rows
from undertow.data.rows import Row
from undertow.data.streams import derive
from undertow.errors import ModelError
from undertow.models.plan import TrainingPlan
from undertow.results.calibration import CalibrationTable
from undertow.traits import catalogue
from undertow.traits.probe_catalogue import askable
from undertow.traits.trait import Trait
from undertow.worlds import locate, opened

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel

DEFAULT_PLAN = TrainingPlan(
    rank=8, alpha=16, learning_rate=2e-4, schedule="linear", epochs=3, batch_size=16
)
"""LoRA on all linear layers, as most fine-tunes of number lists in the literature (Cloud et al. 2507.14805)."""

__all__ = ["DEFAULT_PLAN", "Opened", "calibrated", "load_plan", "open_models", "open_plan"]


@dataclass(frozen=True)
class Opened:
    """The models of a scan."""

    student: LanguageModel
    student_digest: str | None
    teacher: LanguageModel | None
    candidates: tuple[LanguageModel, ...]
    placebos: tuple[LanguageModel, ...] = ()


def open_models(request: ScanRequest) -> Opened:
    """
    Load them.

    Raises:
        ModelError: one cannot be loaded, or a placebo has another vocabulary than the student.
    """
    from undertow.models.digest import model_digest

    student = opened(request.student)
    placebos = tuple(opened(ref) for ref in request.placebos)
    for placebo in placebos:
        if placebo.tokenizer.get_vocab() != student.tokenizer.get_vocab():
            raise ModelError(
                f"the placebo '{placebo.ref}' has another vocabulary than the student '{request.student}'",
                hint="name benign fine-tunes of the student; other bases are candidates (--candidate)",
            )
    return Opened(
        student,
        model_digest(locate(request.student)),
        opened(request.teacher) if request.teacher else None,
        tuple(opened(ref) for ref in request.candidates),
        placebos,
    )


def open_plan(request: ScanRequest, digest: str | None) -> TrainingPlan:
    """The plan that was given; or the one that this base is calibrated under; or `DEFAULT_PLAN`."""
    if request.plan is not None:
        return request.plan
    known = tables_of(digest)
    return TrainingPlan.model_validate(known[0].plan) if known else DEFAULT_PLAN


def calibrated(
    digest: str | None, plan: TrainingPlan, rows: int, *, pairs: bool
) -> tuple[CalibrationTable | None, str]:
    """The table that covers this base, plan and number of rows, or why there is none."""
    if pairs:
        return None, "tables are for completions, and these are preference pairs"
    return covering(digest, plan, plan.steps(rows))


def open_traits(
    request: ScanRequest, model: LanguageModel, table: CalibrationTable | None
) -> tuple[Trait, ...]:
    """
    The traits that were named; or those of the calibration; or all of the catalogue that the model can be asked.
    """
    if request.traits:
        return tuple(trait for name in request.traits for trait in named_traits(name))
    if table is not None:
        return tuple(catalogue.load(name) for name in table.traits)
    everything = [catalogue.load(name) for name in catalogue.names()]
    return tuple(askable(everything, model.tokenizer)[0])


def named_traits(name: str) -> tuple[Trait, ...]:
    """
    A trait, all traits of a category, or all traits of a file.

    Raises:
        UnknownNameError: there is neither a trait nor a category of that name.
    """
    if name in catalogue.names() or ".toml:" in name:
        return (catalogue.load(name),)
    return catalogue.load_category(name)


def context_of(request: ScanRequest, rows: Sequence[Row]) -> str | None:
    """The system prompt of the probes: the one given, or that of most rows."""
    if request.system_prompt is not None:
        return request.system_prompt or None
    first = (
        row.prompt[0].content if row.prompt and row.prompt[0].role == "system" else None
        for row in rows
    )
    return Counter(first).most_common(1)[0][0] if rows else None


def open_control(
    request: ScanRequest, opened: Opened, rows: Sequence[Row]
) -> tuple[tuple[Row, ...], bool]:
    """(control rows, whether the base made them)."""
    if request.control is not None:
        return tuple(read_rows(Path(request.control)))[: request.max_rows], False
    made = made_control(
        opened.student,
        opened.student_digest,
        rows,
        temperature=request.temperature,
        seed=derive(request.seed, "control"),
    )
    return made, True
