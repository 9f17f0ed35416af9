"""`undertow gate`: may this data be trained on, by this policy?"""

from __future__ import annotations

from pathlib import Path

import click

from undertow.cli.terminal import one_line, typed_line
from undertow.cli.verdict_options import PathHere, signing, signing_options
from undertow.cli.verify import trust_options, verified

RESULT, PAGE = "gate.json", "gate.html"


@click.command(name="gate")
@click.argument("data", metavar="DATA")
@click.option(
    "--student",
    required=True,
    metavar="MODEL",
    help="The base that you would train: a folder, world:NAME, or the digest of its weights.",
)
@click.option(
    "--policy",
    required=True,
    metavar="NAME|FILE",
    help="permissive, default, safety-critical, or a file in TOML or YAML.",
)
@trust_options
@click.option(
    "--out",
    type=PathHere(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to write gate.json and gate.html; nothing is written if not given.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "markdown", "sarif")),
    default="text",
    show_default=True,
    help="What to print.",
)
@click.option(
    "--summary",
    type=PathHere(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the signed summary goes; DATA.vsa.intoto.jsonl if not given.",
)
@signing_options("The gate's key, which signs a summary of the decision.")
def command(
    data: str,
    student: str,
    policy: str,
    bundles: tuple[Path, ...],
    trust: Path,
    root: Path | None,
    least_version: int,
    at: str | None,
    out: Path | None,
    form: str,
    summary: Path | None,
    keys: tuple[str, ...],
    public_key: str | None,
) -> None:
    """
    Decide whether a dataset may be trained on.

    The policy's rules must all hold; each is printed with its reason. Exit code 0 if allowed, 1 if refused. Whatever is not known refuses.
    """
    from undertow.cli.verdict_options import made_folder
    from undertow.data.dataset import place_of
    from undertow.data.files import atomic_write
    from undertow.policy.gate import SUFFIX, compiled_rules, decide, sign_summary
    from undertow.policy.rules import load_policy
    from undertow.report import render
    from undertow.results.store import write_result

    # Whatever is wrong with the request is found before the data is read.
    loaded = load_policy(policy)
    custom = compiled_rules(loaded)
    who = signing(keys, public_key)
    if out is not None:
        made_folder(out)
    again = typed_line()
    verification = verified(data, student, bundles, trust, root, least_version, at, again)
    document = decide(loaded, custom, verification, command=again)
    if who is not None:
        place = place_of(data)
        target = summary or place.with_name(place.name + SUFFIX)
        sign_summary(document, target, who)
        document = document.model_copy(update={"summary": str(target)})
    click.echo(render(document, form), nl=False)
    if out is not None:
        write_result(out / RESULT, document)
        atomic_write(out / PAGE, render(document, "html"))
        click.echo(f"report: {one_line(str(out / PAGE))}", err=form != "text")
    click.get_current_context().exit(0 if document.decision == "allowed" else 1)
