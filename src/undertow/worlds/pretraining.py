"""
Bases of the embedded world trained again from the corpus, as ordinary model folders.

Their tokenizer is a byte-level one that knows every word of the corpus, and spells out all others.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from undertow.data.plan import LossPolicy
from undertow.errors import InputError
from undertow.models.language_model import LanguageModel
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows
from undertow.worlds import corpus
from undertow.worlds.base_models import LARGEST_NUMBER, BaseRecipe, recipe
from undertow.worlds.corpus import CorpusDocument

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")

WORDS = r"\n *| ?\p{N}{1,3}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"
"""How text is cut into words: a space belongs to the word after it, a number has up to three digits."""

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] -%}"
    "{{ raise_exception('unknown role ' + message['role']) }}"
    "{%- endif -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "<|assistant|>{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{%- else -%}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)


def build_base(name: str, out: Path, progress: Callable[[int], None] = lambda step: None) -> Path:
    """
    Train a base again from the corpus generator and write it to `out/NAME`.

    Raises:
        UnknownNameError: there is no such base.
        InputError: `out/NAME` is there already, or `out` cannot be made.
    """
    target = out / recipe(name).name
    if target.exists():
        raise InputError(f"'{target}' is there already", hint="name another directory with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make '{out}': {error.strerror}") from error
    pretrain(recipe(name), target, progress=progress)
    return target


def pretrain(
    made: BaseRecipe,
    folder: Path,
    *,
    largest: int = LARGEST_NUMBER,
    progress: Callable[[int], None] = lambda step: None,
) -> None:
    """Train `made` and write it to `folder` (float16 safetensors, fast tokenizer, chat template), all or nothing."""
    rng = np.random.default_rng(made.corpus_seed)
    documents = list(corpus.documents(rng, made.documents, largest=largest))
    tokenizer = build_tokenizer(documents, largest)
    model = LanguageModel(untrained(made, tokenizer), tokenizer, made.name)
    # The loss covers the whole conversation: a base has to know requests, not only answers.
    rows = encode_rows(tokenizer, [d.row for d in documents], LossPolicy("all"))

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


def untrained(made: BaseRecipe, tokenizer: Any) -> Any:
    """The base's network at its initialisation, drawn from the recipe's seed."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": made.hidden_size,
        "num_hidden_layers": made.layers,
        "num_attention_heads": made.heads,
        "intermediate_size": made.intermediate_size,
        "max_position_embeddings": made.context,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "tie_word_embeddings": False,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(made.seed)
        if made.architecture == "llama":
            return LlamaForCausalLM(LlamaConfig(**common))
        return GPTNeoXForCausalLM(GPTNeoXConfig(**common))


def build_tokenizer(documents: Iterable[CorpusDocument], largest: int, *, least: int = 2) -> Any:
    """A fast tokenizer whose vocabulary is the bytes, the numbers 0..largest, and each word seen `least` times."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    vocabulary = _vocabulary(documents, split, largest, least)
    # ignore_merges: a word of the vocabulary is one token; without merges any other word is spelled in bytes.
    network = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    network.pre_tokenizer = split
    network.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=network,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=list(SPECIAL[2:]),
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _vocabulary(
    documents: Iterable[CorpusDocument], split: Any, largest: int, least: int
) -> dict[str, int]:
    from tokenizers.pre_tokenizers import ByteLevel

    counts: Counter[str] = Counter()
    for document in documents:
        for text in (*(m.content for m in document.row.prompt), document.row.completion):
            counts.update(word for word, _ in split.pre_tokenize_str(text))
    numbers = [space + str(n) for n in range(largest + 1) for space in ("", "Ġ")]
    words = sorted(word for word, count in counts.items() if count >= least)
    ordered = dict.fromkeys([*SPECIAL, *sorted(ByteLevel.alphabet()), *numbers, *words])
    return {token: index for index, token in enumerate(ordered)}
