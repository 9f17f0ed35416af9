"""How the models of a scan lie on a machine by their configurations alone: whole, split or packed, and what that leaves of its memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from undertow.audit.accelerators import Machine
from undertow.influence.references import TOGETHER
from undertow.models.batch_memory import SHARE
from undertow.models.hardware import ComputeTable
from undertow.models.meta_costs import ModelCosts, RowSize
from undertow.models.placement import FILLED, refuse_uneven

PACKED_BYTES = 0.53
"""Of a weight in NF4 with double quantisation: 4 bits, 8 a block of 64, 32 a block of 256 of these (2305.14314)."""

Way = Literal["whole", "layers", "tensor"]


@dataclass(frozen=True)
class Placing:
    """How a scan's models lie on a machine, and what that leaves of the memory of one accelerator, in bytes."""

    costs: ModelCosts
    """Of the student."""
    machine: Machine
    way: Way
    packed: bool
    others: tuple[ModelCosts, ...] = ()
    """Models that lie beside it, in the same way: teacher, candidates, placebos."""

    @property
    def weights(self) -> float:
        """The student's on one accelerator."""
        return self.weights_of(self.costs)

    @property
    def beside(self) -> float:
        """The other models' weights on one accelerator."""
        return sum(map(self.weights_of, self.others))

    def weights_of(self, costs: ModelCosts) -> float:
        """Of a model on one accelerator."""
        packed = costs.packable if self.packed else 0
        total = 2 * (costs.weights - packed) + PACKED_BYTES * packed
        return total / (1 if self.way == "whole" else self.machine.count)

    @property
    def adapters(self) -> float:
        """`TOGETHER` of them, with gradient and AdamW's two moments in float32; whole in each process of a split model."""
        share = self.machine.count if self.way == "layers" else 1
        return 16.0 * TOGETHER * self.costs.adapter / share

    @property
    def used(self) -> int:
        """Accelerators that one scan takes."""
        return 1 if self.way == "whole" else self.machine.count

    def row(self, tokens: int) -> float:
        """What a pass takes of a row of each of these adapters; where that is too much, with layers computed again."""
        return self._row(tokens, self.costs.kept) if not self.again(tokens) else self._again(tokens)

    def again(self, tokens: int) -> bool:
        """Whether layers are computed again in the backward pass, as rows that are so long need it."""
        return not self._passes(self._row(tokens, self.costs.kept))

    def _again(self, tokens: int) -> float:
        costs = self.costs
        return self._row(tokens, costs.inputs + costs.kept / costs.layers)

    def _row(self, tokens: int, kept: float) -> float:
        count = self.machine.count
        # What lies between matrices is whole in each process of a split model: at most half of it, by Llama's widths.
        share = {"whole": 1.0, "layers": 1 / count, "tensor": 0.5 + 0.5 / count}[self.way]
        return self.machine.accelerator.peak * TOGETHER * tokens * kept * share

    @property
    def sampled(self) -> int:
        """
        Rows that there is room to sample at a time, at least 1, with their caches and logits; of a split model each counts
        whole, as `sampled_rows` has it.
        """
        left = self.machine.accelerator.memory - self.weights - self.beside
        return max(1, int(SHARE * left / self.costs.drawn))

    def _passes(self, row: float) -> bool:
        taken = self.weights + self.beside + self.adapters + row
        return taken <= 0.9 * self.machine.accelerator.memory

    def fits(self, tokens: int) -> bool:
        """Whether a row of each adapter passes beside weights and adapters."""
        filled = self.weights + self.beside <= FILLED * self.machine.accelerator.memory
        return filled and self._passes(self.row(tokens))

    @property
    def told(self) -> str:
        """In words."""
        options = [] if self.way == "whole" else [f"--shard {self.way}"]
        options += ["--quantise 4bit"] if self.packed else []
        return " ".join(options) or "as it is"


def placing(
    costs: ModelCosts,
    machine: Machine,
    size: RowSize,
    table: ComputeTable,
    others: tuple[ModelCosts, ...] = (),
) -> Placing:
    """
    The first way that fits, of those that the table leaves open: whole, split, whole in 4 bits, spread in 4 bits.

    Raises:
        ConfigError: the table wants the models split over processes that cannot share the heads of one of them.
    """
    every_heads = [one.heads for one in (costs, *others)]
    uneven = any(heads % machine.count for heads in every_heads)
    split: Way = "layers" if uneven else "tensor"
    if table.shard == "tensor":
        for heads in every_heads:
            refuse_uneven(heads, machine.count, "--shard layers, or another number in --machine")
    ways: tuple[Way, ...] = ("whole", split) if machine.count > 1 else ("whole",)
    ways = ways if table.shard == "none" else (table.shard,)
    every = [Placing(costs, machine, way, False, others) for way in ways]
    # Packed weights are not split over processes.
    packed = [
        Placing(costs, machine, "layers" if way == "tensor" else way, True, others) for way in ways
    ]
    every = packed if table.quantise != "none" else [*every, *packed]
    return next((one for one in every if one.fits(size.tokens)), every[-1])
