"""
`undertow attest finetune | merge | quantize | import`: statements about models, and those of their makers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.printable import one_line
from undertow.cli.signing import required_signing, signing_options

if TYPE_CHECKING:
    from undertow.provenance.statement import Resource, StatementSubject

_BUNDLE = click.option(
    "--bundle",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to put the statement; MODEL.intoto.jsonl if not given.",
)


@click.command(name="finetune")
@click.argument("model", metavar="MODEL")
@click.option("--base", required=True, metavar="MODEL", help="What the training began from.")
@click.option(
    "--data",
    "data",
    multiple=True,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="DATA",
    help="What it was trained on; may be given again.",
)
@click.option("--method", default="lora", show_default=True, metavar="NAME")
@_BUNDLE
@signing_options("The producer's key.")
def finetune(
    model: str,
    base: str,
    data: tuple[Path, ...],
    method: str,
    bundle: Path | None,
    keys: tuple[str, ...],
    public_key: str | None,
) -> None:
    """
    A model that was trained on data.

    MODEL is a folder, or base+adapter.
    """
    from undertow.provenance.bundle import carry
    from undertow.provenance.identity import manifest_of
    from undertow.provenance.model_steps import FineTune
    from undertow.provenance.signed_steps import used

    dependencies = [_weights("init-weights", base)]
    dependencies += [used("train-data", each.name, manifest_of(each).digest) for each in data]
    target = _signed(
        "finetune", model, FineTune(method=method), dependencies, bundle, keys, public_key
    )
    carry(target, [*data, *_folders(base)])


@click.command(name="merge")
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

    dependencies = [_weights("input-weights", each) for each in inputs]
    target = _signed("merge", model, Merge(method=method), dependencies, bundle, keys, public_key)
    carry(target, [path for each in inputs for path in _folders(each)])


@click.command(name="quantize")
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

    said = Quantize(method=method, bits=str(bits) if bits else None)
    dependencies = [_weights("input-weights", source)]
    target = _signed("quantize", model, said, dependencies, bundle, keys, public_key)
    carry(target, _folders(source))


@click.command(name="import")
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

    found = signed_model(model, signature, public_key)
    click.echo(f"all {found.files} signed files are as they were signed", err=True)
    name = one_line(json.dumps(found.name or model.name))
    click.echo(f'[[models]]\nname = {name}\ndigest = "{found.digest}"')


COMMANDS = (finetune, merge, quantize, import_)
"""Of `undertow attest`."""


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
    parameters: object,
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
        parameters,  # type: ignore[arg-type]
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
