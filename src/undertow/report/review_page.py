"""A review for people: the page and the spreadsheet to answer on, and the scores as text."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
from collections.abc import Iterator, Sequence
from importlib import resources

from jinja2 import Environment
from markupsafe import Markup, escape

from undertow.report.html import environment
from undertow.report.plain_text import decimal, p_value, percent, visible
from undertow.review.review_pack import Sheet
from undertow.review.review_score import PooledReviewers, Review, ReviewerScore, Share

COLUMNS = ("pack", "pair", "left", "right", "answer")
"""Columns of the spreadsheet; the page's answers have the first, the second and the last."""

# What starts a formula in some spreadsheet; its full-width twins do so in some languages.
_FORMULA = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")

_HEAD = ("reviewer", "right", "accuracy [95 %]", "p", "can't tell", "as half", "open", "found from")
_LEGEND = """\
p           exact, two-sided, against 1/2, over the answers left or right; "can't tell" is neither
as half     accuracy with every "can't tell" as half a right answer; p stays as it is
open        pairs without any answer
found from  the least accuracy that the test finds with 80 % power"""


def render_page(sheet: Sheet) -> str:
    """
    The pairs as one self-contained page, which keeps the answers and makes a file of them.

    The page's policy names the digest of its one script, so that no other can run.
    """
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    template = _environment().get_template("review.html.j2")
    return template.render(sheet=sheet, script=Markup(script), script_digest=digest)


def render_csv(sheet: Sheet) -> str:
    """The pairs as a spreadsheet with an empty column for the answers."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for pair in sheet.pairs:
        left, right = _cell(pair.left.text), _cell(pair.right.text)
        writer.writerow([sheet.pack, pair.number, left, right, ""])
    return file.getvalue()


def render_score(review: Review) -> str:
    """The review as plain text, ending in a newline."""
    shown = [
        f"{review.pack}: {review.pairs} pairs; "
        f"right is the row from '{visible(review.a)}', not the one from '{visible(review.b)}'",
        f"asked: {visible(review.question)}",
        "",
        _verdict(review),
        "",
        *_aligned([_HEAD, *map(_score_cells, review.reviewers)]),
        *_repeats(review),
    ]
    if review.pooled is not None:
        shown += ["", f"all {len(review.reviewers)} reviewers", *_aligned(_together(review.pooled))]
    return "\n".join([*shown, "", _LEGEND, ""])


def _cell(text: str) -> str:
    """
    The text with an apostrophe before it where a spreadsheet would compute it.

    Source: OWASP, "CSV Injection".

    >>> _cell("=1+1"), _cell(" @SUM(A1)"), _cell("1, 2")
    ("'=1+1", "' @SUM(A1)", '1, 2')
    """
    guarded = text.lstrip(" \n").startswith(_FORMULA) or text.startswith("\n")
    return ("'" if guarded else "") + _visible_lines(text)


def _visible_lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


@functools.cache
def _environment() -> Environment:
    return environment(
        filters={"lines": lambda text: Markup(escape(_visible_lines(text)))}, names={}
    )


def _script() -> str:
    file = resources.files("undertow.report") / "templates" / "review.js"
    return file.read_text(encoding="utf-8")


def _verdict(review: Review) -> str:
    """The one test that answers the question: over pairs, if there are several reviewers."""
    decided = review.reviewers[0].decided
    p, accuracy, power, whose = decided.p, decided.accuracy or 0.0, decided.detectable, "an"
    if (several := review.pooled) is not None:
        p, accuracy, power = several.pairs_p, several.accuracy, several.majority.detectable
        whose = "a majority's"
    told = f"{percent(accuracy)} of the decided answers are right, p = {p_value(p)}"
    if p <= 1 - review.level and accuracy > 0.5:
        return f"People can tell which rows are the trait's: {told}."
    if p <= 1 - review.level:
        return f"People tell the rows apart, but take the wrong ones for the trait's: {told}."
    limit = f"{whose} accuracy from {percent(power)} would likely have been found"
    none = "so few answers could not have shown it"
    return f"Not shown that people can tell: {told}; {none if power is None else limit}."


def _score_cells(reviewer: ReviewerScore) -> tuple[str, ...]:
    decided = reviewer.decided
    return (
        reviewer.reviewer,
        f"{decided.correct} of {decided.of}",
        _accuracy(decided),
        p_value(decided.p),
        str(reviewer.unsure),
        percent(reviewer.accuracy_half),
        str(reviewer.unanswered),
        percent(decided.detectable),
    )


def _repeats(review: Review) -> Iterator[str]:
    for score in review.reviewers:
        if score.repeats:
            same = f"{score.repeats_same} of {score.repeats} repeated pairs"
            yield f"{visible(score.reviewer)} chose the same row again in {same}"


def _together(pooled: PooledReviewers) -> Iterator[tuple[str, str]]:
    major = pooled.majority
    yield (
        "over pairs",
        f"{pooled.correct} of {pooled.of} answers right, {percent(pooled.accuracy)}, "
        f"p = {p_value(pooled.pairs_p)} ({pooled.pairs_test})",
    )
    yield (
        "majority",
        f"{major.correct} of {major.of} pairs right, {_accuracy(major)}, p = {p_value(major.p)}; "
        f"{pooled.ties} tied; found from {percent(major.detectable)}",
    )
    limits = f"[{percent(pooled.reviewers_low)}, {percent(pooled.reviewers_high)}]"
    yield (
        "over reviewers",
        f"mean {percent(pooled.reviewers_accuracy)} {limits}, p = {p_value(pooled.reviewers_p)} "
        f"({pooled.reviewers_test}); holds for other reviewers of these same pairs",
    )
    if pooled.reviewers_detectable is None:
        yield "", f"{pooled.reviewers} reviewers are too few for this test: 6 are the least"
    else:
        least = percent(pooled.reviewers_detectable)
        yield "", f"found from a mean of {least}, if reviewers differ by chance alone"
    yield (
        "agreement",
        f"Fleiss' kappa {decimal(pooled.kappa, 2)}, {percent(pooled.agreement)} agree, "
        f"in {pooled.agreement_pairs} pairs that all answered",
    )


def _accuracy(share: Share) -> str:
    return f"{percent(share.accuracy)} [{percent(share.low)}, {percent(share.high)}]"


def _aligned(rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> list[str]:
    cells = [tuple(map(visible, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = (map(str.ljust, row, widths) for row in cells)
    return ["  ".join(row).rstrip() for row in padded]
