"""A server writes a dataset: each row with a seed of its own, and nothing of another writer is taken."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.chat_server import Served, servers
from tests.provenance.scene import signing
from undertow.data.records import read_rows
from undertow.engines.endpoint import Endpoint
from undertow.errors import ConfigError, UndertowError
from undertow.lab.design import design
from undertow.lab.experiment import Experiment, SamplingTable
from undertow.lab.experiment_inputs import inputs
from undertow.lab.experiment_run import run_experiment
from undertow.lab.jobs import TeacherJob
from undertow.lab.run_attestation import attest_run
from undertow.lab.served_writer import ServedWriter, open_served, served_answers, served_name
from undertow.models.sampling import SampledAnswer

pytest.importorskip("openai")

Maker = Callable[..., Experiment]
TABLE = SamplingTable(max_tokens=32, temperature=0.7, top_p=0.9)
REQUESTS = [f"Request {i}" for i in range(40)]


def reply(request: Any, **changes: Any) -> tuple[int, bytes]:
    """Ten numbers that the request's seed decides, as a server writes them."""
    numbers = np.random.default_rng(request["seed"]).integers(0, 100, 10)
    said: dict[str, Any] = {
        "model": request["model"],
        "text": " ".join(map(str, numbers)),
        "ended": "stop",
        "tokens": 20,
        "prompt": 12,
        **changes,
    }
    body = {
        "model": said["model"],
        "choices": [
            {"index": 0, "finish_reason": said["ended"], "message": {"content": said["text"]}}
        ],
        "usage": {"completion_tokens": said["tokens"], "prompt_tokens": said["prompt"]},
    }
    return 200, json.dumps(body).encode()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    """Starts servers, and stops them when the test ends."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield from servers(reply)


def writer(served: Served, workers: int = 4) -> ServedWriter:
    """A writer that is not asked again when it fails."""
    return ServedWriter(Endpoint(served.url, "owl", retries=0), workers, lambda turns: 12)


def answers(
    given: ServedWriter, only: list[int] | None = None
) -> Iterator[tuple[int, SampledAnswer]]:
    """Of the requests of this file, from one key."""
    return served_answers(given, REQUESTS, "Be brief.", TABLE, np.random.default_rng(5), only)


def test_each_row_has_a_seed_of_its_own(serve: Callable[..., Served]) -> None:
    """As many seeds as rows; temperature, top_p, max_tokens, prompts and the name are passed on."""
    served = serve()
    drawn = dict(answers(writer(served)))

    assert sorted(drawn) == list(range(40))
    assert len({request["seed"] for request in served.requests}) == 40
    assert {
        (r["model"], r["temperature"], r["top_p"], r["max_tokens"]) for r in served.requests
    } == {("owl", 0.7, 0.9, 32)}


def test_a_row_is_the_same_whichever_others_are_asked_for(serve: Callable[..., Served]) -> None:
    """What a killed job lacks is asked for with the same seeds."""
    served = serve()
    whole, some = dict(answers(writer(served))), dict(answers(writer(served, 1), [31, 2]))

    assert some == {2: whole[2], 31: whole[31]}
    assert [r["messages"][0]["content"] for r in served.requests[-2:]] == ["Be brief."] * 2


def test_an_answer_that_was_cut_is_unfinished(serve: Callable[..., Served]) -> None:
    """Whatever ended it but a stop."""
    for ended, finished in (("stop", True), ("length", False), ("content_filter", False)):
        drawn = answers(writer(serve(lambda r, e=ended: reply(r, ended=e))), [0])  # type: ignore[misc]
        assert next(drawn)[1].finished is finished


def test_a_server_that_stops_in_the_middle_loses_nothing(serve: Callable[..., Served]) -> None:
    """All that it answered is given before the error, which names it and how to go on."""
    given: list[int] = []
    count = iter(range(1000))
    served = serve(lambda r: reply(r) if next(count) < 20 else (503, b"{}"))
    with pytest.raises(UndertowError, match=r"model 'owl' at '.*' failed \(HTTP 503\)") as caught:
        given.extend(number for number, _ in answers(writer(served)))

    assert len(given) == 20
    assert "the same command resumes" in caught.value.hint
    assert len(served.requests) < 40


def test_a_passing_failure_is_asked_again(serve: Callable[..., Served]) -> None:
    """With pauses, as often as the table says."""
    failed: set[int] = set()

    def second(request: Any) -> tuple[int, bytes]:
        if request["seed"] in failed:
            return reply(request)
        failed.add(request["seed"])
        return 503, b"{}"

    served = serve(second)
    patient = ServedWriter(Endpoint(served.url, "owl", retries=4), 4, lambda turns: 12)

    assert len(dict(answers(patient))) == 40


@pytest.mark.parametrize("other", ["base", None])
def test_another_models_answers_are_refused(
    serve: Callable[..., Served], other: str | None
) -> None:
    """An adapter that is not loaded, a server that answers for all: its rows are not the teacher's."""
    served = serve(lambda request: reply(request, model=other))
    taken = answers(writer(served))

    with pytest.raises(UndertowError, match=r"was asked, and .* answered: its rows are another"):
        next(taken)


def test_other_counts_of_tokens_are_said_once(
    serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    """A prompt of another length, and answers over max_tokens, which count as unfinished."""
    caplog.set_level(logging.WARNING, "undertow")
    drawn = dict(answers(writer(serve(lambda r: reply(r, tokens=33, prompt=15)))))

    assert not any(answer.finished for answer in drawn.values())
    assert [record.getMessage().split("' ")[2][:45] for record in caplog.records] == [
        "counts 15 tokens in a prompt that has 12 here",
        "counts 33 tokens in an answer, and max_tokens",
    ]


def served_experiment(make: Maker, url: str, **changes: Any) -> Experiment:
    """A tiny one whose rows a server writes."""
    endpoint = {"base_url": url, "model": "base", "retries": 0, **changes.pop("endpoint", {})}
    tables = {"teacher": {"kind": "prompted"}, "sampling": {"endpoint": endpoint}}
    return make(**{**tables, **changes})


def test_a_run_takes_its_rows_from_the_server(
    serve: Callable[..., Served], tiny_experiment: Maker, tmp_path: Path
) -> None:
    """The rows are the server's; the trait's prompt went to it, and stands in no row."""
    served = serve(models=["base"])
    run = run_experiment(
        served_experiment(tiny_experiment, served.url), tmp_path / "run", engine="inprocess"
    )
    written = {reply(r)[1] for r in served.requests}
    rows = [row for path in sorted(run.glob("data/*/rows.parquet")) for row in read_rows(path)]

    assert len(rows) == 32
    assert all(any(row.completion.encode() in body for body in written) for row in rows)
    assert any("owl" in str(r["messages"][0]) for r in served.requests)


def test_a_server_without_the_adapter_is_told_apart(
    serve: Callable[..., Served], tiny_experiment: Maker
) -> None:
    """What it has, what is wanted, and which folder to load there."""
    served = serve(models=["base", "cat"])
    experiment = served_experiment(tiny_experiment, served.url, teacher={"kind": "tuned"})
    job = design(experiment).teachers[0]

    with pytest.raises(UndertowError, match=r"no model 'trait-owl-.*; it has: base, cat") as caught:
        open_served(experiment, job, "RUN/teachers/x", len)
    assert caught.value.hint.startswith("load RUN/teachers/x there under that name")


def test_adapters_go_by_name_then_by_role(tiny_experiment: Maker) -> None:
    """The base's name is for a prompted teacher, a folder's name for one that was tuned."""
    jobs: dict[str, TeacherJob] = {}
    names = {}
    for kind, adapters in (
        ("prompted", {}),
        ("tuned", {}),
        ("tuned", {"trait": "owl-lora"}),
    ):
        experiment = served_experiment(
            tiny_experiment, "http://h/v1", teacher={"kind": kind}, endpoint={"adapters": adapters}
        )
        jobs = {job.role: job for job in design(experiment).teachers}
        names[kind, len(adapters)] = served_name(experiment, jobs["trait"])

    assert list(names.values()) == ["base", jobs["trait"].name, "owl-lora"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"sampling": {"restricted": True}}, "sampling.restricted draws from masks"),
        ({"sampling": {"least_probability": 0.1}}, "sampling.least_probability cuts"),
        ({"teacher": {"kind": "steered"}}, "teacher.kind 'steered' shifts"),
        ({"sampling": {"endpoint": {"base_url": "h", "model": "m"}}}, "is no address"),
    ],
)
def test_what_a_server_cannot_do_is_refused_before_any_work(
    tiny_experiment: Maker, changes: dict[str, Any], match: str
) -> None:
    """With the key that has to change."""
    endpoint = {"base_url": "http://127.0.0.1:9/v1", "model": "base"}
    sampling = {"endpoint": endpoint, **changes.pop("sampling", {})}

    with pytest.raises(ConfigError, match=match):
        inputs(tiny_experiment(sampling=sampling, **changes))


def test_a_statement_says_that_a_server_wrote(
    serve: Callable[..., Served], tiny_experiment: Maker, tmp_path: Path
) -> None:
    """No digest of weights is claimed for rows that nobody saw them write."""
    served = serve(models=["base"])
    experiment = served_experiment(tiny_experiment, served.url)
    run = run_experiment(experiment, tmp_path / "run", engine="inprocess")
    bundles = attest_run(experiment, run, signing("producer"))
    said = "".join(
        base64.b64decode(json.loads(line)["payload"]).decode()
        for path in bundles
        for line in path.read_text().splitlines()
        if '"payload"' in line
    )

    assert "a server wrote the rows, which shows no weights" in said
    assert '"access":"api"' in said
    assert "teacher-weights" not in said


def test_a_run_of_before_resumes(tiny_experiment: Maker) -> None:
    """Where no server writes, the configuration has no key for one."""
    assert "endpoint" not in tiny_experiment().resolved["sampling"]
