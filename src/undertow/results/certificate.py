"""
The certificate of a training that was kept within budgets: the document `undertow.certificate/1`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from undertow.results.stored import Stored


class Kept(Stored):
    """One probe, as it was kept."""

    trait: str
    budget: float
    """Largest change of the trait's margin from the start, up or down, in logits."""
    start: float
    end: float
    """Margins, in logits, on the wordings that were certified."""
    furthest: float
    """Largest change at any accepted step, in magnitude, in logits; never above the budget."""
    held_out: float | None = None
    """Change on wordings that nothing was held to, at the end; measured, not certified."""


class CertificateDocument(Stored):
    """What was promised of a run, and that it held at every step."""

    schema_: Literal["undertow.certificate/1"] = Field(
        default="undertow.certificate/1", alias="schema"
    )
    kept: tuple[Kept, ...]
    steps: int
    whole: int
    """Steps that were taken as the optimiser made them."""
    shortened: int
    """Steps that were taken in part."""
    refused: int
    """Steps that were not taken at all."""
    says: str = (
        "At the end of every step each named probe lay within its budget, on the wordings that were certified, in the "
        "precision in which they were read. Nothing is said of other wordings, other traits, or the model in another precision."
    )

    @property
    def holds(self) -> bool:
        """Whether every probe stayed within its budget; True of every certificate that `Budget` makes."""
        return all(one.furthest <= one.budget for one in self.kept)
