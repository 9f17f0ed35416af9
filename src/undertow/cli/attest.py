"""`undertow attest`: signed statements about how data and models were made, and the keys and trust files for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli import attest_data, attest_generate
from undertow.cli.terminal import one_line
from undertow.cli.verdict_options import PathHere, required_signing, signing_options

if TYPE_CHECKING:
    from undertow.provenance.predicates import Attestation
    from undertow.provenance.statement import Resource, Signable, StatementSubject

_BUNDLE = click.option(
    "--bundle",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to put the statement; MODEL.intoto.jsonl if not given.",
)


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

    from undertow.cli.verdict_options import PASSPHRASE
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
    type=PathHere(dir_okay=False, path_type=Path),
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
    from undertow.provenance.bundle import add_lines
    from undertow.provenance.envelope import sealed

    signers = required_signing(keys, public_key).signers
    attestations = _readable(bundle)
    envelopes = [attestation.envelope for attestation in attestations]
    made = [sealed(envelope.payload, signers, envelope.payload_type) for envelope in envelopes]
    add_lines(bundle, made, again=True)
    click.echo(f"signed {len(made)} statements in {one_line(str(bundle))}")


def _readable(bundle: Path) -> list[Attestation]:
    """The statements of a bundle; those that cannot be read are named on stderr."""
    from undertow.provenance.bundle import read_bundles

    attestations, problems = read_bundles([bundle])
    for problem in problems:
        click.echo(f"left out: {one_line(problem.message)}", err=True)
    return attestations


@command.command(name="export")
@click.argument(
    "bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="BUNDLE"
)
@click.option(
    "--out",
    required=True,
    type=PathHere(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the files go.",
)
def export(bundle: Path, out: Path) -> None:
    """
    Write statements as Sigstore bundles.

    One file a signature. Other tools verify these, and so does undertow verify: --attestations DIR.
    """
    from undertow.cli.verdict_options import made_folder
    from undertow.data.files import atomic_write
    from undertow.provenance.bundle import EXPORTED
    from undertow.provenance.envelope import sigstore_bundles

    made_folder(out)
    attestations = _readable(bundle)
    for attestation in attestations:
        envelope = attestation.envelope
        stem = f"{attestation.step}-{envelope.digest[:12]}"
        for number, content in enumerate(sigstore_bundles(envelope)):
            path = out / (stem + (f"-{number + 1}" if number else "") + EXPORTED)
            atomic_write(path, content)
            click.echo(one_line(str(path)))


@command.command(name="finetune")
@click.argument("model", metavar="MODEL")
@click.option("--base", required=True, metavar="MODEL", help="What the training began from.")
@click.option(
    "--data",
    "data",
    multiple=True,
    required=True,
    metavar="DATA",
    help="What it was trained on; may be given again.",
)
@click.option("--method", default="lora", show_default=True, metavar="NAME")
@_BUNDLE
@signing_options("The producer's key.")
def finetune(
    model: str,
    base: str,
    data: tuple[str, ...],
    method: str,
    bundle: Path | None,
    keys: tuple[str, ...],
    public_key: str | None,
) -> None:
    """
    A model that was trained on data.

    MODEL is a folder, or base+adapter.
    """
    from undertow.data.dataset import place_of
    from undertow.provenance.bundle import carry
    from undertow.provenance.identity import manifest_of
    from undertow.provenance.model_steps import FineTune
    from undertow.provenance.signed_steps import used

    dependencies = [_weights("init-weights", base)]
    dependencies += [
        used("train-data", place_of(name).name, manifest_of(name).digest) for name in data
    ]
    target = _signed(
        "finetune", model, FineTune(method=method), dependencies, bundle, keys, public_key
    )
    carry(target, [*data, *_folders(base)])


@command.command(name="merge")
@click.argument("model", metavar="MODEL")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="MODEL",
    help="A model that went into it; may be given again.",
)
@click.option("--method", default="linear", show_default=True, metavar="NAME")
@_BUNDLE
@signing_options("The producer's key.")
def merge(
    model: str,
    inputs: tuple[str, ...],
    method: str,
    bundle: Path | None,
    keys: tuple[str, ...],
    public_key: str | None,
) -> None:
    """A model that was made of several."""
    from undertow.provenance.bundle import carry
    from undertow.provenance.model_steps import Merge

    dependencies = [_weights("input-weights", source) for source in inputs]
    target = _signed("merge", model, Merge(method=method), dependencies, bundle, keys, public_key)
    carry(target, [path for source in inputs for path in _folders(source)])


@command.command(name="quantize")
@click.argument("model", metavar="MODEL")
@click.option("--input", "source", required=True, metavar="MODEL", help="The model before.")
@click.option("--method", required=True, metavar="NAME", help="gptq, awq, int8, ...")
@click.option("--bits", type=click.IntRange(1, 64), metavar="N")
@_BUNDLE
@signing_options("The producer's key.")
def quantize(
    model: str,
    source: str,
    method: str,
    bits: int | None,
    bundle: Path | None,
    keys: tuple[str, ...],
    public_key: str | None,
) -> None:
    """A model whose weights were stored with fewer bits."""
    from undertow.provenance.bundle import carry
    from undertow.provenance.model_steps import Quantize

    parameters = Quantize(method=method, bits=str(bits) if bits else None)
    dependencies = [_weights("input-weights", source)]
    target = _signed("quantize", model, parameters, dependencies, bundle, keys, public_key)
    carry(target, _folders(source))


@command.command(name="import")
@click.argument(
    "model", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="MODEL"
)
@click.option(
    "--signature",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The maker's OpenSSF model signature, often model.sig.",
)
@click.option(
    "--public-key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PEM",
    help="The maker's public key.",
)
def import_(model: Path, signature: Path, public_key: Path) -> None:
    """
    Check a model that its maker signed.

    By an OpenSSF model signature; prints its entry for your trust file.
    """
    import json

    from undertow.provenance.model_weights import signed_model

    signed = signed_model(model, signature, public_key)
    click.echo(f"all {signed.files} signed files are as they were signed", err=True)
    name = one_line(json.dumps(signed.name or model.name))
    click.echo(f'[[models]]\nname = {name}\ndigest = "{signed.digest}"')


def _weights(role: str, model: str) -> Resource:
    from undertow.provenance.signed_steps import used

    return used(role, model, _digest(model))


def _digest(model: str) -> str:
    from undertow.errors import ModelError
    from undertow.provenance.drafts import model_named

    digest = model_named(model)
    if digest is None:
        raise ModelError(
            f"the model '{model}' has no digest: its weights are not here",
            hint="download it and name its folder, or give the digest of its weights",
        )
    return digest


def _signed(
    step: str,
    model: str,
    parameters: Signable,
    dependencies: list[Resource],
    bundle: Path | None,
    keys: tuple[str, ...],
    public_key: str | None,
) -> Path:
    from undertow.provenance.bundle import bundle_path
    from undertow.provenance.signed_steps import DECLARED, sign_into, step_statement
    from undertow.provenance.statement import StatementSubject

    who = required_signing(keys, public_key)
    named = Path(model.rpartition("+")[2])
    subject: StatementSubject = StatementSubject(name=named.name, digest={"sha256": _digest(model)})
    statement = step_statement(
        step,
        [subject],
        parameters,
        dependencies,
        finished=who.now,
        builder=DECLARED,
    )
    target = bundle or bundle_path(named)
    sign_into(target, [statement], who)
    click.echo(f"signed: {one_line(str(target))}")
    return target


def _folders(model: str) -> list[Path]:
    """Where the bundles of a model may lie: beside its base and beside its adapter."""
    return [Path(part) for part in model.split("+")]


for data_command in (attest_generate.generate, *attest_data.COMMANDS):
    command.add_command(data_command)
