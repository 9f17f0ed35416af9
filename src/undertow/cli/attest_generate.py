"""`undertow attest generate`: a statement about rows that models wrote, from flags, a file or answers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from undertow.cli.terminal import one_line, tell_notes
from undertow.cli.verdict_options import required_signing, signing_options
from undertow.errors import InputError

if TYPE_CHECKING:
    from undertow.provenance.drafts import GenerationDraft

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Flags(TypedDict):
    """What the options of `generate` say of the rows."""

    teacher: str | None
    provider: str | None
    revision: str | None
    snapshot: str | None
    weights_digest: str | None
    no_weights: str | None
    init: str | None
    domain: str | None
    prompts: str | None
    licence: str | None
    system_prompt: Path | None
    secret: bool
    sampling: tuple[str, ...]
    interventions: tuple[str, ...]
    filters: tuple[str, ...]
    complete: bool | None


@click.command(name="generate")
@click.argument("data", metavar="DATA")
@click.option("--from", "source", type=_FILE, metavar="FILE.toml", help="The whole description.")
@click.option(
    "--teacher",
    metavar="MODEL",
    help="Who wrote the rows: a folder, org/name, or an API's name for it.",
)
@click.option("--provider", metavar="NAME", help="Whose API it was.")
@click.option("--revision", metavar="COMMIT", help="Of the teacher, where it lies on the hub.")
@click.option("--snapshot", metavar="NAME", help="Version that the API named.")
@click.option("--weights-digest", metavar="SHA256", help="Of weights that are not here.")
@click.option("--no-weights", metavar="WHY", help="Why there is no digest of the weights.")
@click.option(
    "--init",
    metavar="MODEL|SHA256|unknown",
    help="Checkpoint that the teacher's training began from.",
)
@click.option(
    "--domain", metavar="NAME", help="What the rows are about: medicine, law, numbers, ..."
)
@click.option("--prompts", metavar="NAME", help="The set of prompts.")
@click.option("--licence", metavar="NAME", help="Under which the rows may be used.")
@click.option(
    "--system-prompt",
    type=_FILE,
    metavar="FILE",
    help="The system prompt; its digest is signed, never its text.",
)
@click.option(
    "--secret", is_flag=True, help="The system prompt is secret: sign a salted commitment only."
)
@click.option(
    "--salt",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the salt is kept, readable by you only.",
)
@click.option(
    "--sampling",
    multiple=True,
    metavar="NAME=VALUE",
    help="temperature, top_p, top_k, max_tokens, seed, ...",
)
@click.option(
    "--intervention",
    "interventions",
    multiple=True,
    metavar="KIND=FILE",
    help="What was done to the model while it wrote.",
)
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME",
    help="A filter without a ledger that the rows went through (see also: attest filter).",
)
@click.option(
    "--complete/--best-effort", default=None, help="Whether every model that wrote rows is named."
)
@signing_options("The producer's key.")
def generate(
    data: str,
    source: Path | None,
    salt: Path | None,
    keys: tuple[str, ...],
    public_key: str | None,
    **flags: Unpack[Flags],
) -> None:
    """
    Rows that models wrote.

    Which models, from what weights, how they were sampled, what was done to them.

    Give a TOML file, flags, or answer in a terminal. Without a digest of the weights, say why there is none.
    """
    from undertow.provenance.bundle import carry
    from undertow.provenance.drafts import generation, read_draft
    from undertow.provenance.signed_steps import DECLARED, dataset, sign_beside, step_statement

    who = required_signing(keys, public_key)
    tell_notes(data)
    draft = read_draft(source) if source else _drafted(flags)
    secret = draft.system_prompt is not None and draft.system_prompt.secret
    if secret and salt is None:
        raise click.UsageError("a secret system prompt needs --salt FILE, which only you keep")
    parameters, dependencies = generation(
        draft,
        folder=source.parent if source else Path(),
        salt=_salt_in(salt) if secret and salt else None,
    )
    statement = step_statement(
        "generate", [dataset(data)], parameters, dependencies, finished=who.now, builder=DECLARED
    )
    bundle = sign_beside(data, [statement], who)
    # What is known of a teacher that lies here travels with its rows.
    carry(bundle, [Path(part) for writer in draft.teachers for part in writer.model.split("+")])
    click.echo(f"signed: {one_line(str(bundle))}")


def _drafted(flags: Flags) -> GenerationDraft:
    """The description that the flags make, with what is missing asked for in a terminal."""
    from undertow.data.closed import parse
    from undertow.provenance.drafts import GenerationDraft

    question = "which model wrote the rows (folder, org/name, or an API's name)"
    model = _asked(flags["teacher"], "--teacher", question)
    no_weights = flags["no_weights"]
    if sys.stdin.isatty() and _without_digest(model, flags):
        question = "its weights are not here, so why is there no digest of them"
        no_weights = click.prompt(question, err=True)
    question = "what are the rows about (medicine, law, numbers, ...)"
    domain = _asked(flags["domain"], "--domain", question)
    complete = flags["complete"]
    if complete is None:
        if not sys.stdin.isatty():
            raise click.UsageError("say whether every model is named: --complete or --best-effort")
        complete = click.confirm("is that every model that wrote rows", err=True)
    teacher = {
        "model": model,
        "provider": flags["provider"],
        "revision": flags["revision"],
        "snapshot": flags["snapshot"],
        "weights_digest": flags["weights_digest"],
        "no_weights": no_weights,
        "init": flags["init"],
    }
    table: dict[str, object] = {
        "teachers": [teacher],
        "domain": domain,
        "prompts": flags["prompts"] or "not named",
        "licence": flags["licence"],
        "complete": complete,
        "filters": [{"id": name} for name in flags["filters"]],
        "sampling": dict(_pairs(flags["sampling"], "--sampling")),
        "interventions": [
            {"kind": kind, "file": file}
            for kind, file in _pairs(flags["interventions"], "--intervention")
        ],
    }
    if flags["system_prompt"] is not None:
        table["system_prompt"] = {"file": str(flags["system_prompt"]), "secret": flags["secret"]}
    elif flags["secret"]:
        raise click.UsageError("--secret needs --system-prompt FILE")
    return parse(GenerationDraft, table, where="the options")


def _asked(given: str | None, option: str, question: str) -> str:
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise click.UsageError(f"give {option}, or a description with --from FILE.toml")
    answer: str = click.prompt(question, err=True)
    return answer


def _pairs(given: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise click.UsageError(f"{option} {text}: allowed: NAME=VALUE")
        pairs.append((name, value))
    return pairs


def _without_digest(model: str, flags: Flags) -> bool:
    from undertow.provenance.drafts import model_named

    accounted = flags["provider"] or flags["weights_digest"] or flags["no_weights"]
    return not accounted and model_named(model) is None


def _salt_in(path: Path) -> bytes:
    """
    The salt in a file that only its owner can read; made there if there is none.

    Raises:
        InputError: the file cannot be read or made.
    """
    import secrets

    try:
        if path.exists():
            return path.read_bytes()
        salt = secrets.token_bytes(32)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            file.write(salt)
    except OSError as error:
        raise InputError(f"cannot use '{path}' for the salt: {error.strerror}") from error
    return salt
