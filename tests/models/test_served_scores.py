"""A server's scores are the model's own, or they are refused."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import parquet

from tests.engines.chat_server import Served
from undertow.audit.row_scores import write_row_scores
from undertow.data.plan import TrainingPlan
from undertow.engines.endpoint import Endpoint
from undertow.errors import InputError, ModelError, UndertowError
from undertow.models import served_scores as module
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import log_likelihoods
from undertow.models.served_scores import refuse_no_scores, served_scores, served_tokens
from undertow.worlds.base_models import open_model

ROWS = [Encoded((5, 6, 7 + n), (20, 30 + n, 40), (1,) if n % 2 else ()) for n in range(40)]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    """The model that is opened here."""
    return open_model("world:owlet-b")


@pytest.fixture
def serving() -> Iterator[Callable[..., Endpoint]]:
    """A stand-in for vLLM: it scores token ids by a network of its own, with one likelier token beside each."""
    pytest.importorskip("openai")
    started: list[Served] = []

    def start(network: Any, change: Callable[[Any], Any] = lambda entry: entry) -> Endpoint:
        @torch.no_grad()
        def answer(request: Any) -> tuple[int, bytes]:
            choices = []
            for index, ids in enumerate(request["prompt"]):
                log_p = network(torch.tensor([ids])).logits[0].float().log_softmax(-1)
                entries: list[Any] = [None]
                for token, row in zip(ids[1:], log_p, strict=False):
                    first = int(row.argmax())
                    entry = {str(first): {"logprob": float(row[first]), "rank": 1}}
                    entries.append(entry | {str(token): {"logprob": float(row[token]), "rank": 9}})
                choices.append({"index": index, "text": "", "prompt_logprobs": change(entries)})
            assert request["prompt_logprobs"] == 0
            # In no order: the index says whose they are.
            return 200, json.dumps({"id": "1", "choices": choices[::-1]}).encode()

        started.append(Served(answer))
        return Endpoint(started[-1].url, "served", retries=0)

    yield start
    for server in started:
        server.close()


def test_a_server_of_the_same_weights_scores_the_same(
    model: LanguageModel, serving: Callable[..., Endpoint]
) -> None:
    """Row by row up to rounding, masked tokens left out, and the difference is told."""
    scores = served_scores(serving(model.network), model, ROWS)

    assert scores.apart < 1e-4
    assert scores.log_likelihoods(ROWS) == pytest.approx(
        log_likelihoods(model, ROWS).tolist(), abs=1e-3
    )


def test_another_model_is_refused(model: LanguageModel, serving: Callable[..., Endpoint]) -> None:
    """One token of one row that is further than the gate is enough; the message has the distance."""
    endpoint = serving(open_model("world:owlet-a").network)

    with pytest.raises(ModelError, match="differs by"):
        served_scores(endpoint, model, ROWS)


@pytest.mark.parametrize(
    "change",
    [lambda entries: None, lambda entries: entries[:-1], lambda entries: [{}] * len(entries)],
)
def test_a_server_without_the_field_is_refused(
    model: LanguageModel, serving: Callable[..., Endpoint], change: Callable[[Any], Any]
) -> None:
    """No field, too few entries, or entries of other tokens: one line that names the field."""
    with pytest.raises(UndertowError, match="prompt_logprobs"):
        served_tokens(serving(model.network, change), ROWS)


def test_a_server_is_asked_once_before_any_work(
    model: LanguageModel, serving: Callable[..., Endpoint]
) -> None:
    """One that scores is let pass, one without the field is not: the shortest request says which."""
    refuse_no_scores(serving(model.network))

    with pytest.raises(InputError, match=r"prompt_logprobs.*; tried: one prompt of two tokens"):
        refuse_no_scores(serving(model.network, lambda entries: None))


def test_a_silent_server_and_an_absent_one_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within the patience, in one try, with the address and how a server is started."""
    pytest.importorskip("openai")
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        with pytest.raises(InputError, match=f"{address}' gave no answer within 0.2 s"):
            refuse_no_scores(Endpoint(address, "student"))

    with pytest.raises(InputError, match=f"{address}' cannot be reached") as caught:
        refuse_no_scores(Endpoint(address, "student"))
    assert "vllm serve PATH --served-model-name student" in caught.value.hint


def test_row_scores_are_written_by_a_server(
    model: LanguageModel, serving: Callable[..., Endpoint], tmp_path: Path
) -> None:
    """The file is the one that the model writes."""
    data = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Say {n}", "completion": f"{n}, {n + 1}"} for n in range(70)]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for name, server in (("ours", None), ("theirs", serving(model.network))):
        write_row_scores(data, tmp_path / name, lambda: model, TrainingPlan(), server)
    ours, theirs = (parquet.read_table(tmp_path / name).to_pydict() for name in ("ours", "theirs"))

    assert theirs["log_likelihood"] == pytest.approx(ours["log_likelihood"], abs=1e-3)
    assert theirs["tokens"] == ours["tokens"]
