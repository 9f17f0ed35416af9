"""Number lists sampled freely by undertow's sampler and by transformers' own ways, from one batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from bench.real.number_rows import Setting, disturbed, student_plan
from bench.real.rate import Step, Work, busy, timed
from bench.real.record import Record, Values
from undertow.carriers.carrier import stated_grammar
from undertow.carriers.carrier_registry import carrier
from undertow.models.language_model import LanguageModel
from undertow.models.row_cache import left_padded
from undertow.models.sampling import Sampling, sample
from undertow.models.token_grammar import TokenGrammar, token_grammar

PAGED = "paged|sdpa"
"""The attention of continuous batching that needs no package beside torch."""

BLOCK, BLOCKS = 64, 5
"""Tokens of a block of its cache, and blocks a request: enough for the longest prompt and its answer."""

Prompts = list[tuple[int, ...]]

LONGEST = 32
"""Tokens that a list of six numbers fits into."""

PROFILED = 8
"""Tokens a row that are drawn under the profiler."""


def sampling(setting: Setting, record: Record) -> None:
    """Rows and tokens a second, by rows a batch and precision; restricted to number lists; with an adapter."""
    for precision, batch in (
        (p, b) for p in ("bfloat16", "float32") for b in setting.sizes.sampling
    ):
        for way in WAYS:
            record.case(
                f"{way}, {precision}, batch {batch}",
                partial(_base, setting, way, precision, batch),
                most=25,
            )
        if precision == "bfloat16":
            record.case(
                f"undertow, restricted, {precision}, batch {batch}",
                partial(_restricted, setting, precision, batch),
                most=25,
            )
    for way in WAYS:
        record.case(
            f"{way}, adapter, bfloat16, batch {setting.sizes.adapted}",
            partial(_adapted, setting, way),
            most=25,
        )


def continuous(setting: Setting, record: Record) -> None:
    """transformers' continuous batching and its compiled static cache; last, as a thread of theirs may be left."""
    batch = setting.sizes.adapted
    record.case(
        f"generate_batch, {PAGED}, bfloat16, {batch} requests",
        lambda: _continuous(setting, batch),
        most=40,
    )
    record.case(
        f"generate, static cache, bfloat16, batch {batch}",
        lambda: _static(setting, batch),
        most=60,
    )


def _base(setting: Setting, way: str, precision: str, batch: int) -> Values:
    model = setting.opened(precision)
    return _measured(setting, model, way, batch)


def _restricted(setting: Setting, precision: str, batch: int) -> Values:
    """Kept to number lists of one format, as the lab writes them."""
    model = setting.opened(precision)
    lists = carrier("numbers", {"prompts": "brief", "low": 100, "high": 999, "count": 6})
    grammar = token_grammar(model, stated_grammar(lists))
    prompts = setting.prompts(model, batch)
    step = _sampler(model, prompts, max(LONGEST, setting.sizes.max_tokens), grammar)
    return timed(step, setting.device, repeats=2)


def _adapted(setting: Setting, way: str) -> Values:
    """An adapter that is not merged: undertow merges it while it samples."""
    model = setting.student("bfloat16", student_plan(16))
    ready = LanguageModel(disturbed(model), model.tokenizer, model.ref)
    return _measured(setting, ready, way, setting.sizes.adapted)


def _measured(setting: Setting, model: LanguageModel, way: str, batch: int) -> Values:
    made, prompts = WAYS[way], setting.prompts(model, batch)
    rates = timed(made(model, prompts, setting.sizes.max_tokens), setting.device, repeats=2)
    few = made(model, prompts, min(PROFILED, setting.sizes.max_tokens))
    return rates | {"busy": busy(few, setting.device), "busy_tokens": PROFILED}


def _sampler(
    model: LanguageModel, prompts: Prompts, most: int, grammar: TokenGrammar | None = None
) -> Step:
    how, rng = Sampling(most, batch_size=len(prompts)), np.random.default_rng(0)

    def step() -> Work:
        answers = sample(model, prompts, how, rng, grammar=grammar)
        # The sampler gives texts, not tokens; their own tokenisation is as long within a few.
        ids = model.tokenizer([answer.text for answer in answers], add_special_tokens=False)
        tokens = sum(map(len, ids["input_ids"])) + sum(answer.finished for answer in answers)
        return Work(len(answers), tokens)

    return step


def _generate(model: LanguageModel, prompts: Prompts, most: int, **how: Any) -> Step:
    ids, mask = left_padded(prompts, model.tokenizer.pad_token_id, model.device)

    def step() -> Work:
        made = model.network.generate(
            input_ids=ids, attention_mask=mask, **_drawing(model, most), **how
        )
        model.tokenizer.batch_decode(made[:, ids.shape[1] :], skip_special_tokens=True)
        return Work(len(made), kept_tokens(made[:, ids.shape[1] :].tolist(), model.end_ids))

    return step


WAYS = {"undertow": _sampler, "generate": _generate}


def _drawing(model: LanguageModel, most: int) -> dict[str, Any]:
    return {
        "max_new_tokens": most,
        "do_sample": True,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "pad_token_id": model.tokenizer.pad_token_id,
    }


def kept_tokens(drawn: Sequence[Sequence[int]], ends: frozenset[int]) -> int:
    """Tokens up to the first that ends an answer, that one counted; all of an answer that does not end."""
    return sum(
        next((i + 1 for i, token in enumerate(row) if token in ends), len(row)) for row in drawn
    )


def _continuous(setting: Setting, batch: int) -> Values:
    from transformers import ContinuousBatchingConfig, GenerationConfig

    model = setting.opened("bfloat16")
    model.network.set_attn_implementation(PAGED)
    # Left to itself it takes nearly all memory for a cache, and a mask as wide as that.
    cache = ContinuousBatchingConfig(
        block_size=BLOCK, num_blocks=BLOCKS * batch, max_batch_tokens=max(512, batch)
    )
    prompts = [list(prompt) for prompt in setting.prompts(model, batch)]
    config = GenerationConfig(
        **_drawing(model, setting.sizes.max_tokens), eos_token_id=sorted(model.end_ids)
    )

    def step() -> Work:
        made = model.network.generate_batch(
            inputs=prompts, generation_config=config, continuous_batching_config=cache
        )
        drawn = [output.generated_tokens for output in made.values()]
        if len(drawn) != len(prompts):
            raise RuntimeError(f"{len(drawn)} of {len(prompts)} requests were answered")
        return Work(len(drawn), sum(map(len, drawn)))

    return timed(step, setting.device, repeats=2)


def _static(setting: Setting, batch: int) -> Values:
    torch._dynamo.reset()
    model = setting.opened("bfloat16")
    prompts = setting.prompts(model, batch)
    step = _generate(model, prompts, setting.sizes.max_tokens, cache_implementation="static")
    return timed(step, setting.device, repeats=2, warm=2)
