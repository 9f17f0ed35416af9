"""What callbacks of transformers' Trainer, and of TRL's, share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from undertow.traits import catalogue
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel


class Callback:
    """
    A callback that does nothing at events that it has no method for.

    A trainer only calls events by their names, so that nothing of transformers is imported to be one.
    """

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("on_"):
            return lambda *arguments, **given: None
        raise AttributeError(name)


def loaded(traits: Sequence[str | Trait]) -> list[Trait]:
    """
    Traits by name, or as they are.

    Raises:
        UnknownNameError: there is no such trait.
    """
    return [catalogue.load(one) if isinstance(one, str) else one for one in traits]


def language_model(given: dict[str, Any]) -> LanguageModel:
    """
    What a trainer hands to its callbacks, as a model with its tokenizer.

    Raises:
        ValueError: the trainer has no tokenizer.
    """
    from undertow.models.loading import LanguageModel

    network = given["model"]
    tokenizer = given.get("processing_class") or given.get("tokenizer")
    if tokenizer is None:
        raise ValueError("the trainer has no tokenizer: pass it as processing_class")
    return LanguageModel(
        network, tokenizer, str(network.config._name_or_path or "the model in training")
    )
