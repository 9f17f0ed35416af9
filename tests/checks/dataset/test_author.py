"""The author: its own rows are a base's, another's are not, and none is an answer."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.checks.dataset.numbers_subject import opened, owl_teacher, subject, written
from undertow.carriers.carrier import stated_grammar
from undertow.carriers.carrier_registry import carrier
from undertow.checks.dataset.author import author
from undertow.data.rows import Message, Row
from undertow.data.seeds import generator
from undertow.models.sampling import Sampling, sample
from undertow.models.scoring import log_likelihoods
from undertow.models.token_grammar import token_grammar
from undertow.models.training_sequences import encode_rows
from undertow.results.measurement import Measurement

A, B, NEOX = (replace(opened(f"world:owlet-{name}"), ref=name) for name in ("a", "b", "neox"))


class Mute:
    """A tokenizer to which the first row's first token is unknown."""

    unk_token_id = encode_rows(B.tokenizer, written(B, 32, 9))[0].completion[0]

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` does all the work."""
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        """Whatever else the tokenizer has."""
        return getattr(self._tokenizer, name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Token ids, as the tokenizer gives them."""
        return self._tokenizer(*arguments, **options)


def asked(rows: tuple[Row, ...], **changes: Any) -> list[Measurement]:
    """Base b as the student, a and neox as the other candidates."""
    return author(subject(rows, **{"student": B, "candidates": (A, NEOX), **changes}))


@pytest.mark.parametrize("writer", [A, B, NEOX], ids=["a", "b", "neox"])
def test_each_base_is_named_for_its_own_rows(writer: Any) -> None:
    """The likeliest, consistent with the rows, with the whole posterior; the student's base is rejected unless it is it."""
    first, *each = asked(written(writer, 256, 5))

    assert first.details["likeliest"] == writer.ref
    assert first.estimate == pytest.approx(1)
    assert f"'{writer.ref}' is the likeliest author" in first.reason
    assert first.detected is (writer is not B)
    assert [one.name for one in each if (one.p or 0) > 0.05] == [writer.ref]


def test_none_of_them_is_an_answer() -> None:
    """Where nobody could have written the rows, all are rejected and the nearest is named."""
    rows = tuple(replace(row, completion="owl owl owl") for row in written(B, 32, 5))
    first = asked(rows)[0]

    assert first.reason.startswith("none of them wrote the rows")
    assert first.detected


def test_the_value_is_per_character() -> None:
    """Total log-likelihood over total characters, by plain arithmetic; the interval holds it."""
    rows = written(B, 64, 6)
    found = author(subject(rows, student=B))[1]
    total = float(log_likelihoods(B, encode_rows(B.tokenizer, rows)).sum())
    longest_ends_are_free = 0.02

    assert found.estimate == pytest.approx(
        total / sum(len(row.completion) for row in rows), abs=longest_ends_are_free
    )
    assert found.low is not None
    assert found.high is not None
    assert found.estimate is not None
    assert found.low < found.estimate < found.high


def test_z_is_calibrated_on_own_rows() -> None:
    """Twenty datasets of the base: mean 0, and few beyond 1.96."""
    rows = written(B, 1_280, 200)
    parts = [rows[start : start + 64] for start in range(0, 1_280, 64)]
    z = np.array([author(subject(part, student=B))[1].details["z"] for part in parts], dtype=float)

    assert abs(z.mean()) < 3 / math.sqrt(20)
    assert (np.abs(z) > 1.96).sum() <= 4


def restricted(model: Any, count: int, seed: int, before: str = "") -> tuple[Row, ...]:
    """Number lists that a base draws from the softmax over numbers, behind what it has to write before them."""
    lists = carrier("numbers", {"prompts": "brief", "low": 0, "high": 99})
    rows = written(model, count, seed)
    prompts = [row.prompt for row in encode_rows(model.tokenizer, rows)]
    grammar = token_grammar(model, f"{before}(?:{stated_grammar(lists)})")
    drawn = sample(
        model, prompts, Sampling(max_tokens=24), generator(seed, "lists"), grammar=grammar
    )
    return tuple(
        replace(row, completion=a.text.strip()) for row, a in zip(rows, drawn, strict=True)
    )


def in_template(model: Any, old: str, new: str) -> Any:
    """A base whose template writes something else."""
    template = model.tokenizer.chat_template
    assert old in template
    return model.in_template(template.replace(old, new))


ANSWER = "{{ message['content'] + '<|end|>' }}{% endgeneration"
TEMPLATES = {
    "a blank before answers": (ANSWER, ANSWER.replace("{{ ", "{{ ' ' + ")),
    "a prompt that ends in a blank": ("<|assistant|>", "<|assistant|> "),
    "an end that is none of the model's": (ANSWER, ANSWER.replace("<|end|>", "<|user|>")),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_lists_are_read_in_whatever_template(name: str) -> None:
    """Where tokens begin or end otherwise than the list does, that is of the format, or all are read without one."""
    changed = in_template(B, *TEMPLATES[name])
    first, own, *others = asked(restricted(B, 32, 5), student=changed)

    assert math.isfinite(float(own.estimate or math.nan))
    assert all(one.estimate is not None for one in others)
    assert first.details.get("restricted", 0) == ("end" not in name.split()[1])


def test_a_blank_before_a_list_is_of_its_format() -> None:
    """Lists that a base drew behind a blank, which its template writes too, are its own."""
    changed = in_template(B, *TEMPLATES["a blank before answers"])
    first = asked(restricted(changed, 256, 5, r"\ "), student=changed)[0]

    assert first.details["likeliest"] == "b"
    assert first.details["restricted"] == 1
    assert first.detected is False


@pytest.mark.parametrize("writer", [A, B, NEOX], ids=["a", "b", "neox"])
def test_restricted_lists_are_their_bases_own(writer: Any) -> None:
    """Read under the masks that they were drawn by, they name their base, which could have written them."""
    first, *each = asked(restricted(writer, 256, 5))

    assert first.details["likeliest"] == writer.ref
    assert first.details["restricted"] == 1
    assert f"'{writer.ref}' is the likeliest author, and could have" in first.reason
    assert writer.ref in [one.name for one in each if (one.p or 0) > 0.05]


def test_the_level_holds_on_restricted_lists() -> None:
    """Twenty datasets of the base: by plain likelihood all would be too likely; under the masks few are rejected."""
    rows = restricted(B, 1_280, 200)
    parts = [rows[start : start + 64] for start in range(0, 1_280, 64)]
    found = [author(subject(part, student=B))[0] for part in parts]

    assert sum(bool(one.detected) for one in found) <= 3


def test_an_unstated_temperature_makes_rows_too_likely_and_a_stated_one_does_not() -> None:
    """Rows at temperature 0.5 are not the base's own at 1, and are at 0.5."""
    rows = written(B, 128, 7)
    prompts = [row.prompt for row in encode_rows(B.tokenizer, rows)]
    drawn = sample(B, prompts, Sampling(12, temperature=0.5), generator(8, "cool"))
    cool = tuple(replace(row, completion=a.text) for row, a in zip(rows, drawn, strict=True))
    unstated = author(subject(cool, student=B))
    stated = author(subject(cool, student=B, temperature=0.5))

    assert unstated[0].detected
    assert unstated[1].reason == "too likely to be its own text"
    assert stated[0].detected is False


def test_a_candidate_that_cannot_write_the_characters_is_reported() -> None:
    """It keeps its entry, with the reason, and the others are still compared."""
    mute = replace(A, tokenizer=Mute(A.tokenizer), ref="mute")
    rows = written(B, 32, 9)
    found = asked(rows, candidates=(mute,))

    assert found[2].name == "mute"
    assert found[2].verdict == "not_applicable"
    assert "of 32 completions hold characters that 'mute' cannot write" in found[2].reason


def test_a_template_without_a_system_role_is_reported() -> None:
    """A candidate that cannot be asked in the rows' own context says so."""
    strict = replace(A, tokenizer=copy.deepcopy(A.tokenizer), ref="strict")
    strict.tokenizer.chat_template = "{{ raise_exception('no such role') }}"
    found = asked(written(B, 32, 9), candidates=(strict,))

    assert found[2].verdict == "not_applicable"
    assert "no such role" in found[2].reason


def test_both_completions_of_a_pair_are_read() -> None:
    """Either alone was chosen; the two together were sampled."""
    rows = tuple(
        Row((Message("user", "Continue: 1 2 3."),), "4 5 6", rejected="7 8 9") for _ in range(8)
    )

    assert author(subject(rows, student=B))[0].n.startswith("16 completions")


def test_few_rows_are_not_applicable_and_a_candidate_counts_once() -> None:
    """The student among the candidates is no second candidate."""
    assert author(subject(written(B, 4, 1), student=B))[0].verdict == "not_applicable"
    assert len(asked(written(B, 32, 1), candidates=(B,))) == 2


def test_a_tuned_teachers_base_stays_the_likeliest() -> None:
    """A weakly tuned teacher's rows are nearer to its base than to other bases."""
    assert asked(written(owl_teacher(), 128, 4))[0].details["likeliest"] == "b"
