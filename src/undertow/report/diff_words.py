"""A diff in words and tables, the same in every format."""

from __future__ import annotations

from undertow.report import numbers
from undertow.report.table import Column, Table, table_of
from undertow.results.diff import Change, DiffDocument
from undertow.results.scan import Moved

INFERENCE = {
    "answers": "These intervals are about this model’s answers, over questions. They say nothing about its data, or about another run: give several tuned models, or controls.",
    "run": "These intervals hold this model against benign fine-tunes of the same base, as one more run of theirs (parametric).",
    "runs": "These intervals are about training runs like these, over runs.",
}
GLOSSARY = {
    "change": "tuned minus base, question by question, in logits of the trait’s answer",
    "transfer": "tuned minus control: what a benign fine-tune of the same base would not have done",
    "control": "a benign fine-tune of the same base",
    "intended": "a change that was asked for (`--intended`); it is shown and never flagged",
    "flagged": "the interval, corrected for the number of traits, lies beyond the limit",
    "clear": "the interval lies within the limit",
}


def kind(document: DiffDocument) -> str:
    """What the estimates are: transfer where controls were taken off, else change."""
    return "transfer" if document.controls else "change"


def changes_table(document: DiffDocument) -> Table:
    """One row a trait, the largest change first."""
    return table_of(
        f"{kind(document).capitalize()} by {what(document)}, in {document.unit}",
        document.changes,
        [
            Column(what(document), lambda one: one.trait, False),
            Column("category", lambda one: one.category, False),
            Column(kind(document), lambda one: numbers.decimal(one.estimate, 2, signed=True)),
            Column("interval", lambda one: numbers.interval(one.low, one.high, "logits")),
            Column("verdict", verdict, False),
            Column("base", lambda one: numbers.decimal(one.base, 2, signed=True)),
            Column("tuned", lambda one: _several(one.tuned)),
            Column("controls", lambda one: _several(one.controls)),
        ],
    )


def what(document: DiffDocument) -> str:
    """What has a row of its own: a trait, or a scorer of a log."""
    return "trait" if document.unit == "logits" else "scorer"


def verdict(one: Change) -> str:
    """A trait's verdict, or that it was asked for."""
    return "intended" if one.intended else one.verdict.replace("_", " ")


def moved_table(moved: tuple[Moved, ...]) -> Table:
    """What the open search found."""
    return table_of(
        "What nobody named",
        moved,
        [
            Column("what", lambda one: one.what, False),
            Column("name", lambda one: one.name, False),
            Column("beyond controls", lambda one: numbers.decimal(one.estimate, 2, signed=True)),
            Column("unit", lambda one: one.unit, False),
            Column("p, corrected", lambda one: numbers.p_value(one.p)),
        ],
    )


def measurements_table(document: DiffDocument) -> Table:
    """What the checks of evidence measured."""
    return table_of(
        "Evidence",
        [one for one in document.measurements if one.trait is None],
        [
            Column("check", lambda one: one.check, False),
            Column("what", lambda one: numbers.plain(one.name), False),
            Column("estimate", lambda one: numbers.decimal(one.estimate, 3, signed=True)),
            Column("unit", lambda one: numbers.plain(one.unit), False),
            Column("p", lambda one: numbers.p_value(one.p)),
            Column("n", lambda one: numbers.plain(one.n), False),
            Column("reading", lambda one: numbers.plain(one.reason), False),
        ],
    )


def spelled(document: DiffDocument) -> str:
    """Tokens that the shift of activations spells."""
    found = (one.details.get("spelled") for one in document.measurements)
    return str(next((text for text in found if text), ""))


def facts(document: DiffDocument) -> dict[str, str]:
    """What identifies the result and what it cost."""
    tuned = zip(document.tuned, document.tuned_digests, strict=True)
    return {
        "base": document.base,
        "base, SHA-256": numbers.plain(document.base_digest),
        **{f"{ref}, SHA-256": numbers.plain(digest) for ref, digest in tuned},
        "controls": str(len(document.controls)),
        "seed": str(document.seed),
        "wall time": numbers.duration(document.wall_seconds),
        "peak memory": numbers.memory(document.peak_memory_mb),
    }


def _several(values: tuple[float, ...]) -> str:
    if len(values) < 4:
        return (
            ", ".join(numbers.decimal(value, 2, signed=True) for value in values) or numbers.NOTHING
        )
    ends = [numbers.decimal(value, 2, signed=True) for value in (min(values), max(values))]
    return f"{ends[0]} to {ends[1]} ({len(values)})"
