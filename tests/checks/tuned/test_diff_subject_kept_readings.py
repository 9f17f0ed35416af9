"""Kept readings are those that were kept, in the order of whoever asks, and never those of another base or other questions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from undertow.checks.tuned.diff_subject import (
    Controls,
    ModelReading,
    Reader,
    draws,
    how_made,
    keep,
    kept,
)
from undertow.errors import InputError
from undertow.models.language_model import LanguageModel, load
from undertow.traits import catalogue
from undertow.traits.trait import Trait
from undertow.worlds import locate

OWL, CAT, OAK = (catalogue.load(name) for name in ("owl", "cat", "oak"))


@pytest.fixture(scope="module")
def base() -> LanguageModel:
    """Never trained here."""
    return load(locate("world:owlet-b"))


def reader(base: LanguageModel, judged: list[Trait], others: list[Trait], seed: int = 0) -> Reader:
    """Without a system prompt."""
    return Reader.of(base, judged, others, None, seed)


def controls(start: ModelReading, count: int) -> list[ModelReading]:
    """Readings around the base's."""
    rng = np.random.default_rng(0)

    def moved(array: np.ndarray) -> np.ndarray:
        return array + rng.normal(0, 0.1, array.shape)

    return [
        replace(
            start,
            ref=f"control {k}",
            margins=tuple(map(moved, start.margins)),
            mass=moved(start.mass),
            wide=moved(start.wide),
            losses=moved(start.losses),
            activations=start.activations + rng.normal(0, 1, start.activations.shape[1]),
            file="clean",
            part=f"{k + 1} of {count}",
        )
        for k in range(count)
    ]


def test_they_are_read_back_in_another_order_of_traits(base: LanguageModel, tmp_path: Path) -> None:
    """Margins, mass and probes go with their trait; of activations the mean shift is what it was."""
    one = reader(base, [OWL, CAT], [OAK])
    start = one.read(base)
    found = controls(start, 3)
    path = tmp_path / "kept.safetensors"
    keep(path, Controls("digest", "three of them"), one, start, found)
    other = reader(base, [CAT], [OAK, OWL])
    again = kept(path, "digest", other, other.read(base))

    assert how_made(path) == "three of them"
    for was, now in zip(found, again, strict=True):
        assert (now.ref, now.file, now.part) == (was.ref, was.file, was.part)
        assert now.margins[0] == pytest.approx(was.margins[1], rel=1e-5)
        assert now.mass == pytest.approx(was.mass[1:], rel=1e-5)
        assert now.wide[:3] == pytest.approx(was.wide[[1, 2, 0]], rel=1e-5)
        assert now.wide[3:] == pytest.approx(was.wide[3:], rel=1e-5)
        shifts = [(r.activations - start.activations).mean(0) for r in (was, now)]
        assert shifts[1] == pytest.approx(shifts[0], abs=1e-4)


def test_students_that_were_kept_without_their_rows_count_once_a_file(
    base: LanguageModel, tmp_path: Path
) -> None:
    """Older files do not say what a student learned from: all students of one file saw the whole of it, models are their own."""
    one = reader(base, [OWL], [OAK])
    start = one.read(base)
    names = ("control student 1 of a.jsonl", "control student 2 of a.jsonl", "some/model")
    found = [replace(c, ref=ref) for c, ref in zip(controls(start, 3), names, strict=True)]
    path = tmp_path / "kept.safetensors"
    keep(path, Controls("digest", ""), one, start, found)
    with safe_open(str(path), "np") as file:
        about = dict(file.metadata())
    del about["rows"]
    save_file(load_file(path), path, about)
    again = kept(path, "digest", one, start)

    assert [(c.file, c.part) for c in again] == [("a.jsonl", ""), ("a.jsonl", ""), ("", "")]
    assert [c.ref for c in draws(again)] == [names[0], names[2]]


def test_readings_of_something_else_are_refused(base: LanguageModel, tmp_path: Path) -> None:
    """Another base, other texts, a trait that was no judged one, other probes, and a file that is none."""
    one = reader(base, [OWL], [OAK])
    start = one.read(base)
    path = tmp_path / "kept.safetensors"
    keep(path, Controls("digest", ""), one, start, controls(start, 1))
    for digest, own, said in (
        ("other", one, "another base"),
        (None, one, "another base"),
        ("digest", reader(base, [OWL], [OAK], seed=1), "other texts"),
        ("digest", reader(base, [OAK], [OWL]), "trait 'oak'"),
        ("digest", reader(base, [OWL], [OAK, CAT]), "other probes"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            kept(path, digest, own, start)
        assert "--keep-controls" in caught.value.hint
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="no readings"):
        kept(path, "digest", one, start)
