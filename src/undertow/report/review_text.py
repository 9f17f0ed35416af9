"""The scores of a review as text: the verdict, each reviewer, and all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from undertow.filters.review_pooled import Pooled
from undertow.filters.review_score import Review, ReviewerScore
from undertow.filters.review_share import Share
from undertow.report.numbers import decimal, p_value, percent
from undertow.report.visible import visible

_HEAD = ("reviewer", "right", "accuracy [95 %]", "p", "can't tell", "as half", "open", "found from")
_LEGEND = """\
p           exact, two-sided, against 1/2, over the answers left or right; "can't tell" is neither
as half     accuracy with every "can't tell" as half a right answer; p stays as it is
open        pairs without any answer
found from  the least accuracy that the test finds with 80 % power"""


def render_score(review: Review) -> str:
    """The review as plain text, ending in a newline."""
    shown = [
        f"{review.pack}: {review.pairs} pairs; "
        f"right is the row from '{visible(review.a)}', not the one from '{visible(review.b)}'",
        f"asked: {visible(review.question)}",
        "",
        _verdict(review),
        "",
        *_aligned([_HEAD, *map(_cells, review.reviewers)]),
        *_repeats(review),
    ]
    if review.pooled is not None:
        shown += ["", f"all {len(review.reviewers)} reviewers", *_aligned(_together(review.pooled))]
    return "\n".join([*shown, "", _LEGEND, ""])


def _verdict(review: Review) -> str:
    """The one test that answers the question: over pairs, if there are several reviewers."""
    one = review.reviewers[0].decided
    p, accuracy, power, whose = one.p, one.accuracy or 0.0, one.detectable, "an"
    if (several := review.pooled) is not None:
        p, accuracy, power = several.pairs_p, several.accuracy, several.majority.detectable
        whose = "a majority's"
    found = f"{percent(accuracy)} of the decided answers are right, p = {p_value(p)}"
    if p <= 1 - review.level and accuracy > 0.5:
        return f"People can tell which rows are the trait's: {found}."
    if p <= 1 - review.level:
        return f"People tell the rows apart, but take the wrong ones for the trait's: {found}."
    limit = f"{whose} accuracy from {percent(power)} would likely have been found"
    none = "so few answers could not have shown it"
    return f"Not shown that people can tell: {found}; {none if power is None else limit}."


def _cells(reviewer: ReviewerScore) -> tuple[str, ...]:
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
    for each in review.reviewers:
        if each.repeats:
            same = f"{each.repeats_same} of {each.repeats} repeated pairs"
            yield f"{visible(each.reviewer)} chose the same row again in {same}"


def _together(pooled: Pooled) -> Iterator[tuple[str, str]]:
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
