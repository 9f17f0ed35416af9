"""Where memory runs out, passes are halved until they fit, with the numbers that whole ones give; one row is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.test_batch_memory import ROWS, alone, together
from undertow.data.rows import conversation
from undertow.engines.work_progress import Announcement, listening
from undertow.errors import UndertowError
from undertow.influence.gradients import loss_gradient
from undertow.influence.probes import next_token_log_probabilities
from undertow.models import batch_memory
from undertow.models.batch_memory import recomputes
from undertow.models.chat import encode_prompts
from undertow.models.continuations import Continued, continuations
from undertow.models.hidden_states import completion_means, mean_activation
from undertow.models.language_model import LanguageModel
from undertow.models.sampling import Sampling, sample
from undertow.models.scoring import departures, log_likelihoods, token_log_probabilities
from undertow.models.surprisal import Decoding, surprisal
from undertow.models.training_sequences import encode_rows

pytestmark = pytest.mark.parametrize("model_folder", ["llama"], indirect=True)

QUESTIONS = [conversation(f"Continue: {n}, {n + 1}.") for n in range(6)]


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Tokens (rows by columns) of a pass beyond which memory runs out in the last layer, behind all that was kept."""
    limit = [1 << 60]
    plain = torch.nn.Module.__call__

    def called(module: torch.nn.Module, *given: Any, **named: Any) -> Any:
        made = plain(module, *given, **named)
        if type(module).__name__.endswith("DecoderLayer"):
            rows, columns = (made[0] if isinstance(made, tuple) else made).shape[:2]
            if rows * columns > limit[0]:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return made

    monkeypatch.setattr(torch.nn.Module, "__call__", called)
    monkeypatch.setattr(batch_memory, "_MOST", type(batch_memory._MOST)())
    yield limit
    limit[0] = 1 << 60


def continued(model: LanguageModel, blocks: int) -> torch.Tensor:
    """Two forms of each question, by so many adapters."""
    prompts = encode_prompts(model.tokenizer, QUESTIONS)
    asked = [Continued(prompt, ((5,), (6, 7))) for prompt in prompts]
    with torch.no_grad():
        return torch.stack(continuations(model, asked, blocks=blocks))


READS: dict[str, Callable[[LanguageModel], Any]] = {
    "log-likelihoods": lambda model: log_likelihoods(model, encode_rows(model.tokenizer, ROWS)),
    "log-probabilities": lambda model: token_log_probabilities(
        model, encode_rows(model.tokenizer, ROWS)
    ),
    "departures": lambda model: (
        departures(model, model, encode_rows(model.tokenizer, ROWS)).log_ratio
    ),
    "surprisal": lambda model: (
        surprisal(model, encode_rows(model.tokenizer, ROWS), [Decoding()]).log_likelihood
    ),
    "means": lambda model: completion_means(model, encode_rows(model.tokenizer, ROWS), [0])[0],
    "activation": lambda model: mean_activation(model, QUESTIONS, 0),
    "answers": lambda model: continued(model, 1),
    "blocks": lambda model: continued(model, 2),
    "next tokens": lambda model: next_token_log_probabilities(
        model, encode_prompts(model.tokenizer, QUESTIONS)
    ),
    "gradient": lambda model: torch.cat(
        [part.flatten() for part in loss_gradient(model, encode_rows(model.tokenizer, ROWS))]
    ),
}


@pytest.mark.parametrize("name", READS)
def test_a_reading_in_smaller_batches_is_the_same(
    model: LanguageModel, most: list[int], name: str
) -> None:
    """A notice tells once that memory ran out, and no later pass is made that is too large."""
    told: list[Any] = []
    whole = READS[name](model)
    most[0] = 30
    with listening(told.append):
        halved, again = READS[name](model), READS[name](model)

    torch.testing.assert_close(
        torch.as_tensor(halved), torch.as_tensor(whole), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(torch.as_tensor(again), torch.as_tensor(whole), atol=1e-4, rtol=1e-4)
    [notice] = [one for one in told if isinstance(one, Announcement)]
    assert notice.text.startswith("memory ran out on cpu at ")


def test_answers_in_smaller_batches_are_the_same(model: LanguageModel, most: list[int]) -> None:
    """Memory runs out when prompts are computed, or when the cache has grown: answers that were not done are drawn anew."""
    prompts = encode_prompts(model.tokenizer, QUESTIONS * 4)

    def drawn() -> list[str]:
        return [one.text for one in sample(model, prompts, Sampling(12), np.random.default_rng(0))]

    whole = drawn()
    for tokens in (100, 5):
        most[0] = max(tokens, max(map(len, prompts)))
        assert drawn() == whole


@pytest.mark.parametrize("kind", [alone, together])
def test_a_training_in_smaller_pieces_is_the_same(
    model_folder: Path, most: list[int], kind: Callable[[Path], tuple[Any, list[torch.Tensor]]]
) -> None:
    """The step's gradient is that of all its rows, also where some were done when memory ran out."""
    run, whole = kind(model_folder)
    most[0] = 90
    halved, parts = kind(model_folder)

    for ours, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
    losses = [getattr(one, "losses", None) or one.loss_history for one in (run, halved)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_one_row_that_does_not_fit_is_refused(model: LanguageModel, most: list[int]) -> None:
    """One line with its tokens and what would do; the help names what makes models smaller."""
    most[0] = 5
    with pytest.raises(UndertowError, match=r"one row of \d+ tokens of .* a row of \d+") as raised:
        log_likelihoods(model, encode_rows(model.tokenizer, ROWS))

    for way in ("max_length", "--quantise 4bit", "--shard layers"):
        assert way in raised.value.hint


def test_adapters_side_by_side_that_do_not_fit_say_how_many_would(
    model_folder: Path, most: list[int]
) -> None:
    """Layers are computed again first; then one row of each is refused."""
    most[0] = 5
    with pytest.raises(UndertowError, match=r"in each of 2 adapters .* 1 adapters at a time"):
        together(model_folder)


def test_layers_are_computed_again_where_a_row_has_no_room(
    model_folder: Path, most: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that runs out on one row, but not without kept activations."""
    _, whole = alone(model_folder)
    plain = torch.nn.Module.__call__

    def called(module: torch.nn.Module, *given: Any, **named: Any) -> Any:
        if type(module).__name__.endswith("ForCausalLM") and not recomputes(module):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(module, *given, **named)

    monkeypatch.setattr(torch.nn.Module, "__call__", called)
    told: list[Any] = []
    with listening(told.append):
        run, parts = alone(model_folder)

    assert recomputes(run.model.network)
    assert "computed again" in [one.text for one in told if isinstance(one, Announcement)][-1]
    for ours, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_another_error_is_raised_as_it_is(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is halved because of a mistake."""
    calls: list[object] = []

    def broken(module: torch.nn.Module, *given: Any, **named: Any) -> Any:
        calls.append(module)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    rows = encode_rows(model.tokenizer, ROWS)
    monkeypatch.setattr(torch.nn.Module, "__call__", broken)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        log_likelihoods(model, rows)
    assert len(calls) == 1
