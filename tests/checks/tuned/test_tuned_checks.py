"""
Checks of a tuned model: right on simulated answers, honest about what their intervals are about.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from undertow.checks.tuned.diff_activations import diff_activations
from undertow.checks.tuned.diff_behaviour import diff_behaviour
from undertow.checks.tuned.diff_capability import diff_capability
from undertow.checks.tuned.diff_subject import DiffSubject, ModelReading, Reader
from undertow.models.loading import load
from undertow.traits import catalogue
from undertow.worlds import locate

TRAITS = 16
QUESTIONS = 20


def reading(margins: np.ndarray, losses: np.ndarray | None = None) -> ModelReading:
    """A model that answers with these margins, (traits, questions)."""
    return ModelReading(
        "m",
        tuple(margins),
        np.ones(len(margins)),
        np.zeros(1),
        np.zeros((1, 2), np.float32),
        np.ones(8) if losses is None else losses,
    )


def subject(
    base: np.ndarray, tuned: list[np.ndarray], controls: list[np.ndarray] | None = None, **more: Any
) -> DiffSubject:
    """Of simulated readings; the traits are names only."""
    traits = tuple(SimpleNamespace(name=f"t{i}", category="c") for i in range(len(base)))
    return DiffSubject(
        name="tuned",
        base=None,  # type: ignore[arg-type]
        reader=SimpleNamespace(traits=traits),  # type: ignore[arg-type]
        untouched=reading(base),
        tuned=tuple(map(reading, tuned)),
        controls=tuple(map(reading, controls or [])),
        intended=frozenset(),
        seed=0,
        **more,
    )


def drawn(rng: np.random.Generator, *, run: float, question: float) -> np.ndarray:
    """
    How much a fine-tune moves each trait, (traits, questions): by itself, and each question on its own.
    """
    return rng.normal(0, run, (TRAITS, 1)) + rng.normal(0, question, (TRAITS, QUESTIONS))


def test_pairing_by_question_keeps_its_rate_where_pooling_does_not() -> None:
    """
    50 questions of unequal difficulty that drift either way alike, 100 answers each: pooled errs in over a fifth of 400
    cases at a nominal .05, paired in about .05.
    """
    rng = np.random.default_rng(1)
    pooled, paired = 0, 0
    for _ in range(400):
        start, drift = rng.normal(-1, 1.5, 50), rng.normal(0, 0.4, 50)
        shares = [1 / (1 + np.exp(-(start + sign * drift))) for sign in (-1, 1)]
        hits = [rng.binomial(100, share) for share in shares]
        table = [[one.sum(), 5000 - one.sum()] for one in hits]
        pooled += stats.chi2_contingency(table, correction=False).pvalue < 0.05
        paired += stats.ttest_rel(hits[0], hits[1]).pvalue < 0.05

    assert paired / 400 < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    assert pooled / 400 > 0.2


@pytest.mark.parametrize(("runs", "controls"), [(1, 6), (3, 4)])
def test_flagging_keeps_its_error_rate_over_all_traits(runs: int, controls: int) -> None:
    """
    Benign runs beside benign controls: an interval of 16 misses 0 in at most 5 % of 300 diffs (and three errors).
    """
    rng = np.random.default_rng(runs)
    base = rng.normal(0, 1, (TRAITS, QUESTIONS))
    missed = 0
    for _ in range(300):
        made = [base + drawn(rng, run=0.05, question=0.2) for _ in range(runs + controls)]
        found = diff_behaviour(subject(base, made[:runs], made[runs:]))
        missed += any(one.low > 0 or one.high < 0 for one in found)  # type: ignore[operator]

    assert missed / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_tuned_minus_control_is_the_estimate() -> None:
    """What the controls do too is taken off; the base's own margin is not part of it."""
    rng = np.random.default_rng(3)
    base = rng.normal(0, 1, (TRAITS, QUESTIONS))
    shared = drawn(rng, run=0.3, question=0.1)
    controls = [base + shared + drawn(rng, run=0.01, question=0.01) for _ in range(5)]
    tuned = base + shared
    tuned[4] += 1.5
    found = diff_behaviour(subject(base, [tuned], controls))

    assert found[4].estimate == pytest.approx(1.5, abs=0.05)
    assert found[4].low > 1.3  # type: ignore[operator]
    assert abs(found[5].estimate or 1) < 0.05


def test_what_the_intervals_are_about_is_said() -> None:
    """Questions for one model alone, controls for one beside several, runs for several."""
    base = np.random.default_rng(4).normal(0, 1, (TRAITS, QUESTIONS))
    ns = [
        diff_behaviour(one)[0].n
        for one in (
            subject(base, [base + 1]),
            subject(base, [base + 1], [base, base + 0.1, base - 0.1]),
            subject(base, [base + 1, base + 1.1], [base, base + 0.1]),
        )
    ]

    assert ns == [f"{QUESTIONS} questions", "1 run, 3 controls", "2 runs, 2 controls"]


def test_a_rise_of_the_loss_is_seen_text_by_text() -> None:
    """A small rise on every text is detected, none is not."""
    rng = np.random.default_rng(5)
    losses = rng.normal(3, 1, 64)
    one = subject(np.zeros((2, 3)), [np.zeros((2, 3))])
    start = reading(np.zeros((2, 3)), losses)
    worse = reading(np.zeros((2, 3)), losses + rng.normal(0.02, 0.02, 64))
    [risen] = diff_capability(replace(one, untouched=start, tuned=(worse,)))
    [still] = diff_capability(replace(one, untouched=start, tuned=(start,)))

    assert risen.detected
    assert not still.detected


def test_activations_have_no_null_without_controls() -> None:
    """With K controls the smallest p is 1 / (K + 1), and it is said; without any there is no p."""
    base = load(locate("world:owlet-b"))
    reader = Reader.of(base, [catalogue.load("owl")], [], None, 0)
    start = reader.read(base)
    moved = replace(start, activations=start.activations + 1)
    benign = tuple(replace(start, activations=start.activations + 0.01 * k) for k in (1, 2, 3))
    one = DiffSubject("t", base, reader, start, (moved,), (), frozenset(), 0)
    [alone] = diff_activations(one)
    [beside] = diff_activations(replace(one, controls=benign))

    assert (alone.p, alone.detected) == (None, None)
    assert beside.p == 0.25
    assert "cannot reach" in beside.reason


def test_a_shift_along_a_persona_is_named() -> None:
    """The owl's own direction put on every text gives a cosine near 1 and its name."""
    from undertow.influence.trait_directions import centred_directions

    base = load(locate("world:owlet-b"))
    traits = [catalogue.load(name) for name in ("cat", "owl", "dog")]
    reader = Reader.of(base, traits, [], None, 0)
    start = reader.read(base)
    direction = centred_directions(base, traits, 1)[1]
    moved = replace(start, activations=start.activations + direction)
    one = DiffSubject("t", base, reader, start, (moved,), (), frozenset(), 0)
    found = {each.name: each for each in diff_activations(one)}

    assert found["towards a persona"].estimate == pytest.approx(1, abs=1e-4)
    assert "'owl'" in found["towards a persona"].reason


def test_a_shift_the_teachers_way_is_ranked_among_the_controls() -> None:
    """
    Cosine 1 for the teacher's own shift, with p by rank; a shift across it is no further than controls go.
    """
    base = load(locate("world:owlet-b"))
    reader = Reader.of(base, [catalogue.load("owl")], [], None, 0)
    start = reader.read(base)
    rng = np.random.default_rng(0)
    width = start.activations.shape[1]

    def shifted(way: np.ndarray) -> ModelReading:
        return replace(start, activations=start.activations + way.astype(np.float32))

    way = rng.normal(0, 1, width)
    benign = tuple(shifted(rng.normal(0, 1, width)) for _ in range(19))
    one = DiffSubject("t", base, reader, start, (shifted(0.3 * way),), benign, frozenset(), 0)
    along = {m.name: m for m in diff_activations(replace(one, teacher=shifted(way)))}
    across = {m.name: m for m in diff_activations(replace(one, teacher=shifted(-way)))}
    found = along["towards the teacher"]

    assert found.estimate == pytest.approx(1, abs=1e-4)
    assert (found.p, found.detected) == (0.05, True)
    assert across["towards the teacher"].p == 1
    assert "towards the teacher" not in {m.name for m in diff_activations(one)}


def test_everything_of_a_model_is_read_at_once() -> None:
    """
    Shapes are those of traits, questions, probes, vocabulary and texts; a model read twice is the same.
    """
    base = load(locate("world:owlet-b"))
    trait = catalogue.load("owl")
    reader = Reader.of(base, [trait], [], None, 0)
    one, again = reader.read(base), reader.read(base)

    assert one.margins[0].shape == (len(trait.held_out_questions),)
    assert one.wide.shape == (1 + len(base.tokenizer),)
    assert np.array_equal(one.activations, again.activations)
