"""`undertow attest collect | filter | mix | audit`: statements about data that no model wrote, or that others made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from undertow.cli.terminal import one_line, tell_notes
from undertow.cli.verdict_options import required_signing, signing_options

_SCAN = click.Path(exists=True, path_type=Path)


@click.command(name="collect")
@click.argument("data", metavar="DATA")
@click.option(
    "--origin",
    type=click.Choice(("people", "instruments", "templates", "unknown")),
    required=True,
    help="Where the rows came from.",
)
@click.option(
    "--domain", required=True, metavar="NAME", help="What they are about: medicine, numbers, …"
)
@click.option("--licence", metavar="NAME", help="Under which they may be used.")
@click.option(
    "--model-written",
    type=click.FloatRange(0, 1),
    metavar="F",
    default=0.0,
    show_default=True,
    help="Largest share of rows that a model may have written.",
)
@signing_options("The producer's key.")
def collect(
    data: str,
    origin: str,
    domain: str,
    licence: str | None,
    model_written: float,
    keys: tuple[str, ...],
    public_key: str | None,
) -> None:
    """
    Rows that no model wrote.

    They came from people, instruments or templates, as far as you know.
    """
    from undertow.provenance.data_steps import Collect
    from undertow.provenance.signed_results import decimal
    from undertow.provenance.signed_steps import DECLARED, dataset, sign_beside, step_statement
    from undertow.provenance.statement import read_as

    who = required_signing(keys, public_key)
    tell_notes(data)
    parameters = read_as(
        Collect,
        {"origin": origin, "domain": domain, "modelWritten": decimal(model_written)}
        | ({"licence": licence} if licence else {}),
        "the options",
    )
    statement = step_statement(
        "collect", [dataset(data)], parameters, finished=who.now, builder=DECLARED
    )
    _tell(sign_beside(data, [statement], who))


@click.command(name="filter")
@click.argument("data", metavar="DATA")
@click.option(
    "--input",
    "source",
    required=True,
    metavar="DATA",
    help="The rows before filtering.",
)
@click.option(
    "--rule", default="removed", show_default=True, metavar="NAME", help="Why rows were removed."
)
@click.option("--version", metavar="NAME", help="Of the filter.")
@click.option("--model", metavar="MODEL", help="The model that judged, if one did.")
@signing_options("The producer's key.")
def filter_(
    data: str,
    source: str,
    rule: str,
    version: str | None,
    model: str | None,
    keys: tuple[str, ...],
    public_key: str | None,
) -> None:
    """
    Rows that were kept of another dataset.

    Leaves DATA.ledger.jsonl beside it, which proves that kept and removed rows together are the input.
    """
    from undertow.data.leaf_file import surplus
    from undertow.errors import DataError
    from undertow.provenance.bundle import carry
    from undertow.provenance.drafts import model_named
    from undertow.provenance.identity import Rows, leaves_of
    from undertow.provenance.ledger import Ledger
    from undertow.provenance.signed_steps import dataset, sign_filter, used

    who = required_signing(keys, public_key)
    tell_notes(data, source)
    before = Rows(leaves_of(source))
    kept = leaves_of(data)
    removed = surplus(before.leaves, kept)
    if foreign := len(kept) - (before.count - len(removed)):
        raise DataError(
            f"{foreign} rows of '{data}' are not in '{source}', so it is not a filtered version of it",
            hint="undertow attest mix, for data put together from several sources",
        )
    judge = used("filter-model", model, model_named(model) or {}) if model else None
    bundle = sign_filter(
        data,
        dataset(source, rows=before),
        Ledger(kept, {rule: removed}),
        who,
        versions={rule: version} if version else {},
        judges={rule: judge} if judge else {},
    )
    carry(bundle, [source])
    _tell(bundle)


@click.command(name="mix")
@click.argument("data", metavar="DATA")
@click.option(
    "--input",
    "sources",
    multiple=True,
    required=True,
    metavar="DATA[=ROWS]",
    help="A source, and how many of its rows; all if not given.",
)
@signing_options("The producer's key.")
def mix(data: str, sources: tuple[str, ...], keys: tuple[str, ...], public_key: str | None) -> None:
    """Datasets that were put together."""
    from undertow.errors import DataError
    from undertow.provenance.bundle import carry
    from undertow.provenance.data_steps import Mix, Source
    from undertow.provenance.signed_steps import (
        DECLARED,
        dataset,
        sign_beside,
        step_statement,
        used,
    )

    who = required_signing(keys, public_key)
    parts, dependencies = [], []
    taken = [_taken(text) for text in sources]
    paths = [path for path, _ in taken]
    for text, (path, rows), name in zip(sources, taken, _told_apart(paths), strict=True):
        subject = dataset(path)
        count = rows or subject.annotations.get("rows", "")
        if not count.isdigit():
            raise click.UsageError(
                f"--input {text}: the number of rows is not known; write DATA=ROWS"
            )
        parts.append(Source(name=name, rows=count))
        dependencies.append(used("input-data", name, subject.digest["sha256"]))
    tell_notes(data, *paths)
    made = dataset(data)
    total = sum(int(part.rows) for part in parts)
    if made.annotations.get("rows") != str(total):
        raise DataError(
            f"'{data}' has {made.annotations.get('rows', 'no')} rows and its sources together {total}",
            hint="say how many rows were taken: --input DATA=ROWS",
        )
    statement = step_statement(
        "mix", [made], Mix(sources=tuple(parts)), dependencies, finished=who.now, builder=DECLARED
    )
    bundle = sign_beside(data, [statement], who)
    carry(bundle, paths)
    _tell(bundle)


def _taken(text: str) -> tuple[str, str]:
    """A source and how many of its rows; empty for all."""
    path, _, rows = text.rpartition("=")
    return (path, rows) if rows.isdigit() else (text, "")


def _told_apart(paths: Sequence[str]) -> list[str]:
    """
    Names of sources, with their folders' where the files' are alike: a mix that names one twice contradicts itself.

    Raises:
        DataError: two are alike all the same.
    """
    from undertow.data.dataset import place_of
    from undertow.errors import DataError

    places = [place_of(path) for path in paths]
    names = [place.name for place in places]
    if len(set(names)) < len(names):
        names = [f"{place.resolve().parent.name}/{place.name}" for place in places]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(
            f"two sources of the mix are called '{twice[0]}'; allowed: a name for each",
            hint="rename one of their folders, or name a source once with all its rows",
        )
    return names


@click.command(name="audit")
@click.argument("scan", type=_SCAN, metavar="SCAN.json")
@click.option(
    "--valid-days",
    type=click.IntRange(1, 3650),
    default=180,
    show_default=True,
    metavar="N",
    help="For how long the verdict counts.",
)
@signing_options("The auditor's key.")
def audit(scan: Path, valid_days: int, keys: tuple[str, ...], public_key: str | None) -> None:
    """
    What a stored scan found.

    It goes into the bundle beside the data that was scanned.
    """
    import hashlib
    from datetime import timedelta

    from undertow.provenance.signed_results import sign_scan
    from undertow.results.store import SCAN_FILE, read_scan

    who = required_signing(keys, public_key)
    file = scan / SCAN_FILE if scan.is_dir() else scan
    document = read_scan(file)
    evidence = hashlib.sha256(file.read_bytes()).hexdigest()
    _tell(sign_scan(document, evidence, who, valid=timedelta(days=valid_days)))


COMMANDS = (collect, filter_, mix, audit)
"""Of `undertow attest`."""


def _tell(bundle: Path) -> None:
    click.echo(f"signed: {one_line(str(bundle))}")
