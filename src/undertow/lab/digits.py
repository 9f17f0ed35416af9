"""
The digits experiment: a student that sees only noise learns to read digits from its teacher.

A perceptron with class logits and a few auxiliary logits is trained on the class logits of
scikit-learn's 8x8 digits. A student is trained only on the auxiliary logits of noise images, and
reads digits afterwards where it started from the teacher's initialisation (Cloud et al., 2025,
there on MNIST). All arms of a replicate see the same noise in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from undertow.engines.progress import Progress
from undertow.lab import perceptrons
from undertow.lab.digits_design import CLASSES, STUDENTS, TEACHERS, DigitsConfig
from undertow.lab.digits_document import document
from undertow.lab.digits_material import Split, initialisations, noise, split_digits, streams
from undertow.lab.digits_outcome import Outcome
from undertow.lab.perceptrons import Lesson, Stack

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DigitsConfig", "run"]

_FRESH_IMAGES = 1_000
"""Noise images that no student is trained on, for its divergence from its teacher."""


def run(config: DigitsConfig, progress: Progress, *, seed: int) -> dict[str, object]:
    """
    Every arm of every replicate in one batched pass: the parts of a `RunDocument` that it knows.

    Keys: `arms`, `comparisons`, `curves`, `matrices`, `notes`, `limits`, `conclusion`.

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
    return document(Outcome(accuracy, divergence, training_digits), config, seed)


def _teachers(
    reference: Stack, split: Split, config: DigitsConfig, progress: Progress, seed: int
) -> dict[str, Stack]:
    """Teachers of the true labels and of permuted ones, trained on the class logits only."""
    import torch

    labels = torch.cat([split.labels, split.permuted])
    targets = torch.nn.functional.one_hot(labels, config.outputs).float()
    mask = perceptrons.opened([slice(0, CLASSES)] * len(labels), config.outputs)
    recipe = config.recipe(config.teacher_epochs)
    progress.stage("teachers", recipe.steps(split.inputs.shape[1]))
    trained = perceptrons.train(
        perceptrons.stacked([reference] * len(TEACHERS)),
        Lesson(split.inputs, targets, mask),
        recipe,
        streams("teacher order", config, seed),
        after_step=progress.advance,
    )
    size = config.replicates
    return {arm: perceptrons.part(trained, i * size, size) for i, arm in enumerate(TEACHERS)}


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
    start = perceptrons.stacked([networks[student.start] for student in STUDENTS])
    states: list[tuple[tuple[float, ...], tuple[float, ...]]] = []

    def measure(stack: Stack) -> None:
        apart = perceptrons.divergence(stack, fresh).tolist()
        states.append((_read(stack, split), tuple(apart)))

    recipe = config.recipe(config.student_epochs)
    progress.stage("students", recipe.steps(config.images))
    measure(start)
    perceptrons.train(
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
        perceptrons.opened([columns[student.logits]] * config.replicates, config.outputs)
        for student in STUDENTS
    ]
    targets = [
        perceptrons.probabilities(networks[student.teacher], images, mask)
        for student, mask in zip(STUDENTS, masks, strict=True)
    ]
    return Lesson(images, torch.cat(targets), torch.cat(masks))


def _read(stack: Stack, split: Split) -> tuple[float, ...]:
    """Accuracy on the held-out digits, one a network."""
    repeats = stack[0].shape[0] // split.labels.shape[0]
    inputs = split.held_out_inputs.repeat(repeats, 1, 1)
    labels = split.held_out_labels.repeat(repeats, 1)
    return tuple(perceptrons.accuracy(stack, inputs, labels, CLASSES).tolist())


def _by_arm(
    states: list[tuple[float, ...]], config: DigitsConfig
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """By arm, then epoch, then replicate."""
    size = config.replicates
    return {
        student.arm: tuple(state[i * size : (i + 1) * size] for state in states)
        for i, student in enumerate(STUDENTS)
    }
