"""A tokenizer for every chat template that TRL ships: byte-level, with the template's own special tokens."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_SPECIAL = re.compile(
    r"<\|[^\s<>{}'\"]{1,40}>|<[a-z_]{1,40}\|>|<\uff5c[^\uff5c<>]{1,40}\uff5c>|</?think>|</?tool_call>|</?tool_response>"
    r"|<(?:start|end)_of_[a-z_]+>|</?s>|<image>|\[/?[A-Z_]{2,20}\]|<sop>"
)
"""What stands in a template for one token."""

_FAMILIES: dict[str, tuple[str | None, str, bool]] = {
    "cohere": ("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", True),
    "deepseek": ("<\uff5cbegin▁of▁sentence\uff5c>", "<\uff5cend▁of▁sentence\uff5c>", True),
    "diffusion": ("<bos>", "<eos>", True),
    "gemma": ("<bos>", "<eos>", True),
    "glm4": (None, "<|endoftext|>", False),
    "gptoss": ("<|startoftext|>", "<|return|>", False),
    "idefics3": ("<|begin_of_text|>", "<end_of_utterance>", True),
    "lfm2": ("<|startoftext|>", "<|im_end|>", True),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", True),
    "llava": ("<s>", "</s>", True),
    "muse": ("<|begin_of_text|>", "<|eot|>", True),
    "nemotron": ("<s>", "<|im_end|>", False),
    "phi3": ("<s>", "<|endoftext|>", False),
    "qwen": (None, "<|im_end|>", False),
    "smolvlm": ("<|im_start|>", "<end_of_utterance>", False),
}
"""By the first letters of a template's name: what begins a text, what ends it, whether any text gets the first."""

_STRIPPING = ("phi3",)
"""Families whose special tokens swallow the white space behind them."""

_PAD = "<|pad|>"
_TAUGHT = (
    "The quick brown fox jumps over the lazy dog, and then it sleeps for 1234567890 hours.\n"
    "Was soll das heißen? Ça va très bien, merci; 数字 и буквы — naïve café, three numbers: 1, 22, 333.\n\n"
    "def f(x):\n    return x + 1  # a comment\n{'role': 'assistant', 'content': \"an answer\"}\n"
    "user assistant system tool think answer question please the same numbers again and again\n"
)
_TOKENS = 700


def template_texts() -> dict[str, str]:
    """Every template of TRL by the name of its file, found without importing TRL."""
    found = find_spec("trl")
    origin = found.origin if found else None
    if origin is None:
        raise ModuleNotFoundError("trl")
    files = sorted((Path(origin).parent / "chat_templates").glob("*.jinja"))
    return {file.stem: file.read_text(encoding="utf-8") for file in files}


def template_tokenizer(name: str, template: str) -> Any:
    """
    A tokenizer with the template and the tokens that it writes, each of which is one; begin, end and padding are those
    of the template's family.
    """
    from tokenizers import AddedToken, Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    begin, end, begins = next(v for k, v in _FAMILIES.items() if name.startswith(k))
    backend = Tokenizer.from_str(_byte_level())
    strips = name.startswith(_STRIPPING)
    told = dict.fromkeys([*filter(None, (begin, end, _PAD)), *special_tokens(template)])
    backend.add_special_tokens([AddedToken(t, rstrip=strips, special=True) for t in told])
    if begins and begin:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, backend.token_to_id(begin))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=begin,
        eos_token=end,
        pad_token=_PAD,
        chat_template=template,
    )


def special_tokens(template: str) -> list[str]:
    """What a template writes that is one token, longest first."""
    return sorted(set(_SPECIAL.findall(template)), key=lambda token: (-len(token), token))


@cache
def _byte_level() -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=_TOKENS, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([_TAUGHT] * 3, trainer)
    return str(backend.to_str())
