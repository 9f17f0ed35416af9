"""How models lie on a machine that need not be there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from undertow.audit.accelerators import machine_of
from undertow.audit.model_placing import Placing, placing
from undertow.errors import ConfigError
from undertow.models.hardware import ComputeTable
from undertow.models.meta_costs import ModelCosts, RowSize

SIZE = RowSize(64, 40)


def costs(weights: int, heads: int = 8) -> ModelCosts:
    """Of a model with so many weights, nearly all in linear layers."""
    return ModelCosts(
        weights, weights - 10**6, 10**7, 4e2 * weights, 2e2 * weights, 1e6, 1e5, 32, 1e4, heads, 2e7
    )


def test_the_first_way_that_fits_is_taken() -> None:
    """Whole where it can be, then split, then packed; what does not fit says so."""
    eight, single = machine_of("8xH100-80GB"), machine_of("H100-80GB")
    table = ComputeTable()

    assert placing(costs(7 * 10**9), eight, SIZE, table).told == "as it is"
    assert placing(costs(70 * 10**9), eight, SIZE, table).told == "--shard tensor"
    assert placing(costs(70 * 10**9), single, SIZE, table).told == "--quantise 4bit"


def test_other_models_take_their_room() -> None:
    """A model of 24 billion weights fits one GPU alone, and not beside a teacher as large: both are packed then."""
    single, large = machine_of("H100-80GB"), costs(24 * 10**9)
    both = placing(large, single, SIZE, ComputeTable(), (large,))

    assert placing(large, single, SIZE, ComputeTable()).told == "as it is"
    assert both.told == "--quantise 4bit"
    assert both.beside == pytest.approx(both.weights)


def test_sampled_rows_take_what_weights_leave() -> None:
    """Half of it, beside a teacher's weights too; one at least."""
    single = machine_of("H100-80GB")
    large, huge = replace(costs(7 * 10**9), drawn=1e9), costs(400 * 10**9)

    assert Placing(large, single, "whole", packed=False).sampled == 33
    assert Placing(large, single, "whole", packed=False, others=(large,)).sampled == 26
    assert Placing(huge, single, "whole", packed=False).sampled == 1


def test_heads_that_processes_cannot_share_are_not_split() -> None:
    """Four heads over eight accelerators, the student's or a teacher's: layers are spread; asked for, it is refused."""
    eight, four = machine_of("8xH100-80GB"), machine_of("4xH100-80GB")
    grouped, even = costs(70 * 10**9, heads=4), costs(70 * 10**9)

    assert placing(grouped, eight, SIZE, ComputeTable()).told == "--shard layers"
    assert placing(even, eight, SIZE, ComputeTable(), (grouped,)).told == "--shard layers"
    assert placing(grouped, four, SIZE, ComputeTable()).told == "--shard tensor"
    with pytest.raises(ConfigError, match=r"8 processes cannot share 4 heads .* allowed: 1, 2, 4"):
        placing(grouped, eight, SIZE, ComputeTable(shard="tensor"))


def test_what_does_not_fit_is_said() -> None:
    """400 billion weights are too many for one accelerator even in 4 bits; a table is not overruled."""
    single = machine_of("H100-80GB")
    packed = ComputeTable(quantise="4bit")

    assert not placing(costs(400 * 10**9), single, SIZE, ComputeTable()).fits(SIZE.tokens)
    assert placing(costs(10**9), single, SIZE, packed).told == "--quantise 4bit"


def test_layers_are_computed_again_where_rows_are_long() -> None:
    """A row that does not pass as it is passes by what layers keep of their inputs, and says so."""
    where = Placing(costs(7 * 10**9), machine_of("H100-80GB"), "whole", packed=False)

    assert not where.again(SIZE.tokens)
    assert where.again(16 * 1024)
    assert where.fits(8 * 1024)
