"""In which precision an audit's models are opened, and how far its base's probes read otherwise in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from undertow.audit.requests import Progress, askable_traits
from undertow.influence.probes import probe_set
from undertow.models.hardware import ComputeTable, free_memory
from undertow.models.language_model import LanguageModel
from undertow.models.placement import least_left
from undertow.traits.trait import Trait
from undertow.worlds.base_models import open_model, settled_for

QUESTIONS = 8
"""Of each trait that are asked in both precisions."""

MOST_DIFFERENCE = 0.05
"""In logits, a fourth of the usual limit: beyond it `auto` takes float32."""

_ROOM = 1.5
"""Times the weights in float32 that have to be free for the second copy."""


@dataclass(frozen=True)
class AuditPrecision:
    """What an audit's models are computed in, and what is known of it."""

    compute: ComputeTable
    """Settled: for all models of the audit."""
    difference: float | None = None
    """Most by which the base's mean margin of a trait differs from float32's, in logits; None where it was not read."""
    note: str = ""
    """What a page says of it; empty where float32 was computed and nothing else wanted."""

    @property
    def record(self) -> dict[str, object]:
        """As a document's configuration shows it."""
        told = self.compute.model_dump(mode="json")
        return told if self.difference is None else told | {"float32_difference": self.difference}


def open_base(
    ref: str,
    template: str,
    wanted: ComputeTable,
    others: Sequence[str | None],
    traits: Sequence[Trait],
    progress: Progress,
) -> tuple[LanguageModel, AuditPrecision]:
    """
    The base of an audit and the precision of all its models, the `others` among them.

    In 16 bits the base's probes are read in float32 too, on the first `QUESTIONS` questions of each trait (of those that
    it can be asked where none is given): the weights are what was stored, so the difference is what 16 bits round. Where
    it is more than `MOST_DIFFERENCE`, `auto` takes float32 after all.

    Raises:
        ConfigError: the machine has not what is wanted.
        ModelError: the base cannot be opened, or two candidates of a trait are the same tokens to it.
    """
    compute = settled_for(wanted, ref, *others)
    model = open_model(ref, template, compute)
    if compute.dtype == "float32":
        return model, AuditPrecision(compute, note=_spread_note(compute))
    model, known = _beside_float32(model, ref, template, wanted, compute, traits, progress)
    return model, replace(known, note=f"{known.note} {_spread_note(compute)}".strip())


def _spread_note(compute: ComputeTable) -> str:
    if compute.quantise == "none":
        return ""
    return (
        "The base's weights were in 4 bits (NF4), for the rows and for their references alike: what is said is of that base, "
        "on which an adapter learns what it would not on the base as it is stored."
    )


def _beside_float32(
    model: LanguageModel,
    ref: str,
    template: str,
    wanted: ComputeTable,
    compute: ComputeTable,
    traits: Sequence[Trait],
    progress: Progress,
) -> tuple[LanguageModel, AuditPrecision]:
    """A base in 16 bits, or its twin in float32, with how far their probes differ."""
    exact = compute.model_copy(update={"dtype": "float32"})
    needed = 4 * sum(weight.numel() for weight in model.network.parameters())
    if least_left(model.network, free_memory(model.device)) < _ROOM * needed:
        room = f"{needed / 1e9:.1f} GB of weights"
        note = f"Models were computed in {compute.dtype}; there was no room to read the base in float32 too ({room})."
        return model, AuditPrecision(compute, note=note)
    progress(f"reading the base in {compute.dtype} and in float32")
    twin = open_model(ref, template, exact)
    asked = traits or askable_traits(model.tokenizer)
    difference = reading_difference(model, twin, asked)
    told = f"{difference:.3f} logits in the mean over questions"
    if difference > MOST_DIFFERENCE and wanted.dtype == "auto":
        note = (
            f"Models were computed in float32: in {compute.dtype} a trait's margin of the base differs by up to {told}, more "
            f"than {MOST_DIFFERENCE:g}."
        )
        return twin, AuditPrecision(exact, 0.0, note)
    beyond = f", more than {MOST_DIFFERENCE:g}" if difference > MOST_DIFFERENCE else ""
    note = (
        f"Models were computed in {compute.dtype}: a trait's margin of the base differs from the one in float32 by up to "
        f"{told}{beyond}. The intervals do not hold this."
    )
    return model, AuditPrecision(compute, difference, note)


def reading_difference(
    model: LanguageModel, other: LanguageModel, traits: Sequence[Trait]
) -> float:
    """The largest difference of two models' mean margins, in logits, over the traits' first questions."""
    asked = [
        replace(trait, held_out_questions=trait.held_out_questions[:QUESTIONS]) for trait in traits
    ]
    if not asked:
        return 0.0
    probes = probe_set(model, asked, None)
    return float(np.abs(probes.read(model).margins - probes.read(other).margins).max())
