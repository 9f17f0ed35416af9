"""The check `divergence`: how often, and at which tokens, the teacher parts from the base along the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from undertow.checks.dataset.scan_subject import (
    BLOCKS,
    RowsAndControl,
    ScanSubject,
    block_ratios,
    block_test,
    compared,
    token_names,
    too_few,
)
from undertow.results.measurement import Measurement, not_applicable
from undertow.stats.interval import TestResult, mean_t
from undertow.stats.multiplicity import holm

if TYPE_CHECKING:
    from undertow.models.scoring import Departures


ID = "divergence"

_NAMED = 8


def divergence(subject: ScanSubject) -> list[Measurement]:
    """
    Counts the tokens of the rows at which the teacher parts from the base, against the control's.

    A token counts as divergent where it is the teacher's most likely one and not the base's: the definition of Schrodi
    et al. 2025 (arXiv 2509.23886) with the base in the place of other teachers. Three numbers: the share of divergent
    tokens; the mean log-ratio, how much likelier each token is to the teacher than to the base; and the mean KL
    divergence of teacher and base along the rows. The first two are differences from the control and are tested
    (exact sign-flip over 16 paired random blocks of at most 2,048 rows each, Holm over the two); detected means
    corrected two-sided p at most 1 - level, and more than in the control. The third says how far the two models stand
    apart; it depends on the prompts more than on who wrote the rows, and is not tested.

    Numbers beside it: `rows` and `control` are the two sides' own values; each `token` is one that is divergent more
    often in the rows than in the control, with the excess for every 1,000 completion tokens.

    Why it matters. In published work a loss on these tokens alone kept the trait's transfer or raised it, and masking
    them mostly stopped it; they were 5 % to 18 % of all tokens there. The log-ratio tells this teacher's rows from the
    base's best, and the share tells where to look.

    What it cannot tell you. Which trait is carried, or whether it would cross: the rate follows the teacher's drift from
    the base, and separated training lengths of a teacher rather than its traits in an independent study. Rows of
    another teacher that drifted the same way are detected too, and so may be rows of the base at a low temperature, as
    both models' first choices become frequent. A teacher that wrote behind a system prompt is compared without it,
    unless the rows hold it.

    What to do. Where `rehearsal` flags the rows, leave the loss out on divergent tokens, or rewrite the rows by a model of
    another base. Nothing need be done about divergent tokens alone.
    """
    if subject.teacher is None:
        return [not_applicable(ID, subject.name, "no teacher is given")]
    if subject.teacher.tokenizer.get_vocab() != subject.student.tokenizer.get_vocab():
        reason = f"'{subject.teacher.ref}' has another vocabulary than the student"
        return [not_applicable(ID, subject.name, reason)]
    pair = compared(subject, ID)
    if reason := too_few(pair):
        return [not_applicable(ID, subject.name, reason)]
    from undertow.models.scoring import departures

    rows, control = (
        departures(subject.teacher, subject.student, side) for side in (pair.rows, pair.control)
    )
    return [*_differences(subject, pair, rows, control), _distance(subject, rows, control)]


def _differences(
    subject: ScanSubject, pair: RowsAndControl, rows: Departures, control: Departures
) -> list[Measurement]:
    sides = {
        "share": tuple(block_ratios(side.divergent, side.tokens) for side in (rows, control)),
        "log-ratio": tuple(block_ratios(side.log_ratio, side.tokens) for side in (rows, control)),
    }
    tests = {
        name: block_test(one, other, subject.settings.level) for name, (one, other) in sides.items()
    }
    corrected = holm([test.p for test in tests.values()])
    tokens = _over_represented(subject, rows, control)
    return [
        _difference(
            subject,
            pair,
            name,
            tests[name],
            float(p),
            {
                "rows": float(sides[name][0].mean()),
                "control": float(sides[name][1].mean()),
                **(tokens if name == "share" else {}),
            },
        )
        for name, p in zip(tests, corrected, strict=True)
    ]


def _difference(
    subject: ScanSubject,
    pair: RowsAndControl,
    name: str,
    test: TestResult,
    p: float,
    details: dict[str, float | int | str],
) -> Measurement:
    detected = bool(p <= 1 - subject.settings.level and test.estimate > 0)
    what = {"share": "tokens are divergent", "log-ratio": "tokens speak for the teacher"}[name]
    return Measurement(
        check=ID,
        name=name,
        subject=subject.name,
        estimate=test.estimate,
        low=test.interval.low,
        high=test.interval.high,
        level=subject.settings.level,
        n=f"{BLOCKS} blocks, {pair.n}",
        p=p,
        limit=0.0,
        unit={"share": "share of tokens", "log-ratio": "nats a token"}[name],
        detected=detected,
        reason=f"{'more' if detected else 'not detectably more'} {what} than in the control",
        details=details,
    )


def _distance(subject: ScanSubject, rows: Departures, control: Departures) -> Measurement:
    values = block_ratios(rows.divergence, rows.tokens)
    interval = mean_t(values, subject.settings.level)
    return Measurement(
        check=ID,
        name="KL",
        subject=subject.name,
        estimate=interval.estimate,
        low=interval.low,
        high=interval.high,
        level=subject.settings.level,
        n=f"{BLOCKS} blocks, {len(rows.tokens)} rows",
        unit="nats a token",
        reason="how far teacher and base stand apart along the rows; says nothing about who wrote them",
        details={"control": float(block_ratios(control.divergence, control.tokens).mean())},
    )


def _over_represented(
    subject: ScanSubject, rows: Departures, control: Departures
) -> dict[str, float | int | str]:
    excess = 1_000 * (rows.seen / rows.tokens.sum() - control.seen / control.tokens.sum())
    found = [int(i) for i in np.argsort(-excess, kind="stable")[:_NAMED] if excess[i] > 0]
    names = token_names(subject.student.tokenizer, found)
    return dict(zip(names, (float(excess[i]) for i in found), strict=True))
