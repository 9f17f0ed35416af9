"""
Files that hold a plan: undertow's TOML, or the configuration of a trainer, in YAML or JSON.

    method = "lora"
    rank = 16
    learning_rate = 1e-4
    epochs = 3
    batch_size = 32

What a TOML file leaves out has its default; what a trainer's file leaves out has that trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from undertow.data.axolotl_keys import AXOLOTL
from undertow.data.chat_templates import with_template
from undertow.data.closed import decoded_yaml, parse, read_text, read_toml
from undertow.data.files import PICKLED
from undertow.data.llamafactory_keys import LLAMA_FACTORY
from undertow.data.plan import TrainingPlan
from undertow.data.strict_json import decoded
from undertow.data.trainer_keys import HINT, Keys, Trainer, screen
from undertow.data.trl_arguments import TRL
from undertow.errors import ConfigError

LARGEST = 1 << 18
"""Bytes of a file, at most."""


TRAINERS = (TRL, AXOLOTL, LLAMA_FACTORY)
"""Where two know as many of a file's keys, the first is taken."""


@dataclass(frozen=True)
class LoadedPlan:
    """A plan, and what its file holds that is no part of it."""

    plan: TrainingPlan
    trainer: str = ""
    """Whose configuration it is; empty for undertow's TOML."""
    ignored: tuple[str, ...] = ()
    """Keys that move no weight."""
    notes: tuple[str, ...] = ()
    """What the planned training does otherwise than a rehearsal, as far as the file says; a sentence each."""
    beta: float | None = None
    """Of DPO or KTO, where the file is for one of them."""
    student: str = ""
    """The base that a trainer's configuration names, if it does."""
    data: str = ""
    """The dataset that it names, if it is one that can be read by this name."""
    devices_known: bool = True
    """Whether the file says how many devices share a step, or need not."""

    def lines(self, path: Path) -> list[str]:
        """Lines for people: what was ignored, and what is to be known."""
        ignored = [f"ignored of {path.name}: {', '.join(self.ignored)}"] if self.ignored else []
        return [*ignored, *self.notes]


def load_plan(path: Path) -> LoadedPlan:
    """
    The plan that a file holds: `.yaml`, `.yml` and `.json` are a trainer's, or hold undertow's keys; others are TOML.

    Raises:
        ConfigError: the file cannot be read, or a key or value is wrong or cannot be rehearsed.
        MissingExtraError: YAML needs PyYAML.
    """
    try:
        return _loaded(path)
    except ConfigError as error:
        if error.hint:
            raise
        raise ConfigError(
            error.message, hint="what a plan may hold: undertow explain plans"
        ) from error


def _loaded(path: Path) -> LoadedPlan:
    suffix = path.suffix.lower()
    if suffix in PICKLED:
        raise ConfigError(
            f"'{path}' is a pickle, which is never read; allowed: .toml, .yaml, .yml, .json",
            hint="write the trainer's args.to_json_string() to a .json file",
        )
    if suffix not in (".yaml", ".yml", ".json"):
        values = with_template(read_toml(path), path.parent, f"'{path}'")
        return LoadedPlan(parse(TrainingPlan, values, where=f"'{path}'"))
    text = read_text(path, LARGEST)
    values = _json(text, path) if suffix == ".json" else _yaml(text, path)
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(
            f"'{path}' holds no table of keys; allowed: the arguments of {_names()}", hint=HINT
        )
    return translated(values, f"'{path}'", path.parent)


def translated(values: Mapping[str, Any], place: str, folder: Path | None = None) -> LoadedPlan:
    """
    A trainer's configuration, or undertow's own keys, as a plan; `place` names it in messages, and files that it names
    lie in `folder`.

    Raises:
        ConfigError: no trainer is known that has such keys, or a key or value cannot be rehearsed.
    """
    trainer = _whose(values, place)
    if trainer is None:
        own = with_template(values, folder, place)
        return LoadedPlan(parse(TrainingPlan, own, where=place))
    keys = Keys(place, values, trainer, folder)
    ignored = screen(keys)
    plan = parse(TrainingPlan, trainer.plan(keys), where=place)
    return LoadedPlan(
        plan,
        trainer.name,
        tuple(key for key in values if key in ignored or key in keys.unused),
        tuple(f"The plan of {trainer.name}: {note}." for note in keys.notes),
        keys.beta,
        _named(values, "model_name_or_path", "base_model"),
        _named(values, "dataset_name") or _only_path(values.get("datasets")),
        keys.has("num_processes", "ray_num_workers"),
    )


def _named(values: Mapping[str, Any], *keys: str) -> str:
    return next((text for key in keys if isinstance(text := values.get(key), str)), "")


def _only_path(datasets: object) -> str:
    """Of axolotl's list of tables; LLaMA-Factory's datasets are names of a table elsewhere."""
    match datasets:
        case [{"path": str(path)}]:
            return path
    return ""


def _whose(values: Mapping[str, Any], place: str) -> Trainer | None:
    """Whose configuration it is: None for undertow's own keys."""

    def known(trainer: Trainer) -> int:
        return sum(map(trainer.knows, values))

    trainer = max(TRAINERS, key=known)
    if len(TrainingPlan.model_fields.keys() & values) > known(trainer):
        return None
    if not any(map(trainer.knows, values)):
        keys = ", ".join(list(values)[:5]) or "none"
        raise ConfigError(
            f"{place} is no configuration of {_names()}: its keys are {keys}",
            hint="undertow's own keys stand in a .toml file: undertow explain plans",
        )
    return trainer


def _names() -> str:
    return ", ".join(trainer.name for trainer in TRAINERS)


def _yaml(text: str, path: Path) -> Any:
    return decoded_yaml(text, str(path), purpose="a plan in YAML", extra="models")


def _json(text: str, path: Path) -> Any:
    try:
        return decoded(text)
    except (ValueError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"'{path}' is not valid JSON: {told}", hint="write it anew") from error
