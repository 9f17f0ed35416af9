"""The open search: what moved is found under its own name, chance is not, and few runs are treated as few."""

from __future__ import annotations

import numpy as np
import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened
from undertow.data.seeds import generator
from undertow.influence import open_search as searching
from undertow.influence.open_search import Looked, corrected, looked_at, open_search, other_traits
from undertow.influence.probes import Readout
from undertow.stats import holm
from undertow.stats.multiplicity import moderated_t
from undertow.traits import catalogue


def looked(
    seed: int,
    *,
    runs: tuple[int, int] = (5, 5),
    items: int = 200,
    tail: float | None = None,
    shared: float = 0.0,
    what: str = "probe",
    scale: float = 0.1,
) -> Looked:
    """Runs without any effect: items of unequal scale; `shared` of the variance in three common factors, t of `tail`."""
    rng = np.random.default_rng(seed)
    loads = rng.normal(size=(3, items)) / np.sqrt(3)
    scales = scale * np.exp(0.5 * rng.normal(size=items))

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) if tail is None else rng.standard_t(tail, size=shape)

    total = sum(runs)
    values = np.sqrt(shared) * drawn(total, 3) @ loads + np.sqrt(1 - shared) * drawn(total, items)
    values *= scales
    names = tuple(f"{what} {i}" for i in range(items))
    return Looked(what, names, values[: runs[0]], values[runs[0] :])  # type: ignore[arg-type]


def search(groups: list[Looked], **options: float) -> list[str]:
    """Names of what was found."""
    found = open_search(groups, "all", generator(0, "open-search"), **options)  # type: ignore[arg-type]
    return [entry.name for entry in found]


def test_what_moved_is_found_with_its_size_and_its_p() -> None:
    """One probe of 200 that moved by 2 logits in every run of 5; p is the least that 5 v 5 runs give."""
    group = looked(1)
    group.moved[:, 17] += 2
    (entry,) = open_search([group], "web", generator(0, "open-search"))

    assert (entry.subject, entry.what, entry.name, entry.unit) == (
        "web",
        "probe",
        "probe 17",
        "logits",
    )
    assert entry.estimate == pytest.approx(group.moved[:, 17].mean() - group.placebo[:, 17].mean())
    assert entry.p == pytest.approx(2 / 252)


def test_what_fell_is_found_too() -> None:
    """A token that became less likely; each kind has half of the error rate."""
    probes, tokens = looked(1), looked(2, what="token", scale=3.0, items=500)
    tokens.moved[:, 3] -= 60

    assert search([probes, tokens]) == ["token 3"]


def test_kinds_of_other_scale_do_not_hide_each_other() -> None:
    """Each kind has a scale and an error rate of its own, so that noisy tokens leave quiet probes their power."""
    probes, tokens = looked(1), looked(2, what="token", scale=30.0)
    probes.moved[:, 5] += 2

    assert search([probes, tokens]) == ["probe 5"]


def test_the_surest_come_first_and_no_more_than_asked_for() -> None:
    """A run of findings is cut, the largest statistics kept."""
    group = looked(4)
    group.moved[:, :30] += np.linspace(40, 2, 30) * group.moved[:, :30].std(0) + 3

    assert len(search([group], most=5)) == 5
    assert search([group], most=5) == search([group], most=10)[:5]


def test_three_runs_are_corrected_by_holm_on_the_moderated_t() -> None:
    """No split of 3 v 3 runs has p below .1, so the t distribution must be trusted."""
    group = looked(6, runs=(3, 3))
    group.moved[:, 8] += 3
    test = moderated_t(group.moved, group.placebo)
    p, strength = corrected(group, 1, generator(0, "open-search"), 0.95)

    assert p.tolist() == holm(test.p).tolist()
    assert strength.tolist() == np.abs(test.t).tolist()
    assert search([group]) == ["probe 8"]


@pytest.mark.parametrize(
    ("runs", "tail", "shared", "most"),
    [
        ((4, 4), None, 0.0, 0.05),
        ((5, 5), 3.0, 0.8, 0.05),
        ((3, 3), None, 0.0, 0.06),
        ((3, 3), 3.0, 0.0, 0.06),
        ((3, 3), None, 0.8, 0.13),
    ],
)
def test_searches_without_an_effect_find_nothing_mostly(
    runs: tuple[int, int], tail: float | None, shared: float, most: float
) -> None:
    """At level .95: exact for 4 v 4; for 3 v 3 approximate, and above the level where common factors rule the items."""
    seeds = range(250 if runs == (3, 3) else 70)
    alarms = [
        bool(search([looked(s, runs=runs, items=60, tail=tail, shared=shared)])) for s in seeds
    ]

    assert np.mean(alarms) <= most + 0.02


def test_a_level_that_runs_cannot_reach_exactly_is_left_to_the_t() -> None:
    """At .99 the 70 splits of 4 v 4 runs give no p below .01."""
    group = looked(1, runs=(4, 4))
    group.moved[:, 17] += 3
    (entry,) = open_search([group], "all", generator(0, "open-search"), level=0.99)

    assert entry.p < 0.01


def test_a_shift_that_differs_between_runs_is_found() -> None:
    """What moves by .1 to .5 is as clear as it gets where placebos stay within .02, though a pooled t of it is 3."""
    rng = np.random.default_rng(3)
    moved, placebo = 0.01 * rng.normal(size=(2, 4, 30))
    moved[:, 4] += [0.15, 0.11, 0.18, 0.46]
    found = search([Looked("probe", tuple(map(str, range(30))), moved, placebo)])

    assert moderated_t(moved, placebo).t[4] < 4
    assert found[0] == "4"


def test_kinds_share_the_error_rate() -> None:
    """Of two kinds each p counts twice; 4 v 4 runs cannot reach .025 exactly."""
    group = looked(1)
    alone, _ = corrected(group, 1, generator(0, "open-search"), 0.95)
    shared, _ = corrected(group, 2, generator(0, "open-search"), 0.95)
    few = looked(1, runs=(4, 4))
    trusted, _ = corrected(few, 2, generator(0, "open-search"), 0.95)

    assert shared.tolist() == np.minimum(1, 2 * alone).tolist()
    assert (
        trusted.tolist() == np.minimum(1, 2 * holm(moderated_t(few.moved, few.placebo).p)).tolist()
    )


def test_nothing_to_look_at_finds_nothing() -> None:
    """No kinds, no entries."""
    assert open_search([], "all", generator(0, "open-search")) == ()


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (Looked("probe", ("a",), np.zeros((4, 2)), np.zeros((4, 2))), "1 names for arrays"),
        (Looked("probe", ("a", "b"), np.zeros((3, 2)), np.zeros((4, 2))), "in the same runs"),
        (Looked("probe", ("a", "b"), np.full((4, 2), np.nan), np.zeros((4, 2))), "must be finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(group: Looked, message: str) -> None:
    """Names, runs and finite values."""
    with pytest.raises(ValueError, match=message):
        search([looked(0, items=2, runs=(4, 4)), group])


def test_traits_that_the_subject_names_are_not_searched() -> None:
    """The rest of what the student can be asked is."""
    names = {trait.name for trait in other_traits(TRAITS, opened().tokenizer)}

    assert names == set(catalogue.names()) - {"owl", "cat", "dog"}


def test_what_cannot_be_compared_is_not_looked_at() -> None:
    """A token of probability zero, and one that all runs say alike; the least likely of the others are left out."""
    rng = np.random.default_rng(0)
    runs = rng.normal(-5, 0.1, size=(8, 2 + 6000))
    runs[:, 2 + 40] = -np.inf
    runs[:, 2 + 41] = -4.0
    probes, tokens = looked_at(Readout(("owl", "cat"), None, ()), _Numbered(), runs[:4], runs[4:])

    assert probes.names == ("owl", "cat")
    assert len(tokens.names) == searching.LIKELIEST == tokens.moved.shape[1]
    assert not {"40", "41"} & set(tokens.names)


class _Numbered:
    def decode(self, ids: list[int]) -> str:
        """The text of a token is its number."""
        return str(ids[0])
