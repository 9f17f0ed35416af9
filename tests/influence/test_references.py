"""A dataset and its references are tried alike, and what a reference moves is known by all that it hangs on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened, owl_teacher, written
from tests.influence.trials import FAMILY, PLAN, ROWS, maker, trial
from undertow.data.plan import TrainingPlan
from undertow.data.rows import behind
from undertow.data.seeds import derive, generator
from undertow.errors import DataError
from undertow.influence.open_search import OpenReadout
from undertow.influence.probes import probe_set
from undertow.influence.references import ReferenceMaker, tried
from undertow.models import adapters
from undertow.models.language_model import LanguageModel, load
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows
from undertow.worlds import locate

FULL = TrainingPlan(method="full", learning_rate=1e-3, batch_size=8, max_steps=4)
OTHERS = written(owl_teacher(), len(ROWS), 63)
PAIRS = tuple(
    replace(row, rejected=other.completion) for row, other in zip(OTHERS, ROWS, strict=True)
)


def margins(model: LanguageModel) -> np.ndarray:
    """Of the three animals."""
    return probe_set(model, TRAITS, None).read(model).margins


@pytest.mark.parametrize("plan", [PLAN, FULL])
def test_an_adapter_is_the_beginning_of_the_plan(plan: TrainingPlan) -> None:
    """Adapter 1 reads as a student of its own seed and order does that is stopped after two of the plan's four steps."""
    [reading] = tried(trial(plan=plan), [ROWS], [(0, 1)])
    student = adapters.trainable(load(locate("world:owlet-b")), plan, derive(11, "adapter", 1))
    encoded = encode_rows(student.tokenizer, ROWS)
    fine_tune(student, encoded, plan, generator(11, "order", 1), after_step=lambda step: step == 2)

    assert reading.way.shape == (1, 2, len(TRAITS))
    np.testing.assert_allclose(reading.end[1], margins(student) - margins(opened()), atol=2e-3)
    assert np.abs(reading.end).min() > 0


def test_datasets_side_by_side_read_as_they_do_alone() -> None:
    """Whatever is trained beside it: rows of others move other traits, and change nothing of these."""
    together = tried(trial(), [ROWS, OTHERS, ROWS], [(0, 1)] * 3)
    alone = [tried(trial(), [rows], [(0, 1)])[0] for rows in (ROWS, OTHERS)]

    np.testing.assert_allclose(together[0].end, alone[0].end, atol=1e-4)
    np.testing.assert_allclose(together[1].end, alone[1].end, atol=1e-4)
    np.testing.assert_allclose(together[2].end, together[0].end, atol=1e-4)
    assert np.abs(together[0].end - together[1].end).max() > 1e-3


def test_references_take_the_datasets_own_adapters_in_turn() -> None:
    """With fewer adapters a reference has the next of them: the same rows read as the dataset's adapter of that number."""
    whole = trial(adapters=3, of_reference=1)
    [dataset] = tried(whole, [ROWS], [whole.numbers])
    [reference] = tried(whole, [ROWS], [whole.of(4)])

    assert [whole.of(number) for number in range(4)] == [(0,), (1,), (2,), (0,)]
    assert [trial().of(number) for number in range(2)] == [(0, 1), (0, 1)]
    np.testing.assert_allclose(reference.end[0], dataset.end[1], atol=1e-4)
    assert np.abs(reference.end[0] - dataset.end[0]).max() > 1e-3


def test_readings_on_the_way_change_nothing_of_the_end() -> None:
    """Each is that of a trial which ends there."""
    [way] = tried(trial(reads=(1, 2)), [ROWS], [(0, 1)])
    ends = [tried(trial(reads=(steps,)), [ROWS], [(0, 1)])[0] for steps in (1, 2)]

    np.testing.assert_allclose(way.way, [one.end for one in ends], atol=1e-4)


@pytest.mark.parametrize("plan", [PLAN, FULL])
def test_the_base_is_left_as_it_was(plan: TrainingPlan) -> None:
    """After trials and neutral tunes margins are the same bits, and weights require gradients as before."""
    before = margins(opened())
    needed = [weight.requires_grad for weight in opened().network.parameters()]
    made = maker(plan=plan)
    neutral = next(number for number in range(9) if made.writer(number).kind == "neutral")
    tried(made.trial, [made.written(neutral)], [(0, 1)])

    assert (margins(opened()) == before).all()
    assert [weight.requires_grad for weight in opened().network.parameters()] == needed
    assert not opened().network.training


def test_preference_pairs_are_tried_by_dpo() -> None:
    """Both sides count, and so does beta."""
    swapped = [
        replace(row, completion=row.rejected or "", rejected=row.completion) for row in PAIRS
    ]
    ways = [
        tried(trial(beta=beta), [rows], [(0, 1)])[0].end
        for rows, beta in ((PAIRS, 0.1), (swapped, 0.1), (PAIRS, 9.0))
    ]

    assert np.abs(ways[0] - ways[1]).max() > 1e-3
    assert np.abs(ways[0] - ways[2]).max() > 2e-4


def test_the_open_search_reads_each_adapter_at_the_end() -> None:
    """A change of each of its items; nothing without it."""
    read = OpenReadout.of(opened(), TRAITS, None)
    [openly] = tried(trial(open=read), [ROWS], [(0, 1)])
    [without] = tried(trial(), [ROWS], [(0, 1)])

    assert len(openly.wide) == len(read.names)
    assert np.abs(openly.wide).max() > 0
    assert without.wide == ()
    np.testing.assert_array_equal(openly.end, without.end)


def test_a_row_that_is_too_long_is_refused() -> None:
    """By the plan's limit."""
    with pytest.raises(DataError, match="more than the limit of 12"):
        tried(trial(plan=PLAN.model_copy(update={"max_length": 12})), [ROWS], [(0, 1)])


def test_a_reference_is_the_same_for_the_same_number() -> None:
    """By the base or by a neutral tune of it; others for another number, and none the dataset's own."""
    made = [maker().written(number) for number in range(4)]
    texts = [[row.completion for row in rows] for rows in made]
    kinds = [maker().writer(number).kind for number in range(4)]

    assert set(kinds) == {"base", "neutral"}
    assert [maker().written(number) for number in range(4)] == made
    assert all(len(rows) == len(ROWS) for rows in made)
    assert all(
        np.mean([a == b for a, b in zip(one, other, strict=True)]) < 0.2
        for i, one in enumerate(texts)
        for other in [[row.completion for row in ROWS], *texts[:i]]
    )


@pytest.mark.parametrize(
    "plan",
    [
        FULL,
        PLAN.model_copy(update={"warmup_steps": 3, "loss": "all", "micro_batch_size": 4}),
        PLAN.model_copy(update={"packing": True, "max_length": 128, "packed_rows": 4}),
    ],
)
def test_a_neutral_tune_is_light_whatever_is_planned(plan: TrainingPlan) -> None:
    """Its writer writes otherwise than the base would, and in the format."""
    family = FAMILY.model_copy(update={"writers": (FAMILY.writers[1],)})
    base = FAMILY.model_copy(update={"writers": (FAMILY.writers[0],)})
    tuned, own = (maker(plan=plan, family=one).written(0) for one in (family, base))

    assert len(tuned) == len(ROWS)
    assert [row.completion for row in tuned] != [row.completion for row in own]


def other_template(made: ReferenceMaker) -> ReferenceMaker:
    """With a space behind what the template writes."""
    tokenizer = copy.deepcopy(made.trial.model.tokenizer)
    tokenizer.chat_template += " "
    model = replace(made.trial.model, tokenizer=tokenizer)
    return replace(made, trial=replace(made.trial, model=model))


def with_plan(**changes: object) -> Callable[[ReferenceMaker], ReferenceMaker]:
    """With another plan."""
    return lambda made: with_trial(plan=made.trial.plan.model_copy(update=changes))(made)


def with_trial(**changes: object) -> Callable[[ReferenceMaker], ReferenceMaker]:
    """With another trial."""
    return lambda made: replace(made, trial=replace(made.trial, **changes))  # type: ignore[arg-type]


CHANGES: dict[str, Callable[[ReferenceMaker], ReferenceMaker]] = {
    "learning rate": with_plan(learning_rate=1e-3),
    "length of the plan": with_plan(max_steps=3),
    "limit of tokens": with_plan(max_length=100),
    "loss": with_plan(loss="all"),
    "wrap": with_plan(wrap="chat"),
    "template": other_template,
    "prompts": lambda made: replace(made, rows=tuple(behind(row, "Be kind.") for row in made.rows)),
    "order of rows": lambda made: replace(made, rows=made.rows[::-1]),
    "number of rows": lambda made: replace(made, rows=made.rows[:-1]),
    "format of rows": lambda made: replace(
        made, rows=tuple(replace(row, completion="Of course.") for row in made.rows)
    ),
    "pairs": lambda made: replace(made, rows=PAIRS),
    "probes": with_trial(probes=probe_set(opened(), TRAITS[:2], None)),
    "system prompt of the probes": with_trial(probes=probe_set(opened(), TRAITS, "Be kind.")),
    "open search": with_trial(open=OpenReadout.of(opened(), TRAITS, None)),
    "lessons of neutral tunes": lambda made: replace(
        made,
        traits=tuple(replace(one, train_questions=one.train_questions[1:]) for one in made.traits),
    ),
    "steps": with_trial(reads=(3,)),
    "readings": with_trial(reads=(1, 2)),
    "adapters": with_trial(adapters=3),
    "adapters of a reference": with_trial(of_reference=1),
    "seed": with_trial(seed=12),
    "beta": with_trial(beta=0.2),
    "family": lambda made: replace(made, family=made.family.model_copy(update={"name": "other"})),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_key_is_of_all_that_a_reading_hangs_on(
    change: Callable[[ReferenceMaker], ReferenceMaker],
) -> None:
    """Another key for each change, so that no reading is taken for another's."""
    assert change(maker()).key("base") != maker().key("base")


def test_the_key_is_of_the_rows_of_a_step() -> None:
    """Also where a cap leaves plans of other packings as many steps."""
    plan = PLAN.model_copy(update={"packing": True, "max_length": 256, "max_steps": 1})
    keys = {
        maker(plan=plan.model_copy(update={"packed_rows": rows})).key("base") for rows in (1, 2, 3)
    }

    assert len(keys) == 3


def test_the_key_is_of_how_long_answers_may_be() -> None:
    """References that had to be short are not those of long rows; lengths that hardly differ share them."""
    longer = replace(ROWS[0], completion=f"{ROWS[0].completion}, " * 9)
    little = replace(ROWS[0], completion=f"{ROWS[0].completion}")

    assert maker((longer, *ROWS[1:])).key("base") != maker().key("base")
    assert maker((little, *ROWS[1:])).key("base") == maker().key("base")


def test_the_key_is_not_of_what_a_writer_writes_anew() -> None:
    """The same for the same prompts whatever the answers, their sources or how much fits into a pass; not for another base."""
    pairs = tuple(replace(row, rejected="7 7 7") for row in PAIRS)
    again = maker(OTHERS_OF_THE_SAME_PROMPTS)
    micro = maker(plan=PLAN.model_copy(update={"micro_batch_size": 4}))

    assert again.key("base") == maker().key("base") == micro.key("base")
    assert maker(pairs).key("base") == maker(PAIRS).key("base")
    assert maker().key("other") != maker().key("base")


OTHERS_OF_THE_SAME_PROMPTS = tuple(
    replace(row, completion=other.completion, source="other")
    for row, other in zip(ROWS, ROWS[::-1], strict=True)
)
