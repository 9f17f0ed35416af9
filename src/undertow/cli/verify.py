"""`undertow verify`: the whole chain behind a dataset, checked offline; and the options of trust that `gate` has too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from undertow.cli.number_option import number
from undertow.cli.terminal import tell_notes, typed_line
from undertow.cli.verdict_options import PathHere, at_time

if TYPE_CHECKING:
    from undertow.results.provenance_documents import VerifyDocument


F = TypeVar("F", bound=Callable[..., object])

TRUST = "UNDERTOW_TRUST"
"""Environment variable: the trust file, if no option names one."""


def trust_options(command: F) -> F:
    """The options that say what is trusted, and as of when."""
    for added in (
        click.option(
            "--at", metavar="TIME", help="Check as of this moment, e.g. 2026-11-25T08:00:00Z."
        ),
        click.option(
            "--least-version",
            type=number("least_version"),
            default=1,
            metavar="N",
            help="Refuse trust files older than this version.",
        ),
        click.option(
            "--root",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="PEM",
            help="Public key that the trust file is signed with.",
        ),
        click.option(
            "--trust",
            envvar=TRUST,
            show_envvar=True,
            required=True,
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Whose keys may say what: a .toml of your own, which `undertow init` begins, or a signed one with --root "
            "(undertow explain provenance#the-trust-file).",
        ),
        click.option(
            "--attestations",
            "bundles",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="FILE|DIR",
            help="Further bundles, in-toto's or Sigstore's; DATA.intoto.jsonl is read in any case.",
        ),
    ):
        command = added(command)
    return command


def verified(
    data: str,
    student: str | None,
    bundles: tuple[Path, ...],
    trust: Path,
    root: Path | None,
    least_version: int,
    at: str | None,
    command: str,
) -> VerifyDocument:
    """The walk that the options ask for."""
    from undertow.provenance.trust import read_trust
    from undertow.provenance.verify import VerifyRequest, verify

    tell_notes(data)
    moment = at_time(at)
    trusted = read_trust(trust, now=moment, root=root, least_version=least_version)
    return verify(VerifyRequest(data, student, bundles, command), trusted, moment)


@click.command(name="verify")
@click.argument("data", metavar="DATA")
@click.option(
    "--student",
    metavar="MODEL",
    help="The base that you would train, to say who shares its initialisation.",
)
@trust_options
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "markdown", "sarif")),
    default="text",
    show_default=True,
    help="What to print; the facts are in the JSON.",
)
@click.option(
    "--out",
    type=PathHere(dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help="Store the result, for `undertow report`.",
)
def command(
    data: str,
    student: str | None,
    bundles: tuple[Path, ...],
    trust: Path,
    root: Path | None,
    least_version: int,
    at: str | None,
    form: str,
    out: Path | None,
) -> None:
    """
    Say who made a dataset, and whether they can prove it.

    Walks from the data to the models and the data behind it, and says of each link that does not hold which key,
    what was expected and found, and what to do. Exit code 0 if every link holds, 1 if not.
    """
    from undertow.report import render
    from undertow.results.store import write_result

    again = typed_line()
    document = verified(data, student, bundles, trust, root, least_version, at, again)
    if out is not None:
        write_result(out, document)
    click.echo(render(document, form), nl=False)
    click.get_current_context().exit(0 if document.verdict == "verified" else 1)
