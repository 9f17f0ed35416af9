"""What each step that makes data passes on: who wrote the rows, how many of them, and from what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from undertow.provenance.chain import DATA_STEPS, with_role
from undertow.provenance.derived_steps import derived, judge
from undertow.provenance.found import DataOrigin, RowWriter, together
from undertow.provenance.generating import Completeness, Generate, GeneratingModel
from undertow.provenance.signers import Accepted
from undertow.provenance.stated import agree, stated_rows, stated_set
from undertow.provenance.statement import Subject, moment
from undertow.provenance.steps import Collect, Edit, Filter, Mix

if TYPE_CHECKING:
    from undertow.provenance.chain import Chain


def data_found(chain: Chain, digest: str, name: str) -> DataOrigin:
    """
    What all accepted statements about a dataset say together: where they differ, the worse counts.
    """
    found: DataOrigin | None = None
    for one in chain.steps(digest, DATA_STEPS):
        subject = next(s for s in one.attestation.statement.subject if s.digest["sha256"] == digest)
        made = replace(
            _signed(_step(chain, one, subject), one),
            rows=stated_rows(subject),
            row_set=stated_set(subject),
        )
        found = made if found is None else found.joined(made)
    if found is None:
        chain.missing(digest, name, "dataset")
        return DataOrigin()
    return found


def _step(chain: Chain, one: Accepted, subject: Subject) -> DataOrigin:
    parameters = one.attestation.parameters
    if isinstance(parameters, Generate):
        return _generated(chain, one, subject, parameters)
    if isinstance(parameters, Collect):
        return _collected(chain, one, subject, parameters)
    if isinstance(parameters, Filter | Edit):
        return derived(chain, one, subject, parameters)
    assert isinstance(parameters, Mix)
    return _mixed(chain, one, subject, parameters)


def _signed(found: DataOrigin, one: Accepted) -> DataOrigin:
    return replace(
        found,
        producers=found.producers | frozenset(one.signers),
        organisations=found.organisations | one.organisations,
        times=(*found.times, moment(one.attestation.at)),
    )


def _generated(chain: Chain, one: Accepted, subject: Subject, said: Generate) -> DataOrigin:
    about = {
        "teachers": ", ".join(model.model_id for model in said.teachers),
        "domain": said.prompt_set.domain,
    }
    if said.interventions:
        about["interventions"] = ", ".join(each.kind for each in said.interventions)
    if said.filters:
        about["filters without a ledger"] = ", ".join(each.id for each in said.filters)
    chain.link(one, subject.digest["sha256"], about)
    consistent = _named_in_parameters(chain, one, subject, said)
    writers = tuple(_writer(chain, model) for model in said.teachers)
    writers += tuple(
        judge(chain, each.model_based, None) for each in said.filters if each.model_based
    )
    upstream = tuple(each for writer in writers for each in writer.found.writers)
    return DataOrigin(
        complete=consistent,
        whole=consistent and all(writer.found.complete for writer in writers),
        written_known=True,
        domains=frozenset([_domain(said.prompt_set.domain)]),
        writers=(*writers, *upstream),
        named_all=said.completeness == Completeness(teachers="complete"),
        interventions=frozenset(each.kind for each in said.interventions),
        proved=not said.filters,
    )


def _writer(chain: Chain, model: GeneratingModel) -> RowWriter:
    found = chain.model(model.weights_digest, model.name, quiet=model.weights_digest is None)
    for adapter in model.adapters:
        # An adapter has the base's initialisation; what it was trained on is behind it.
        trained = chain.model(adapter, f"adapter of {model.name}")
        found = replace(
            found,
            complete=found.complete and trained.complete,
            writers=(*found.writers, *trained.writers),
        )
    return RowWriter(model, found, "teacher")


def _named_in_parameters(chain: Chain, one: Accepted, subject: Subject, said: Generate) -> bool:
    """
    Dependencies may be incomplete, so the parameters name every model; one that only the dependencies name is hidden.
    """
    named = {model.weights_digest for model in said.teachers}
    hidden = [each for each in with_role(one, "teacher-weights") if each.sha256 not in named]
    for each in hidden:
        chain.block(
            "inconsistent",
            f"generate of '{subject.name}'",
            f"the model '{each.name}' is among what was used and not among the teachers",
            expected="every teacher in externalParameters",
            found=each.sha256 or "no digest",
            todo="ask the producer for a corrected statement",
        )
    return not hidden


def _collected(chain: Chain, one: Accepted, subject: Subject, said: Collect) -> DataOrigin:
    share = float(said.model_written)
    known = said.origin != "unknown" and 0 <= share <= 1
    about = {"origin": said.origin, "domain": said.domain, "model-written": said.model_written}
    chain.link(one, subject.digest["sha256"], about)
    return DataOrigin(
        complete=True,
        whole=True,
        written=share if known else 1.0,
        written_known=known,
        domains=frozenset([_domain(said.domain)]),
        # Rows that a model wrote have a teacher that nobody named.
        named_all=known and share == 0,
    )


def _mixed(chain: Chain, one: Accepted, subject: Subject, said: Mix) -> DataOrigin:
    link = f"mix of '{subject.name}'"
    resources = {each.name: each for each in with_role(one, "input-data")}
    total = stated_rows(subject)
    taken = sum(int(source.rows) for source in said.sources)
    agreed = agree(chain, link, "rows of all sources together", str(taken), total)
    names = [source.name for source in said.sources]
    if sorted(names) != sorted(resources) or len(with_role(one, "input-data")) != len(names):
        chain.block(
            "inconsistent", link, "the sources and what was used differ", found=", ".join(resources)
        )
        agreed = False
    parts, written = [], 0.0
    for source in said.sources:
        resource = resources.get(source.name)
        part = chain.data(resource.sha256 if resource else None, source.name)
        rows = int(source.rows)
        if part.rows is not None and rows > part.rows:
            agreed &= agree(chain, link, f"rows taken from '{source.name}'", source.rows, part.rows)
        # The worst draw takes the model-written rows first.
        written += rows if part.rows is None else min(rows, part.written * part.rows)
        parts.append(part)
    chain.link(
        one,
        subject.digest["sha256"],
        {"sources": ", ".join(f"{s.name} ({s.rows} rows)" for s in said.sources)},
    )
    found = together(parts)
    return replace(
        found,
        complete=found.complete and agreed,
        whole=found.whole and agreed,
        written=min(1.0, written / total) if total else 1.0,
        written_known=found.written_known and agreed,
    )


def _domain(text: str) -> str:
    return text.strip().casefold()
