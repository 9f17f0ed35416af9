"""A random stream of one's own for what draws from torch's global one, such as dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class RandomStream:
    """
    Within `active`, torch's global stream is this one; it goes on where it was left, and the global one is untouched.

    Its seed is spawned, which leaves the generator, and so what is drawn from it, as it was.
    """

    def __init__(self, generator: np.random.Generator, device: torch.device) -> None:
        """`device` is where the draws are made besides the CPU."""
        self._seed = int(generator.spawn(1)[0].integers(2**63))
        self._accelerator = None if device.type == "cpu" else device
        self._state: tuple[torch.Tensor, torch.Tensor | None] | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from this stream within the block."""
        device = self._accelerator
        with torch.random.fork_rng(devices=[] if device is None else [device]):
            if self._state is None:
                torch.manual_seed(self._seed)
            else:
                torch.set_rng_state(self._state[0])
                if device is not None and self._state[1] is not None:
                    torch.cuda.set_rng_state(self._state[1], device)
            yield
            own = None if device is None else torch.cuda.get_rng_state(device)
            self._state = torch.get_rng_state(), own
