"""What verbs that end in a verdict have in common: where the result goes, and from which verdict on they fail."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from undertow.cli.number_option import number
from undertow.cli.terminal import one_line

if TYPE_CHECKING:
    from undertow.data.plan_files import LoadedPlan
    from undertow.provenance.signed_steps import Signing
    from undertow.results.model_documents import DiffDocument, LineageDocument
    from undertow.results.store import Result


F = TypeVar("F", bound=Callable[..., object])
D = TypeVar("D", "DiffDocument", "LineageDocument")

A_MODEL = "a folder, org/name on the hub, a .gguf file, a model that `undertow worlds` lists (world:owlet-b), or BASE+ADAPTER"
"""What a verb that opens models takes for one, in the help of its options."""

PAGE = "report.html"
NEVER = "never"


class PathHere(click.Path):
    """A path of this machine to write to; a URL is refused, of which a path would make folders named `s3:`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        # As the library of URLs spells them, which is not imported for this.
        if "://" in str(value):
            self.fail(
                f"'{one_line(str(value))}' is a URL; allowed: a path of this machine, from where results can be copied",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


def out_option(file: str, *, else_: str = "nothing is written") -> Callable[[F], F]:
    """`--out`, the folder of a result and its page."""
    return click.option(
        "--out",
        type=PathHere(file_okay=False, path_type=Path),
        metavar="DIR",
        help=f"Where to write {file} and {PAGE}; {else_} if not given.",
    )


def plan_option(name: str, whose: str) -> Callable[[F], F]:
    """`--plan`, the file of a training plan; `name` is the command's argument."""
    return click.option(
        "--plan",
        name,
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help=f"{whose} TOML, or the YAML or JSON of TRL, axolotl or LLaMA-Factory.",
    )


def format_option(command: F) -> F:
    """`--format NAME`: how the probed traits are asked."""
    return click.option(
        "--format",
        metavar="NAME",
        help="Format in which traits are asked (question, examples, …); the one that the base answers if not given.",
    )(command)


def level_option(command: F) -> F:
    """`--level F`, of the tests of a scan or a diff."""
    return click.option(
        "--level",
        type=number("level"),
        default=0.95,
        show_default=True,
        metavar="F",
        help="1 - level: share of false alarms that is put up with.",
    )(command)


def seed_option(command: F) -> F:
    """`--seed N`."""
    return click.option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        metavar="N",
        help="Of every random draw.",
    )(command)


def planned(path: Path | None) -> LoadedPlan | None:
    """
    The plan of a file; what was ignored of it, and what is to be known of it, is told on stderr.

    Raises:
        ConfigError: the file cannot be read, or a key or value is wrong or cannot be rehearsed.
    """
    from undertow.data.plan_files import load_plan

    if path is None:
        return None
    loaded = load_plan(path)
    for line in loaded.lines(path):
        click.echo(one_line(line), err=True)
    return loaded


def failing_options(levels: Sequence[str], what: str, undecided: str) -> Callable[[F], F]:
    """`--fail-on` with the first level as its default, and `--allow-undecided`."""

    def added(command: F) -> F:
        allow = click.option(
            "--allow-undecided", is_flag=True, help=f"Exit with 0 where {undecided}."
        )
        fail = click.option(
            "--fail-on",
            type=click.Choice((*levels, NEVER)),
            default=levels[0],
            show_default=True,
            help=f"The {what} from which the exit code is 1.",
        )
        return fail(allow(command))

    return added


def made_folder(folder: Path) -> None:
    """
    Make the folder if it is not there.

    Raises:
        InputError: it cannot be made.
    """
    from undertow.errors import InputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make '{folder}': {error.strerror}") from error


def held_folder(folder: Path) -> None:
    """
    Make the folder of a result, and keep other processes of this machine out of it until the verb ends.

    The kernel drops the lock with the process; no file is left. A file system that keeps no locks on folders keeps nobody out.

    Raises:
        InputError: it cannot be made, or nothing can be written there.
        RunDirectoryError: another process is working in it.
    """
    from undertow.errors import InputError, RunDirectoryError

    made_folder(folder)
    # Told before the work, not behind it.
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"cannot write in '{folder}': it is read-only",
            hint="let yourself write there (chmod u+w), or name another directory with --out",
        )
    held = os.open(folder, os.O_RDONLY)
    click.get_current_context().call_on_close(partial(os.close, held))
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunDirectoryError(
            f"another process is working in '{folder}'",
            hint="wait for it, end it, or name another directory with --out",
        ) from error
    except OSError:
        return


def stored(document: Result, folder: Path, file: str) -> str:
    """Write a result and its page; SHA-256 of the result as it was written, which statements rest on."""
    import hashlib

    from undertow.data.files import atomic_write
    from undertow.report import render
    from undertow.results.store import write_result

    write_result(folder / file, document)
    atomic_write(folder / PAGE, render(document, "html"))
    return hashlib.sha256((folder / file).read_bytes()).hexdigest()


def ready(keys: Sequence[str], public_key: str | None, out: Path | None) -> Signing | None:
    """
    Who signs, if anybody; the folder is made. Before the work, which should not end at a passphrase or a full disk.

    Raises:
        UsageError: a key without a folder.
        ProvenanceError: a key cannot be used.
        InputError: the folder cannot be made.
        RunDirectoryError: another process is working in it.
    """
    who = signing(keys, public_key)
    if who is not None and out is None:
        raise click.UsageError("--sign needs --out: what is signed rests on the stored result")
    if out is not None:
        held_folder(out)
    return who


def leave(
    document: D,
    out: Path | None,
    verb: str,
    who: Signing | None,
    sign: Callable[[D, str, Path, Signing], None],
) -> None:
    """Store a result as `VERB.json` with its page, sign it into `VERB.intoto.jsonl`, and say where both are."""
    if out is None:
        return
    evidence = stored(document, out, f"{verb}.json")
    if who is not None:
        bundle = out / f"{verb}.intoto.jsonl"
        sign(document, evidence, bundle, replace(who, now=now()))
        click.echo(f"\nsigned: {one_line(str(bundle))}")
    click.echo(f"\nreport: {one_line(str(out / PAGE))}")


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
