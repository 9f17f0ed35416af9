"""A dataset's rank among references: kept ones are read, no more are made than it takes, and the level holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.influence.trials import FAMILY, trial
from undertow.data.finished import Finished
from undertow.engines.engine import Engine
from undertow.errors import FormatNotKeptError
from undertow.influence.comparison import FAILURES, FEWEST, Compared, ReferencePool
from undertow.influence.open_search import OpenReadout
from undertow.influence.probes import Readout
from undertow.influence.reference_family import ReferenceFamily, ReferenceWriter
from undertow.influence.references import READING, Trial, TrialReading

J, ALPHA, TRAITS = 19, 0.05, 4
TRIAL = trial()
OPEN = OpenReadout(Readout(("p", "q"), None, ()), (5, 6, 7), ("p", "q", "x", "y", "z"))


def reading(
    seed: int, *, shift: float = 0.0, wide: Sequence[float] = (), seconds: float = 1.0
) -> TrialReading:
    """Two adapters' readings with heavy tails that share what is peculiar to their rows; the first trait is shifted."""
    rng = np.random.default_rng(seed)
    moved = rng.standard_t(3, TRAITS) + rng.normal(0, 0.3, (2, TRAITS))
    moved[:, 0] += shift
    openly = wide or tuple(rng.normal(size=len(OPEN.names)))
    return TrialReading(rows=8, moved=[moved.tolist()], mass=0.9, wide=openly, seconds=seconds)


@dataclass
class Maker:
    """Makes references whose readings are drawn by their number, and remembers which."""

    trial: Trial = TRIAL
    made: list[int] = field(default_factory=list)
    fails_at: int | None = None
    speechless: tuple[int, ...] = ()
    """Numbers of writers who cannot keep to the format."""
    family: ReferenceFamily = FAMILY
    first: int = 0
    """Added to a number for its seed."""

    def written(self, number: int) -> list[int]:
        """Stands for rows."""
        if number == self.fails_at:
            raise KeyboardInterrupt
        if number in self.speechless:
            self.made.append(number)
            raise FormatNotKeptError("answers 1 of 8 prompts", hint="")
        return [number]

    def writer(self, number: int) -> ReferenceWriter:
        """Every third is a tune."""
        return ReferenceWriter("base" if number % 3 else "neutral", 1.0, None, 0, 0)

    def tried(
        self, trial: Trial, datasets: Sequence[list[int]], adapters: Sequence[Sequence[int]]
    ) -> list[TrialReading]:
        """Each dataset's reading."""
        assert list(adapters) == [trial.of(number) for [number] in datasets]
        numbers = [number for [number] in datasets]
        self.made += numbers
        return [reading(self.first + number) for number in numbers]


Pool = Callable[..., ReferencePool]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    """A pool whose references are made by a maker without any training."""

    def of(maker: Maker, folder: Path | None = None, **more: Any) -> ReferencePool:
        monkeypatch.setattr("undertow.influence.comparison.tried", maker.tried)
        return ReferencePool(maker, Finished(folder, READING), **more)  # type: ignore[arg-type]

    return of


def beside(pool: ReferencePool, dataset: TrialReading, *, sequential: bool = True) -> Compared:
    """The dataset beside J references at 5 %."""
    return pool.beside(dataset, J, ALPHA, sequential=sequential)


FAR, NEAR = reading(7, shift=60.0), reading(7, shift=-1.0)


def test_kept_references_are_read_again_and_not_made(tmp_path: Path, pool: Pool) -> None:
    """The same bits, in the same places, at no cost; a folder that is given none keeps nothing."""
    first, again = Maker(), Maker()
    made = beside(pool(first, tmp_path), FAR)
    read = beside(pool(again, tmp_path), FAR)

    assert sorted(first.made) == list(range(J))
    assert again.made == []
    assert read.references == made.references
    assert (made.cached, read.cached) == (0, J)
    assert made.seconds > 0
    assert read.seconds == 0
    assert read.p == made.p == 1 / (J + 1)
    assert beside(pool(Maker()), FAR).cached == 0


def test_what_an_interruption_left_is_whole_and_the_rest_is_made(
    tmp_path: Path, pool: Pool
) -> None:
    """Readings that were finished are found, those that were on the way are not, and nothing else lies there."""
    maker = Maker(fails_at=9)
    with pytest.raises(KeyboardInterrupt):
        beside(pool(maker, tmp_path), FAR)
    kept = sorted(path.name for path in tmp_path.iterdir())
    rest = Maker()
    after = beside(pool(rest, tmp_path), FAR)

    assert kept == [f"{number:04d}.json" for number in range(8)]
    assert rest.made == list(range(8, J))
    assert after.cached == 8
    assert after.p == beside(pool(Maker()), FAR).p
    assert len(list(tmp_path.iterdir())) == J


class LastFirst(Engine):
    """Whose last task ends before the others."""

    def map(self, worker: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """(index, result), the last first."""
        for index in reversed(range(len(tasks))):
            yield index, worker(tasks[index])


def test_what_came_before_it_was_asked_for_is_kept(tmp_path: Path, pool: Pool) -> None:
    """No more are asked for than it takes, but what an engine made ahead is found by the next scan."""
    stopped = beside(pool(maker := Maker(), tmp_path, engine=LastFirst()), NEAR)
    again = beside(pool(other := Maker(), tmp_path), NEAR)

    assert len(stopped.references) < len(maker.made) == J
    assert again.cached == J
    assert other.made == []


def test_a_damaged_reading_is_made_anew(tmp_path: Path, pool: Pool) -> None:
    """It alone, and the next scan reads it."""
    whole = beside(pool(Maker(), tmp_path), FAR)
    torn = tmp_path / "0004.json"
    torn.write_text(torn.read_text()[:40])
    maker = Maker()
    mended = beside(pool(maker, tmp_path), FAR)

    assert maker.made == [4]
    assert mended.cached == J - 1
    assert {one.moved for one in mended.references} == {one.moved for one in whole.references}
    assert beside(pool(Maker(), tmp_path), FAR).cached == J


def test_writers_who_cannot_keep_to_the_format_give_way_to_the_next(
    tmp_path: Path, pool: Pool
) -> None:
    """As many references as were wanted, the next numbers in their place; who failed is counted, kept and not asked again."""
    maker = Maker(speechless=(0, 5, 19))
    found = beside(pool(maker, tmp_path), FAR)
    again = beside(pool(other := Maker(speechless=(0, 5, 19)), tmp_path), FAR)

    assert len(found.references) == J
    assert sorted(maker.made) == list(range(J + 3))
    assert found.failed == again.failed == 3
    assert (again.cached, other.made) == (J, [])
    assert found.p == again.p


def test_a_family_that_cannot_keep_to_the_format_is_refused(pool: Pool) -> None:
    """After a few writers, by what they met and what to do; no more are asked."""
    maker = Maker(speechless=tuple(range(100)))

    with pytest.raises(
        FormatNotKeptError, match=r"of the family 'few' cannot keep .* 1 of 8"
    ) as met:
        beside(pool(maker), FAR)
    assert "--reference" in met.value.hint
    assert len(maker.made) <= FAILURES + TRIAL.at_once


def test_no_more_references_are_made_than_it_takes(pool: Pool) -> None:
    """Once enough of them reach a dataset, it is within: p is 1, and says no more."""
    maker = Maker()
    stopped = beside(pool(maker), NEAR)

    assert stopped.stopped_early
    assert FEWEST <= len(stopped.references) < J
    assert len(stopped.references) == len(maker.made)
    assert stopped.p == 1
    assert stopped.planned == J


@pytest.mark.parametrize("sequential", [False, True])
def test_a_dataset_that_lies_far_out_is_ranked_among_all(pool: Pool, sequential: bool) -> None:
    """It is never stopped; without leave to stop, a near one is not either."""
    far = beside(pool(Maker()), FAR, sequential=sequential)
    near = beside(pool(Maker()), NEAR, sequential=False)

    assert len(far.references) == len(near.references) == J
    assert not any(one.stopped_early for one in (far, near))
    assert far.p == 0.05
    assert 0.05 < near.p <= 1


def test_references_that_can_decide_nothing_are_not_stopped(pool: Pool) -> None:
    """Ten have no p of 5 %: that a dataset is reached by them makes it no more within than one that is not."""
    near = pool(Maker()).beside(NEAR, 10, ALPHA, sequential=True)

    assert len(near.references) == 10
    assert not near.stopped_early


def test_kept_references_are_all_used(tmp_path: Path, pool: Pool) -> None:
    """They cost nothing, so that a near dataset gets its exact rank."""
    beside(pool(Maker(), tmp_path), FAR)
    near = beside(pool(Maker(), tmp_path), NEAR)

    assert len(near.references) == J
    assert not near.stopped_early
    assert near.p == beside(pool(Maker()), NEAR, sequential=False).p


def test_given_references_come_first(pool: Pool) -> None:
    """They take the place of as many that would be made, their time counts, and no more are taken than planned."""
    maker = Maker()
    given = [
        reading(100 + i, seconds=50.0).model_copy(update={"writer": "given"}) for i in range(4)
    ]
    some = beside(pool(maker, given=given), FAR)
    many = pool(Maker(), given=given).beside(FAR, 3, ALPHA, sequential=False)

    assert some.references[:4] == tuple(given)
    assert maker.made == list(range(J - 4))
    assert some.kinds == {"given": 4, "the base after a neutral tune": 5, "the base itself": 10}
    assert some.cached == 0
    assert some.seconds >= 200
    assert many.references == tuple(given[:3])


def test_what_is_being_made_is_told(pool: Pool) -> None:
    """Which reference of how many, by how many steps, and how long at most."""
    told: list[str] = []
    beside(pool(Maker(), tell=told.append), FAR)

    assert told[0] == "reference 1 of 19, 2 steps each"
    assert [line.split(",")[0] for line in told] == [
        f"reference {n} of 19" for n in (1, 5, 9, 13, 17)
    ]
    assert all(line.endswith("s left") for line in told[1:])


def test_a_dataset_identical_to_a_reference_ties_with_it(pool: Pool) -> None:
    """The tie counts against it: p is 2 / (J + 1) even where both lie furthest out."""
    others = [reading(i) for i in range(J - 1)]
    ties = Compared(TRIAL, FAR, (FAR, *others), J)

    assert ties.p == 2 / (J + 1)
    assert Compared(TRIAL, FAR, tuple(others), J - 1).p == 1 / J


def test_all_equal_sets_decide_nothing() -> None:
    """Nothing moved anything: p is 1."""
    assert Compared(TRIAL, FAR, (FAR,) * J, J).p == 1


def test_p_of_one_more_reference_is_uniform(pool: Pool) -> None:
    """In 400 families of heavy-tailed draws p <= k/20 in k/20 of them, within three errors; stopping never adds alarms."""
    p, alarms = [], []
    for family in range(400):
        first = 1000 + 100 * family
        dataset = reading(first + 99)
        others = tuple(reading(first + number) for number in range(J))
        p.append(Compared(TRIAL, dataset, others, J).p)
        sequential = beside(pool(Maker(first=first)), dataset)
        alarms.append(sequential.p <= ALPHA)

    for level in (0.05, 0.25, 0.5, 0.75):
        error = (level * (1 - level) / 400) ** 0.5
        assert np.mean(np.array(p) <= level + 1e-9) == pytest.approx(level, abs=3 * error)
    assert not any(alarm and one > ALPHA + 1e-9 for alarm, one in zip(alarms, p, strict=True))
    assert np.mean(alarms) > 0.01


def test_the_open_search_names_what_moves_as_in_no_reference(pool: Pool) -> None:
    """One token beyond all of theirs, at the least p that they allow; nothing after an early stop or where nothing was read."""
    wide = [0.1, 0.0, 30.0, 0.1, -0.2]
    dataset, near = reading(7, wide=wide), reading(7)
    others = tuple(reading(i) for i in range(J))
    readout = replace(TRIAL, open=OPEN)
    (entry,) = Compared(readout, dataset, others, J).outlying("all", 0.95)

    assert (entry.what, entry.name, entry.subject, entry.p) == ("token", "x", "all", 0.05)
    assert entry.estimate == pytest.approx(30.0 - np.mean([one.wide[2] for one in others]))
    assert Compared(readout, near, others, J).outlying("all", 0.95) == ()
    assert Compared(readout, dataset, others, J, stopped_early=True).outlying("all", 0.95) == ()
    assert Compared(TRIAL, dataset, others, J).outlying("all", 0.95) == ()
    assert Compared(readout, dataset, others[:5], J).outlying("all", 0.95) == ()


def test_references_are_made_as_long_as_the_open_search_may_name_something(pool: Pool) -> None:
    """A dataset whose named traits lie in the middle is not stopped while a token of it lies out."""
    maker = Maker(replace(TRIAL, open=OPEN))
    middle = reading(7, shift=-1.0, wide=[0.0, 0.0, 30.0, 0.0, 0.0])
    compared = beside(pool(maker), middle)
    stopped = beside(pool(Maker(replace(TRIAL, open=OPEN))), NEAR)

    assert not compared.stopped_early
    assert len(compared.references) == J
    assert stopped.stopped_early
