"""`undertow experiments`: the built-in experiments, what each asks, and what it found."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable

import click

from undertow.cli.terminal import aligned

_FOLDERS = tuple(files(room) / "experiments" for room in ("undertow.lab", "undertow.studies"))


@click.command(name="experiments")
def command() -> None:
    """List the built-in experiments and what they found."""
    # As they lie: what loads an experiment imports torch, and a list of names is asked for before that is installed.
    measured = json.loads((_FOLDERS[1] / "measured.json").read_text(encoding="utf-8"))
    rows = []
    for name, file in shipped().items():
        rows.append((name, tomllib.loads(file.read_text(encoding="utf-8"))["question"]))
        rows += [("", f"  {line}") for line in measured.get(name, ("not measured yet",))]
    click.echo(aligned(rows))


def shipped() -> dict[str, Traversable]:
    """The file of each built-in experiment, by its name."""
    found = [file for folder in _FOLDERS for file in folder.iterdir()]
    named = {file.name.removesuffix(".toml"): file for file in found if file.name.endswith(".toml")}
    return dict(sorted(named.items()))
