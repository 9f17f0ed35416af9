"""A scan, a diff or a run among the runs of MLflow or Weights & Biases: settings, numbers with intervals, page and JSON."""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from undertow.errors import InputError, MissingExtraError
from undertow.report import render
from undertow.results.model_documents import DiffDocument
from undertow.results.run_document import RunDocument
from undertow.results.scan_document import FormerScanDocument, ScanDocument
from undertow.results.store import read_result

Tracked = ScanDocument | FormerScanDocument | DiffDocument | RunDocument
"""What is logged."""

Named = tuple[tuple[str, ...], float | None]
"""A number behind the parts of its name."""

_ASKED = (
    "experiment",
    "student",
    "teacher",
    "control",
    "plan",
    "base",
    "tuned",
    "controls",
    "limit",
    "level",
    "inputs",
    "seed",
    "command",
)
"""Fields that say what was asked beside a document's configuration."""

_LONGEST_NAME, _LONGEST_VALUE = 250, 500
"""Characters that every version of both services takes."""

_MOST_AT_ONCE = 100
"""Entries of one request to MLflow."""


@dataclass(frozen=True)
class TrackedResult:
    """A result as trackers have it."""

    kind: str
    """`scan`, `diff` or `run`."""
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    """Estimates with `low`, `high` and `p` beside them; what is open or not finite is in the JSON alone."""
    files: dict[str, str]
    """The page, its Markdown and the JSON, by their names."""


def tracked(result: Tracked | Path | str) -> TrackedResult:
    """
    What is logged of a stored result, or of the file or folder that holds it.

    Raises:
        InputError: it cannot be read, or is neither a scan nor a diff nor a run.
    """
    document = read_result(result) if isinstance(result, Path | str) else result
    if not isinstance(document, Tracked):
        raise InputError(
            f"{type(document).__name__} cannot be logged; allowed: a scan, a diff or a run",
            hint="undertow report RESULT --format html",
        )
    kind, verdict, numbers = _said(document)
    settings = {
        **document.config,
        **{n: getattr(document, n) for n in _ASKED if hasattr(document, n)},
    }
    return TrackedResult(
        kind=kind,
        params={_name(kind, *path): _short(value) for path, value in _flat(settings)},
        tags={
            _name(kind, "verdict"): verdict,
            _name(kind, "conclusion"): _short(document.conclusion),
        },
        metrics={
            _name(kind, *path): value
            for path, value in numbers
            if value is not None and math.isfinite(value)
        },
        files={
            f"{kind}.json": render(document, "json"),
            f"{kind}.html": render(document, "html"),
            f"{kind}.md": render(document, "markdown"),
        },
    )


def log_mlflow(result: Tracked | Path | str) -> None:
    """
    Log a result in the active run of MLflow, or in one of its own: parameters, tags, metrics, artefacts in `undertow/`.

    Raises:
        MissingExtraError: MLflow is not installed.
        InputError: as `tracked`.
    """
    with _installed("mlflow"):
        import mlflow
    told = tracked(result)
    if mlflow.active_run() is None:
        with mlflow.start_run(run_name=f"undertow {told.kind}"):
            _log_mlflow(mlflow, told)
    else:
        _log_mlflow(mlflow, told)


def _log_mlflow(mlflow: Any, told: TrackedResult) -> None:
    for start in range(0, len(told.params), _MOST_AT_ONCE):
        mlflow.log_params(dict(list(told.params.items())[start : start + _MOST_AT_ONCE]))
    for start in range(0, len(told.metrics), _MOST_AT_ONCE):
        mlflow.log_metrics(dict(list(told.metrics.items())[start : start + _MOST_AT_ONCE]))
    mlflow.set_tags(told.tags)
    for name, text in told.files.items():
        mlflow.log_text(text, f"undertow/{name}")


def log_wandb(result: Tracked | Path | str, run: Any = None) -> None:
    """
    Log a result in a run of Weights & Biases: the active one, the one given, or one of its own.

    Settings are configuration, numbers and the verdict are its summary; page, Markdown and JSON are an artefact.

    Raises:
        MissingExtraError: wandb is not installed.
        InputError: as `tracked`.
    """
    with _installed("wandb"):
        import wandb
    told = tracked(result)
    active = run or wandb.run
    logged = active or wandb.init(job_type=f"undertow-{told.kind}", name=f"undertow {told.kind}")
    logged.config.update(told.params, allow_val_change=True)
    logged.summary.update({**told.metrics, **told.tags})
    artefact = wandb.Artifact(f"undertow-{told.kind}-{logged.id}", type=f"undertow-{told.kind}")
    for name, text in told.files.items():
        with artefact.new_file(name, encoding="utf-8") as file:
            file.write(text)
    logged.log_artifact(artefact)
    if active is None:
        logged.finish()


@contextmanager
def _installed(name: str) -> Iterator[None]:
    """What is imported within is of the package of that name, or the error says how to get it."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(name, name, purpose=f"log_{name}") from error


def _said(document: Tracked) -> tuple[str, str, Iterable[Named]]:
    """(kind, verdict, numbers)."""
    if isinstance(document, RunDocument):
        return "run", "none: runs are judged by their comparisons", _of_run(document)
    if isinstance(document, DiffDocument):
        return "diff", document.verdict, _of_diff(document)
    return "scan", document.verdict, _of_scan(document)


def _of_scan(document: ScanDocument | FormerScanDocument) -> Iterator[Named]:
    for result in document.subjects:
        numbers = {"transfer": result.transfer, "low": result.low, "high": result.high}
        yield from (((result.subject, name), value) for name, value in numbers.items())
        for stage in getattr(result, "comparisons", ()):
            yield (result.subject, f"stage {stage.stage}", "p"), stage.p
            yield (result.subject, f"stage {stage.stage}", "adjusted p"), stage.adjusted
    for measured in document.measurements:
        path = (measured.subject, measured.check, measured.name, measured.trait or "")
        yield from _with_interval(path, measured)


def _of_diff(document: DiffDocument) -> Iterator[Named]:
    for change in document.changes:
        yield from _with_interval((change.trait,), change)


def _of_run(document: RunDocument) -> Iterator[Named]:
    for comparison in document.comparisons:
        yield from _with_interval((comparison.name,), comparison)
    margins = defaultdict(list)
    for arm in document.arms:
        if arm.logit_margin is not None:
            margins[arm.arm, arm.trait].append(arm.logit_margin)
    for path, values in margins.items():
        yield (*path, "mean logit margin"), mean(values)


def _with_interval(path: tuple[str, ...], measured: Any) -> Iterator[Named]:
    for name in ("estimate", "low", "high", "p"):
        yield (*path, name), getattr(measured, name, None)


def _flat(value: object, *path: str) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, dict) and value:
        for name, entry in value.items():
            yield from _flat(entry, *path, str(name))
    else:
        yield path, value


def _name(*parts: str) -> str:
    """
    A name that both services take; one that had to be changed ends in a digest, so that no two become one.

    >>> _name("scan", "all", "rehearsal", "", "owl", "low"), _name("scan", "a/b\\x1b")
    ('undertow/scan/all/rehearsal/owl/low', 'undertow/scan/a_b_-a99a9b')
    """
    whole = "/".join(
        ["undertow", *(re.sub(r"[^\w.\- ]", "_", part, flags=re.ASCII) for part in parts if part)]
    )
    exact = "/".join(["undertow", *filter(None, parts)])
    if whole == exact and len(whole) <= _LONGEST_NAME and not any("/" in part for part in parts):
        return whole
    return f"{whole[: _LONGEST_NAME - 7]}-{hashlib.sha256(exact.encode(errors='surrogatepass')).hexdigest()[:6]}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
