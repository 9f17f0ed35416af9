"""A plan's digest: what moves a weight is in it, and a key that came later changes no digest by itself."""

from __future__ import annotations

import pytest

from undertow.data.plan import TrainingPlan, packed, plan_digest, plan_notes


def test_a_key_that_came_later_leaves_the_digest_of_older_plans():
    """The digest of the default plan is the one that shipped tables were made under."""
    assert plan_digest(TrainingPlan()).startswith("81b1ecbb490493c8")


@pytest.mark.parametrize(
    "change",
    [
        {"template": "{{ 1 }}"},
        {"loss": "all"},
        {"wrap": "chat"},
        {"rank": 4},
        {"packing": True, "max_length": 512},
    ],
)
def test_what_moves_a_weight_changes_the_digest(change):
    """A plan with another loss, wrap or rank has another digest."""
    assert plan_digest(TrainingPlan(**change)) != plan_digest(TrainingPlan())


def test_the_length_of_a_plan_is_no_part_of_its_digest():
    """Epochs and steps leave the digest as it is."""
    assert plan_digest(TrainingPlan(epochs=3, max_steps=7)) == plan_digest(TrainingPlan())


def test_a_plan_is_written_without_later_keys_that_are_at_their_default():
    """A stored plan has the keys it had, and those that say something; it is read back as it was."""
    plan = TrainingPlan(dora=True, dropout=0.1)
    written = plan.model_dump(mode="json")

    assert {"dora", "dropout"} < set(written)
    assert {"rslora", "packing", "loss", "template"}.isdisjoint(written)
    assert TrainingPlan.model_validate(written) == plan


def test_warmup_is_in_steps_or_a_share_of_them():
    """A share is rounded up, as transformers does; both at once are refused."""
    assert TrainingPlan(warmup_ratio=0.03).warmup(101) == 4
    assert TrainingPlan(warmup_steps=7).warmup(101) == 7
    with pytest.raises(ValueError, match="exclude each other"):
        TrainingPlan(warmup_steps=7, warmup_ratio=0.1)


@pytest.mark.parametrize(
    "change", [{"dora": True}, {"dropout": 0.1}, {"rslora": True}, {"quantization": "4bit"}]
)
def test_what_is_of_adapters_is_refused_of_a_full_plan(change):
    """A full fine-tune with a key of adapters is refused by the key's name."""
    with pytest.raises(ValueError, match=f"{next(iter(change))} is of adapters"):
        TrainingPlan(method="full", **change)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"template": "{{ 1 }}"}, "template that it gives itself (7 characters, SHA-256 "),
        ({"quantization": "4bit"}, "base in 4 bits"),
        ({"method": "full"}, "trains all weights"),
        ({"packing": True, "max_length": 512}, "does not change what is scored"),
    ],
)
def test_what_a_rehearsal_does_otherwise_is_said(change, told):
    """QLoRA, full fine-tunes and packing have a sentence each; a plain plan has none."""
    assert [note for note in plan_notes(TrainingPlan(**change)) if told in note]
    assert plan_notes(TrainingPlan()) == []


def test_arguments_of_a_schedule_are_a_table_in_a_file_and_can_be_hashed():
    """A plan with them is a key of caches, is written as a table, and is read back."""
    plan = TrainingPlan.model_validate({"schedule_arguments": {"power": 2, "lr_end": 0}})

    assert plan.model_dump(mode="json")["schedule_arguments"] == {"lr_end": 0.0, "power": 2.0}
    assert TrainingPlan.model_validate(plan.model_dump(mode="json")) == plan
    assert len({plan, TrainingPlan()}) == 2


@pytest.mark.parametrize("key", ["learning_rate", "epochs", "weight_decay", "max_grad_norm"])
def test_a_number_is_finite(key):
    """TOML can write infinity, which no training has."""
    with pytest.raises(ValueError, match="finite"):
        TrainingPlan(**{key: float("inf")})


def test_a_packed_sequence_holds_the_rows_that_fill_it():
    """Rows of 30 tokens: 17 fill 512, so that 4 sequences a step are 68 rows, and 680 rows are 10 steps."""
    plan = TrainingPlan(packing=True, max_length=512, batch_size=4, micro_batch_size=2)
    known = packed(plan, [20, 40, 30])

    assert (known.packed_rows, known.rows_a_step, known.rows_a_pass) == (17, 68, 34)
    assert (known.steps(680), plan.steps(680)) == (10, 170)
    assert plan_digest(known) == plan_digest(plan)


def test_what_does_not_pack_or_is_known_stays():
    """A plan without packing, and one that says how many rows a sequence holds, are left alone."""
    given = TrainingPlan(packing=True, max_length=512, packed_rows=3)

    assert packed(given, [20, 40]) == given
    assert packed(TrainingPlan(), [20, 40]) == TrainingPlan()


@pytest.mark.parametrize("change", [{"packing": True}, {"packed_rows": 3}])
def test_packing_needs_a_length(change):
    """How many rows a sequence holds cannot be counted without one."""
    with pytest.raises(ValueError, match="pack"):
        TrainingPlan(**change)
