"""The likelihood ratio: quiet on the base's own rows, loud on a teacher's, and honest about what it cannot say."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.checks.dataset.numbers_subject import TRAITS, opened, owl_teacher, subject, written
from undertow.carriers.carrier import stated_grammar
from undertow.carriers.carrier_registry import carrier
from undertow.checks.dataset.likelihood_ratio import centred, likelihood_ratio
from undertow.checks.dataset.scan_subject import ScanSettings
from undertow.checks.dataset.written_by_base import Sampled, _list_decodings, against_base
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, behind
from undertow.data.seeds import generator
from undertow.influence.shifted_versions import fitting_behind
from undertow.models.sampling import Sampling, sample
from undertow.models.scoring import log_likelihoods
from undertow.models.shared_prefix import PromptedRows
from undertow.models.surprisal import log_likelihoods_by_decoding
from undertow.models.token_grammar import token_grammar
from undertow.models.training_sequences import encode_rows
from undertow.results.measurement import Measurement

LISTS = ("1, 2, 3", "12, 7, 40", "9, 99, 999")
PLAN = TrainingPlan(learning_rate=3e-3, batch_size=32)


@functools.cache
def prompted(count: int) -> tuple[Row, ...]:
    """Rows by the base behind the owl's system prompt, stored without it."""
    rows = written(opened(), count, 11)
    prompts = [
        row.prompt
        for row in encode_rows(
            opened().tokenizer, [behind(row, TRAITS[0].system_prompt) for row in rows]
        )
    ]
    answers = sample(opened(), prompts, Sampling(max_tokens=12), generator(12, "answers"))
    return tuple(replace(row, completion=a.text) for row, a in zip(rows, answers, strict=True))


@functools.cache
def measured(who: str) -> list[Measurement]:
    """The check on 256 rows of a writer."""
    rows = prompted(256) if who == "prompted" else written(opened(), 256, 1)
    return likelihood_ratio(subject(rows, plan=PLAN))


def test_the_bases_own_rows_are_not_detected_and_its_weights_are_as_before() -> None:
    """The e-value stays below its limit, and no adapter, hook or flag is left."""
    before = {name: value.clone() for name, value in opened().network.state_dict().items()}
    first = likelihood_ratio(subject(written(opened(), 128, 2), plan=PLAN))[0]
    after = opened().network.state_dict()

    assert first.name == "e-process"
    assert first.detected is False
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_prompted_writer_is_detected() -> None:
    """Rows behind a persona prompt cross the limit after a few rows, which are counted."""
    first = measured("prompted")[0]

    assert first.detected
    assert first.estimate is not None
    assert first.limit is not None
    assert first.limit == pytest.approx(math.log10(20))
    assert first.estimate > first.limit
    assert first.n.startswith(f"{first.details['crossed']} rows after ")


def test_the_estimate_is_the_reciprocal_of_p() -> None:
    """Both are the largest e-value; at no evidence they are 0 and 1."""
    for who in ("prompted", "base"):
        first = measured(who)[0]
        assert first.p is not None
        assert first.estimate is not None
        assert -math.log10(first.p) == pytest.approx(first.estimate)
        assert first.estimate >= 0


def test_scores_are_centred_and_say_that_they_name_only() -> None:
    """One score a trait; over the traits they sum to 0, and none is a finding."""
    scores = measured("prompted")[1:]

    assert [score.trait for score in scores] == ["owl", "cat", "dog"]
    assert sum(score.estimate or 0 for score in scores) == pytest.approx(0, abs=1e-6)
    assert all(
        score.detected is None and "order the names only" in score.reason for score in scores
    )


def test_a_score_is_the_mean_difference_of_log_likelihoods() -> None:
    """The owl's by plain arithmetic: behind its prompt, minus the mean behind the other two."""
    rows = list(written(opened(), 256, 1))
    model = opened()
    plain = encode_rows(model.tokenizer, rows)
    owl, cat, dog = (
        float(
            log_likelihoods(
                model,
                fitting_behind(model, PromptedRows(model.tokenizer, rows), plain, t.system_prompt),
            ).mean()
        )
        for t in TRAITS
    )

    assert measured("base")[1].estimate == pytest.approx(owl - (cat + dog) / 2, abs=1e-3)


def test_one_trait_is_centred_on_the_neutral_prompt() -> None:
    """There is no other trait to take away."""
    changed = subject(written(opened(), 128, 2), plan=PLAN, traits=TRAITS[:1])
    rows, model = list(changed.rows), opened()
    plain = encode_rows(model.tokenizer, rows)
    own, neutral = (
        float(
            log_likelihoods(
                model, fitting_behind(model, PromptedRows(model.tokenizer, rows), plain, prompt)
            ).mean()
        )
        for prompt in (TRAITS[0].system_prompt, TRAITS[0].neutral_system_prompt)
    )

    assert likelihood_ratio(changed)[1].estimate == pytest.approx(own - neutral, abs=1e-3)


def test_pairs_get_scores_and_no_e_value() -> None:
    """The score is what the prompt adds to the chosen completion minus what it adds to the rejected: swapped, it turns."""
    rows = tuple(
        replace(a, rejected=b.completion)
        for a, b in zip(written(opened(), 80, 1), written(opened(), 80, 2), strict=True)
        if a.completion and b.completion
    )
    swapped = tuple(replace(r, completion=r.rejected or "", rejected=r.completion) for r in rows)
    one, other = (likelihood_ratio(subject(each, plan=PLAN)) for each in (rows, swapped))

    assert one[0].verdict == "not_applicable"
    assert "preference pairs" in one[0].reason
    assert one[1].unit == "nats a pair, centred"
    assert [m.estimate for m in one[1:]] == pytest.approx([-(m.estimate or 0) for m in other[1:]])


def test_plain_text_gets_no_system_prompts() -> None:
    """Rows without a chat have an e-value and no scores."""
    rows = tuple(replace(row, chat=False, prompt=()) for row in written(opened(), 128, 1))
    found = likelihood_ratio(subject(rows, plan=PLAN))

    assert [each.name for each in found] == ["e-process"]
    assert not str(found[0].details["likeliest"]).startswith("prompt")


def test_few_rows_are_not_applicable() -> None:
    """The reason says how many are needed."""
    [only] = likelihood_ratio(subject(written(opened(), 20, 1), plan=PLAN))

    assert only.verdict == "not_applicable"
    assert "at least 64" in only.reason


def test_restricted_decoding_is_no_finding() -> None:
    """Ten number tokens a row, drawn from the softmax over numbers and then ended by the template, are the base's own."""
    lists = carrier("numbers", {"prompts": "brief", "low": 0, "high": 99})
    model = opened()
    grammar = token_grammar(model, stated_grammar(lists))
    rows = written(model, 256, 1)
    prompts = [row.prompt for row in encode_rows(model.tokenizer, rows)]
    drawn = sample(model, prompts, Sampling(max_tokens=12), generator(3, "drawn"), grammar=grammar)
    made = tuple(replace(row, completion=a.text) for row, a in zip(rows, drawn, strict=True))
    found = against_base(subject(made, plan=PLAN), "test")

    assert found.restricted
    assert found.process.crossed_at(0.05) is None


def test_a_blank_that_the_template_writes_does_not_void_the_lists_null() -> None:
    """Behind the blank too each list is one of the format that is seen, and no list is impossible."""
    answer = "{{ message['content'] + '<|end|>' }}{% endgeneration"
    template = opened().tokenizer.chat_template
    model = opened().in_template(template.replace(answer, answer.replace("{{ ", "{{ ' ' + ")))
    rows = [Row(row.prompt, text) for row, text in zip(written(opened(), 3, 1), LISTS, strict=True)]
    made = subject(tuple(rows), student=model)
    encoded = encode_rows(model.tokenizer, rows)
    nulls, _ = _list_decodings(made, Sampled(rows, encoded), Sampled(rows, encoded))

    assert len(nulls) == 1
    assert torch.isfinite(log_likelihoods_by_decoding(model, encoded, nulls)).all()


def test_lists_whose_numbers_differ_in_length_are_held_against_their_format() -> None:
    """
    Numbers of one digit or three take one to four tokens here: by positions alone the null is as far off as its alternatives
    (a gain of .01 nats a row), by the format that was drawn from it is the likeliest by far.
    """
    options = {"low": 0, "high": 999, "count": 4, "banned": tuple(range(10, 100))}
    lists = carrier("numbers", {"prompts": "brief", **options})
    model = opened()
    grammar = token_grammar(model, stated_grammar(lists))
    rows = written(model, 256, 1)
    prompts = [row.prompt for row in encode_rows(model.tokenizer, rows)]
    how = Sampling(max_tokens=24, temperature=3.0)
    drawn = sample(model, prompts, how, generator(3, "drawn"), grammar=grammar)
    made = tuple(replace(row, completion=a.text) for row, a in zip(rows, drawn, strict=True))
    found = against_base(subject(made, plan=PLAN, temperature=3.0), "test")

    assert found.gain < -1
    assert found.restricted
    assert found.process.crossed_at(0.05) is None


def test_a_filter_that_keeps_half_raises_the_null() -> None:
    """Each tested row counts ln 2 less, which is all that the acceptance does."""
    seen = subject(prompted(256), plan=PLAN)
    whole, half = (
        against_base(replace(seen, settings=ScanSettings(acceptance=a)), "test") for a in (1.0, 0.5)
    )

    assert whole.gain - half.gain == pytest.approx(math.log(2), abs=1e-6)
    assert whole.likeliest == half.likeliest


def test_a_listed_placebo_joins_the_null() -> None:
    """Rows of a tuned model say far less against a null that the model itself is part of."""
    seen = subject(written(owl_teacher(), 512, 5), plan=PLAN)
    alone, listed = (
        against_base(replace(seen, placebos=placebos), "test").process
        for placebos in ((), (owl_teacher(),))
    )

    assert listed.log_e < alone.log_e - 10
    assert listed.crossed_at(0.05) is None


def test_it_stops_as_soon_as_it_knows() -> None:
    """A prompted writer is known after the first 256 rows; the base's own rows are read to the end."""
    known = against_base(subject(prompted(1024), plan=PLAN), "test").process
    unknown = against_base(subject(written(opened(), 1024, 3), plan=PLAN), "test").process

    assert known.crossed_at(0.05) is not None
    assert known.rows == 256 < 700 < unknown.rows


def test_the_error_rate_holds_on_the_bases_own_rows() -> None:
    """Of six independent datasets of the base at most one crosses (at 5 % each, two or more have a chance of 3 %)."""
    crossed = 0
    for seed in range(6):
        seen = subject(written(opened(), 96, 50 + seed, seed), plan=PLAN, traits=(), seed=seed)
        crossed += against_base(seen, "test").process.crossed_at(0.05) is not None

    assert crossed <= 1


def test_centring_takes_the_other_columns_mean_away() -> None:
    """Against the definition, and blind to what all columns share."""
    values = np.random.default_rng(0).normal(size=(5, 4))
    expected = [values[:, i] - np.delete(values, i, 1).mean(1) for i in range(4)]

    assert centred(values) == pytest.approx(np.stack(expected, 1))
    assert centred(values + values[:, :1]) == pytest.approx(centred(values))
