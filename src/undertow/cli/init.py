"""`undertow init`: a plan, a policy and a trust file to begin with, from a trainer's configuration and a few questions."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from undertow.cli.columns_option import needed
from undertow.cli.terminal import aligned, one_line
from undertow.cli.verdict_options import A_MODEL, PathHere, made_folder

if TYPE_CHECKING:
    from undertow.data.plan import TrainingPlan
    from undertow.data.plan_files import LoadedPlan

POLICIES = ("permissive", "default", "safety-critical")

TRUST = """\
# Whose keys may say how data was made, and which checkpoints need no further proof: nobody's and none so far, so that a
# gate refuses everything. `undertow attest key producer.pem` makes a key; then, for each key and each initial checkpoint:
#
# [[keys]]
# id = "producer-2026"
# pem = "producer.pem.pub"
# roles = ["producer"]
#
# [[models]]
# name = "my-base"
# digest = "SHA-256 of its weights, as undertow gate prints it"
version = 1
"""

METHODS = ("lora", "full")

DEVICES = click.IntRange(min=1)
"""How many devices share a step, by an option or by an answer."""

OPTIONS = ("learning_rate", "epochs", "batch_size")
"""What is asked of a training whose configuration is not at hand beside its method, as docs/plans.md names it."""


@dataclass(frozen=True)
class Start:
    """What was read, asked for or taken."""

    plan: TrainingPlan
    origin: str
    student: str
    data: str
    policy: str


@click.command(name="init")
@click.option(
    "--from",
    "source",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Your trainer's configuration (YAML or JSON of TRL, axolotl or LLaMA-Factory), or a plan.",
)
@click.option("--student", metavar="MODEL", help=f"The base that you would train: {A_MODEL}.")
@click.option("--data", metavar="DATA", help="The rows that you would train on.")
@click.option(
    "--devices",
    type=DEVICES,
    metavar="N",
    help="How many devices share a step, where the configuration does not say.",
)
@click.option(
    "--policy", type=click.Choice(POLICIES), help="The policy to begin with; default if not asked."
)
@click.option(
    "--out",
    type=PathHere(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where they go; the current folder if not given.",
)
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: what is not given has its default.")
def command(
    source: Path | None,
    student: str | None,
    data: str | None,
    devices: int | None,
    policy: str | None,
    out: Path,
    yes: bool,
) -> None:
    """
    Write a plan, a policy and a trust file to begin with.

    What your trainer's configuration says is read from it; the rest is asked for, or taken as it usually is with --yes.
    Nothing that is there is overwritten. Ends with the commands to type next.
    """
    from undertow.errors import InputError

    places = {name: out / name for name in ("plan.toml", "policy.toml", "trust.toml")}
    there = [str(place) for place in places.values() if place.exists() or place.is_symlink()]
    if there:
        raise InputError(
            f"there already: {', '.join(there)}; nothing was written",
            hint="undertow init --out DIR, or move it away",
        )
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask in; allowed: --yes, with --from FILE")
    loaded = _loaded(source, devices_said=devices is not None or not yes)
    if devices is not None and (loaded is None or loaded.devices_known):
        raise click.UsageError(
            "--devices is for a trainer's configuration that does not say how many; allowed: leave it out"
        )
    start = _start(loaded, source, (student, data, devices, policy), ask=not yes)
    contents = _contents(start)
    made_folder(out)
    for name, place in places.items():
        _write_new(place, contents[name])
    click.echo(aligned([(str(places[name]), words) for name, words in _told(start).items()]))
    columns, note = needed(start.data)
    if note:
        click.echo(f"note: {one_line(note)}", err=True)
    click.echo("\nnext:")
    for line in _next(start, places, columns):
        click.echo(f"  {one_line(line)}")


def _start(
    loaded: LoadedPlan | None,
    source: Path | None,
    given: tuple[str | None, str | None, int | None, str | None],
    *,
    ask: bool,
) -> Start:
    from undertow.worlds.base_models import plan_for

    student, data, devices, policy = given
    student = student or (loaded.student if loaded else "")
    data = data or (loaded.data if loaded else "")
    if ask and not student:
        student = _answer("the base that you would train (folder, org/name, world:NAME)", "MODEL")
    if ask and not data:
        data = _answer("the rows that you would train on (file, folder, org/name)", "DATA")
    if loaded is None:
        usual = plan_for(None, student)
        plan = _asked_plan(usual) if ask else usual
    else:
        plan = loaded.plan
        if devices is None and ask and not loaded.devices_known:
            devices = click.prompt("devices that share a step", 1, type=DEVICES, err=True)
        plan = _of_devices(plan, devices or 1)
    if ask and policy is None:
        kind = click.Choice(POLICIES)
        policy = click.prompt("policy", "default", type=kind, err=True)
    named = (loaded.trainer, source.name) if loaded and source else ()
    origin = ", ".join(filter(None, named))
    return Start(plan, origin, student or "MODEL", data or "DATA", policy or "default")


_NAMED = ("model_name_or_path", "base_model", "dataset_name")
"""Keys that a plan has no use for, and the next commands have."""


def _loaded(source: Path | None, *, devices_said: bool) -> LoadedPlan | None:
    """The plan of a file; what is to be known of it is told, but for what the user is asked, or has said."""
    from undertow.data.plan_files import load_plan
    from undertow.data.trainer_keys import DEVICES_UNKNOWN

    if source is None:
        return None
    loaded = load_plan(source)
    ignored = tuple(key for key in loaded.ignored if key not in _NAMED)
    notes = (note for note in loaded.notes if not (devices_said and DEVICES_UNKNOWN in note))
    for line in replace(loaded, ignored=ignored, notes=tuple(notes)).lines(source):
        click.echo(one_line(line), err=True)
    return loaded


def _answer(question: str, missing: str) -> str:
    """What is said to a question; `missing` stands in the next commands where nothing is known yet."""
    answer: str = click.prompt(question, missing, err=True)
    return answer.strip()


def _asked_plan(usual: TrainingPlan) -> TrainingPlan:
    """The usual plan with what the user says of it; asked again as long as it is none."""
    from undertow.data.closed import parse
    from undertow.data.plan import TrainingPlan
    from undertow.errors import ConfigError

    values = usual.model_dump(mode="json")
    while True:
        method = click.prompt("method", values["method"], type=click.Choice(METHODS), err=True)
        asked = (*(("rank",) if method == "lora" else ()), *OPTIONS)
        answers: dict[str, Any] = {"method": method} | {
            name: click.prompt(name.replace("_", " "), values[name], err=True) for name in asked
        }
        if answers.get("rank", values["rank"]) != values["rank"]:
            # Its scale goes with it.
            values["alpha"] = None
        try:
            return parse(TrainingPlan, values | answers, where="your answers")
        except ConfigError as error:
            click.echo(f"error: {one_line(error.message)}", err=True)


def _of_devices(plan: TrainingPlan, devices: int) -> TrainingPlan:
    return plan.model_copy(update={"batch_size": plan.batch_size * devices})


def _contents(start: Start) -> Mapping[str, str]:
    from importlib.resources import files

    from undertow.report.sections import toml_text

    named = f" of {start.origin}" if start.origin else ""
    head = f"# The planned training{one_line(named)}; what each key is: undertow explain plans\n"
    starter = files("undertow.policy") / "starters" / f"{start.policy}.toml"
    return {
        "plan.toml": f"{head}{toml_text(start.plan.model_dump(mode='json'))}\n",
        "policy.toml": starter.read_text(encoding="utf-8"),
        "trust.toml": TRUST,
    }


def _write_new(place: Path, content: str) -> None:
    """
    Write a file that is not there.

    Raises:
        InputError: it is there by now, or its place cannot be written to.
    """
    from undertow.errors import InputError

    try:
        with place.open("x", encoding="utf-8") as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"cannot write '{place}': {error.strerror}") from error


def _told(start: Start) -> dict[str, str]:
    plan = start.plan
    what = "all weights" if plan.method == "full" else f"an adapter of rank {plan.rank}"
    epochs = f"{plan.epochs:g} {'epoch' if plan.epochs == 1 else 'epochs'}"
    length = f"{plan.max_steps:,} steps" if plan.max_steps else epochs
    origin = start.origin or "as is usual; say more with --from FILE"
    return {
        "plan.toml": f"{what}, learning rate {plan.learning_rate:g}, {plan.batch_size} rows a step, {length} ({origin})",
        "policy.toml": f"{start.policy}: edit it as your rules are: undertow explain policy",
        "trust.toml": "nobody is trusted so far: undertow explain provenance#the-trust-file",
    }


def _next(start: Start, places: Mapping[str, Path], columns: Sequence[str]) -> list[str]:
    data, student = start.data, start.student
    plan, policy, trust = (str(places[f"{name}.toml"]) for name in ("plan", "policy", "trust"))
    scan = ["undertow", "scan", data, "--student", student, *columns, "--plan", plan]
    gate = ["undertow", "gate", data, "--student", student, "--policy", policy, "--trust", trust]
    return [
        f"{shlex.join([*scan, '--dry-run'])}  # what it would cost",
        shlex.join(scan),
        shlex.join(gate),
    ]
