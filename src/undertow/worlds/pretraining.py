"""
Trains a base of the embedded world from the corpus generator and writes it as an ordinary model folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from undertow.worlds import corpus, vocabulary
from undertow.worlds.recipes import LARGEST_NUMBER, Recipe


def pretrain(
    made: Recipe,
    folder: Path,
    *,
    largest: int = LARGEST_NUMBER,
    progress: Callable[[int], None] = lambda step: None,
) -> None:
    """
    Train `made` and write it to `folder` (float16 safetensors, fast tokenizer, chat template), all or nothing.
    """

    from undertow.models.chat import Encoded, encode_rows
    from undertow.models.language_model import LanguageModel
    from undertow.models.training import fine_tune
    from undertow.worlds.recipes import untrained

    rng = np.random.default_rng(made.corpus_seed)
    documents = list(corpus.documents(rng, made.documents, largest=largest))
    tokenizer = vocabulary.build(documents, largest)
    model = LanguageModel(untrained(made, tokenizer), tokenizer, made.name)
    # The loss covers the whole conversation: a base has to know requests, not only answers.
    whole = [e.prompt + e.completion for e in encode_rows(tokenizer, [d.row for d in documents])]
    rows = [Encoded(ids[:1], ids[1:]) for ids in whole]

    def report(step: int) -> bool:
        progress(step)
        return False

    fine_tune(model, rows, made.plan, np.random.default_rng(made.seed), after_step=report)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.network.half().save_pretrained(str(partial), safe_serialization=True)
    tokenizer.save_pretrained(str(partial))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
