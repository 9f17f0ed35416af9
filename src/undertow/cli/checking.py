"""What `verify` and `gate` have in common: the options that say what is trusted, and the walk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from undertow.cli.signing import at_time

if TYPE_CHECKING:
    from undertow.results.provenance_documents import VerifyDocument

F = TypeVar("F", bound=Callable[..., object])

TRUST = "UNDERTOW_TRUST"
"""Environment variable: the trust file, if no option names one."""


def checking_options(command: F) -> F:
    """The options of a walk."""
    for added in (
        click.option(
            "--at", metavar="TIME", help="Check as of this moment, e.g. 2026-11-25T08:00:00Z."
        ),
        click.option(
            "--least-version",
            type=click.IntRange(min=1),
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
            help="Whose keys may say what: a .toml of your own, or a signed one with --root.",
        ),
        click.option(
            "--attestations",
            "bundles",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="FILE|DIR",
            help="Further bundles; DATA.intoto.jsonl is read in any case.",
        ),
    ):
        command = added(command)
    return command


def checked(
    data: Path,
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

    moment = at_time(at)
    trusted = read_trust(trust, now=moment, root=root, least_version=least_version)
    return verify(VerifyRequest(data, student, bundles, command), trusted, moment)
