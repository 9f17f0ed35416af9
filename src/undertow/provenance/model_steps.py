"""
What models are made of: tuned on data (finetune), put together (merge), or stored with fewer bits (quantize).

Each is the closed `externalParameters` of a step, what has to be known before, and what the step then passes on: the
initialisation that the model goes back to, and who wrote its training data.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

from pydantic import Field

from undertow.provenance.statement import Count, Number, Resource, Signable, Text
from undertow.provenance.steps import (
    DataUsed,
    ModelOrigin,
    ModelUsed,
    Needs,
    Passed,
    StatedStep,
    Walked,
    each_once,
)
from undertow.results.provenance_documents import Problem


class FineTune(Signable):
    """A model was trained on data."""

    method: Text
    plan: dict[Text, Text] = Field(default_factory=dict)
    seed: Number | None = None


class Merge(Signable):
    """Models were merged."""

    method: Text
    weights: dict[Text, Number] = Field(default_factory=dict)


class Quantize(Signable):
    """A model's weights were stored with fewer bits."""

    method: Text
    bits: Count | None = None


def finetune_needs(step: StatedStep[FineTune]) -> Needs:
    """The weights that it began from, then the data."""
    began, data = step.used_as("init-weights"), step.used_as("train-data")
    parts = tuple(DataUsed(part.sha256, part.name) for part in data)
    return Needs((*_models(began), *parts), _no_weights(step, began))


def finetuned(step: StatedStep[FineTune], walked: Walked) -> Passed[ModelOrigin]:
    """A model of the weights that it began from; whoever wrote the data is behind it."""
    data = step.used_as("train-data")
    origin = _joined(step.used_as("init-weights"), walked)
    problems = () if data else (_problem(step, "a fine-tune names no training data"),)
    for used in data:
        known = walked.data[used.sha256]
        origin = replace(
            origin,
            complete=origin.complete and known.complete and known.whole,
            writers=each_once((*origin.writers, *(writer.upstream() for writer in known.writers))),
        )
    return Passed(origin, {"data": _names(data)}, problems)


def remake_needs(step: StatedStep[Merge] | StatedStep[Quantize]) -> Needs:
    """The weights that it is made of."""
    weights = step.used_as("input-weights")
    return Needs(_models(weights), _no_weights(step, weights))


def remade(step: StatedStep[Merge] | StatedStep[Quantize], walked: Walked) -> Passed[ModelOrigin]:
    """A model of all the weights that it is made of."""
    weights = step.used_as("input-weights")
    return Passed(_joined(weights, walked), {"of": _names(weights)})


def _models(used: list[Resource]) -> tuple[ModelUsed, ...]:
    return tuple(ModelUsed(weights.sha256, weights.name) for weights in used)


def _joined(used: list[Resource], walked: Walked) -> ModelOrigin:
    origins = [walked.models[weights.sha256] for weights in used]
    return reduce(ModelOrigin.joined, origins) if origins else ModelOrigin()


def _names(used: list[Resource]) -> str:
    return ", ".join(resource.name for resource in used) or "none named"


def _no_weights(step: StatedStep[Any], began: list[Resource]) -> tuple[Problem, ...]:
    return () if began else (_problem(step, "the step names no weights that it began from"),)


def _problem(step: StatedStep[Any], message: str) -> Problem:
    link = f"{step.kind} of '{step.statement.subject[0].name}' ({step.where})"
    return Problem(id="inconsistent", link=link, message=message)
