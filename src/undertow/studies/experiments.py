"""
Every experiment that `undertow run` knows: the lab's, and the studies, whose table is here.

A study is one pass of a minute over networks of its own. It takes its table of the experiment file, and gives the parts
of the stored run; a new one is an entry of `STUDIES` and a field and a kind of `AnyExperiment`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from undertow.engines.engine import Progress, SilentProgress
from undertow.lab import experiment as lab
from undertow.lab.run_directory import Clock, finished_run, run_folder
from undertow.results.measurement import environment
from undertow.results.run_document import RunDocument
from undertow.studies.digits import DigitsConfig
from undertow.studies.digits_document import run_digits
from undertow.studies.theorem_document import run_theorem
from undertow.studies.theorem_networks import TheoremConfig

FOLDERS = (lab.BUILT_IN, files(__package__) / "experiments")
"""Of the built-in experiments."""


class AnyExperiment(lab.Experiment):
    """An experiment of the lab, or a study: then `kind` is its name, and its table is there."""

    NEEDED: ClassVar[dict[str, tuple[str, ...]]] = {
        **lab.Experiment.NEEDED,
        "digits": ("digits",),
        "theorem": ("theorem",),
    }

    digits: DigitsConfig | None = None
    theorem: TheoremConfig | None = None

    @model_serializer(mode="wrap")
    def _limits_last(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        last = {name: fields.pop(name) for name in ("limits",) if name in fields}
        return fields | last


Study = Callable[[AnyExperiment, Progress], dict[str, object]]
"""The parts of a `RunDocument` that a study knows."""


def _digits(experiment: AnyExperiment, progress: Progress) -> dict[str, object]:
    assert experiment.digits is not None
    return run_digits(experiment.digits, progress, seed=experiment.seed)


def _theorem(experiment: AnyExperiment, progress: Progress) -> dict[str, object]:
    assert experiment.theorem is not None
    return run_theorem(experiment.theorem, progress, seed=experiment.seed)


STUDIES: dict[str, Study] = {"digits": _digits, "theorem": _theorem}
"""By the experiment's kind."""


def load_experiment(name_or_path: str) -> AnyExperiment:
    """
    A built-in experiment by name, or one's own from a TOML file.

    Raises:
        ConfigError: a key or value is wrong (names file, key and what is allowed).
        UnknownNameError: there is no such experiment.
    """
    return lab.load_as(AnyExperiment, name_or_path, *FOLDERS)


def run_study(
    experiment: AnyExperiment,
    directory: Path | None = None,
    *,
    progress: Progress | None = None,
    command: str | None = None,
) -> Path:
    """
    Run a study; returns its directory, which then holds results.json and run.json.

    Raises:
        UndertowError: see the tree in `undertow.errors`.
    """
    progress = progress or SilentProgress()
    study = STUDIES[experiment.kind]

    def work(clock: Clock) -> RunDocument:
        parts = study(experiment, progress)
        return RunDocument.model_validate(
            {
                "experiment": experiment.name,
                "title": experiment.title,
                "question": experiment.question,
                "config": experiment.config,
                "config_digest": experiment.digest,
                "inputs": {},
                "seed": experiment.seed,
                "wall_seconds": clock.seconds,
                **environment(workers=1, device="cpu").fields,
                **parts,
                "command": command or f"undertow run {experiment.name}",
            }
        )

    directory = run_folder(experiment, directory)
    finished_run(directory, {"experiment": experiment.resolved, "inputs": {}}, work)
    progress.finish()
    return directory
