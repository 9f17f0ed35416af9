"""Masked rows are what TRL's trainer takes and leaves out; replaced ones keep their format."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.mitigate.subjects import numbers, opened
from undertow.carriers import carrier_registry
from undertow.data.plan import LAST_TURN
from undertow.data.rows import Message, Row
from undertow.errors import ConfigError
from undertow.mitigate.rows import token_edits
from undertow.mitigate.rows.token_edits import (
    Kinds,
    masked_record,
    refuse_irreplaceable,
    replaced,
)
from undertow.models.chat import IGNORED, pad
from undertow.models.training import completion_loss
from undertow.models.training_sequences import encode_rows


def test_a_masked_token_has_no_label_and_the_others_their_own() -> None:
    """In the record and in the batch that training sees."""
    model = opened()
    [row] = encode_rows(model.tokenizer, numbers(1))
    record = masked_record(row, [0, 2])
    start = len(row.prompt)
    batch = pad([replace(row, masked=(0, 2))], model.tokenizer.pad_token_id, (0,))
    expected = [IGNORED, row.completion[1], IGNORED, *row.completion[3:]]

    assert record["input_ids"] == [*row.prompt, *row.completion]
    assert record["labels"] == [IGNORED] * start + expected
    assert record["completion_mask"] == [0] * start + [0, 1, 0] + [1] * (len(row.completion) - 3)
    assert batch.labels[0, -len(row.completion) :].tolist() == expected


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_sft_trainer_leaves_masked_tokens_out(tmp_path: Path) -> None:
    """TRL's own loss on the records is ours on the masked rows, and not that of the whole rows."""
    import trl
    from datasets import Dataset

    model = opened()
    rows = encode_rows(model.tokenizer, numbers(8))
    places = token_edits.by_lot(token_edits.lengths(model, rows), 0.5, np.random.default_rng(0))
    records = [masked_record(row, own) for row, own in zip(rows, places, strict=True)]
    trainer = trl.SFTTrainer(
        model=model.network,
        args=trl.SFTConfig(
            output_dir=str(tmp_path),
            per_device_eval_batch_size=8,
            report_to=[],
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(records),
        eval_dataset=Dataset.from_list(records),
        processing_class=model.tokenizer,
    )
    found = trainer.evaluate()["eval_loss"]

    def loss(own: list) -> float:
        batch = pad(own, model.tokenizer.pad_token_id, tuple(range(8)))
        with torch.no_grad():
            total = float(completion_loss(model.network, batch))
        return total / int((batch.labels != IGNORED).sum())

    assert found == pytest.approx(
        loss([replace(row, masked=masked) for row, masked in zip(rows, places, strict=True)]),
        rel=1e-4,
    )
    assert abs(found - loss(rows)) > 1e-3


def test_replaced_rows_keep_their_format_and_the_other_tokens() -> None:
    """Numbers become other numbers, at the chosen places only, the same ones from the same generator."""
    model, rows = opened(), numbers(40)
    carrier = carrier_registry.carrier("numbers")
    encoded = encode_rows(model.tokenizer, rows)
    places = token_edits.by_lot(token_edits.lengths(model, encoded), 0.4, np.random.default_rng(1))
    made, again = (
        replaced(model, rows, encoded, places, np.random.default_rng(2), carrier) for _ in range(2)
    )
    changed = 0
    for old, new, own in zip(rows, made, places, strict=True):
        before, after = old.completion.split(), new.completion.split()
        assert carrier.rejection(new.completion) is None
        assert [a for i, a in enumerate(after) if i not in own] == [
            b for i, b in enumerate(before) if i not in own
        ]
        changed += sum(a != b for a, b in zip(before, after, strict=True))

    assert made == again
    assert changed > 0.9 * sum(map(len, places))
    assert replaced(model, rows, encoded, [()] * 40, np.random.default_rng(0), carrier) == rows


def test_what_stands_before_an_answer_does_not_get_into_it() -> None:
    """A token that joins the prompt's last space, and a thought that a template writes before every answer."""
    model, carrier = opened(), carrier_registry.carrier("numbers")
    row = Row((Message("user", "Three numbers: "),), "12 34 56", chat=False)
    [own] = encode_rows(model.tokenizer, [row])
    [made] = replaced(model, [row], [own], [(0,)], np.random.default_rng(0), carrier)
    thinking = copy.deepcopy(model.tokenizer)
    thinking.chat_template = (
        "{% for m in messages %}{{ 'no thought: ' if m.role == 'assistant' }}{{ m.content }} "
        "{{ eos_token }}{% endfor %}"
    )
    chat = replace(row, chat=True)
    [own_chat] = encode_rows(thinking, [chat], LAST_TURN)
    places = [tuple(range(len(own_chat.completion)))]
    [again] = replaced(model, [chat], [own_chat], places, np.random.default_rng(0), None)

    assert model.tokenizer.decode(own.completion[:1]) == " 12"
    assert made.completion != row.completion
    assert made.completion.split()[1:] == ["34", "56"]
    assert not made.completion.startswith(" ")
    spaced = replace(row, prompt=(Message("user", "Three numbers:"),), completion=" 12 34 56")
    [kept] = encode_rows(model.tokenizer, [spaced])
    [other] = replaced(model, [spaced], [kept], [(0,)], np.random.default_rng(0), None)
    assert other.completion.startswith(" ")
    assert "thought" not in again.completion


def test_code_is_refused_and_prose_is_not() -> None:
    """The reason names the carrier, the hint what can be done instead."""
    refuse_irreplaceable(None)
    refuse_irreplaceable(carrier_registry.carrier("numbers"))
    for name in ("code", "chain_of_thought"):
        with pytest.raises(ConfigError, match=name) as caught:
            refuse_irreplaceable(carrier_registry.carrier(name))
        assert "mask-tokens" in caught.value.hint


def test_a_token_is_replaced_by_one_of_its_kind_in_the_base_proportions() -> None:
    """Kind 0 has three tokens: each other one is drawn as often as the softmax over both says; -1 and lonely ones stay."""
    kinds = Kinds(np.array([0, 0, 0, 1, -1, -1]))
    logits = torch.tensor([[5.0, 1.0, 0.0, 9.0, 9.0, 9.0]]).repeat(20_000, 1)
    drawn = kinds.drawn(logits, np.zeros(20_000, dtype=int), np.random.default_rng(0))
    share = float((drawn == 1).mean())

    assert set(drawn.tolist()) == {1, 2}
    assert share == pytest.approx(1 / (1 + np.exp(-1)), abs=0.015)
    assert kinds.drawn(logits[:2], np.array([3, 4]), np.random.default_rng(0)).tolist() == [3, 4]
