"""
Readings of controls in a file, so that benign fine-tunes of a base are made once and serve every diff.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from undertow.checks.tuned.diff_subject import ModelReading, Reader
from undertow.data.files import atomic_write
from undertow.errors import InputError

SCHEMA = "undertow.controls/1"


@dataclass(frozen=True)
class Controls:
    """What the controls are: what their readings hold for."""

    base: str
    """Digest of their base."""
    about: str
    """How they were made, in a sentence."""


def keep(
    path: Path,
    controls: Controls,
    reader: Reader,
    start: ModelReading,
    readings: Sequence[ModelReading],
) -> None:
    """
    Write the readings as safetensors; of the activations only the mean shift from the base's, which is all that a
    control is asked for.

    Raises:
        InputError: the place cannot be written to.
    """
    from safetensors.numpy import save

    arrays = {
        "mass": np.stack([one.mass for one in readings]),
        "wide": np.stack([one.wide for one in readings]),
        "losses": np.stack([one.losses for one in readings]),
        "shifts": np.stack([(one.activations - start.activations).mean(0) for one in readings]),
    } | {
        f"margins.{asked}": np.stack([one.margins[i] for one in readings])
        for i, asked in enumerate(reader.asked[: len(reader.traits)])
    }
    about = {
        "schema": SCHEMA,
        "base": controls.base,
        "shown": reader.shown,
        "asked": json.dumps(reader.asked),
        "about": controls.about,
        "refs": json.dumps([one.ref for one in readings]),
    }
    small = {name: np.ascontiguousarray(a, dtype=np.float32) for name, a in arrays.items()}
    atomic_write(path, save(small, about))


def kept(path: Path, base: str | None, reader: Reader, start: ModelReading) -> list[ModelReading]:
    """
    The readings in a file, of the traits that a reader judges, in its order.

    Raises:
        InputError: it is no such file, or of another base, or of other questions, texts or system prompt.
    """
    from safetensors.numpy import load_file

    # The header is read first: what is of another base is not loaded.
    about = _about(path)
    for what, stored, wanted in (
        ("of another kind", about.get("schema"), SCHEMA),
        ("of another base", about.get("base"), base),
        ("on other texts (--seed) or prompts", about.get("shown"), reader.shown),
    ):
        if stored != wanted:
            raise _other(path, f"{what}: {stored}, and {wanted} is needed")
    asked: list[str] = json.loads(about["asked"])
    arrays = {name: array.astype(np.float64) for name, array in load_file(path).items()}
    judged = reader.asked[: len(reader.traits)]
    for trait, own in zip(reader.traits, judged, strict=True):
        if f"margins.{own}" not in arrays:
            raise _other(path, f"not of the trait '{trait.name}' as it is asked here")
    places = {own: i for i, own in enumerate(asked)}
    if set(places) != set(reader.asked):
        raise _other(path, "of other probes")
    order = [places[own] for own in reader.asked] + list(range(len(asked), arrays["wide"].shape[1]))
    return [
        ModelReading(
            ref=str(ref),
            margins=tuple(arrays[f"margins.{own}"][k] for own in judged),
            mass=arrays["mass"][k][order[: len(judged)]],
            wide=arrays["wide"][k][order],
            activations=(start.activations + arrays["shifts"][k]).astype(np.float32),
            losses=arrays["losses"][k],
        )
        for k, ref in enumerate(json.loads(about["refs"]))
    ]


def _other(path: Path, said: str) -> InputError:
    return InputError(
        f"the readings in '{path}' are {said}",
        hint="give the clean rows or the benign fine-tunes themselves, and keep the readings again (--keep-controls)",
    )


def how_made(path: Path) -> str:
    """
    How the controls in a file were made.

    Raises:
        InputError: it is no such file.
    """
    return _about(path).get("about", "")


def _about(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "np") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise InputError(f"'{path}' holds no readings of controls: {error}") from error
