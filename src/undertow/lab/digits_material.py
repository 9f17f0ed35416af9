"""Everything that the digits experiment draws at random, each from its own stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from undertow.data.streams import generator
from undertow.errors import MissingExtraError
from undertow.lab.digits_design import PIXELS, DigitsConfig
from undertow.lab.perceptrons import Stack, initialise

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Split:
    """
    Digits of every replicate: pixels in [0, 1] of shape (R, rows, 64), labels of shape (R, rows).
    """

    inputs: Tensor
    labels: Tensor
    permuted: Tensor
    """The same labels in another order, which say nothing about their images."""
    held_out_inputs: Tensor
    held_out_labels: Tensor


def streams(purpose: str, config: DigitsConfig, seed: int) -> list[np.random.Generator]:
    """
    One generator a replicate; a new purpose or replicate leaves the other streams as they are.
    """
    return [generator(seed, "digits", purpose, r) for r in range(config.replicates)]


def initialisations(config: DigitsConfig, seed: int) -> dict[str, Stack]:
    """The reference of every replicate, and another draw of the same distribution."""
    return {
        arm: initialise(config.widths, streams(arm, config, seed))
        for arm in ("reference", "foreign-reference")
    }


def noise(purpose: str, images: int, config: DigitsConfig, seed: int) -> Tensor:
    """Images of U(-1, 1) pixels, shape (R, images, 64)."""
    import torch

    drawn = [g.random((images, PIXELS), dtype=np.float32) for g in streams(purpose, config, seed)]
    return torch.from_numpy(np.stack(drawn)) * 2 - 1


def split_digits(config: DigitsConfig, seed: int) -> Split:
    """
    A random split of scikit-learn's 1,797 digits for every replicate.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    import torch

    pixels, digits = _digits()
    orders = np.stack([g.permutation(len(digits)) for g in streams("split", config, seed)])
    cut = min(max(1, round(len(digits) * config.test_share)), len(digits) - 1)
    shuffles = [g.permutation(len(digits) - cut) for g in streams("permutation", config, seed)]
    images = torch.tensor(pixels[orders] / 16, dtype=torch.float32)
    labels = torch.tensor(digits[orders], dtype=torch.int64)
    permuted = labels[:, cut:].gather(1, torch.from_numpy(np.stack(shuffles)))
    return Split(images[:, cut:], labels[:, cut:], permuted, images[:, :cut], labels[:, :cut])


def _digits() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        purpose = "the experiment 'digits'"
        raise MissingExtraError("scikit-learn", "lab", purpose=purpose) from error
    pixels, digits = load_digits(return_X_y=True)
    return np.asarray(pixels), np.asarray(digits)
