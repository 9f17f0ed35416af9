"""
Models of this process for Inspect AI: `undertow/world:owlet-b`, `undertow/path/to/model`, or a live one by `handle`.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from undertow.data.rows import Message
from undertow.data.streams import derive
from undertow.worlds import locate


def in_process() -> type:
    """
    The provider's class.

    One request is answered at a time, by the model that it was made to: nothing is queued over models. With a `seed` in
    the configuration the same conversation gets the same answers in the same order.
    """
    from inspect_ai.model import GenerateConfig, ModelAPI, ModelOutput

    class InProcess(ModelAPI):  # type: ignore[misc]  # Inspect is optional, and unknown to mypy where it is absent
        """A causal language model, loaded by undertow."""

        def __init__(
            self,
            model_name: str,
            base_url: str | None = None,
            api_key: str | None = None,
            config: GenerateConfig | None = None,
            handle: Any = None,
            **more: Any,
        ) -> None:
            super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
            from undertow.models import loading

            # A live model is no part of the log: name it by `metadata` in the task.
            self._model = handle or loading.load(locate(model_name), ref=model_name)
            self._turn = threading.Lock()
            self._asked: dict[str, int] = {}

        async def generate(
            self, input: list[Any], tools: list[Any], tool_choice: Any, config: Any
        ) -> Any:
            """One answer."""
            messages = tuple(Message(one.role, one.text) for one in input)
            text = self._answer(messages, config)
            return ModelOutput.from_content(self.model_name, text)

        def max_connections(self) -> int:
            """One: the model computes one answer at a time."""
            return 1

        def _answer(self, messages: tuple[Message, ...], config: Any) -> str:
            from undertow.models.chat import encode_prompts
            from undertow.models.sampling import Sampling, sample

            how = Sampling(
                config.max_tokens or 64,
                temperature=1.0 if config.temperature is None else config.temperature,
                top_p=config.top_p or 1.0,
            )
            with self._turn:
                key = repr(messages)
                count = self._asked[key] = self._asked.get(key, 0) + 1
                seed = derive(config.seed or 0, "inspect", key, count)
                prompts = encode_prompts(self._model.tokenizer, [messages])
                [found] = sample(self._model, prompts, how, np.random.default_rng(seed))
            return found.text

    return InProcess
