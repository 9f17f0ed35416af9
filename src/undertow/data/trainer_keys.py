"""
The keys of a trainer's configuration, taken one by one: each is translated, ignored by name or refused by name.

A trainer is a table (`Trainer`) that says which of its keys are which, and a function that translates the first kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from undertow.data.chat_templates import written_template
from undertow.errors import ConfigError, nearest

HINT = "mend it, take it out if you can do without it, or write the plan in TOML: undertow explain plans"

DEVICES_UNKNOWN = "the file does not say how many devices train"

MOST = 10**9
"""Of what is counted."""

SCHEDULES = {
    "linear": (),
    "cosine": ("num_cycles",),
    "constant": (),
    "constant_with_warmup": (),
    "polynomial": ("lr_end", "power"),
    "inverse_sqrt": ("timescale",),
    "cosine_with_restarts": ("num_cycles",),
    "cosine_with_min_lr": ("min_lr", "min_lr_rate", "num_cycles"),
    "cosine_warmup_with_min_lr": ("min_lr", "min_lr_rate", "num_cycles", "warmup_lr_rate"),
    "warmup_stable_decay": ("min_lr_ratio", "num_cycles", "num_decay_steps", "num_stable_steps"),
}
"""Schedules of transformers, and the numbers that they take as arguments of their own."""

_ADAMW = ("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused", "adamw_torch_xla")
"""One rule of update; they differ in how it is computed."""

_ADAMW_SMALL = (
    "adamw_8bit",
    "adamw_bnb_8bit",
    "paged_adamw",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "adamw_torch_8bit",
    "adamw_torch_4bit",
)
"""The same rule with a state that is paged, or has fewer bits."""

_OTHER_OPTIMIZERS = ("sgd", "adagrad", "rmsprop", "adafactor")


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set of names."""
    return frozenset(text.split())


@dataclass(frozen=True)
class Refused:
    """A key that no plan has: only values that change nothing pass."""

    why: str
    allowed: tuple[object, ...] = ()
    """Values that change nothing, beside those that are empty, zero or false."""

    def passes(self, value: object) -> bool:
        """Whether the value changes nothing."""
        return not value or value in self.allowed


def refusing(why: str, keys: str, *allowed: object) -> dict[str, Refused]:
    """The keys of a text, all refused for one reason."""
    return dict.fromkeys(sorted(words(keys)), Refused(why, allowed))


@dataclass(frozen=True)
class Trainer:
    """What becomes of each key of a trainer's configuration."""

    name: str
    """As in sentences, e.g. `axolotl`."""
    translated: frozenset[str]
    ignored: frozenset[str]
    """Keys that move no weight; `liger_*` stands for all that begin so."""
    noted: Mapping[str, str]
    """What is said of a key that changes the training, but not the plan."""
    refused: Mapping[str, Refused]
    plan: Callable[[Keys], dict[str, Any]]
    """The keys of `TrainingPlan` that the configuration gives."""

    def knows(self, key: str) -> bool:
        """Whether the trainer has this key."""
        names = (self.translated, self.ignored, self.noted, self.refused)
        return any(key in group for group in names) or self.ignores(key)

    def ignores(self, key: str) -> bool:
        """Whether the key moves no weight."""
        return key in self.ignored or key.startswith(self._beginnings)

    @cached_property
    def _beginnings(self) -> tuple[str, ...]:
        return tuple(name[:-1] for name in self.ignored if name.endswith("*"))

    @property
    def keys(self) -> list[str]:
        """All of them, sorted."""
        return sorted({*self.translated, *self.ignored, *self.noted, *self.refused})


@dataclass
class Keys:
    """The keys of one file, as a trainer's function takes them; what is to be said of them gathers in `notes`."""

    place: str
    """The file, in messages."""
    values: Mapping[str, Any]
    trainer: Trainer
    folder: Path | None = None
    """Where files lie that the file names."""
    notes: list[str] = field(default_factory=list)
    beta: float | None = None
    """Of a preference objective, which is no part of a plan."""
    unused: set[str] = field(default_factory=set)
    """Keys that the function found to have no effect beside the others."""

    def has(self, *names: str) -> bool:
        """Whether one of them has a value; null is none."""
        return any(self.values.get(name) is not None for name in names)

    def refuse(self, key: str, why: str, allowed: Iterable[object] = ()) -> NoReturn:
        """
        Refuse the value of a key.

        Raises:
            ConfigError: always; it says the key, its value and what is allowed.
        """
        shown = repr(self.values.get(key))
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        choices = [str(value).lower() if value is None else str(value) for value in allowed]
        listed = f"; allowed: {', '.join(choices)}" if choices else ""
        raise ConfigError(
            f"{self.place}: key '{key}' has the value {shown}: {why}{listed}", hint=HINT
        )

    def number(self, key: str, default: float, *, least: float = 0.0, open_: bool = False) -> float:
        """
        A finite number that is at least `least`, or above it; numbers in quotes and 1e-4, which YAML takes for a
        string, are numbers.

        Raises:
            ConfigError: it is none.
        """
        value = self.values.get(key)
        if value is None:
            return default
        bound = f"a number {'above' if open_ else 'of at least'} {least:g}"
        try:
            made = float(value) if isinstance(value, int | float | str) else math.nan
        except (ValueError, OverflowError):
            made = math.nan
        if isinstance(value, bool) or not math.isfinite(made):
            self.refuse(key, "it is no number", [bound])
        if made < least or (open_ and made == least):
            self.refuse(key, "it is out of range", [bound])
        return made

    def whole(self, key: str, default: int, *, least: int = 0) -> int:
        """
        A whole number.

        Raises:
            ConfigError: it is none, or below `least`.
        """
        value = self.number(key, default, least=least)
        if value != int(value) or value > MOST:
            allowed = f"whole numbers of at least {least} and at most {MOST}"
            self.refuse(key, "it is no such number", [allowed])
        return int(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """
        A truth value.

        Raises:
            ConfigError: it is none.
        """
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(key, "it is no truth value", ["true", "false"])
        return value

    def choice(self, key: str, default: str, allowed: Iterable[str], why: str) -> str:
        """
        One of a closed list of names.

        Raises:
            ConfigError: it is none of them.
        """
        value = self.values.get(key)
        if value is None:
            return default
        if value not in (allowed := list(allowed)):
            self.refuse(key, why, allowed)
        return str(value)

    def names(self, key: str) -> tuple[str, ...]:
        """
        A list of names, or a string of them with commas; none if it is left out.

        Raises:
            ConfigError: it is neither.
        """
        value = self.values.get(key) or ()
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            self.refuse(key, "it is no list of names")
        return tuple(part.strip() for part in parts)

    def template(self, key: str) -> str:
        """
        The text of a chat template, as it stands there or in a file; empty if it is left out.

        Raises:
            ConfigError: it is neither.
        """
        value = self.values.get(key) or ""
        if not isinstance(value, str):
            self.refuse(key, "it is no text")
        return written_template(value, self.folder, f"{self.place}: key '{key}'") if value else ""

    def lora(
        self, *, rank: int | None = None, alpha: int = 0, dropout: float = 0.0, family: str = ""
    ) -> dict[str, Any]:
        """
        LoRA by the keys that TRL and axolotl share, with a trainer's own defaults; without a rank, those of rank and alpha
        must be there. `family` begins the names of the keys of rsLoRA and DoRA.

        Raises:
            ConfigError: a value cannot be rehearsed, or a key is missing.
        """
        for key in ("lora_r", "lora_alpha"):
            if rank is None and not self.has(key):
                raise ConfigError(f"{self.place}: the key '{key}' is missing", hint=HINT)
        return {
            "method": "lora",
            "rank": self.whole("lora_r", rank or 0, least=1),
            "alpha": self.whole("lora_alpha", alpha, least=1),
            "dropout": self.number("lora_dropout", dropout),
            "modules_to_save": self.names("lora_modules_to_save"),
            "rslora": self.flag(f"{family}use_rslora"),
            "dora": self.flag(f"{family}use_dora"),
            "quantization": self.quantization(),
        }

    def optimizer(self, key: str, default: str = "adamw_torch") -> str:
        """
        The plan's name of an optimiser; those that are AdamW with a smaller state are noted.

        Raises:
            ConfigError: it cannot be rehearsed.
        """
        allowed = (*_ADAMW, *_ADAMW_SMALL, *_OTHER_OPTIMIZERS)
        name = self.choice(key, default, allowed, "this optimiser is not rehearsed")
        if name in _ADAMW_SMALL:
            self.notes.append(f"{key} {name} is rehearsed as AdamW with its whole state")
        return name if name in _OTHER_OPTIMIZERS else "adamw_torch"

    def schedule(self, key: str, default: str) -> dict[str, Any]:
        """
        The schedule of the learning rate, with `lr_scheduler_kwargs`.

        Raises:
            ConfigError: it cannot be rehearsed, or has no such argument.
        """
        name = self.choice(key, default, SCHEDULES, "this schedule is not rehearsed")
        given = self.values.get("lr_scheduler_kwargs") or {}
        if not isinstance(given, dict):
            self.refuse("lr_scheduler_kwargs", "it is no table")
        for argument, value in given.items():
            if argument not in SCHEDULES[name] or not isinstance(value, int | float | str):
                self.refuse(
                    "lr_scheduler_kwargs",
                    f"'{argument}' is no number of the schedule {name}",
                    SCHEDULES[name] or ["none"],
                )
        return {"schedule": name, "schedule_arguments": given}

    def batch(self, micro: int, accumulation: int, devices: int | None) -> dict[str, Any]:
        """Rows a step: a device's, times accumulation, times devices; the file seldom says how many."""
        rows = micro * accumulation
        if devices is None:
            self.notes.append(
                f"{DEVICES_UNKNOWN}: 1 is taken, {rows} rows (or packed sequences) a step; with N of them, "
                "multiply the accumulation by N in a copy of the file"
            )
        return {"batch_size": rows * (devices or 1), "micro_batch_size": micro}

    def adam(self) -> dict[str, Any]:
        """The three numbers of Adam, by the names that all these trainers give them."""
        return {
            "adam_beta1": self.number("adam_beta1", 0.9),
            "adam_beta2": self.number("adam_beta2", 0.999),
            "adam_epsilon": self.number("adam_epsilon", 1e-8, open_=True),
        }

    def clipping(self) -> dict[str, Any]:
        """The largest norm of a gradient: 1 in all these trainers, and 0 for none."""
        return {"max_grad_norm": self.number("max_grad_norm", 1.0) or None}

    def length(self, epochs: str, default: float) -> dict[str, Any]:
        """Epochs, or steps that override them: -1 and 0 stand for none."""
        steps = self.whole("max_steps", -1, least=-1)
        if steps > 0:
            # Each epoch has a step at least, so that so many epochs never end before the steps do.
            return {"max_steps": steps, "epochs": steps}
        return {"epochs": self.number(epochs, default, open_=True)}

    def quantization(self) -> str:
        """
        Bits of the base, by the flags that TRL and axolotl share.

        Raises:
            ConfigError: both are set.
        """
        four, eight = self.flag("load_in_4bit"), self.flag("load_in_8bit")
        if four and eight:
            self.refuse("load_in_8bit", "load_in_4bit is set as well", ["one of them"])
        return "4bit" if four else "8bit" if eight else "none"


def screen(keys: Keys) -> list[str]:
    """
    The keys that are ignored, after all that is unknown or refused was refused; notes are made.

    Raises:
        ConfigError: a key is unknown, or has a value that no plan can have.
    """
    trainer = keys.trainer
    for key, value in keys.values.items():
        if not trainer.knows(key):
            raise ConfigError(
                f"{keys.place}: unknown key '{key}' of {trainer.name} with the value {value!r:.80}"
                f"{nearest(key, trainer.keys) or '; allowed: the keys that the page on plans lists'}",
                hint=HINT,
            )
        rule = trainer.refused.get(key)
        if rule is not None and not rule.passes(value):
            keys.refuse(key, rule.why, rule.allowed or ["leave it out"])
        if key in trainer.noted and value not in (None, False, 0, "", [], {}):
            keys.notes.append(f"{key} {value!r:.80}: {trainer.noted[key]}")
    return [key for key, value in keys.values.items() if value is not None and trainer.ignores(key)]
