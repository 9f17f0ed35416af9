"""The check sees rows that the base would not write, names tokens and orders traits, and keeps quiet on clean rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened, subject, written
from undertow.checks.dataset.activations import Spelling, activations, projections, spelling_of
from undertow.checks.dataset.scan_subject import RowsAndControl
from undertow.models.teachers import centred_directions
from undertow.results.measurement import Measurement
from undertow.stats.two_sample import Vectors, rearranged_differences

CLEAN = written(opened(), 128, 2)
ABOUT_OWLS = tuple(
    replace(row, completion=("I like owls best.", "An owl eats mice.")[i % 2])
    for i, row in enumerate(CLEAN)
)


@pytest.fixture(scope="module")
def seen() -> list[Measurement]:
    """What the check finds in rows that speak of owls."""
    return activations(subject(ABOUT_OWLS, control=CLEAN))


def test_rows_about_something_else_are_detected(seen: list[Measurement]) -> None:
    """All three tests see that the rows are not the control's."""
    tested = [one for one in seen if one.detected is not None]

    assert [one.name for one in tested] == ["middle layer", "last layer", "spelled tokens"]
    assert all(one.detected for one in tested)
    assert all(one.estimate > one.limit for one in tested if one.estimate and one.limit)


def test_traits_are_ordered_and_never_detected(seen: list[Measurement]) -> None:
    """Each trait has a projection with an interval and a rank, and none counts as a detection."""
    projected = [one for one in seen if one.name == "projection"]

    assert [one.trait for one in projected] == [trait.name for trait in TRAITS]
    assert sorted(int(one.details["rank"]) for one in projected) == [1, 2, 3]
    assert all(one.detected is None and one.low is not None for one in projected)


def test_eight_tokens_are_named_with_their_scores(seen: list[Measurement]) -> None:
    """The tokens that the shift raises most stand in the details, each with logits and z."""
    tokens = next(one.details for one in seen if one.name == "spelled tokens")

    assert len(tokens) == 8
    assert all("logits, z" in str(value) for value in tokens.values())


@pytest.mark.parametrize("prompts", [0, 1])
def test_clean_rows_are_not_detected(prompts: int) -> None:
    """The base's own rows against its own control, on the same prompts or on others: nothing."""
    rows = written(opened(), 128, 4, prompts=prompts)
    found = activations(subject(rows, control=CLEAN, traits=()))

    assert [one.detected for one in found] == [False, False, False]
    assert all(one.verdict is None for one in found)


def test_the_same_seed_finds_the_same() -> None:
    """Nothing but the subject's seed decides the rearrangements."""
    made = subject(ABOUT_OWLS[:32], control=CLEAN[:32], traits=())

    assert activations(made) == activations(made)


def test_without_a_control_there_is_nothing_to_compare() -> None:
    """No control, no shift: not applicable."""
    (found,) = activations(subject(CLEAN))

    assert found.verdict == "not_applicable"
    assert "no control" in found.reason


def test_another_architecture_is_read_by_the_same_code() -> None:
    """GPT-NeoX has other names for its layers, its norm and its head, and a norm with a bias."""
    neox = opened("world:owlet-neox")
    found = activations(subject(ABOUT_OWLS, control=CLEAN, student=neox))

    assert all(one.detected for one in found if one.detected is not None)
    assert "no final norm" not in " ".join(one.reason for one in found)


def read(one: Vectors, other: Vectors, seed: int = 0) -> Spelling:
    """The spelling of the difference of two sets of activations."""
    rng = np.random.default_rng(seed)
    found = rearranged_differences(one, other, matched=False, count=399, rng=rng)
    return spelling_of(opened(), found, one, other)


def noise(count: int, seed: int) -> Vectors:
    """Activations around a common one."""
    rng = np.random.default_rng(seed)
    width = opened().network.config.hidden_size
    return (1 + rng.standard_normal((count, width))).astype(np.float32)


def test_a_shift_along_a_tokens_row_spells_the_token() -> None:
    """Moving every activation along one row of the centred unembedding names that token first."""
    table = opened().network.get_output_embeddings().weight.detach().numpy()
    (token,) = opened().tokenizer("owl", add_special_tokens=False)["input_ids"]
    along = table[token] - table.mean(0)
    found = read(noise(60, 1) + np.float32(2) * along / np.linalg.norm(along), noise(60, 2))

    assert next(iter(found.tokens)).startswith("token 'owl'")
    assert found.p == 1 / 400
    assert found.largest > found.quantile(0.95)


def test_chance_is_kept() -> None:
    """Without a shift the observed maximum is no more often extreme than it says."""
    ps = [read(noise(20, 2 * i), noise(20, 2 * i + 1), seed=i).p for i in range(60)]

    # 60 tests at .05: 3 expected, sd 1.7.
    assert sum(p <= 0.05 for p in ps) <= 8
    assert np.mean(ps) > 0.35


def test_a_shift_by_a_traits_own_direction_is_one() -> None:
    """Rows moved by exactly the owl's direction have projection 1 on it, and it ranks first."""
    made = subject(written(opened(), 32, 1))
    directions = centred_directions(opened(), TRAITS, 0)
    control = np.random.default_rng(0).standard_normal((32, directions.shape[1]))
    still = control.astype(np.float32)
    found = projections(
        "activations", made, RowsAndControl((), (), True), still + directions[0], still
    )

    assert found[0].estimate == pytest.approx(1, abs=1e-4)
    assert found[0].details["rank"] == 1
    assert all((one.p or 0) <= 3 * 2**-15 for one in found)
