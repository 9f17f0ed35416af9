"""Rows that come and go leave the logits of the others as they are."""

from __future__ import annotations

import pytest
import torch

from undertow.models.language_model import LanguageModel
from undertow.models.row_cache import RowCache, left_padded


def plain(model: LanguageModel, tokens: tuple[int, ...]) -> torch.Tensor:
    """Logits behind the tokens, without cache or padding."""
    with torch.no_grad():
        logits: torch.Tensor = model.network(torch.tensor([tokens])).logits[0, -1].float()
    return logits


def agree(model: LanguageModel, logits: torch.Tensor, rows: list[tuple[int, ...]]) -> bool:
    """Whether these are the logits behind these rows, up to rounding."""
    expected = torch.stack([plain(model, row) for row in rows])
    return torch.allclose(logits, expected, atol=1e-4)


@torch.no_grad()
def test_rows_are_replaced_and_dropped_without_a_trace(model: LanguageModel) -> None:
    """After each step the logits are those of every row computed afresh by itself."""
    rows = [tuple(range(5, 5 + n)) for n in (9, 4, 6, 2)]
    cache = RowCache(model, 4)

    assert agree(model, cache.begin(rows), rows)
    rows = [(*row, 7 + i) for i, row in enumerate(rows)]
    assert agree(model, cache.step(torch.tensor([row[-1] for row in rows])), rows)
    newcomers = [(30, 31, 32), (40,) * 14]
    assert agree(model, cache.replace([0, 2], newcomers), newcomers)
    rows = [newcomers[0], rows[1], newcomers[1], rows[3]]
    rows = [(*row, 9) for row in rows]
    assert agree(model, cache.step(torch.tensor([9] * 4)), rows)
    cache.keep([3, 0])
    rows = [(*rows[3], 11), (*rows[0], 12)]
    assert agree(model, cache.step(torch.tensor([11, 12])), rows)
    for first in (50, 60):  # all rows anew, the second time in the places of the first
        rows = [tuple(range(first, first + n)) for n in (5, 3, 5)]
        assert agree(model, cache.begin(rows), rows)
        rows = [(*row, 9) for row in rows]
        assert agree(model, cache.step(torch.tensor([9] * 3)), rows)


@torch.no_grad()
def test_a_common_beginning_is_computed_once(model: LanguageModel) -> None:
    """Rows that begin alike have the logits that they have by themselves, wherever the rest of them stands."""
    beginning = tuple(range(40, 52))
    rows = [beginning + tuple(range(5, 5 + n)) for n in (6, 1, 3)]
    cache = RowCache(model, 4, beginning)

    assert agree(model, cache.begin(rows), rows)
    rows = [(*row, 9) for row in rows]
    assert agree(model, cache.step(torch.tensor([9] * 3)), rows)
    newcomers = [(*beginning, *(30,) * 9), (*beginning, 31)]
    assert agree(model, cache.replace([0, 2], newcomers), newcomers)
    cache.keep([2, 1])
    rows = [(*newcomers[1], 8), (*rows[1], 8)]
    assert agree(model, cache.step(torch.tensor([8, 8])), rows)


@torch.no_grad()
def test_room_that_runs_out_is_made_anew(model: LanguageModel) -> None:
    """More steps than were announced are computed all the same."""
    row: tuple[int, ...] = (5, 6, 7)
    cache = RowCache(model, 1)
    logits = cache.begin([row])
    for token in range(20, 60):
        row = (*row, token)
        logits = cache.step(torch.tensor([token]))

    assert agree(model, logits, [row])


@torch.no_grad()
def test_a_window_of_attention_is_kept() -> None:
    """A network that sees only the last tokens sees no others after its rows were moved."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=5,
    )
    network = MistralForCausalLM(config).eval()
    model = LanguageModel(network, _Padding(), "windowed")
    rows = [tuple(range(5, 5 + n)) for n in (12, 3)]
    cache = RowCache(model, 4)

    assert agree(model, cache.begin(rows), rows)
    assert agree(model, cache.replace([1], [(9, 8, 7, 6)]), [(9, 8, 7, 6)])
    rows = [(*rows[0], 3), (9, 8, 7, 6, 4)]
    assert agree(model, cache.step(torch.tensor([3, 4])), rows)


class _Padding:
    pad_token_id = 0


@pytest.mark.parametrize("lengths", [(3, 1), (2, 2)])
def test_prompts_end_at_the_right_edge(lengths: tuple[int, ...]) -> None:
    """What stands left of a prompt is padding that the mask hides."""
    ids, mask = left_padded([(7,) * n for n in lengths], 0, torch.device("cpu"))

    assert ids.tolist() == [[0] * (max(lengths) - n) + [7] * n for n in lengths]
    assert torch.equal(mask, (ids == 7).long())
