"""What verbs that sign have in common: the options, and the key they name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from undertow.provenance.signed_steps import Signing


F = TypeVar("F", bound=Callable[..., object])

KEY, PASSPHRASE = "UNDERTOW_KEY", "UNDERTOW_PASSPHRASE"
"""Environment variables: a key that signs if no option names one, and the passphrase of an encrypted one."""


def signing_options(what: str) -> Callable[[F], F]:
    """`--sign` and `--public-key`; `what` says what is signed."""

    def added(command: F) -> F:
        public = click.option(
            "--public-key",
            type=click.Path(exists=True, dir_okay=False),
            metavar="PEM",
            help="Public key of a key that stays in a service.",
        )
        sign = click.option(
            "--sign",
            "keys",
            multiple=True,
            metavar="KEY",
            help=f"{what} A PEM file, or the URI of a key service; may be given again. [env: {KEY}]",
        )
        return sign(public(command))

    return added


def signing(keys: Sequence[str], public_key: str | None) -> Signing | None:
    """
    Who signs now; None where no key was given.

    Raises:
        ProvenanceError: a key cannot be used.
    """
    named = list(keys) or [key for key in [os.environ.get(KEY, "")] if key]
    if not named:
        return None
    from undertow.provenance.keys import open_signer
    from undertow.provenance.signed_steps import Signing

    signers = tuple(open_signer(key, public=public_key, passphrase=passphrase) for key in named)
    return Signing(signers, now())


def required_signing(keys: Sequence[str], public_key: str | None) -> Signing:
    """
    The same where nothing can be done without.

    Raises:
        UsageError: no key was given.
    """
    who = signing(keys, public_key)
    if who is None:
        raise click.UsageError(
            f"no key: name one with --sign or {KEY} (to make one: undertow attest key producer.pem)"
        )
    return who


def passphrase() -> str:
    """The passphrase of an encrypted key: from the environment, or asked for in a terminal."""
    known = os.environ.get(PASSPHRASE)
    if known is not None or not sys.stdin.isatty():
        return known or ""
    answer: str = click.prompt("passphrase of the key", hide_input=True, err=True)
    return answer


def now() -> datetime:
    """The moment of signing or checking, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def at_time(text: str | None) -> datetime:
    """
    The moment that an option names, or now.

    Raises:
        ProvenanceError: there is no such moment.
    """
    from undertow.provenance.statement import moment

    return moment(text, "--at") if text else now()
