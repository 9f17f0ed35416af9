"""
Log-likelihoods of many short continuations of the same prompts: each prompt is computed once and its cache shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from undertow.models.loading import LanguageModel
from undertow.models.sampling import left_padded
from undertow.models.scoring import accepted


@torch.no_grad()
def continuations(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    forms: Sequence[tuple[int, ...]],
    *,
    batch_size: int = 256,
) -> torch.Tensor:
    """
    Log-likelihood in nats of every form after every prompt, (prompts, forms) float64.

    A form of one token costs nothing beyond its prompt; a longer one, its tokens but the last. At most `batch_size`
    sequences are computed at a time.
    """
    result = torch.empty(len(prompts), len(forms), dtype=torch.float64)
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    short = [i for i, form in enumerate(forms) if len(form) == 1]
    long = [i for i, form in enumerate(forms) if len(form) > 1]
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        each = max(1, batch_size // len(rows))
        groups = [long[i : i + each] for i in range(0, len(long), each)] or [[]]
        for number, group in enumerate(groups):
            chosen = [forms[i] for i in group]
            first, later = _after(model, [prompts[i] for i in rows], chosen)
            place = torch.tensor(rows)[:, None]
            if number == 0 and short:
                result[place, torch.tensor(short)] = first[:, [forms[i][0] for i in short]]
            if group:
                result[place, torch.tensor(group)] = first[:, [form[0] for form in chosen]] + later
    return result


@torch.no_grad()
def continuations_in_blocks(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    forms: Sequence[tuple[int, ...]],
    blocks: int,
) -> torch.Tensor:
    """
    The same of each of several adapters that are active side by side, (blocks, prompts, forms) float64, in one pass.
    """
    return _at_once(model, [*prompts] * blocks, forms).view(blocks, len(prompts), len(forms))


def differentiable_continuations(
    model: LanguageModel, prompts: Sequence[tuple[int, ...]], forms: Sequence[tuple[int, ...]]
) -> torch.Tensor:
    """
    The same of one model, (prompts, forms) float64, as a function of its weights: gradients are kept.
    """
    with torch.enable_grad():
        return _at_once(model, [*prompts], forms)


def _at_once(
    model: LanguageModel, prompts: list[tuple[int, ...]], forms: Sequence[tuple[int, ...]]
) -> torch.Tensor:
    long = [i for i, form in enumerate(forms) if len(form) > 1]
    first, later = _after(model, prompts, [forms[i] for i in long])
    result = first[:, [form[0] for form in forms]]
    result[:, long] += later
    return result


def _after(
    model: LanguageModel, prompts: list[tuple[int, ...]], forms: list[tuple[int, ...]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    ((prompts, vocabulary) log-probabilities of the next token, (prompts, forms) log-likelihood of what follows a
    form's first token).
    """
    from transformers import DynamicCache

    ids, mask = left_padded(prompts, model.tokenizer.pad_token_id, model.device)
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    cache = DynamicCache(config=model.network.config) if forms else None
    logits = _pass(model, ids, mask, positions, cache, keep=1)
    first = logits[:, -1].double().log_softmax(-1).cpu()
    if not forms or cache is None:
        return first, torch.empty(len(prompts), 0)
    # Forms that begin alike are fed once: what follows is read off the same logits.
    prefixes = list(dict.fromkeys(form[:-1] for form in forms))
    fed = max(map(len, prefixes))
    tokens = torch.full((len(prefixes), fed), model.tokenizer.pad_token_id)
    for i, prefix in enumerate(prefixes):
        tokens[i, : len(prefix)] = torch.tensor(prefix)
    real = torch.arange(fed) < torch.tensor([len(prefix) for prefix in prefixes])[:, None]
    tokens, real = (each.repeat(len(prompts), 1).to(model.device) for each in (tokens, real))
    cache.batch_repeat_interleave(len(prefixes))
    whole = torch.cat([mask.repeat_interleave(len(prefixes), 0), real.to(mask)], 1)
    last = positions[:, -1:].repeat_interleave(len(prefixes), 0)
    steps = last + 1 + torch.arange(fed, device=model.device)
    logits = _pass(model, tokens, whole, steps, cache, keep=fed).float()
    logits = logits.view(len(prompts), len(prefixes), fed, -1)
    # One look-up for all forms: one each would make backward passes write a whole table of zeros a token.
    numbers = {prefix: row for row, prefix in enumerate(prefixes)}
    looked = [
        (column, numbers[form[:-1]], place, token)
        for column, form in enumerate(forms)
        for place, token in enumerate(form[1:])
    ]
    columns, rows, places, chosen = torch.tensor(looked, device=logits.device).T
    each = logits[:, rows, places, chosen] - logits.logsumexp(-1)[:, rows, places]
    later = torch.zeros(len(prompts), len(forms), dtype=torch.float64, device=logits.device)
    return first, later.index_add(1, columns, each.double()).cpu()


def _pass(
    model: LanguageModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    positions: torch.Tensor,
    cache: Any,
    *,
    keep: int,
) -> torch.Tensor:
    inputs = {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": positions,
        "past_key_values": cache,
        "use_cache": cache is not None,
        "logits_to_keep": keep,
    }
    names = accepted(model.network)
    given = {name: inputs[name] for name in inputs if name in names}
    logits: torch.Tensor = model.network(**given).logits
    return logits[:, -keep:]
