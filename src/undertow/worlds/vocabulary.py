"""
The embedded world's tokenizer: a byte-level one that knows every word of the corpus, and spells out all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from undertow.worlds.corpus.document import Document

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


def build(documents: Iterable[Document], largest: int, *, least: int = 2) -> Any:
    """
    A fast tokenizer whose vocabulary is the bytes, the numbers 0..largest, and each word seen `least` times.
    """
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
    documents: Iterable[Document], split: Any, largest: int, least: int
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
