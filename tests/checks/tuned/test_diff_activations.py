"""Shifts of activations: their null, and which way they go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from undertow.checks.tuned.diff_activations import diff_activations
from undertow.checks.tuned.diff_subject import DiffSubject, ModelReading, Reader
from undertow.models.language_model import load
from undertow.traits import catalogue
from undertow.worlds import locate


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
    from undertow.models.teachers import centred_directions

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
    """Cosine 1 for the teacher's own shift, with p by rank; a shift across it is no further than controls go."""
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
