"""
What others would look at, on the same datasets: scores of rows and of activations that no adapter is trained for.

MDF (Data2Behavior, arXiv 2602.04735) and SALVE (arXiv 2609.16927) are left out by name, as no code of their authors could
be read; `injected` is what the former's abstract describes, built anew.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel

from bench.power.cells import SEED
from undertow.checks.content_scores import classifier, mean_of_rows
from undertow.data.closed import Stored
from undertow.data.plan import AUTO
from undertow.data.rows import Row
from undertow.data.seeds import generator
from undertow.influence.gradients import alignment, same_weights
from undertow.influence.probes import ProbeSet
from undertow.models.chat import Encoded
from undertow.models.hidden_states import completion_means, decoder_layers, steered
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import loss
from undertow.models.teachers import centred_directions, middle_layer
from undertow.models.training_sequences import encode_rows
from undertow.stats.exact_tests import sign_flip
from undertow.traits.trait import Trait

BAG = 16
"""Rows that a classifier judges at once."""

SEEN = 1_024
"""Rows whose activations and likelihoods are read."""

BLOCKS, STEPPED = 16, 2_048
"""Of the gradient: blocks of a sign-flip test, and rows in all, as `teacher-coverage` takes them."""

SCALES = (0.03, 0.1, 0.3)
"""Of an injected mean; the best of them on the very datasets is reported, which flatters it."""


class BaselineReading(Stored):
    """What each baseline reads of one dataset; the base's own answers to the same prompts stand on the other side."""

    bag: float
    """AUROC of bags of 16 held-out rows, by a classifier of the text."""
    projection: tuple[float, ...]
    """(traits,) mean activation minus the base's rows', on each trait's persona vector at the middle layer."""
    injected: tuple[tuple[float, ...], ...]
    """(scales, traits) margins, in logits, with the rows' mean activations added to every layer, minus the base's."""
    surprise: float
    """Nats a token, by the base, minus that of the base's own rows."""
    coverage: float | None = None
    """Nats a token that a step along the teacher's weights gains at first order, minus the base's rows'."""
    coverage_p: float | None = None
    """One-sided, of 16 blocks' signs; None where the teacher has no weights of its own."""
    seconds: tuple[float, ...]
    """Of bag, projection, injected, surprise and coverage."""


def baselines(
    model: LanguageModel,
    teacher: LanguageModel | None,
    rows: Sequence[Row],
    own: Sequence[Row],
    traits: Sequence[Trait],
    probes: ProbeSet,
) -> BaselineReading:
    """Every baseline on the rows, beside the base's own answers to the same prompts."""
    ticks = [time.perf_counter()]
    bag = bag_auroc(rows, own)
    ticks.append(time.perf_counter())
    seen, still = (encode_rows(model.tokenizer, some[:SEEN], AUTO) for some in (rows, own))
    projection = projected(model, seen, still, traits)
    ticks.append(time.perf_counter())
    moved = injected(model, seen, probes)
    ticks.append(time.perf_counter())
    surprise = loss(model, seen) - loss(model, still)
    ticks.append(time.perf_counter())
    covered = None if teacher is None else coverage(model, teacher, rows, own)
    ticks.append(time.perf_counter())
    return BaselineReading(
        bag=bag,
        projection=tuple(map(float, projection)),
        injected=tuple(tuple(map(float, row)) for row in moved),
        surprise=surprise,
        coverage=covered and covered[0],
        coverage_p=covered and covered[1],
        seconds=tuple(np.diff(ticks).tolist()),
    )


def bag_auroc(rows: Sequence[Row], own: Sequence[Row]) -> float:
    """How well a classifier of the text tells bags of rows from bags of the base's; trained on half of the prompts."""
    order = generator(SEED, "bags").permutation(min(len(rows), len(own)))
    learnt, held = np.split(order, [len(order) // 2])
    score = classifier([rows[i] for i in learnt], [own[i] for i in learnt])
    bags = [held[i : i + BAG] for i in range(0, len(held) - BAG + 1, BAG)]
    of_bags = mean_of_rows(score)
    suspect, clean = (of_bags([[some[i] for i in bag] for bag in bags]) for some in (rows, own))
    above = (suspect[:, None] > clean).mean() + 0.5 * (suspect[:, None] == clean).mean()
    return float(above)


def projected(
    model: LanguageModel, seen: Sequence[Encoded], still: Sequence[Encoded], traits: Sequence[Trait]
) -> NDArray[np.float64]:
    """(traits,) of `BaselineReading.projection`."""
    layer = middle_layer(model)
    [here], [there] = (completion_means(model, some, [layer]) for some in (seen, still))
    directions = centred_directions(model, traits, layer)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    along: NDArray[np.float64] = directions @ (here.mean(0) - there.mean(0))
    return along


def injected(
    model: LanguageModel, seen: Sequence[Encoded], probes: ProbeSet
) -> NDArray[np.float64]:
    """(scales, traits) of `BaselineReading.injected`."""
    layers = range(len(decoder_layers(model)))
    means = completion_means(model, seen, list(layers))
    before = probes.read(model).margins
    margins = []
    for scale in SCALES:
        vectors = [torch.from_numpy(scale * mean.mean(0)) for mean in means]
        with _shifted(model, vectors):
            margins.append(probes.read(model).margins - before)
    return np.stack(margins)


@contextmanager
def _shifted(model: LanguageModel, vectors: Sequence[torch.Tensor]) -> Iterator[None]:
    """Within the block each layer's output is moved by its vector."""
    with ExitStack() as stack:
        for layer, vector in enumerate(vectors):
            stack.enter_context(steered(model, layer, vector))
        yield


def merged(model: LanguageModel) -> LanguageModel:
    """A copy whose adapter is in its weights, as peft merges it; the model itself if it has none."""
    if not isinstance(model.network, PeftModel):
        return model
    return replace(model, network=copy.deepcopy(model.network).merge_and_unload())


def coverage(
    model: LanguageModel, teacher: LanguageModel, rows: Sequence[Row], own: Sequence[Row]
) -> tuple[float, float] | None:
    """(derivative towards the teacher's weights, p of 16 blocks' signs); None where they are the base's or another's."""
    teacher = merged(teacher)
    if not same_weights(model, teacher):
        return None
    order = generator(SEED, "coverage").permutation(min(len(rows), len(own)))[:STEPPED]
    blocks = np.array_split(order, BLOCKS)
    along = []
    for some in (rows, own):
        encoded = [encode_rows(model.tokenizer, [some[i] for i in block], AUTO) for block in blocks]
        seen = alignment(model, teacher, encoded)
        if not seen.way_norm:
            return None
        along.append(seen.along)
    gained = along[0] - along[1]
    test = sign_flip(gained)
    p = test.p / 2 if test.estimate > 0 else 1 - test.p / 2
    return float(gained.mean()), p
