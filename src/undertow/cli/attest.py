"""
`undertow attest`: signed statements about how data and models were made, and the keys and trust files for them.
"""

from __future__ import annotations

from pathlib import Path

import click

from undertow.cli import attest_data, attest_generate, attest_models
from undertow.cli.printable import one_line
from undertow.cli.signing import required_signing, signing_options


@click.group(name="attest")
def command() -> None:
    """
    Sign how data or a model was made.

    Statements go into DATA.intoto.jsonl beside the data, one a line. Everything that makes data in undertow signs
    by itself when it is given a key (--sign, UNDERTOW_KEY); this verb is for what was made elsewhere, and for keys.
    """


@command.command(name="key")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.pem")
@click.option(
    "--kind", type=click.Choice(("ed25519", "p256")), default="ed25519", show_default=True
)
@click.option("--passphrase", is_flag=True, help="Encrypt it; asks for the passphrase.")
def key(path: Path, kind: str, passphrase: bool) -> None:
    """
    Make a key.

    FILE.pem is to be kept secret, FILE.pem.pub to be given away.
    """
    import os

    from undertow.cli.signing import PASSPHRASE
    from undertow.provenance.keys import make_key

    secret = ""
    if passphrase:
        secret = os.environ.get(PASSPHRASE) or click.prompt(
            "passphrase", hide_input=True, confirmation_prompt=True, err=True
        )
    public, keyid = make_key(path, kind=kind, passphrase=secret)
    click.echo(f"private key: {one_line(str(path))} (keep it secret)")
    click.echo(f"public key:  {one_line(str(public))} (for the trust file)")
    click.echo(f"key id:      {keyid}")


@command.command(name="trust")
@click.argument("draft", type=click.Path(dir_okay=False, path_type=Path), metavar="DRAFT.toml")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="DRAFT.json if not given.",
)
@signing_options("The offline root key.")
def trust(draft: Path, output: Path | None, keys: tuple[str, ...], public_key: str | None) -> None:
    """
    Sign a trust file with the root key.

    It can then be handed around, and is checked with --root.
    """
    from undertow.data.files import atomic_write
    from undertow.errors import ProvenanceError
    from undertow.provenance.envelope import sealed
    from undertow.provenance.statement import payload_of
    from undertow.provenance.trust import TRUST_TYPE
    from undertow.provenance.trust import draft as read_draft

    file = read_draft(draft)
    if file.expires is None:
        raise ProvenanceError(
            f"'{draft}' has no 'expires': once signed, it could be shown for ever",
            hint='add a line like: expires = "2027-06-30T00:00:00Z"',
        )
    signers = required_signing(keys, public_key).signers
    target = output or draft.with_suffix(".json")
    atomic_write(target, sealed(payload_of(file), signers, TRUST_TYPE).line())
    click.echo(
        f"signed trust file: {one_line(str(target))} (version {file.version}, until {file.expires})"
    )


@command.command(name="sign")
@click.argument(
    "bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="BUNDLE"
)
@signing_options("Signs every statement in the bundle too.")
def sign(bundle: Path, keys: tuple[str, ...], public_key: str | None) -> None:
    """
    Add your signature to a bundle.

    To each of its statements, where trust files ask for several signatures.
    """
    from undertow.provenance.bundle import add_lines, read_bundles
    from undertow.provenance.envelope import sealed

    signers = required_signing(keys, public_key).signers
    found, problems = read_bundles([bundle])
    for problem in problems:
        click.echo(f"left out: {one_line(problem.message)}", err=True)
    made = [sealed(one.envelope.payload, signers, one.envelope.payload_type) for one in found]
    add_lines(bundle, made)
    click.echo(f"signed {len(made)} statements in {one_line(str(bundle))}")


@command.command(name="export")
@click.argument(
    "bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="BUNDLE"
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where one file a statement goes.",
)
def export(bundle: Path, out: Path) -> None:
    """
    Write statements as Sigstore bundles.

    Other tools verify these.
    """
    from undertow.cli.storing import made_folder
    from undertow.data.files import atomic_write
    from undertow.provenance.bundle import read_bundles
    from undertow.provenance.envelope import sigstore_bundle

    made_folder(out)
    found, problems = read_bundles([bundle])
    for problem in problems:
        click.echo(f"left out: {one_line(problem.message)}", err=True)
    for one in found:
        path = out / f"{one.step}-{one.envelope.digest[:12]}.sigstore.json"
        atomic_write(path, sigstore_bundle(one.envelope))
        click.echo(one_line(str(path)))


for each in (attest_generate.generate, *attest_data.COMMANDS, *attest_models.COMMANDS):
    command.add_command(each)
