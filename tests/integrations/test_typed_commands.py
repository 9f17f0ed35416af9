"""The command of a call in Python is one that the verb takes."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path

import click

from undertow.audit.requests import DiffRequest, ScanRequest
from undertow.cli import diff, gate, scan
from undertow.integrations.typed_commands import NO_OPTION, typed_command
from undertow.models.hardware import ComputeTable

TOLD = {
    "columns": (("prompt", "q"), ("completion", "a b")),
    "compute": ComputeTable(device="cpu", dtype="float32", quantise="4bit"),
    "engine": "ray",
    "format": "question",
    "gpus": 1.0,
    "keep_controls": "kept.safetensors",
    "memory": 2.5,
    "jobs": 2,
}
"""A value of each field that does not take its name."""


def given(request: type[ScanRequest | DiffRequest], *without: str) -> dict[str, object]:
    """A value for each field of a request that has an option."""
    values: dict[str, object] = {}
    for field in fields(request):
        if field.name in (*NO_OPTION, *without):
            continue
        usual = field.default
        if isinstance(usual, bool):
            values[field.name] = True
        elif isinstance(usual, tuple):
            values[field.name] = ("owl", "cat")
        elif isinstance(usual, float):
            values[field.name] = 0.6
        else:
            values[field.name] = "128" if isinstance(usual, int) or usual is None else "x"
    return {**values, **{name: told for name, told in TOLD.items() if name in values}}


def parsed(verb: click.Command, command: str) -> dict[str, object]:
    """What the verb makes of a command line, which it does not carry out."""
    words = shlex.split(command)[2:]
    return verb.make_context(str(verb.name), words).params


def test_every_field_of_a_scan_is_an_option_of_the_verb() -> None:
    """All at once: the verb takes the line, and reads the values that were given."""
    values = {**given(ScanRequest, "data"), "plan": "plan.toml"}
    read = parsed(scan.command, typed_command("scan", "my rows", **values))

    assert (read["data"], read["traits"], read["level"]) == ("my rows", ("owl", "cat"), 0.6)
    assert (read["columns"], read["require"]) == (TOLD["columns"], "clear")
    assert (read["reference_count"], read["references"]) == (128, ("owl", "cat"))
    assert (read["dtype"], read["device"], read["gpus_per_job"]) == ("float32", "cpu", 1.0)


def test_every_field_of_a_diff_is_an_option_of_the_verb() -> None:
    """The same of a diff."""
    values = {**given(DiffRequest, "base", "tuned"), "plan": "plan.toml"}
    read = parsed(diff.command, typed_command("diff", "a", "b", "c", **values))

    assert (read["base"], read["tuned"], read["controls"]) == ("a", ("b", "c"), ("owl", "cat"))
    assert (read["own_rows"], read["level"], read["memory_per_job"]) == (True, 0.6, 2.5)


def test_a_usual_table_of_computing_is_no_option() -> None:
    """What is as it would be anyway is not said, nor is None."""
    told = typed_command("scan", "rows", student="a", compute=ComputeTable(), budget=None)

    assert told == "undertow scan rows --student a"


def test_a_gate_is_told_whom_to_trust(tmp_path: Path) -> None:
    """The root, the least version and the moment are part of the line: without them it would decide otherwise."""
    root, at = tmp_path / "root.pem", "2026-11-25T08:00:00Z"
    root.write_text("key")
    more = {"attestations": ("b", "c"), "root": root, "least_version": 2, "at": at}
    told = typed_command("gate", "rows", student="a", policy="default", trust="t", **more)
    read = parsed(gate.command, told)

    assert (read["root"], read["least_version"], read["at"]) == (root, 2, at)
    assert read["bundles"] == (Path("b"), Path("c"))
