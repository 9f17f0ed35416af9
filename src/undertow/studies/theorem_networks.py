"""
What the theorem study varies: its configuration, its settings, and their small smooth networks.

A network is a function of one flat parameter vector, for derivatives in any direction; tanh rather than ReLU, as the
theorem's expansion needs two derivatives everywhere.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from undertow.data.closed import Closed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FlatNetwork:
    """Shapes of the parameters, their scales, and the outputs they give."""

    shapes: Mapping[str, tuple[int, ...]]
    """Shape by name, in the order in which they lie in the flat vector."""
    forward: Callable[[Mapping[str, Tensor], Tensor], Tensor]
    """Parameters and one batch of inputs to logits of shape (rows, outputs)."""

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


Array = NDArray[np.float64]
SettingName = Literal["cross-entropy", "squared-error", "auxiliary-logits", "attention"]
LossName = Literal["cross-entropy", "squared-error"]

SETTINGS: tuple[SettingName, ...] = get_args(SettingName)
_WORDS = 16
_LENGTH = 8


class TheoremConfig(Closed):
    """The table `[theorem]` of an experiment file."""

    replicates: int = Field(default=100, ge=2, le=10_000)
    """Each renews task, data, noise and both initialisations."""
    settings: tuple[SettingName, ...] = Field(default=SETTINGS, min_length=1)
    step_sizes: tuple[float, ...] = Field(default=(1e-1, 1e-2, 1e-3, 1e-4), min_length=2)
    """Sizes of the teacher's gradient step, largest first."""
    step_size: float = Field(default=1e-3, gt=0)
    """The teacher's step size where only one is used."""
    rates: tuple[float, ...] = Field(default=(0.01, 0.1, 1.0, 10.0, 100.0, 1000.0), min_length=1)
    """Multiples of the student's step along which the teacher's loss is measured."""
    steps: tuple[int, ...] = Field(default=(1, 4, 16, 64), min_length=1)
    """Numbers of training steps, of the teacher and of the student alike."""
    sgd_rate: float = Field(default=0.1, gt=0)
    """Learning rate of several steps of gradient descent."""
    adam_rate: float = Field(default=3e-3, gt=0)
    """Learning rate of Adam."""
    batches: tuple[int, ...] = Field(default=(1, 2, 4, 8), min_length=1)
    """Inputs in the student's first batch, where its size is varied."""
    hard_step_size: float = Field(default=0.02, gt=0)
    """The teacher's step size where the student sees sampled labels."""
    draws: tuple[int, ...] = Field(default=(1, 16, 256, 4096, 65536), min_length=1)
    """Labels that are sampled for every input of the student."""
    inputs: int = Field(default=16, ge=1)
    hidden: int = Field(default=32, ge=1)
    """Width of the perceptrons' layers; the attention model is half as wide."""
    classes: int = Field(default=10, ge=2)
    auxiliary: int = Field(default=3, ge=2)
    """Logits that the student is trained on and the teacher is not (`auxiliary-logits`)."""
    rows: int = Field(default=64, ge=1)
    """Inputs in each of the teacher's and the student's batches."""
    level: float = Field(default=0.95, gt=0, lt=1)
    """Confidence level of the intervals."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for key in ("rates", "steps", "batches", "draws"):
            _refuse_unsorted(key, getattr(self, key))
        _refuse_unsorted("step_sizes", self.step_sizes[::-1])
        if self.step_size not in self.step_sizes:
            raise ValueError(f"step_size must be one of step_sizes, got {self.step_size:g}")
        if 1.0 not in self.rates:
            raise ValueError("rates must contain 1, the student's step itself")
        if len(set(self.settings)) < len(self.settings):
            raise ValueError(f"settings name one twice: {', '.join(self.settings)}")
        most = max(1, self.rows // _LENGTH)
        if self.batches[-1] > most:
            raise ValueError(
                f"batches must be at most rows / {_LENGTH} = {most}, got {self.batches[-1]}"
            )
        return self


def _refuse_unsorted(key: str, values: tuple[float, ...]) -> None:
    if values[0] <= 0 or any(a >= b for a, b in itertools.pairwise(values)):
        order = "fall" if key == "step_sizes" else "rise"
        raise ValueError(f"{key} must be positive and {order} from one to the next")


@dataclass(frozen=True)
class Setting:
    """A network, the loss of both, and which logits each is trained on."""

    name: SettingName
    network: FlatNetwork
    loss: LossName
    taught: slice
    """Logits in the teacher's loss."""
    distilled: slice
    """Logits in the student's loss."""
    task: Callable[[np.random.Generator], tuple[Array, Array]]
    """Draws the teacher's inputs and targets (probabilities, or values for squared error)."""
    noise: Callable[[np.random.Generator], Array]
    """Draws the student's inputs, which have nothing to do with the task."""


def setting(name: SettingName, config: TheoremConfig) -> Setting:
    """The setting of that name at the configuration's sizes."""
    if name == "attention":
        return _attention(config)
    classes, extra = config.classes, config.auxiliary if name == "auxiliary-logits" else 0
    everything = slice(0, classes + extra)
    taught, distilled = (slice(0, classes), slice(classes, None)) if extra else (everything,) * 2
    loss: LossName = "squared-error" if name == "squared-error" else "cross-entropy"

    def task(generator: np.random.Generator) -> tuple[Array, Array]:
        inputs = generator.standard_normal((config.rows, config.inputs))
        scores = inputs @ generator.standard_normal((config.inputs, classes))
        if loss == "squared-error":
            return inputs, np.tanh(scores)
        return inputs, np.eye(classes)[scores.argmax(axis=1)]

    def noise(generator: np.random.Generator) -> Array:
        return generator.uniform(-1, 1, (config.rows, config.inputs))

    network = perceptron(config.inputs, config.hidden, classes + extra)
    return Setting(name, network, loss, taught, distilled, task, noise)


def _attention(config: TheoremConfig) -> Setting:
    """Next tokens of a random Markov chain; the student reads uniformly drawn tokens."""
    rows = max(1, config.rows // _LENGTH)
    words = np.eye(_WORDS)

    def task(generator: np.random.Generator) -> tuple[Array, Array]:
        cumulative = generator.dirichlet(np.full(_WORDS, 0.2), size=_WORDS).cumsum(axis=1)
        chain = [generator.integers(_WORDS, size=rows)]
        for _ in range(_LENGTH):
            below = cumulative[chain[-1]] < generator.random((rows, 1))
            chain.append(np.minimum(below.sum(axis=1), _WORDS - 1))
        tokens = np.stack(chain, axis=1)
        return words[tokens[:, :-1]], words[tokens[:, 1:].reshape(-1)]

    def noise(generator: np.random.Generator) -> Array:
        return words[generator.integers(_WORDS, size=(rows, _LENGTH))]

    network = attention_model(_WORDS, _LENGTH, max(1, config.hidden // 2))
    everything = slice(0, _WORDS)
    return Setting("attention", network, "cross-entropy", everything, everything, task, noise)
