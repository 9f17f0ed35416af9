"""A dataset's writer behind an OpenAI-compatible server: which model it asks there, and what of its answers is believed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from undertow.data.rows import Message, conversation
from undertow.engines.endpoint import Draw, Endpoint, Reply, replies_as_given, served_models
from undertow.errors import ConfigError, UndertowError
from undertow.lab.experiment import Experiment, SamplingTable, ServerTable
from undertow.lab.jobs import StudentJob, TeacherJob
from undertow.models.sampling import SampledAnswer

logger = logging.getLogger(__name__)

_SEEDS = 2**31
"""Servers take seeds of 31 bits at least."""
_STEP = 0x9E3779B1
"""Odd, so that rows below 2^31 have seeds of their own; near the golden ratio of 2^32, so that those of neighbours lie apart."""


@dataclass(frozen=True)
class ServedWriter:
    """A teacher, or a student that teaches, as a server knows it."""

    endpoint: Endpoint
    workers: int
    """Requests that are on their way at a time."""
    prompt_tokens: Callable[[Sequence[Message]], int]
    """Length of a prompt by the base's own tokenizer and chat template."""


def refuse_served(experiment: Experiment) -> None:
    """
    Look whether a server can write what the experiment asks for; it is not asked yet.

    Raises:
        ConfigError: it cannot.
    """
    table = experiment.sampling
    if table.endpoint is None:
        return
    open_server(table.endpoint, table.endpoint.model)
    for key, value, why in (
        ("sampling.restricted", table.restricted, "draws from masks over the tokens"),
        ("sampling.least_probability", table.least_probability > 0, "cuts the distribution"),
        ("teacher.kind", experiment.steers, "'steered' shifts hidden states"),
    ):
        if value:
            raise ConfigError(
                f"{key} {why}, which the server of sampling.endpoint is not asked for",
                hint=f"change {key}, or leave out sampling.endpoint",
            )


def open_server(table: ServerTable, model: str) -> Endpoint:
    """
    The endpoint of a table, asked as this model.

    Raises:
        ConfigError: a value is unusable.
    """
    return Endpoint(table.base_url, model, table.api_key_variable, table.timeout, table.retries)


def served_name(experiment: Experiment, job: TeacherJob | StudentJob) -> str:
    """
    What the server calls a writer: as `sampling.endpoint.adapters` says of its name or its role; or the base's name if it
    is the base behind a prompt, and else the name of its folder in the run directory.
    """
    table = experiment.sampling.endpoint
    assert table is not None
    for key in (job.name, job.role):
        if key in table.adapters:
            return table.adapters[key]
    prompted = isinstance(job, TeacherJob) and experiment.teacher.kind == "prompted"
    return table.model if prompted else job.name


def open_served(
    experiment: Experiment,
    job: TeacherJob | StudentJob,
    folder: str,
    prompt_tokens: Callable[[Sequence[Message]], int],
) -> ServedWriter:
    """
    The writer of a dataset behind the experiment's server; `folder` is where its weights lie, if it was made here.

    Raises:
        UndertowError: the server is not reached, or lists other models.
    """
    table = experiment.sampling.endpoint
    assert table is not None
    endpoint = open_server(table, served_name(experiment, job))
    there = served_models(endpoint)
    if there is not None and endpoint.model not in there:
        raise UndertowError(
            f"the server at '{endpoint.base_url}' has no model '{endpoint.model}' for '{job.name}'; it has: "
            f"{', '.join(there) or 'none'}",
            hint=f"load {folder} there under that name, or name another in sampling.endpoint.adapters; the same command "
            "resumes",
        )
    return ServedWriter(endpoint, table.workers, prompt_tokens)


def served_answers(
    writer: ServedWriter,
    requests: Sequence[str],
    system: str | None,
    table: SamplingTable,
    rng: np.random.Generator,
    only: Collection[int] | None = None,
) -> Iterator[tuple[int, SampledAnswer]]:
    """
    (index of the request, its answer) as the server gives them, for the requests of `only` or for all.

    `rng` gives one key; each request has a seed of its own from the key and its index, whichever others are asked for.

    Raises:
        UndertowError: the server stops answering (what it answered before has been given), or another model answers.
    """
    key = int(rng.integers(2**63))
    chosen = range(len(requests)) if only is None else sorted(set(only))
    turns = {i: conversation(requests[i], system) for i in chosen}
    counts = _Counts(writer, table.max_tokens)
    asked = (
        (i, turns[i], Draw(table.temperature, table.top_p, table.max_tokens, row_seed(key, i)))
        for i in chosen
    )
    for i, reply in replies_as_given(writer.endpoint, asked, workers=writer.workers):
        _refuse_other(writer.endpoint, reply)
        fits = counts.fits(turns[i], reply)
        yield i, SampledAnswer(reply.text, finished=reply.ended == "stop" and fits)


def row_seed(key: int, row: int) -> int:
    """
    The seed of a row: others have others, and a row keeps its own.

    >>> len({row_seed(7, row) for row in range(10_000)})
    10000
    """
    return (key + row * _STEP) % _SEEDS


def _refuse_other(endpoint: Endpoint, reply: Reply) -> None:
    if reply.model != endpoint.model:
        who = f"'{reply.model}'" if reply.model else "a model that it does not name"
        raise UndertowError(
            f"{endpoint.name} was asked, and {who} answered: its rows are another writer's",
            hint="give the name that the server answers with (its list of models has it), and load the adapter under it; "
            "rows kept so far stay",
        )


class _Counts:
    """Holds the server's counts of tokens against ours, and says once what differs."""

    def __init__(self, writer: ServedWriter, most: int) -> None:
        self._writer, self._most = writer, most
        self._told: set[str] = set()

    def fits(self, turns: Sequence[Message], reply: Reply) -> bool:
        """Whether an answer is as short as was asked for; a longer one would have been cut here."""
        if "prompt" not in self._told and reply.prompt_tokens is not None:
            self._told.add("prompt")
            ours = self._writer.prompt_tokens(turns)
            if ours != reply.prompt_tokens:
                self._say(
                    f"counts {reply.prompt_tokens} tokens in a prompt that has {ours} here: its chat template or its "
                    "tokenizer is another, and so is what it writes"
                )
        if reply.tokens is None or reply.tokens <= self._most:
            return True
        if "answer" not in self._told:
            self._told.add("answer")
            self._say(
                f"counts {reply.tokens} tokens in an answer, and max_tokens is {self._most}; such answers count as "
                "unfinished"
            )
        return False

    def _say(self, what: str) -> None:
        logger.warning("%s %s", self._writer.endpoint.name, what)
