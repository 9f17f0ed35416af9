"""Two logs of Inspect AI, compared question by question."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from undertow.audit.diff import conclusion, verdict_of
from undertow.audit.requests import DiffRequest
from undertow.data.files import file_digest
from undertow.data.seeds import generator
from undertow.errors import InputError, MissingExtraError
from undertow.results.measurement import Measurement, environment, worst
from undertow.results.model_documents import Change, DiffDocument
from undertow.stats.exact_tests import sign_flip
from undertow.stats.interval import mean_t
from undertow.stats.multiplicity import holm

SUFFIXES = (".eval", ".json")
FEWEST = 5
"""Questions below which nothing is compared."""

_LIMITS = (
    "The intervals are over questions, about these answers: nothing about another run of training or of sampling.",
    "Scores are as the log's scorers gave them; a judge that errs in one direction moves both logs alike only if it errs alike on both.",
    "Questions that only one of the logs holds are left out.",
)


@dataclass(frozen=True)
class Log:
    """One log: for each scorer the mean score over epochs of each question."""

    path: Path
    task: str
    model: str
    scores: dict[str, dict[str, float]]
    """By scorer, then by question."""


def is_log(path: str) -> bool:
    """Whether an argument is a log and no model."""
    return path.endswith(SUFFIXES) and Path(path).is_file()


def read_log(path: Path) -> Log:
    """
    The scores of a log.

    Raises:
        MissingExtraError: Inspect AI is not installed.
        InputError: it cannot be read, was not finished, or holds no scores that are numbers.
    """
    try:
        from inspect_ai.log import read_eval_log
    except ImportError as error:
        raise MissingExtraError("inspect_ai", "inspect", purpose="reading Inspect logs") from error
    try:
        log = read_eval_log(str(path))
    except (ValueError, OSError, KeyError, RuntimeError, BadZipFile) as error:
        raise InputError(f"'{path}' is no Inspect log: {str(error).splitlines()[0]}") from error
    if log.status != "success":
        raise InputError(
            f"the evaluation of '{path}' did not finish: its status is {log.status}",
            hint=f"inspect eval-retry {path}",
        )
    collected: dict[str, dict[str, list[float]]] = {}
    for sample in log.samples or []:
        for scorer, value in _numbers(sample.scores or {}):
            collected.setdefault(scorer, {}).setdefault(str(sample.id), []).append(value)
    if not collected:
        raise InputError(f"'{path}' holds no scores that are numbers", hint=f"inspect score {path}")
    means = {
        scorer: {question: float(np.mean(values)) for question, values in by_question.items()}
        for scorer, by_question in collected.items()
    }
    return Log(path, log.eval.task, log.eval.model, means)


def diff_logs(request: DiffRequest) -> DiffDocument:
    """
    The change of every score, paired by question; Holm's rule over scorers, exact sign flips where they are few.

    Raises:
        InputError: the logs are of different tasks, or share too few questions.
    """
    started = time.perf_counter()
    base, *others = (read_log(Path(path)) for path in (request.base, *request.tuned))
    if len(others) != 1:
        raise InputError(f"two logs are compared at a time, got {1 + len(others)}")
    [tuned] = others
    if base.task != tuned.task:
        raise InputError(
            f"the logs are of different tasks: '{base.task}' and '{tuned.task}'",
            hint="compare two models on one task",
        )
    changes, measurements = _compared(base, tuned, request)
    verdict = worst(one.verdict for one in changes)
    return DiffDocument(
        verdict=verdict,
        conclusion=conclusion(verdict, changes, (), request.limit, "of the score"),
        inference="answers",
        unit="score",
        base=f"{base.model} ({base.path.name})",
        base_digest=file_digest(base.path),
        tuned=(f"{tuned.model} ({tuned.path.name})",),
        tuned_digests=(file_digest(tuned.path),),
        limit=request.limit,
        level=request.level,
        changes=tuple(sorted(changes, key=lambda one: -abs(one.estimate))),
        searched="not searched: logs hold the answers to their own questions only",
        measurements=tuple(measurements),
        limits=_LIMITS,
        config={"task": base.task},
        seed=request.seed,
        wall_seconds=time.perf_counter() - started,
        command=request.command,
        **environment(workers=1, device="cpu").fields,
    )


def _compared(
    base: Log, tuned: Log, request: DiffRequest
) -> tuple[list[Change], list[Measurement]]:
    scorers = [name for name in base.scores if name in tuned.scores]
    pairs = {name: _paired(base.scores[name], tuned.scores[name]) for name in scorers}
    usable = {name: pair for name, pair in pairs.items() if len(pair) >= FEWEST}
    if not usable:
        raise InputError(
            f"the logs share no score of at least {FEWEST} questions",
            hint="run both models on the same samples, with the same scorers",
        )
    alpha = 1 - request.level
    raw = [
        sign_flip(pair[:, 1] - pair[:, 0], rng=generator(request.seed, "flips", name)).p
        for name, pair in usable.items()
    ]
    changes, measurements = [], []
    for (name, pair), p in zip(usable.items(), holm(raw), strict=True):
        difference = pair[:, 1] - pair[:, 0]
        shown, clear = (
            mean_t(difference, 1 - alpha / len(usable)),
            mean_t(difference, 1 - 2 * alpha),
        )
        measured = Measurement(
            check="diff-behaviour",
            name=name,
            subject="tuned",
            estimate=shown.estimate,
            low=shown.low,
            high=shown.high,
            level=request.level,
            n=f"{len(pair)} questions",
            p=float(p),
            limit=request.limit,
            unit="score",
            details={"clear low": clear.low, "clear high": clear.high},
        )
        measurements.append(measured)
        changes.append(
            Change(
                trait=name,
                category=base.task,
                estimate=shown.estimate,
                low=measured.low,
                high=measured.high,
                intended=name in request.intended,
                verdict=verdict_of(measured),
                base=float(pair[:, 0].mean()),
                tuned=(float(pair[:, 1].mean()),),
            )
        )
    return changes, measurements


def _paired(first: dict[str, float], other: dict[str, float]) -> np.ndarray:
    return np.array([(first[q], other[q]) for q in first if q in other]).reshape(-1, 2)


_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5}


def _numbers(scores: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Scores as numbers: those that are, the letters that Inspect counts (C 1, I 0, P one half), and each entry of a table."""
    numbers: list[tuple[str, float]] = []
    for name, score in scores.items():
        value = score.value
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for key, part in parts:
            # A score may be a list, which is neither a number nor a key of a table.
            number = _LETTERS.get(part) if isinstance(part, str) else part
            if isinstance(number, int | float):
                numbers.append((f"{name} {key}".strip(), float(number)))
    return numbers
