"""
One version of the package at work, a repeat at a time: `python FILE SETUP.json`, with that version's sources on the path.

It answers each line of standard input (`sampling` or `training`) with one of JSON: rows, tokens, wall and processor seconds
of one repeat. Nothing here is imported from the bench, and both commit 190b1c0's modules and today's are known.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

TOTAL = 10_000
"""Steps that the schedule is laid over: more than are taken."""


def main(path: str) -> int:
    """Open the model, say that it is ready, and work as it is told."""
    setup: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    works: dict[str, Callable[[], tuple[int, int]]] = {}
    makers = {"sampling": _sampling, "training": _training}
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        what = line.strip()
        if what not in works:
            works[what] = makers[what](setup)
            # What is done for the first time takes longer than ever after.
            works[what]()
        wall, cpu = time.perf_counter(), time.process_time()
        rows, tokens = works[what]()
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps({"rows": rows, "tokens": tokens, **spent}), flush=True)
    return 0


def _opened(setup: dict[str, Any]) -> Any:
    try:
        from undertow.models.language_model import load
    except ImportError:
        from undertow.models.loading import load  # type: ignore[import-not-found,no-redef]
    return load(setup["model"], dtype=getattr(torch, setup["dtype"]))


def _adapted(setup: dict[str, Any], rank: int) -> tuple[Any, Any]:
    """The model with an adapter that changes what it computes, as a trained one does; and the plan that put it on."""
    from undertow.models import adapters

    try:
        from undertow.data.plan import TrainingPlan
    except ImportError:
        from undertow.models.plan import (  # type: ignore[import-not-found,no-redef]
            TrainingPlan,
        )
    plan = TrainingPlan(rank=rank, learning_rate=1e-3, batch_size=setup["batch"])
    model = adapters.trainable(_opened(setup), plan, 1)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.01)
    return model, plan


def _sampling(setup: dict[str, Any]) -> Callable[[], tuple[int, int]]:
    """Restricted to one text's shape: today's grammar, or a mask a step."""
    from undertow.models import sampling

    model, _ = _adapted(setup, setup["teacher_rank"])
    model.network.eval()
    prompts = [tuple(prompt) for prompt in setup["prompts"]]
    text: str = setup["text"]
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    how = sampling.Sampling(len(ids) + 1, batch_size=len(prompts))
    if hasattr(sampling, "restrictions"):
        steps = [re.compile(_shape(model.tokenizer.decode([i]))) for i in ids]
        more: dict[str, Any] = {"restrictions": sampling.restrictions(model.tokenizer, steps)}
    else:
        from undertow.models.token_grammar import token_grammar

        more = {"grammar": token_grammar(model, _shape(text))}

    def repeat() -> tuple[int, int]:
        answers = sampling.sample(model, prompts, how, np.random.default_rng(0), **more)
        return len(answers), len(answers) * len(ids)

    return repeat


def _shape(text: str) -> str:
    """Digits for digits, and everything else as it stands; no number begins with 0."""
    whole = re.sub(r"[0-9]", "[0-9]", re.escape(text))
    return re.sub(r"(?<!\])\[0-9\](?=\[)", "[1-9]", whole)


def _training(setup: dict[str, Any]) -> Callable[[], tuple[int, int]]:
    from undertow.models.chat import Encoded
    from undertow.models.training import TrainingRun

    model, plan = _adapted(setup, setup["student_rank"])
    rows = [Encoded(tuple(prompt), tuple(completion)) for prompt, completion in setup["rows"]]
    run = TrainingRun(model, rows, plan, np.random.default_rng(0), TOTAL)

    def repeat() -> tuple[int, int]:
        before = run.tokens
        run.advance(setup["steps"])
        return setup["steps"] * setup["batch"], run.tokens - before

    return repeat


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
