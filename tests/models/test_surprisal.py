"""Entropies and varentropies agree with a plain loop, and z is standard normal for a model's own samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from undertow.data.rows import Row, conversation
from undertow.models.chat import Encoded, encode_prompts
from undertow.models.language_model import LanguageModel
from undertow.models.surprisal import Decoding, Surprisal, surprisal
from undertow.models.training_sequences import encode_rows

ROWS = [
    Row(conversation("Continue: 12 45 67. Ten more numbers."), text) for text in ("1 2 3", "owl")
]


def test_sums_agree_with_a_plain_loop(model: LanguageModel) -> None:
    """At each temperature, one that is named twice too: log-likelihood, entropy, varentropy and the rarest token."""
    rows = encode_rows(model.tokenizer, ROWS)
    found = surprisal(model, rows, (Decoding(), Decoding(0.5), Decoding()))
    assert (found.varentropy[:, 0] == found.varentropy[:, 2]).all()
    for i, row in enumerate(rows):
        with torch.no_grad():
            logits = model.network(input_ids=torch.tensor([row.prompt + row.completion])).logits[0]
        for j, temperature in enumerate((1.0, 0.5)):
            p = (logits[len(row.prompt) - 1 : -1].double() / temperature).softmax(-1).numpy()
            own = np.log(p[np.arange(len(p)), list(row.completion)])
            entropy = -(p * np.log(p)).sum(1)
            varentropy = (p * (np.log(p) + entropy[:, None]) ** 2).sum(1)
            assert [part[i, j] for part in (found.log_likelihood, found.entropy)] == pytest.approx(
                [own.sum(), entropy.sum()], abs=1e-3
            )
            assert [part[i, j] for part in (found.varentropy, found.rarest)] == pytest.approx(
                [varentropy.sum(), own.min()], abs=1e-3
            )


def drawn(model: LanguageModel, count: int, seed: int, temperature: float) -> list[Encoded]:
    """Five tokens a row from the model's own predictions, by a plain loop."""
    stream = torch.Generator().manual_seed(seed)
    [prompt] = encode_prompts(model.tokenizer, [conversation("Continue: 12 45.")])
    ids = torch.tensor([prompt] * count)
    for _ in range(5):
        with torch.no_grad():
            logits = model.network(input_ids=ids).logits[:, -1] / temperature
        ids = torch.cat([ids, torch.multinomial(logits.softmax(-1), 1, generator=stream)], 1)
    return [Encoded(prompt, tuple(row[len(prompt) :])) for row in ids.tolist()]


def test_z_is_standard_normal_for_own_samples(model: LanguageModel) -> None:
    """Forty datasets at temperature 0.7: mean 0, spread 1, as the martingale says."""
    found = surprisal(model, drawn(model, 600, 1, 0.7), (Decoding(0.7),))
    fields = ("log_likelihood", "entropy", "varentropy", "rarest")
    z = np.array(
        [
            Surprisal(*(getattr(found, name)[i : i + 15] for name in fields)).z()[0]
            for i in range(0, 600, 15)
        ]
    )

    assert abs(z.mean()) < 3 / np.sqrt(40)
    assert 0.65 < z.std() < 1.4


def test_a_certain_model_has_z_zero() -> None:
    """Neither rounding nor a spread of zero makes a finding."""
    zeros = np.zeros((3, 1))

    assert Surprisal(zeros - 1e-6, zeros, zeros, zeros).z().tolist() == [0.0]


def test_a_row_that_was_split_otherwise_does_not_count() -> None:
    """One row in fifty that holds an impossible token is left out of z."""
    own = np.tile([[-1.0], [-3.0]], (50, 1))
    rarest = own.copy()
    own[0], rarest[0] = -90, -40

    found = Surprisal(own, np.full((100, 1), 2.0), np.ones((100, 1)), rarest).z()
    assert found[0] == pytest.approx(-1 / np.sqrt(99))
