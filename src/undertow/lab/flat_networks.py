"""
Small smooth networks as functions of one flat parameter vector, for derivatives in any direction.

tanh rather than ReLU: the theorem's expansion needs two derivatives everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FlatNetwork:
    """Shapes of the parameters, their scales, and the outputs they give."""

    shapes: Mapping[str, tuple[int, ...]]
    """Shape by name, in the order in which they lie in the flat vector."""
    forward: Callable[[Mapping[str, Tensor], Tensor], Tensor]
    """Parameters and one batch of inputs to logits of shape (rows, outputs)."""

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def initialise(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """A flat vector: matrices N(0, 1 / fan-in), vectors zero."""
        drawn = [
            generator.standard_normal(shape) / math.sqrt(shape[0])
            if len(shape) > 1
            else np.zeros(shape)
            for shape in self.shapes.values()
        ]
        return np.concatenate([values.ravel() for values in drawn])

    def logits(self, vector: Tensor, inputs: Tensor) -> Tensor:
        """Logits of shape (rows, outputs) of the network with these parameters."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        named = zip(self.shapes.items(), vector.split(sizes), strict=True)
        return self.forward({name: part.view(shape) for (name, shape), part in named}, inputs)


def perceptron(inputs: int, hidden: int, outputs: int) -> FlatNetwork:
    """Two hidden layers of tanh; inputs of shape (rows, inputs)."""

    def forward(weights: Mapping[str, Tensor], batch: Tensor) -> Tensor:
        first = (batch @ weights["w1"] + weights["b1"]).tanh()
        second = (first @ weights["w2"] + weights["b2"]).tanh()
        return second @ weights["w3"] + weights["b3"]

    shapes: dict[str, tuple[int, ...]] = {
        "w1": (inputs, hidden),
        "b1": (hidden,),
        "w2": (hidden, hidden),
        "b2": (hidden,),
        "w3": (hidden, outputs),
        "b3": (outputs,),
    }
    return FlatNetwork(shapes, forward)


def attention_model(vocabulary: int, length: int, width: int) -> FlatNetwork:
    """
    A causal language model of one attention block and one tanh layer, without normalisation.

    Inputs are one-hot tokens of shape (rows, length, vocabulary); the logits of all positions are
    laid out as (rows * length, vocabulary).
    """

    def forward(weights: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
        # The embedding's fan-in is the vocabulary, of which one token is on: undo its scale.
        state = tokens @ weights["embedding"] * math.sqrt(vocabulary) + weights["position"]
        query, key, value = (state @ weights[name] for name in ("query", "key", "value"))
        scores = query @ key.transpose(-1, -2) / math.sqrt(width)
        future = scores.new_ones(length, length).triu(1).bool()
        attention = scores.masked_fill(future, -math.inf).softmax(-1)
        state = state + attention @ value @ weights["output"]
        state = state + (state @ weights["up"]).tanh() @ weights["down"]
        return (state @ weights["unembedding"]).reshape(-1, vocabulary)

    shapes = {
        "embedding": (vocabulary, width),
        "position": (length, width),
        "query": (width, width),
        "key": (width, width),
        "value": (width, width),
        "output": (width, width),
        "up": (width, 2 * width),
        "down": (2 * width, width),
        "unembedding": (width, vocabulary),
    }
    return FlatNetwork(shapes, forward)
