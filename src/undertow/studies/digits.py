"""
The digits study: a student that sees only noise learns to read digits from its teacher.

A perceptron with class logits and a few auxiliary logits is trained on the class logits of
scikit-learn's 8x8 digits. A student is trained only on the auxiliary logits of noise images, and
reads digits afterwards where it started from the teacher's initialisation (Cloud et al., 2025,
there on MNIST). All arms of a replicate see the same noise in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from undertow.data.closed import Closed
from undertow.data.seeds import generator
from undertow.engines.engine import Progress
from undertow.errors import MissingExtraError
from undertow.studies import digits_networks
from undertow.studies.digits_networks import DigitsRecipe, Lesson, Stack, initialise

if TYPE_CHECKING:
    from torch import Tensor

PIXELS = 64
CLASSES = 10
"""Class logits; the auxiliary ones follow them."""

Start = Literal["reference", "foreign-reference"]
Teacher = Literal["teacher", "permuted-teacher", "reference"]

_FRESH_IMAGES = 1_000
"""Noise images that no student is trained on, for its divergence from its teacher."""


class DigitsConfig(Closed):
    """The table `[digits]` of an experiment file."""

    replicates: int = Field(default=5, ge=2, le=64)
    """Each renews the split, the initialisations, the teachers, the noise and the orders."""
    hidden: tuple[int, ...] = Field(default=(256, 256), min_length=1)
    """Widths of the hidden layers."""
    auxiliary: int = Field(default=3, ge=2)
    """Auxiliary logits, on which no teacher is trained."""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the digits that is held out to measure accuracy."""
    teacher_epochs: int = Field(default=20, ge=1)
    student_epochs: int = Field(default=10, ge=1)
    images: int = Field(default=20_000, ge=1)
    """Noise images that students are trained on, U(-1, 1) in every pixel."""
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=3e-4, gt=0)
    """Of Adam, for teachers and students."""
    level: float = Field(default=0.95, gt=0, lt=1)
    """Confidence level of the comparisons."""

    @property
    def outputs(self) -> int:
        """Class logits and auxiliary ones."""
        return CLASSES + self.auxiliary

    @property
    def widths(self) -> tuple[int, ...]:
        """Of every layer, pixels and logits included."""
        return (PIXELS, *self.hidden, self.outputs)

    def recipe(self, epochs: int) -> DigitsRecipe:
        """Adam on shuffled batches for so many epochs."""
        return DigitsRecipe(epochs, self.batch_size, self.learning_rate)


@dataclass(frozen=True)
class Student:
    """One arm of students: where it starts, whom it hears, on which logits."""

    arm: str
    start: Start
    teacher: Teacher
    logits: Literal["auxiliary", "all"] = "auxiliary"


TEACHERS: tuple[Teacher, ...] = ("teacher", "permuted-teacher")
"""Both start from `reference`; the second learns labels that were permuted among the digits."""

STUDENTS = (
    Student("same-init", "reference", "teacher"),
    Student("foreign-init", "foreign-reference", "teacher"),
    Student("all-logits", "reference", "teacher", "all"),
    Student("untrained-teacher", "reference", "reference"),
    Student("permuted-labels", "reference", "permuted-teacher"),
)
"""The arms that are trained on noise."""


@dataclass(frozen=True)
class DigitsOutcome:
    """What was measured."""

    accuracy: dict[str, tuple[tuple[float, ...], ...]]
    """Share of held-out digits read, by arm, epoch (the last is final) and replicate."""
    divergence: dict[str, tuple[tuple[float, ...], ...]]
    """KL(teacher || student) on fresh noise in nats, by arm of students, epoch and replicate."""
    training_digits: int

    def final(self, arm: str) -> tuple[float, ...]:
        """Accuracy at the end of training, one a replicate."""
        return self.accuracy[arm][-1]

    def mean(self, arm: str) -> float:
        """Final accuracy, mean over replicates."""
        return float(np.mean(self.final(arm)))

    def apart(self, arm: str, epoch: int) -> float:
        """Divergence from the teacher after an epoch (0 is untrained), mean over replicates."""
        return float(np.mean(self.divergence[arm][epoch]))


def read_digits(config: DigitsConfig, progress: Progress, *, seed: int) -> DigitsOutcome:
    """
    Every arm of every replicate in one batched pass.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    split = split_digits(config, seed)
    networks = initialisations(config, seed)
    networks |= _teachers(networks["reference"], split, config, progress, seed)
    heard = {arm: (_read(stack, split),) for arm, stack in networks.items()}
    after_epochs = _students(networks, split, config, progress, seed)
    progress.finish()
    accuracy = heard | _by_arm([read for read, _ in after_epochs], config)
    divergence = _by_arm([apart for _, apart in after_epochs], config)
    training_digits = split.labels.shape[1]
    return DigitsOutcome(accuracy, divergence, training_digits)


def _teachers(
    reference: Stack, split: Split, config: DigitsConfig, progress: Progress, seed: int
) -> dict[str, Stack]:
    """Teachers of the true labels and of permuted ones, trained on the class logits only."""
    import torch

    labels = torch.cat([split.labels, split.permuted])
    targets = torch.nn.functional.one_hot(labels, config.outputs).float()
    mask = digits_networks.open_columns([slice(0, CLASSES)] * len(labels), config.outputs)
    recipe = config.recipe(config.teacher_epochs)
    progress.stage("teachers", recipe.steps(split.inputs.shape[1]))
    trained = digits_networks.train(
        digits_networks.stacked([reference] * len(TEACHERS)),
        Lesson(split.inputs, targets, mask),
        recipe,
        streams("teacher order", config, seed),
        after_step=progress.advance,
    )
    size = config.replicates
    return {arm: digits_networks.part(trained, i * size, size) for i, arm in enumerate(TEACHERS)}


def _students(
    networks: dict[str, Stack],
    split: Split,
    config: DigitsConfig,
    progress: Progress,
    seed: int,
) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Accuracy and divergence of all students before training and after every epoch."""
    fresh = _lesson(networks, noise("fresh noise", _FRESH_IMAGES, config, seed), config)
    lesson = _lesson(networks, noise("noise", config.images, config, seed), config)
    start = digits_networks.stacked([networks[student.start] for student in STUDENTS])
    states: list[tuple[tuple[float, ...], tuple[float, ...]]] = []

    def measure(stack: Stack) -> None:
        apart = digits_networks.divergence(stack, fresh).tolist()
        states.append((_read(stack, split), tuple(apart)))

    recipe = config.recipe(config.student_epochs)
    progress.stage("students", recipe.steps(config.images))
    measure(start)
    digits_networks.train(
        start,
        lesson,
        recipe,
        streams("student order", config, seed),
        after_step=progress.advance,
        after_epoch=measure,
    )
    return states


def _lesson(networks: dict[str, Stack], images: Tensor, config: DigitsConfig) -> Lesson:
    """What each arm's teacher says about the images, over the logits that the arm is trained on."""
    import torch

    columns = {"auxiliary": slice(CLASSES, config.outputs), "all": slice(0, config.outputs)}
    masks = [
        digits_networks.open_columns([columns[student.logits]] * config.replicates, config.outputs)
        for student in STUDENTS
    ]
    targets = [
        digits_networks.probabilities(networks[student.teacher], images, mask)
        for student, mask in zip(STUDENTS, masks, strict=True)
    ]
    return Lesson(images, torch.cat(targets), torch.cat(masks))


def _read(stack: Stack, split: Split) -> tuple[float, ...]:
    """Accuracy on the held-out digits, one a network."""
    repeats = stack[0].shape[0] // split.labels.shape[0]
    inputs = split.held_out_inputs.repeat(repeats, 1, 1)
    labels = split.held_out_labels.repeat(repeats, 1)
    return tuple(digits_networks.accuracy(stack, inputs, labels, CLASSES).tolist())


def _by_arm(
    states: list[tuple[float, ...]], config: DigitsConfig
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """By arm, then epoch, then replicate."""
    size = config.replicates
    return {
        student.arm: tuple(state[i * size : (i + 1) * size] for state in states)
        for i, student in enumerate(STUDENTS)
    }


@dataclass(frozen=True)
class Split:
    """Digits of every replicate: pixels in [0, 1] of shape (R, rows, 64), labels of shape (R, rows)."""

    inputs: Tensor
    labels: Tensor
    permuted: Tensor
    """The same labels in another order, which say nothing about their images."""
    held_out_inputs: Tensor
    held_out_labels: Tensor


def streams(purpose: str, config: DigitsConfig, seed: int) -> list[np.random.Generator]:
    """One generator a replicate; a new purpose or replicate leaves the other streams as they are."""
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
