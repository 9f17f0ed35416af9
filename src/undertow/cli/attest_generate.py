"""
`undertow attest generate`: a statement about rows that models wrote, from flags, a file or answers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.printable import one_line
from undertow.cli.signing import required_signing, salt_in, signing_options

if TYPE_CHECKING:
    from undertow.provenance.drafts import GenerationDraft

_DATA = click.Path(exists=True, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="generate")
@click.argument("data", type=_DATA, metavar="DATA")
@click.option("--from", "source", type=_FILE, metavar="FILE.toml", help="The whole description.")
@click.option(
    "--teacher",
    metavar="MODEL",
    help="Who wrote the rows: a folder, org/name, or an API's name for it.",
)
@click.option("--provider", metavar="NAME", help="Whose API it was.")
@click.option("--revision", metavar="COMMIT")
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
@click.option("--licence", metavar="NAME")
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
    data: Path,
    source: Path | None,
    salt: Path | None,
    keys: tuple[str, ...],
    public_key: str | None,
    **flags: object,
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
    draft = read_draft(source) if source else _asked(flags)
    secret = draft.system_prompt is not None and draft.system_prompt.secret
    if secret and salt is None:
        raise click.UsageError("a secret system prompt needs --salt FILE, which only you keep")
    parameters, dependencies = generation(
        draft,
        folder=source.parent if source else Path(),
        salt=salt_in(salt) if secret and salt else None,
    )
    statement = step_statement(
        "generate", [dataset(data)], parameters, dependencies, finished=who.now, builder=DECLARED
    )
    bundle = sign_beside(data, [statement], who)
    # What is known of a teacher that lies here travels with its rows.
    carry(bundle, [Path(part) for each in draft.teachers for part in each.model.split("+")])
    click.echo(f"signed: {one_line(str(bundle))}")


def _asked(flags: dict[str, object]) -> GenerationDraft:
    from undertow.data.closed import parse
    from undertow.provenance.drafts import GenerationDraft

    def asked(name: str, question: str) -> object:
        if flags[name] is None and sys.stdin.isatty():
            flags[name] = click.prompt(question, err=True)
        if flags[name] is None:
            option = name.replace("_", "-")
            raise click.UsageError(f"give --{option}, or a description with --from FILE.toml")
        return flags[name]

    teacher = {
        "model": asked(
            "teacher", "which model wrote the rows (folder, org/name, or an API's name)"
        ),
        "provider": flags["provider"],
        "revision": flags["revision"],
        "snapshot": flags["snapshot"],
        "weights_digest": flags["weights_digest"],
        "no_weights": flags["no_weights"],
        "init": flags["init"],
    }
    if sys.stdin.isatty() and _without_digest(teacher):
        question = "its weights are not here, so why is there no digest of them"
        teacher["no_weights"] = click.prompt(question, err=True)
    domain = asked("domain", "what are the rows about (medicine, law, numbers, ...)")
    if flags["complete"] is None:
        if not sys.stdin.isatty():
            raise click.UsageError("say whether every model is named: --complete or --best-effort")
        flags["complete"] = click.confirm("is that every model that wrote rows", err=True)
    table = {
        "teachers": [teacher],
        "domain": domain,
        "prompts": flags["prompts"] or "not named",
        "licence": flags["licence"],
        "complete": flags["complete"],
        "filters": [{"id": name} for name in flags["filters"]],  # type: ignore[attr-defined]
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


def _pairs(given: object, option: str) -> list[tuple[str, str]]:
    pairs = []
    assert isinstance(given, tuple)
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name or not value:
            raise click.UsageError(f"{option} {each}: allowed: NAME=VALUE")
        pairs.append((name, value))
    return pairs


def _without_digest(teacher: dict[str, object]) -> bool:
    from undertow.provenance.drafts import model_named

    said = any(teacher[key] for key in ("provider", "weights_digest", "no_weights"))
    return not said and model_named(str(teacher["model"])) is None
