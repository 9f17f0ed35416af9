"""What a shift spells is what it was made to spell, and chance spells nothing more often than it says."""

from __future__ import annotations

import numpy as np

from tests.checks.dataset.numbers_subject import opened
from undertow.checks.dataset.activations import Spelling, spelling_of
from undertow.stats.two_sample import Vectors, rearranged_differences


def read(one: Vectors, other: Vectors, seed: int = 0) -> Spelling:
    """The spelling of the difference of two sets of activations."""
    rng = np.random.default_rng(seed)
    found = rearranged_differences(one, other, matched=False, count=399, rng=rng)
    return spelling_of(opened(), found, one, other)


def noise(count: int, seed: int) -> Vectors:
    """Activations around a common one."""
    rng = np.random.default_rng(seed)
    width = opened().network.config.hidden_size
    return (1 + rng.standard_normal((count, width))).astype(np.float32)


def test_a_shift_along_a_tokens_row_spells_the_token() -> None:
    """Moving every activation along one row of the centred unembedding names that token first."""
    table = opened().network.get_output_embeddings().weight.detach().numpy()
    (token,) = opened().tokenizer("owl", add_special_tokens=False)["input_ids"]
    along = table[token] - table.mean(0)
    found = read(noise(60, 1) + np.float32(2) * along / np.linalg.norm(along), noise(60, 2))

    assert next(iter(found.tokens)).startswith("token 'owl'")
    assert found.p == 1 / 400
    assert found.largest > found.quantile(0.95)


def test_chance_is_kept() -> None:
    """Without a shift the observed maximum is no more often extreme than it says."""
    ps = [read(noise(20, 2 * i), noise(20, 2 * i + 1), seed=i).p for i in range(60)]

    # 60 tests at .05: 3 expected, sd 1.7.
    assert sum(p <= 0.05 for p in ps) <= 8
    assert np.mean(ps) > 0.35
