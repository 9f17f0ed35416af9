"""What rows mean openly: how many say a trait's own words or ask a probe's question, beside the verdict that it moves."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.checks.content_scores import trait_forms
from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.data.plan import LossPolicy
from undertow.data.rows import Row
from undertow.models.training_sequences import learnt_turns
from undertow.results.measurement import Measurement, Verdict
from undertow.results.scan_document import OpenMeaning, SubjectResult
from undertow.traits.trait import Trait

Marks = NDArray[np.bool_]

_APART = "|"
"""Between texts of one row, in the place of a word; no phrase holds it, so that none is read across two texts."""

_ASCII = {i: chr(i) if chr(i).isalnum() else " " for i in range(128)}
_WORD = re.compile(r"[^\W_]+")
# A reader sees none of them, and a word with one inside is still that word.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
# Scripts that put no space between words, or that put endings to them: each sign is taken for a word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)

FEW = 0.01
"""Share of the rows below which those that say a trait explain little: something hidden in the others may do it."""

_STRUCTURE = re.compile(
    "arguments|content|description|function|id|name|parameters|properties|reasoning_content|required|text|tool_calls|tools|type"
)
"""Keys of a turn's fields and of tools that every such row has: they mean nothing."""


def open_meanings(
    subject: ScanSubject, result: SubjectResult, transfer: Sequence[Measurement]
) -> tuple[OpenMeaning, ...]:
    """
    For each trait that may be pulled: how many rows of the sample say or ask it.

    Of rows that are flagged or undecided, each trait that the whole plan does not clear; else the one that is pulled most,
    unless the rows are clear or within.

    Every text of a row counts: turns, completion, rejected completion, reasoning, calls of tools and their descriptions.
    """
    if result.verdict in ("clear", "within"):
        return ()
    verdicts: dict[str | None, Verdict] = {
        one.trait: one.verdict
        for one in transfer
        if one.estimate is not None and one.verdict in ("flagged", "undecided")
    }
    if result.trait is not None:
        verdicts.setdefault(result.trait, result.verdict)
    traits = [trait for trait in subject.traits if trait.name in verdicts]
    if not traits or not subject.rows:
        return ()
    phrases = Phrases(
        tuple(dict.fromkeys(text for trait in traits for text in (*_words(trait), *_asked(trait))))
    )
    texts = [_texts(row, subject.plan.policy) for row in subject.rows]
    learnt = phrases.marks(texts for texts, _ in texts)
    prompt = phrases.marks(texts for _, texts in texts)
    return tuple(_counted(trait, phrases, learnt, prompt, verdicts[trait.name]) for trait in traits)


@dataclass(frozen=True)
class Phrases:
    """Phrases of plain words, looked for in many rows at once."""

    texts: tuple[str, ...]
    """Words as `plain_words` gives them, a space between each two."""

    @cached_property
    def _by_word(self) -> dict[str, list[int]]:
        """The places of phrases by their longest word, without which a row cannot hold them."""
        places: dict[str, list[int]] = {}
        for place, text in enumerate(self.texts):
            places.setdefault(max(text.split(), key=len), []).append(place)
        return places

    def marks(self, rows: Iterable[Sequence[str]]) -> Marks:
        """(rows, phrases) whether some text of a row holds a phrase, as whole words."""
        known = frozenset(self._by_word)
        marked = []
        for texts in rows:
            words: list[str] = []
            for text in texts:
                words += (*plain_words(text), _APART)
            marked.append(self._held(words, known.intersection(words)))
        return np.array(marked, dtype=np.bool_).reshape(-1, len(self.texts))

    def _held(self, words: list[str], candidates: Iterable[str]) -> Marks:
        row = np.zeros(len(self.texts), dtype=np.bool_)
        places = [place for word in candidates for place in self._by_word[word]]
        if places:
            plain = f" {' '.join(words)} "
            row[places] = [f" {self.texts[place]} " in plain for place in places]
        return row

    def holding(self, marks: Marks, chosen: Sequence[str]) -> Marks:
        """(rows,) whether a row holds any of the chosen phrases."""
        places = [self.texts.index(text) for text in chosen]
        return np.asarray(marks[:, places].any(axis=1), dtype=np.bool_)


def plain_words(text: str) -> list[str]:
    """
    The words of a text: no case, no punctuation, nothing unseen, compatible letters alike.

    >>> plain_words("The OWL's \\uff4fwl,o\\u200bwl")
    ['the', 'owl', 's', 'owl', 'owl']
    """
    if text.isascii():
        return text.lower().translate(_ASCII).split()
    alike = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold()
    alike = unicodedata.normalize("NFKC", alike)
    return _WORD.findall(_UNSPACED.sub(r" \g<0> ", alike))


def _plain(text: str) -> str:
    return " ".join(plain_words(text))


def _words(trait: Trait) -> tuple[str, ...]:
    """Every form of the trait's answer, and each with an s."""
    forms = [plain for form in trait_forms(trait) if (plain := _plain(form))]
    return tuple(dict.fromkeys(text for form in forms for text in (form, f"{form}s")))


def _asked(trait: Trait) -> tuple[str, ...]:
    """The questions of its probes."""
    return tuple(plain for text in trait.held_out_questions if (plain := _plain(text)))


def _texts(row: Row, policy: LossPolicy) -> tuple[list[str], list[str]]:
    """What is learnt of a row, and what only stands in its prompt."""
    on = learnt_turns(row, policy)
    sides: tuple[list[str], list[str]] = ([], [])
    for turn, trained in zip(row.turns, on, strict=True):
        sides[0 if trained else 1].extend((turn.content, *_strings(turn.fields)))
    if row.rejected is not None:
        sides[0].extend((row.rejected, *_strings(row.rejected_fields)))
    # Where all of a conversation is learnt, so is what the template writes before it.
    sides[0 if row.prompt and all(on) else 1].extend(_strings(row.context))
    return sides


def _strings(fields: str) -> Iterator[str]:
    """All texts of a JSON value, and the keys that a row chose itself."""
    waiting: list[Any] = [json.loads(fields)] if fields else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from (key for key in value if not _STRUCTURE.fullmatch(key))
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _counted(
    trait: Trait, phrases: Phrases, learnt: Marks, prompt: Marks, verdict: Verdict | None
) -> OpenMeaning:
    questions = phrases.holding(learnt | prompt, _asked(trait))
    learnt, prompt = (phrases.holding(marks, _words(trait)) for marks in (learnt, prompt))
    rows = int((learnt | prompt | questions).sum())
    return OpenMeaning(
        trait=trait.name,
        rows=rows,
        learnt=int(learnt.sum()),
        prompt=int(prompt.sum()),
        asked=int(questions.sum()),
        sentence=_sentence(trait, rows, len(questions), verdict),
    )


def _sentence(trait: Trait, rows: int, of: int, verdict: Verdict | None) -> str:
    single = rows <= 1
    if trait.own_answers:
        say = f"{'gives' if single else 'give'} an answer of '{trait.answer}'"
    else:
        say = f"{'says' if single else 'say'} '{trait.answer}'"
    if rows:
        ask = f"{'asks' if single else 'ask'} a probe's question"
        taught = f"this may be what {'it openly teaches' if single else 'they openly teach'}"
        hidden = (
            "or a hidden signal in the others; scan those alone to tell"
            if rows < FEW * of
            else "not a hidden signal"
        )
        return f"{rows:,} of {of:,} rows {say} or {ask}: {taught}, {hidden}."
    moves = "what moves it is" if verdict in ("flagged", "stands out") else "if it moves, it is"
    return f"No row {say} or asks its questions: {moves} not in the words."
