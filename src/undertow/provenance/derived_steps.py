"""
What filters and edits pass on: whoever wrote their input wrote what they left, and the ledger proves what they did.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from undertow.errors import ProvenanceError
from undertow.provenance.chain import with_role
from undertow.provenance.found import DataOrigin, RowWriter
from undertow.provenance.generating import GeneratingModel
from undertow.provenance.signers import Accepted
from undertow.provenance.stated import agree, stated_rows, stated_set
from undertow.provenance.statement import Resource, Subject, is_digest
from undertow.provenance.steps import Edit, Filter

if TYPE_CHECKING:
    from undertow.provenance.chain import Chain


def derived(chain: Chain, one: Accepted, subject: Subject, said: Filter | Edit) -> DataOrigin:
    """
    What a filter left of its input, or an edit made of it: whoever wrote the input still wrote what is there now.
    """
    kind = one.attestation.step
    link = f"{kind} of '{subject.name}'"
    inputs = with_role(one, "input-data")
    if len(inputs) != 1:
        chain.link(one, subject.digest["sha256"], {})
        chain.block(
            "inconsistent", link, f"a step of kind {kind} has one input", found=str(len(inputs))
        )
        return DataOrigin()
    source = chain.data(inputs[0].sha256, inputs[0].name)
    # Where nothing is known of the input, that is the problem, and is named already.
    agreed = not source.complete or agree(chain, link, "rows read", said.rows_in, source.rows)
    agreed &= agree(chain, link, "rows left", said.rows_out, stated_rows(subject))
    proof = _proof(chain, one, subject, said, source)
    chain.link(one, subject.digest["sha256"], _about(said), proof or "")
    judges = _judges(chain, one, said)
    whole = source.whole and all(judge.found.complete for judge in judges)
    agreed &= _named_in_parameters(chain, one, subject, said)
    written, kept = source.written * int(said.rows_in), int(said.rows_out)
    # What is new may be a model's, whoever is named: the ledger proves which rows changed, not who wrote them.
    written += sum(int(change.rows) for change in said.changes)
    unnamed = any(int(change.rows) and not change.model_based for change in said.changes)
    return replace(
        source,
        named_all=source.named_all and not unnamed,
        written_known=source.written_known and not unnamed,
        complete=source.complete and agreed and proof is not None,
        whole=whole and agreed and proof is not None,
        written=min(1.0, written / kept) if kept else 1.0,
        writers=(*source.writers, *judges),
        proved=source.proved and bool(proof),
    )


def _about(said: Filter | Edit) -> dict[str, str]:
    removed = sum(int(rule.removed) for rule in said.rules)
    about = {
        "rules": ", ".join(rule.id for rule in said.rules),
        "removed": f"{removed} of {said.rows_in}",
    }
    if said.changes:
        about["changed"] = ", ".join(f"{one.id} ({one.rows} rows)" for one in said.changes)
    return about


def _proof(
    chain: Chain, one: Accepted, subject: Subject, said: Filter | Edit, source: DataOrigin
) -> str | None:
    """
    What was recomputed of the step: a sentence, nothing where the ledger is not at hand, None where it is wrong.
    """
    provenance = one.attestation.provenance
    byproducts = provenance.run_details.byproducts if provenance else ()
    found = chain.at_hand.ledger_of(byproducts, subject=subject.digest["sha256"])
    if found is None:
        return ""
    resource, path = found
    try:
        chain.at_hand.check_ledger(
            path,
            said,
            digest=resource.sha256 or "",
            output_set=stated_set(subject) or "",
            input_set=source.row_set if source.complete else said.input_set,
        )
    except ProvenanceError as error:
        chain.block(
            "ledger",
            f"{one.attestation.step} of '{subject.name}'",
            f"the ledger '{path.name}' does not prove what was removed{' and changed' if said.changes else ''}: {error.message}",
            expected="kept, changed and removed rows that are together the input's",
            todo="ask the producer for the ledger of this very run",
        )
        return None
    removed = int(said.rows_in) - int(said.rows_out)
    if not said.changes:
        return f"ledger: {said.rows_out} kept and {removed} removed rows are the input's"
    changed = sum(int(change.rows) for change in said.changes)
    return (
        f"ledger: {int(said.rows_out) - changed} kept, {changed} replaced and {removed} removed rows were the input's; "
        "what the replaced ones hold now is the producer's word"
    )


def _named_in_parameters(
    chain: Chain, one: Accepted, subject: Subject, said: Filter | Edit
) -> bool:
    """
    Whether every model that was used is named in the parameters, under a name of its own: any other is hidden.
    """
    found = True
    for role, entries in (("filter-model", said.rules), ("edit-model", said.changes)):
        used = [each.name for each in with_role(one, role)]
        named = {entry.model_based for entry in entries}
        for name in used:
            if name in named and used.count(name) == 1:
                continue
            found = False
            chain.block(
                "inconsistent",
                f"{one.attestation.step} of '{subject.name}'",
                f"the model '{name}' was used and is not named once in the parameters",
                expected="every model in externalParameters, each under a name of its own",
                found=name,
                todo="ask the producer for a corrected statement",
            )
    return found


def _judges(chain: Chain, one: Accepted, said: Filter | Edit) -> tuple[RowWriter, ...]:
    """Models that decided what stays, or wrote what is new: sources of their own."""
    rules = {rule.model_based for rule in said.rules}
    changes = {change.model_based for change in said.changes}
    chose = _named(chain, one, "filter-model", rules - changes)
    wrote = _named(chain, one, "edit-model", changes)
    return (*chose, *(replace(writer, role="teacher") for writer in wrote))


def _named(chain: Chain, one: Accepted, role: str, names: set[str | None]) -> tuple[RowWriter, ...]:
    resources = {each.name: each for each in with_role(one, role)}
    return tuple(judge(chain, name, resources.get(name)) for name in sorted(filter(None, names)))


def judge(chain: Chain, name: str, resource: Resource | None) -> RowWriter:
    """A model that decided what stays, with what is known of it."""
    digest = resource.sha256 if resource and is_digest(resource.sha256) else None
    model = GeneratingModel(
        name=name,
        access="weights" if digest else "api",
        model_id=name,
        weights_digest=digest,
        why_null=None if digest else "the step's statement has none",
    )
    return RowWriter(model, chain.model(digest, name, quiet=digest is None), "filter")
