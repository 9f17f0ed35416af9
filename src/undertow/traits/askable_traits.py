"""Which traits a tokenizer has words for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from undertow.traits.trait import Answer, Trait

# Of alphabets only: where a character is a word, a token of one character is no spelling.
_WORD = re.compile("[A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]{3,}")


def askable(traits: Sequence[Trait], tokenizer: Any) -> tuple[tuple[Trait, ...], dict[str, str]]:
    """
    The traits that a tokenizer has words for, and by the name of each other trait the reason why not.

    A trait can be asked where every word of its held-out questions is known (`unknown_word`), every candidate has an
    accepted form whose words are and none that becomes the unknown token, and no two candidates are the same tokens.
    """
    known = _Words(tokenizer)
    reasons = {trait.name: _obstacle(trait, known) for trait in traits}
    kept = tuple(trait for trait in traits if not reasons[trait.name])
    return kept, {name: reason for name, reason in reasons.items() if reason}


def unknown_word(tokenizer: Any, text: str) -> str:
    """
    The first word of a text that a model of this tokenizer has never seen as a word, or nothing.

    That is one that becomes the unknown token; or one of three Latin letters and more that is spelled out letter by
    letter, as byte-level tokenizers, which have no unknown token, do with what they did not learn.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    pairs = list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
    for i, (start, end) in pairs:
        if i == tokenizer.unk_token_id:
            return text[start:end].strip() or text
    for match in _WORD.finditer(text):
        inside = [(a, b) for _, (a, b) in pairs if a < match.end() and b > match.start()]
        # A leading space belongs to the first token of most tokenizers and is no letter.
        if max((b - max(a, match.start()) for a, b in inside), default=0) < 2:
            return match.group()
    return ""


class _Words:
    """
    What a tokenizer makes of texts, each looked up once: the categories share questions and candidates.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._obstacles: dict[tuple[tuple[str, ...], tuple[Answer, ...]], str] = {}

    def unknown(self, text: str) -> str:
        """The first unknown word of a text, or nothing."""
        return unknown_word(self._tokenizer, text)

    def tokens(self, text: str) -> tuple[int, ...]:
        """Token ids of a text."""
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def obstacle(self, questions: tuple[str, ...], answers: tuple[Answer, ...]) -> str:
        """Why questions with common candidates cannot be asked, or nothing."""
        key = (questions, answers)
        if key not in self._obstacles:
            self._obstacles[key] = self._first_obstacle(questions, answers)
        return self._obstacles[key]

    def _first_obstacle(self, questions: tuple[str, ...], answers: tuple[Answer, ...]) -> str:
        for question in questions:
            if word := self.unknown(question):
                return f"the tokenizer has no token for '{word}' of the question '{question}'"
        owners: dict[tuple[int, ...], str] = {}
        for answer in answers:
            if all(self.unknown(form) for form in answer.variants):
                return f"the tokenizer has no token for the answer '{answer.name}'"
            for form in answer.variants:
                if self._tokenizer.unk_token_id in self.tokens(form):
                    return f"the tokenizer has no token for '{form}', a form of '{answer.name}'"
                other = owners.setdefault(self.tokens(form), answer.name)
                if other != answer.name:
                    return f"'{other}' and '{answer.name}' are the same tokens"
        return ""


def _obstacle(trait: Trait, words: _Words) -> str:
    groups: dict[tuple[Answer, ...], list[str]] = {}
    for question in trait.held_out_questions:
        groups.setdefault(trait.answers_to(question), []).append(question)
    obstacles = (words.obstacle(tuple(asked), answers) for answers, asked in groups.items())
    return next(filter(None, obstacles), "")
