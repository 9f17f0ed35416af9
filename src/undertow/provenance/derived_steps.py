"""
What became of rows: some were removed (filter), or changed (edit), and the ledger proves which.

Each is the closed `externalParameters` of a step, what has to be known before, and what the step then passes on: whoever
wrote the input wrote what is left of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field, model_validator

from undertow.provenance.ledger import Ledger
from undertow.provenance.statement import Count, Digest, Resource, Signable, Text
from undertow.provenance.steps import (
    DataOrigin,
    DataUsed,
    ModelUsed,
    Needs,
    Passed,
    RowWriter,
    StatedStep,
    Walked,
    judge,
    judge_digest,
    stated_rows,
    stated_set,
)
from undertow.results.provenance_documents import Problem


class Rule(Signable):
    """One rule of a filter."""

    id: Text
    version: Text | None = None
    code_ref: Text | None = None
    params: dict[Text, Text] = Field(default_factory=dict)
    removed: Count
    model_based: Text | None = None
    """Name of the model that judged, which is then a source of its own; null for a rule without one."""


class Filter(Signable):
    """Rows were removed."""

    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    rows_in: Count
    rows_out: Count
    subset_proof: Digest
    """Row set of the input: kept and removed leaves together have it."""

    @property
    def changes(self) -> tuple[RowChange, ...]:
        """None: what a filter leaves is as it was."""
        return ()

    @property
    def input_set(self) -> str:
        """As an edit names it."""
        return self.subset_proof

    @model_validator(mode="after")
    def _rules_once(self) -> Self:
        if len({rule.id for rule in self.rules}) < len(self.rules):
            raise ValueError("a rule is listed twice")
        if sum(int(rule.removed) for rule in self.rules) != int(self.rows_in) - int(self.rows_out):
            raise ValueError("rowsIn less the removed rows is not rowsOut")
        return self


class RowChange(Signable):
    """One kind of change to rows."""

    id: Text
    rows: Count
    params: dict[Text, Text] = Field(default_factory=dict)
    model_based: Text | None = None
    """Name of the model that chose or wrote, which is then a source of its own; null for a change without one."""


class Edit(Signable):
    """Rows were changed; some may have been removed."""

    changes: Annotated[tuple[RowChange, ...], Field(min_length=1)]
    rules: tuple[Rule, ...] = ()
    """Of what was removed."""
    rows_in: Count
    rows_out: Count
    input_set: Digest
    """Row set of the input: kept and removed leaves, and changed ones as they were, together have it."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        names = [change.id for change in self.changes] + [rule.id for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError("a change or a rule is listed twice")
        if sum(int(rule.removed) for rule in self.rules) != int(self.rows_in) - int(self.rows_out):
            raise ValueError("rowsIn less the removed rows is not rowsOut")
        if sum(int(change.rows) for change in self.changes) > int(self.rows_out):
            raise ValueError("more rows were changed than there are")
        return self


Derivation = Filter | Edit

_ROLES = ("filter-model", "edit-model")
"""Of models that chose what stays, and of those that wrote what is new."""


def derived_needs(step: StatedStep[Derivation]) -> Needs:
    """The one input, models that chose or wrote, and the ledger."""
    inputs = step.used_as("input-data")
    if len(inputs) != 1:
        message = f"a step of kind {step.kind} has one input"
        return Needs(problems=(step.problem(message, actual=str(len(inputs))),))
    models = [(name, judge_digest(used)) for role in _ROLES for name, used in _named(step, role)]
    return Needs(
        used=(
            DataUsed(inputs[0].sha256, inputs[0].name),
            *(ModelUsed(digest, name, quiet=digest is None) for name, digest in models),
        ),
        ledger=True,
    )


def derived(step: StatedStep[Derivation], walked: Walked) -> Passed[DataOrigin]:
    """What a filter left of its input, or an edit made of it."""
    if not walked.consistent:
        return Passed(DataOrigin(), {})
    parameters = step.parameters
    source = walked.data[step.used_as("input-data")[0].sha256]
    problems: tuple[Problem, ...] = ()
    if source.complete:
        # Where nothing is known of the input, that is the problem, and is named already.
        problems += step.disagreement("rows read", parameters.rows_in, source.rows)
    problems += step.disagreement("rows left", parameters.rows_out, stated_rows(step.subject))
    proof, wrong = _proof(step, walked, source)
    problems += (*wrong, *_unnamed_models(step))
    judges = _judges(step, walked)
    written, kept = source.written * int(parameters.rows_in), int(parameters.rows_out)
    # What is new may be a model's, whoever is named: the ledger proves which rows changed, not who wrote them.
    written += sum(int(change.rows) for change in parameters.changes)
    unnamed = any(int(change.rows) and not change.model_based for change in parameters.changes)
    origin = replace(
        source,
        named_all=source.named_all and not unnamed,
        written_known=source.written_known and not unnamed,
        whole=source.whole and all(writer.origin.complete for writer in judges),
        written=min(1.0, written / kept) if kept else 1.0,
        writers=(*source.writers, *judges),
        proved=source.proved and bool(proof),
    )
    return Passed(origin, _about(parameters), problems, proof)


def _about(parameters: Derivation) -> dict[str, str]:
    removed = sum(int(rule.removed) for rule in parameters.rules)
    about = {
        "rules": ", ".join(rule.id for rule in parameters.rules),
        "removed": f"{removed} of {parameters.rows_in}",
    }
    if parameters.changes:
        changed = (f"{change.id} ({change.rows} rows)" for change in parameters.changes)
        about["changed"] = ", ".join(changed)
    return about


def _proof(
    step: StatedStep[Derivation], walked: Walked, source: DataOrigin
) -> tuple[str, tuple[Problem, ...]]:
    """What was recomputed of the step, in words, if the ledger is at hand; and what is wrong with it."""
    file, parameters = walked.ledger, step.parameters
    if file is None:
        return "", ()
    fault = file.fault or imbalance(
        file.ledger,
        parameters,
        digest=file.digest,
        output_set=stated_set(step.subject) or "",
        input_set=source.row_set if source.complete else parameters.input_set,
    )
    if fault:
        what = f"removed{' and changed' if parameters.changes else ''}"
        problem = Problem(
            id="ledger",
            link=step.label,
            message=f"the ledger '{file.name}' does not prove what was {what}: {fault}",
            expected="kept, changed and removed rows that are together the input's",
            todo="ask the producer for the ledger of this very run",
        )
        return "", (problem,)
    kept, removed = int(parameters.rows_out), int(parameters.rows_in) - int(parameters.rows_out)
    if not parameters.changes:
        return f"ledger: {kept} kept and {removed} removed rows are the input's", ()
    changed = sum(int(change.rows) for change in parameters.changes)
    return (
        f"ledger: {kept - changed} kept, {changed} replaced and {removed} removed rows were the input's; "
        "what the replaced ones hold now is the producer's word"
    ), ()


def imbalance(
    ledger: Ledger,
    parameters: Derivation,
    *,
    digest: str,
    output_set: str,
    input_set: str | None,
) -> str:
    """
    What does not agree, expected and found; empty if all does.

    Kept, removed and changed leaves as they were must be the input's, and those that are there now the output's.

    Args:
        digest: SHA-256 of the ledger's file, as it was signed.
        output_set: row set of the data that the step made.
        input_set: row set of the input, as its own statement has it; None where it has none.
    """
    edit = isinstance(parameters, Edit)
    changes = {change.id: int(change.rows) for change in parameters.changes}
    removed = {rule.id: int(rule.removed) for rule in parameters.rules}
    stated = parameters.input_set
    for what, expected, seen in (
        ("the ledger's digest", digest, ledger.digest),
        ("the removed rows by rule", _counts(removed), _counts(ledger.counts)),
        ("the changed rows by change", _counts(changes), _counts(ledger.changes)),
        (
            "the rows written" if edit else "the rows kept",
            parameters.rows_out,
            str(ledger.rows_out),
        ),
        ("the rows read", parameters.rows_in, str(ledger.rows_in)),
        ("the output's set" if edit else "the kept rows' set", output_set, ledger.output_set),
        ("the set of all rows as they were", stated, ledger.input_set),
        ("the input's row set", input_set or "stated by the input's producer", stated),
    ):
        if expected != seen:
            return f"{what}: expected {expected}, found {seen}"
    return ""


def _counts(rules: dict[str, int]) -> str:
    return (
        str(dict(sorted((rule, count) for rule, count in rules.items() if count)))
        if rules
        else "{}"
    )


def _unnamed_models(step: StatedStep[Derivation]) -> tuple[Problem, ...]:
    """Every model that was used is named in the parameters, under a name of its own: any other is hidden."""
    problems: list[Problem] = []
    for role, entries in (
        ("filter-model", step.parameters.rules),
        ("edit-model", step.parameters.changes),
    ):
        used = [resource.name for resource in step.used_as(role)]
        named = {entry.model_based for entry in entries}
        problems += [
            step.problem(
                f"the model '{name}' was used and is not named once in the parameters",
                expected="every model in externalParameters, each under a name of its own",
                actual=name,
                todo="ask the producer for a corrected statement",
            )
            for name in used
            if name not in named or used.count(name) > 1
        ]
    return tuple(problems)


def _judges(step: StatedStep[Derivation], walked: Walked) -> tuple[RowWriter, ...]:
    """Models that decided what stays, or wrote what is new: sources of their own."""
    chose, wrote = (
        [judge(name, used, walked.models) for name, used in _named(step, role)] for role in _ROLES
    )
    return (*chose, *(replace(writer, role="teacher") for writer in wrote))


def _named(step: StatedStep[Derivation], role: str) -> list[tuple[str, Resource | None]]:
    """The models that the parameters name in a role, with what was used under their names."""
    rules = {rule.model_based for rule in step.parameters.rules}
    changes = {change.model_based for change in step.parameters.changes}
    names = changes if role == "edit-model" else rules - changes
    resources = {resource.name: resource for resource in step.used_as(role)}
    return [(name, resources.get(name)) for name in sorted(filter(None, names))]
