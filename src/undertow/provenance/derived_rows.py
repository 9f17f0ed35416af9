"""Statements that rows were removed or changed, each with the ledger that proves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from undertow.provenance.at_hand import Rows
from undertow.provenance.attesting import Signing, dataset, sign_beside, step_statement, used
from undertow.provenance.ledger import MEDIA_TYPE, ROLE, SUFFIX, Ledger, write_leaf_ledger
from undertow.provenance.row_leaves import leaves_of
from undertow.provenance.statement import Resource, Statement, Subject
from undertow.provenance.steps import Change, Edit, Filter, Rule


def sign_filter(
    output: Path,
    source: Subject,
    removed: Sequence[tuple[bytes, str]],
    signing: Signing,
    *,
    versions: dict[str, str] | None = None,
    judges: dict[str, Resource] | None = None,
    further: Sequence[Statement] = (),
) -> Path:
    """
    Attest that rows were removed, with the ledger that proves it; returns the bundle's path.

    Args:
        output: the file of rows that were kept.
        source: the filter's input.
        removed: leaf and rule of each removed row.
        versions: of rules, by their id.
        judges: model that a rule asked, by the rule's id.
        further: statements about the input, which the bundle then carries too.
    """
    rows = Rows(leaves_of(output))
    ledger = write_leaf_ledger(output.with_name(output.name + SUFFIX), rows.leaves, removed)
    made = filter_statement(
        dataset(output, rows=rows), source, ledger, output.name + SUFFIX, signing, versions, judges
    )
    return sign_beside(output, [*further, made], signing)


def filter_statement(
    subject: Subject,
    source: Subject,
    ledger: Ledger,
    ledger_name: str,
    signing: Signing,
    versions: dict[str, str] | None = None,
    judges: dict[str, Resource] | None = None,
) -> Statement:
    """The statement that a filter made the subject of its source."""
    judges, versions = judges or {}, versions or {}
    # A filter that removed nothing is still a step, and says so.
    counts = ledger.counts or {"nothing-removed": 0}
    said = Filter(
        rules=tuple(
            Rule(
                id=rule,
                version=versions.get(rule),
                removed=str(count),
                model_based=judges[rule].name if rule in judges else None,
            )
            for rule, count in counts.items()
        ),
        rows_in=str(ledger.rows_in),
        rows_out=str(ledger.rows_out),
        subset_proof=ledger.input_set,
    )
    models = dict.fromkeys((each.name, tuple(each.digest.items())) for each in judges.values())
    return step_statement(
        "filter",
        [subject],
        said,
        [
            used("input-data", source.name, source.digest["sha256"]),
            *(used("filter-model", name, dict(digest)) for name, digest in models),
        ],
        finished=signing.now,
        byproducts=[_proof(ledger_name, ledger)],
    )


def sign_edit(
    output: Path,
    source: Subject,
    ledger: Ledger,
    signing: Signing,
    *,
    params: Mapping[str, str],
    model: tuple[str, str] | None = None,
) -> Path:
    """
    Attest that rows were changed, with the ledger that proves which; returns the bundle's path.

    Args:
        output: the file of rows as they are now; its ledger lies beside it.
        source: what was edited.
        params: how, the same for all changes.
        model: name and digest of the model that chose or wrote what is new.
    """
    said = Edit(
        changes=tuple(
            Change(
                id=what,
                rows=str(count),
                params=dict(params),
                model_based=model[0] if model else None,
            )
            for what, count in (ledger.changes or {"nothing-changed": 0}).items()
        ),
        rules=tuple(Rule(id=rule, removed=str(n)) for rule, n in ledger.counts.items()),
        rows_in=str(ledger.rows_in),
        rows_out=str(ledger.rows_out),
        input_set=ledger.input_set,
    )
    made = step_statement(
        "edit",
        [dataset(output)],
        said,
        [
            used("input-data", source.name, source.digest["sha256"]),
            *([used("edit-model", *model)] if model else []),
        ],
        finished=signing.now,
        byproducts=[_proof(output.name + SUFFIX, ledger)],
    )
    return sign_beside(output, [made], signing)


def _proof(name: str, ledger: Ledger) -> Resource:
    return Resource(
        name=name,
        digest={"sha256": ledger.digest},
        media_type=MEDIA_TYPE,
        annotations={"role": ROLE},
    )
