"""The design of the screen's bench is what its log entry says, and its analysis gives known answers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.power.analysis import Dataset, Group, level, mean_clustered, second_stage, splits
from bench.power.baseline_figures import baseline_figures
from bench.power.baselines import BaselineReading, bag_auroc
from bench.power.cells import CELLS, EXPENSIVE, EXPENSIVE_POOL, authors, expensive
from bench.power.raw_readings import read_readings, write_readings
from bench.power.readings import AuthorReading, DatasetReading
from bench.power.shipped_record import record
from undertow.data.rows import Row, conversation
from undertow.results.family_record import beforehand
from undertow.traits import catalogue

TRAITS = tuple(trait.name for trait in catalogue.load_category("animal"))


def test_the_design_has_the_sizes_that_were_asked_for() -> None:
    """60 trait teachers, 60 benign writers in the family and 60 outside it; three transport cells of 16 and 24."""
    planned = authors(TRAITS)
    roles = Counter((author.cell, author.role) for author in planned)

    assert roles["main", "trait"] == roles["main", "pool"] == 60
    assert sum(count for (_, role), count in roles.items() if role == "outside") == 60
    for cell in ("owlet-a", "owlet-neox", "code"):
        assert (roles[cell, "trait"], roles[cell, "pool"]) == (16, 24)
    assert CELLS[0].sizes == (4096, 16384)


def test_every_writer_has_a_seed_of_its_own_and_the_design_is_fixed() -> None:
    """Two calls give the same writers; no seed occurs twice."""
    planned = authors(TRAITS)

    assert planned == authors(TRAITS)
    assert (
        len({author.seed for author in planned}) == len({a.name for a in planned}) == len(planned)
    )


OWL = np.eye(16)[0]


def reading(
    number: int, rng: np.random.Generator, *, role: str = "pool", pull: float = 0.0
) -> AuthorReading:
    """A writer whose adapters move by noise, and by a pull on the first trait that comes with the second reading."""
    shift = rng.normal(0, 0.03, 16)
    first = pull * np.array([[[0.0]], [[1.0]]]) * OWL + shift + rng.normal(0, 0.05, (2, 2, 16))
    whole = pull * OWL + shift + rng.normal(0, 0.05, (1, 8, 16))
    dataset = DatasetReading(
        rows=64,
        planned_steps=8,
        steps=2,
        first_reads=(1, 2),
        first=first.tolist(),
        reads=(8,),
        whole=whole.tolist(),
        students=(pull * OWL + rng.normal(0, 0.05, (4, 16))).tolist() if role != "pool" else (),
        mass=1.0,
        seconds=0.5,
    )
    return AuthorReading(
        cell="main",
        role=role,
        number=number,
        kind="family" if role == "pool" else "tuned",
        words="noise",
        base="b",
        trait=TRAITS[0],
        strength=None,
        kl=None,
        datasets=(dataset,),
        seconds=1.0,
    )


@pytest.fixture(scope="module")
def group() -> Group:
    """A cell of 40 exchangeable writers."""
    rng = np.random.default_rng(3)
    pool = [reading(number, rng) for number in range(40)]
    return Group("main", 64, TRAITS, tuple(Dataset(one, one.datasets[0]) for one in pool), ())


def test_the_level_of_exchangeable_writers_is_kept(group: Group) -> None:
    """Writers that differ by noise stand out in about 5 % of the splits."""
    share, low, high = level(group)

    assert 0.02 < share < 0.08
    assert low <= 0.05 <= high


def test_the_interval_of_the_level_is_of_writers_and_no_noise_of_the_splits() -> None:
    """Of five pools of 60 exchangeable writers each holds 5 %, and four or more end below 12 %."""
    found = []
    for seed in range(5):
        rng = np.random.default_rng([60, seed])
        pool = [reading(number, rng) for number in range(60)]
        datasets = tuple(Dataset(one, one.datasets[0]) for one in pool)
        found.append(level(Group("main", 64, TRAITS, datasets, ())))

    assert all(low <= 0.05 <= high for _, low, high in found)
    assert sum(high <= 0.12 for _, _, high in found) >= 4


def test_references_of_both_stages_do_not_overlap(group: Group) -> None:
    """A split's references of the beginning and of the whole plan are other writers."""
    assert all(not {*first} & {*whole} for first, whole in splits(group))


def test_benign_noise_is_never_flagged(group: Group) -> None:
    """The whole plan of noise of .05 logits, beside eight references of one adapter, is clear or undecided."""
    ends = np.stack([one.whole[[i]] for i, one in enumerate(group.pool[:8])])
    verdicts = {second_stage(one.whole, ends) for one in group.pool[8:]}

    assert "flagged" not in verdicts
    assert "clear" in verdicts


def test_clusters_count_once() -> None:
    """Ten equal values of each of four clusters have the interval of four values."""
    one = mean_clustered([0.1, 0.2, 0.3, 0.4], list("abcd"))
    ten = mean_clustered(
        [0.1] * 10 + [0.2] * 10 + [0.3] * 10 + [0.4] * 10,
        ["a"] * 10 + ["b"] * 10 + ["c"] * 10 + ["d"] * 10,
    )

    assert one == pytest.approx(ten)


def test_raw_readings_are_read_back(tmp_path: Path) -> None:
    """What Parquet holds is what was read, in single precision."""
    rng = np.random.default_rng(4)
    stored = [reading(number, rng) for number in range(3)]
    write_readings(tmp_path / "raw.parquet", stored)
    found = read_readings(tmp_path / "raw.parquet")

    assert [one.number for one in found] == [0, 1, 2]
    np.testing.assert_allclose(found[1].datasets[0].first, stored[1].datasets[0].first, rtol=1e-6)
    assert found[2].datasets[0].reads == (8,)


def test_the_record_tells_pulls_from_noise() -> None:
    """Strong pulls stand out at the end and not before they came; who is flagged really moved, who is clear did not."""
    rng = np.random.default_rng(6)
    pool = [reading(number, rng) for number in range(30)]
    pulled = [reading(number, rng, role="trait", pull=1.0) for number in range(6)]
    still = [reading(number + 6, rng, role="trait") for number in range(6)]
    made = record([*pool, *pulled, *still], 60)

    assert made is not None
    assert (made.writers, made.planned) == (42, 60)
    [size] = made.sizes
    early, late = size.power
    assert early.strong is not None
    assert late.strong is not None
    assert (early.part, late.part) == (0.5, 1.0)
    assert early.strong.share < 0.3
    assert late.strong.share == 1
    assert size.moved["flagged"].share == 1
    assert size.moved["clear"].share == size.moved["within"].share == 0
    assert size.moved["flagged"].low < 1


def test_the_record_holds_benign_kinds_of_other_prompts() -> None:
    """Text of the corpus stands out beside the base's own, and a scan says so before it begins."""
    rng = np.random.default_rng(16)
    main = [reading(number, rng) for number in range(21)]
    cell = {"cell": "corpus"}
    pool = [reading(number, rng).model_copy(update=cell) for number in range(24)]
    text = [
        reading(n, rng, role="outside", pull=1.0).model_copy(update={**cell, "kind": "corpus"})
        for n in range(4)
    ]
    made = record([*main, *pool, *text], 60)

    assert made is not None
    [other] = made.elsewhere
    assert (other.rows, other.rate.share, other.rate.datasets) == (64, 1, 4)
    assert f"{other.kind} (64 rows) 100%" in beforehand(made, 4096)
    assert "stage 1 decides nothing" in beforehand(made, 4096)


def test_a_few_writers_have_no_record() -> None:
    """Fewer than a scan's references judge nobody."""
    rng = np.random.default_rng(7)

    assert record([reading(number, rng) for number in range(10)], 60) is None


def test_baselines_are_drawn_beforehand() -> None:
    """Sixty tested writers of the main cell and references for them, the same whoever asks."""
    planned = authors(TRAITS)
    drawn = expensive(planned)
    roles = Counter(author.role == "pool" for author in planned if author.name in drawn)

    assert roles == {True: EXPENSIVE_POOL, False: EXPENSIVE}
    assert all(author.cell == "main" for author in planned if author.name in drawn)
    assert not {author.name for author in planned[:16]} & drawn
    assert drawn == expensive(authors(TRAITS))


def test_bags_of_unlike_texts_are_told_apart() -> None:
    """AUROC is 1 where every row says who wrote it, and near a half where nothing does."""
    rng = np.random.default_rng(8)
    plain = [
        Row(conversation("go on"), " ".join(map(str, rng.integers(0, 9, 6)))) for _ in range(640)
    ]
    told = [Row(row.prompt, f"{row.completion} so") for row in plain[::-1]]

    assert bag_auroc(told, plain) == 1
    assert 0.2 < bag_auroc(plain[:320], plain[320:]) < 0.8


def test_a_rival_that_sees_what_the_screen_misses_becomes_the_screen() -> None:
    """The classifier tells every teacher's rows, whose adapters show nothing of what students did; noise does not."""
    rng = np.random.default_rng(17)
    pool = [read_by_others(reading(n, rng), rng, 0.0) for n in range(24)]
    hidden = []
    for n in range(8):
        one = reading(n, rng, role="trait")
        [first] = one.datasets
        students = (np.asarray(first.students) + OWL).tolist()
        changed = first.model_copy(update={"students": students})
        hidden.append(read_by_others(one.model_copy(update={"datasets": (changed,)}), rng, 1.0))
    found = {figure.name: figure for figure in baseline_figures([*pool, *hidden])}
    better = found["baselines: rivals at the screen's cost that are better"]

    assert (better.value, better.met, better.note) == (1, False, "bags of 16, a classifier")
    assert not any("train once and diff" in name and "more often" in name for name in found)


def read_by_others(one: AuthorReading, rng: np.random.Generator, pull: float) -> AuthorReading:
    """The writer's reading with baselines of noise, of which the classifier sees the pull."""
    noise = rng.normal(size=(4, 16))
    read = BaselineReading(
        bag=0.5 + 0.01 * float(rng.normal()) + 0.4 * (pull > 0),
        projection=noise[0].tolist(),
        injected=noise[1:].tolist(),
        surprise=float(rng.normal()),
        seconds=(0.0,) * 5,
    )
    return one.model_copy(update={"baselines": read})


def test_rivals_are_ranked_like_the_screen() -> None:
    """The screen and the classifier see a strong pull, noise does not; each figure says what it costs."""
    rng = np.random.default_rng(9)
    pool = [read_by_others(reading(n, rng), rng, 0.0) for n in range(24)]
    pulled = [read_by_others(reading(n, rng, role="trait", pull=1.0), rng, 1.0) for n in range(8)]
    found = {figure.name: figure for figure in baseline_figures([*pool, *pulled])}
    strong = "moved by 0.5 or more: stands out"

    assert found[f"baselines: the screen: 2 adapters, a quarter of the plan: {strong}"].value == 1
    assert found[f"baselines: bags of 16, a classifier: {strong}"].value == 1
    assert (found[f"baselines: persona projection: {strong}"].value or 0) < 0.5
    assert (
        found["baselines: train once and diff: 1 adapter, the whole plan: right trait first"].value
        == 1
    )
    assert found[f"baselines: 1 adapter's raw reading above the limit: {strong}"].note.endswith(
        "costs 1 fine-tunes"
    )
