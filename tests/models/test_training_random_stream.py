"""A stream of one's own neither disturbs the global one nor depends on it, and goes on where it was left."""

from __future__ import annotations

import numpy as np
import torch

from undertow.models.training import RandomStream

CPU = torch.device("cpu")


def drawn(stream: RandomStream, count: int) -> list[float]:
    """Numbers of the stream."""
    with stream.active():
        return torch.rand(count).tolist()


def test_it_goes_on_where_it_was_left() -> None:
    """Two blocks give what one block gives, whatever is drawn globally in between."""
    whole = drawn(RandomStream(np.random.default_rng(1), CPU), 6)
    parts = RandomStream(np.random.default_rng(1), CPU)
    first = drawn(parts, 2)
    torch.rand(5)

    assert first + drawn(parts, 4) == whole


def test_the_global_stream_and_the_generator_are_left_alone() -> None:
    """Neither torch's global draws nor the generator's own change."""
    generator = np.random.default_rng(1)
    torch.manual_seed(3)
    expected = torch.rand(2).tolist()
    torch.manual_seed(3)
    drawn(RandomStream(generator, CPU), 9)

    assert torch.rand(2).tolist() == expected
    assert generator.random() == np.random.default_rng(1).random()
