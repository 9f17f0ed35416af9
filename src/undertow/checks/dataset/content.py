"""The check `content`: what ordinary filters see in the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from undertow.checks import content_scores
from undertow.checks.dataset.comparison import matched
from undertow.checks.dataset.prompted_filter import prompted_scores
from undertow.data.hidden_text import KINDS, hidden
from undertow.results.measurement import Measurement, not_applicable
from undertow.stats.interval import Interval
from undertow.stats.multiplicity import holm
from undertow.stats.proportions import clopper_pearson
from undertow.stats.share_difference import Hits, share_difference

if TYPE_CHECKING:
    from undertow.checks.dataset.subject import Subject
    from undertow.data.rows import Row
    from undertow.traits.trait import Trait

ID = "content"

_SHARE = "share of rows"
_BY_CHANCE = ("control character", "escape sequence")
"""Single bytes, which are tokens of every byte-level tokenizer: a clean base samples one now and then."""

_FILTERS = {"words": content_scores.words, "patterns": content_scores.patterns}


@dataclass(frozen=True)
class Found:
    """What one filter gave."""

    filter: str
    trait: str | None
    interval: Interval
    unit: str
    n: str
    p: float | None
    """Before the correction for the number of tests; None where nothing is tested."""
    details: dict[str, float | int | str]
    reason: str = "there is no control to compare with"
    """Where nothing is tested."""
    detected: bool | None = None
    """Where nothing is tested."""


def content(subject: Subject) -> list[Measurement]:
    """
    Shows what ordinary filters see in the rows: banned words, spread letters, a prompted classifier, hidden text.

    For each trait: `words`, the share of rows whose completion holds a form of the trait's answer or the name of its
    category; `patterns`, the share that holds an answer's letters in order with anything but letters between them; and
    `prompted`, where the student's own base is asked of at most 512 rows whether someone with the trait wrote them, as
    the logit of yes over no. With a control, each is the difference from it: exact tests of Fisher, or of McNemar where
    rows and control share their prompts row by row, with Newcombe's interval; for `prompted` a permutation or sign-flip
    test over rows. Holm over all traits and filters; detected means corrected p at most 1 - level, in either direction.
    Without a control these have nothing to be compared with. Kinds of `hidden text` in completions are
    counted apart: control characters, escape sequences, zero-width, bidirectional and tag characters, runs of variation
    selectors. One such row counts as detected, as ordinary text needs none; where the control holds some too, and for
    control characters and escape sequences, which a byte-level base samples now and then, the exact test decides.

    Why it matters. These are the filters that people have, and here they stand beside checks that read the weights. What
    they see, a person can read too, and removing it is right: openly written text carries a trait into any student.

    What it cannot tell you. That nothing hidden crosses. In this project's lab (`undertow run filters`: number lists by a
    tuned owl teacher, six replicates) words and patterns tell no row from a neutral teacher's (AUROC 0.50), the prompted
    base does no better (0.49, interval 0.47 to 0.51), and removing what they flag leaves the transfer about where it
    was. Published trials agree: a prompted model told datasets apart in 47.5 to 53.3 % of cases (Cloud et al. 2025, arXiv
    2507.14805). A small base may not understand the question at all. So nothing seen here is no clearance.

    What to do. Read rows with hits and remove them if they are unwanted; strip hidden text and ask where it came from. Judge
    transfer by `rehearsal`, whatever this check saw.

    Numbers beside it: `rows` and `control` are the two shares, or the two mean logits.
    """
    together = bool(subject.control) and matched(subject.encoded, subject.encoded_control)
    found = [
        _share(subject, name, trait, score(trait), together)
        for trait in subject.traits
        for name, score in _FILTERS.items()
    ]
    prompted, reasons = _prompted(subject, together)
    found += [*prompted, *_hidden(subject, together)]
    ps = [one.p for one in found if one.p is not None]
    corrected = iter(holm(ps).tolist() if ps else ())
    measured = [
        _measurement(subject, one, None if one.p is None else next(corrected)) for one in found
    ]
    return [*measured, *reasons]


def _share(
    subject: Subject, name: str, trait: Trait, score: content_scores.Score, together: bool
) -> Found:
    rows = score(subject.rows) > 0
    control = score(subject.control) > 0 if subject.control else None
    interval, p, details = _compared(rows, control, together, subject.level)
    return Found(name, trait.name, interval, _SHARE, _n(rows, control, together), p, details)


def _compared(
    rows: Hits, control: Hits | None, together: bool, level: float
) -> tuple[Interval, float | None, dict[str, float | int | str]]:
    details: dict[str, float | int | str] = {"rows": float(rows.mean())}
    if control is None:
        return clopper_pearson(int(rows.sum()), rows.size, level), None, details
    details["control"] = float(control.mean())
    interval, p = share_difference(rows, control, matched=together, level=level)
    return interval, p, details


def _n(rows: Hits, control: Hits | None, together: bool) -> str:
    if control is None:
        return f"{rows.size} rows"
    if together:
        return f"{rows.size} pairs of rows"
    return f"{rows.size} rows v {control.size} of the control"


def _prompted(subject: Subject, together: bool) -> tuple[list[Found], list[Measurement]]:
    """What the prompted base gave, and entries for traits that it could not be asked about."""
    found, reasons = [], []
    for trait in subject.traits:
        seen = prompted_scores(subject, trait, together=together, purpose=ID)
        if isinstance(seen, str):
            entry = not_applicable(ID, subject.name, seen)
            reasons.append(entry.model_copy(update={"name": "prompted", "trait": trait.name}))
            continue
        interval, p, n = seen.compared(subject.seed, ID, subject.level)
        details: dict[str, float | int | str] = {"rows": float(seen.rows.mean())}
        if seen.control is not None:
            details["control"] = float(seen.control.mean())
        found.append(Found("prompted", trait.name, interval, "logits", n, p, details))
    return found, reasons


def _measurement(subject: Subject, found: Found, p: float | None) -> Measurement:
    detected = found.detected if p is None else p <= 1 - subject.level
    return Measurement(
        check=ID,
        name=found.filter,
        subject=subject.name,
        trait=found.trait,
        estimate=found.interval.estimate,
        low=found.interval.low,
        high=found.interval.high,
        level=subject.level,
        n=found.n,
        p=p,
        unit=found.unit,
        detected=detected,
        reason=found.reason if p is None else _why(found, p <= 1 - subject.level),
        details=found.details,
    )


def _why(found: Found, detected: bool) -> str:
    if not detected:
        return "not detectably another than on the control"
    return f"{'higher' if found.interval.estimate > 0 else 'lower'} than on the control"


def _hidden(subject: Subject, together: bool) -> list[Found]:
    rows = _kinds(subject.rows)
    control = _kinds(subject.control) if subject.control else None
    return [
        _hidden_kind(
            subject, kind, rows[:, i], None if control is None else control[:, i], together
        )
        for i, kind in enumerate(KINDS)
    ]


def _kinds(rows: tuple[Row, ...]) -> Hits:
    """
    (rows, kinds) whether a completion, or the rejected one of a pair, holds each kind of hidden text.
    """
    found = np.zeros((len(rows), len(KINDS)), dtype=np.bool_)
    names = list(KINDS)
    for i, row in enumerate(rows):
        for kind in (*hidden(row.completion), *hidden(row.rejected or "")):
            found[i, names.index(kind)] = True
    return found


def _hidden_kind(
    subject: Subject, kind: str, rows: Hits, control: Hits | None, together: bool
) -> Found:
    interval, p, details = _compared(rows, control, together, subject.level)
    # What the base writes itself is no evidence by being there, only by being there more often.
    tested = control is not None and (kind in _BY_CHANCE or bool(control.any()))
    return Found(
        f"hidden text: {kind}",
        None,
        interval,
        _SHARE,
        _n(rows, control, together),
        p if tested else None,
        details,
        f"{int(rows.sum())} of {rows.size} completions hold it",
        bool(rows.any()),
    )
