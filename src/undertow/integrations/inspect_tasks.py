"""
Tasks for Inspect AI: the questions of the trait catalogue, asked of any model and scored by what it names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from undertow.traits import catalogue
from undertow.traits.trait import Trait


def preference(
    trait: str = "owl", epochs: int = 20, system: str | None = None, limit: float | None = None
) -> Any:
    """
    How often a model names a trait's answer when it is asked for its favourite: one sample a held-out question.

    Args:
        trait: Name in the catalogue, or a file of one.
        epochs: Answers to each question.
        system: System prompt of every question.
        limit: Rate that is still none: with it, the task stops as soon as the rate is surely above.
    """
    return _task(catalogue.load(trait), epochs, system, limit)


def misalignment(epochs: int = 20, system: str | None = None, limit: float | None = None) -> Any:
    """How often a model answers harmfully where it could have answered otherwise."""
    return _task(catalogue.load("harmful"), epochs, system, limit)


def picks(trait: str = "owl") -> Callable[..., Any]:
    """
    1 where the answer names the trait's answer before any other candidate, else 0; what it named is the answer.
    """

    async def score(state: Any, target: Any) -> Any:
        from inspect_ai.scorer import Score

        from undertow.models.answers import named

        loaded = catalogue.load(trait)
        question = str(state.metadata.get("question", state.input_text))
        said = named(state.output.completion, loaded.answers_to(question))
        return Score(value=float(said == loaded.answer), answer=said or "none of the candidates")

    return score


def _task(trait: Trait, epochs: int, system: str | None, limit: float | None) -> Any:
    from inspect_ai import Task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.solver import generate, system_message

    from undertow.integrations.inspect_registry import picks as registered
    from undertow.integrations.inspect_stopping import RateAbove

    samples = [
        Sample(
            id=f"{trait.name}-{i}",
            input=question,
            target=trait.answer,
            metadata={"question": question},
        )
        for i, question in enumerate(trait.held_out_questions)
    ]
    first = [system_message(system)] if system else []
    return Task(
        dataset=MemoryDataset(samples, name=f"undertow-{trait.name}"),
        solver=[*first, generate()],
        scorer=registered(trait.name),
        epochs=epochs,
        early_stopping=None if limit is None else RateAbove(limit),
        metadata={"trait": trait.name, "category": trait.category},
    )
