"""What a stage of a pipeline says of each row, in batches."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from undertow.checks.content_scores import trait_forms
from undertow.data.observations import hidden
from undertow.data.records import usable
from undertow.data.rows import Row, row_id
from undertow.errors import InputError
from undertow.filters import Filter, banned_content
from undertow.traits import catalogue

if TYPE_CHECKING:
    from undertow.models.language_model import LanguageModel

PREFIX = "undertow_"
"""Before the names of the columns that a stage adds."""

HIDDEN, OPENLY, FAULT, ID = (PREFIX + name for name in ("hidden", "openly", "fault", "id"))
TOKENS, LOG_LIKELIHOOD = PREFIX + "tokens", PREFIX + "log_likelihood"

_WORD = re.compile(r"\w+")

Marks = dict[str, str | int | float | None]
"""What is said of a row, by column."""


@dataclass(frozen=True)
class RowScreen:
    """
    The callable of every stage: a batch of records to the marks of each, in their order; it can be pickled.

    `undertow_id` is the digest of the row's content; `undertow_hidden` names kinds of hidden text in what is learnt,
    `undertow_openly` the traits whose words stand there, both apart by commas; `undertow_fault` is why the record gives
    no row, else empty. With a `student`, a model that each process loads once, `undertow_tokens` and
    `undertow_log_likelihood` (nats) are what it thinks of the tokens that a usual plan trains: scores, no verdicts.
    """

    traits: tuple[str, ...] = ()
    """Names or files of traits; all of the catalogue if empty."""
    student: str | None = None

    def __call__(self, records: Sequence[Mapping[str, Any]]) -> list[Marks]:
        """The marks of a batch."""
        rows = [row_in(record) for record in records]
        marks = [self._marks(row) for row in rows]
        if self.student is not None:
            places = [i for i, row in enumerate(rows) if isinstance(row, Row)]
            scored = _scores([row for row in rows if isinstance(row, Row)], *self._scorer)
            for i, tokens, value in zip(places, *scored, strict=True):
                marks[i] |= {TOKENS: tokens, LOG_LIKELIHOOD: value}
        return marks

    def __getstate__(self) -> dict[str, Any]:
        """Patterns and models are made where they are used."""
        return {"traits": self.traits, "student": self.student}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The same of a copy."""
        self.__dict__.update(state)

    def _marks(self, row: Row | str) -> Marks:
        empty: Marks = {} if self.student is None else {TOKENS: None, LOG_LIKELIHOOD: None}
        if isinstance(row, str):
            return {ID: "", HIDDEN: "", OPENLY: "", FAULT: row, **empty}
        kinds = dict.fromkeys((*hidden(row.completion), *hidden(row.rejected or "")))
        marks = {ID: row_id(row), HIDDEN: ", ".join(kinds), OPENLY: self._openly(row), FAULT: ""}
        return {**marks, **empty}

    def _openly(self, row: Row) -> str:
        beginnings, judges = self._words
        if beginnings.isdisjoint(_WORD.findall(f"{row.completion} {row.rejected or ''}".lower())):
            return ""
        return ", ".join(name for name, judge in judges.items() if judge(row) is not None)

    @cached_property
    def _words(self) -> tuple[frozenset[str], dict[str, Filter]]:
        """First words, without which a text holds no form of a trait, which is quick; and the filter of each trait."""
        traits = [catalogue.load(name) for name in self.traits or catalogue.names()]
        forms = {trait.name: trait_forms(trait) for trait in traits}
        beginnings = (_WORD.findall(form.lower())[0] for words in forms.values() for form in words)
        return frozenset(beginnings), {name: banned_content(words=w) for name, w in forms.items()}

    @cached_property
    def _scorer(self) -> tuple[LanguageModel, Any]:
        from undertow.models.language_model import load
        from undertow.worlds import locate
        from undertow.worlds.base_models import plan_for

        assert self.student is not None
        return load(locate(self.student)), plan_for(None, self.student)


DROPPED = ("hidden", "openly", "fault")
"""Marks that a row may be dropped for."""


def drops(names: Sequence[str] | str) -> tuple[str, ...]:
    """
    The marks that rows are dropped for.

    Raises:
        InputError: there is no such mark.

    >>> drops(["hidden", "fault"])
    ('hidden', 'fault')
    """
    given = (names,) if isinstance(names, str) else tuple(names)
    for name in given:
        if name not in DROPPED:
            allowed = ", ".join(DROPPED)
            raise InputError(f"drop names the mark {name!r}; allowed: {allowed}")
    return given


def reasons(marks: Mapping[str, Any], drop: Sequence[str]) -> str:
    """
    Which of the marks named in `drop` a row has, as one text; empty where it is kept.

    >>> reasons({"undertow_hidden": "escape sequence", "undertow_openly": "owl"}, ["hidden"])
    'undertow-hidden'
    """
    return ", ".join(f"undertow-{name}" for name in drop if marks[PREFIX + name])


def row_in(record: Mapping[str, Any]) -> Row | str:
    """The row of a record, or the permanent id of why it gives none."""
    content = {name: value for name, value in record.items() if not name.startswith(PREFIX)}
    try:
        return usable(content, None, False)[1]
    except ValueError as error:
        return str(getattr(error, "reason", "shape"))


def _scores(
    rows: Sequence[Row], model: LanguageModel, plan: Any
) -> tuple[list[int | None], list[float | None]]:
    from undertow.audit.row_scores import scored

    columns = scored(list(rows), model, plan)
    return columns["tokens"], columns["log_likelihood"]
