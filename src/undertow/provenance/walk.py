"""
The walk: from a dataset to the steps, the data and the models behind it, as far as trusted keys vouch for them.

All recursion is in here: what a step used is walked first, then the step's function says what it passes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from undertow.provenance.chain import Accepted, Chain
from undertow.provenance.ledger import AtHand
from undertow.provenance.predicates import DATA_STEPS, MODEL_STEPS, StepKind
from undertow.provenance.statement import Provenance, Resource, StatementSubject, moment
from undertow.provenance.steps import (
    DataOrigin,
    DataUsed,
    ModelOrigin,
    Origin,
    StatedStep,
    Walked,
    stated_rows,
    stated_set,
)
from undertow.provenance.trust import Trust
from undertow.results.provenance_documents import Input, Link, Problem

DEEPEST = 200
"""Steps from the dataset, at most."""


class Walk:
    """What has come to light so far on the way along a chain: links, roots and problems."""

    def __init__(self, chain: Chain, trust: Trust, at_hand: AtHand, now: datetime) -> None:
        """Before the first step."""
        self.chain, self.trust, self.at_hand, self.now = chain, trust, at_hand, now
        self.links: list[Link] = []
        self.roots: dict[str, Input] = {}
        self.problems: list[Problem] = []
        self.add(*chain.problems)
        self._data: dict[str, DataOrigin] = {}
        self._models: dict[str, ModelOrigin] = {}
        self._path: list[str] = []

    def data(self, digest: str | None, name: str) -> DataOrigin:
        """What is known of a dataset."""
        if digest is None:
            message = "a step used a dataset without naming its digest"
            self.add(Problem(id="no-digest", link=f"'{name}'", message=message))
            return DataOrigin()
        if digest not in self._data:
            with self._entered(digest, name) as free:
                if not free:
                    return DataOrigin()
                self._data[digest] = self._stated_data(digest, name)
        return self._data[digest]

    def model(self, digest: str | None, name: str, *, quiet: bool = False) -> ModelOrigin:
        """
        What is known of a model; nothing for one without a digest.

        Args:
            quiet: a model without statements is no problem, only unknown.
        """
        trusted = self.trust.model(digest)
        if trusted is not None:
            init = trusted.initialisation
            family = self.trust.family(trusted)
            self.roots[trusted.digest] = Input(
                role="trusted model", name=trusted.name, digest=trusted.digest
            )
            return ModelOrigin(frozenset([init]), frozenset([family]), known=True, complete=True)
        if digest is None:
            return ModelOrigin()
        if digest not in self._models:
            with self._entered(digest, name) as free:
                if not free:
                    return ModelOrigin()
                self._models[digest] = self._stated_model(digest, name, quiet=quiet)
        return self._models[digest]

    def student(self, digest: str | None) -> ModelOrigin:
        """What is known of the student; gaps in its own chain are no gaps in the data's."""
        known = list(self.problems)
        origin = self.model(digest, "student", quiet=True)
        self.problems = [
            problem if problem in known else problem.model_copy(update={"blocks": False})
            for problem in self.problems
        ]
        return origin

    def add(self, *problems: Problem) -> None:
        """Note problems, each once."""
        for problem in problems:
            if problem not in self.problems:
                self.problems.append(problem)

    def link(
        self, statement: Accepted, digest: str, about: dict[str, str], proof: str = ""
    ) -> None:
        """Add a statement to the chain that is shown."""
        attestation = statement.attestation
        self.links.append(
            Link(
                step=attestation.step,
                subject=_subject(statement, digest).name,
                digest=digest,
                attestation=attestation.envelope.digest,
                signers=statement.signers,
                at=attestation.at,
                where=attestation.where,
                depth=max(0, len(self._path) - 1),
                inputs=tuple(map(_input, statement.dependencies)),
                about=about,
                proof=proof,
            )
        )

    def _stated_data(self, digest: str, name: str) -> DataOrigin:
        """What all accepted statements about a dataset say together: where they differ, the worse counts."""
        origin: DataOrigin | None = None
        for statement in self.chain.about(digest, DATA_STEPS):
            passed = self._step(statement, digest, DATA_STEPS)
            stated = _signed(passed, statement, _subject(statement, digest))
            origin = stated if origin is None else origin.joined(stated)
        if origin is None:
            self._missing(digest, name, "dataset")
        return origin or DataOrigin()

    def _stated_model(self, digest: str, name: str, *, quiet: bool) -> ModelOrigin:
        """What all accepted statements about a model say together: where they differ, both count."""
        origin: ModelOrigin | None = None
        for statement in self.chain.about(digest, MODEL_STEPS):
            passed = self._step(statement, digest, MODEL_STEPS)
            origin = passed if origin is None else origin.joined(passed)
        if origin is None and not quiet:
            self._missing(digest, name, "model")
        return origin or ModelOrigin()

    def _step(
        self, statement: Accepted, digest: str, kinds: Mapping[str, StepKind[Origin]]
    ) -> Origin:
        """What a step passes on, after everything that it needs was walked."""
        attestation = statement.attestation
        provenance, parameters = attestation.content, attestation.parameters
        assert isinstance(provenance, Provenance)
        assert parameters is not None
        step = StatedStep(
            kind=attestation.step,
            where=attestation.where,
            statement=attestation.statement,
            subject=_subject(statement, digest),
            provenance=provenance,
            parameters=parameters,
        )
        kind = kinds[attestation.kind]
        needs = kind.needs(step)
        self.add(*needs.problems)
        data: dict[str | None, DataOrigin] = {}
        models: dict[str | None, ModelOrigin] = {}
        for used in needs.used:
            if isinstance(used, DataUsed):
                data[used.digest] = self.data(used.digest, used.name)
            else:
                models[used.digest] = self.model(used.digest, used.name, quiet=used.quiet)
        byproducts = provenance.run_details.byproducts
        ledger = self.at_hand.ledger_file(byproducts, subject=digest) if needs.ledger else None
        passed = kind.passes_on(step, Walked(data, models, not needs.problems, ledger))
        self.add(*passed.problems)
        self.link(statement, digest, passed.about, passed.proof)
        return passed.origin.incomplete() if needs.problems or passed.problems else passed.origin

    def _missing(self, digest: str, name: str, kind: str) -> None:
        """Note that nothing that counts speaks of a dataset or model, with what was refused, if anything."""
        refused = self.chain.refused.get(digest, ())
        for problem in refused:
            # It was noted as a line that does not count; here it is what is missing.
            self.problems = [known for known in self.problems if known != problem]
            self.add(problem.model_copy(update={"blocks": True}))
        other = {statement.attestation.step for statement in self.chain.accepted.get(digest, ())}
        seen = "statements of the kind " + ", ".join(sorted(other)) if other else "none"
        if refused:
            seen = f"{len(refused)} that cannot be relied on"
        self.add(
            Problem(
                id="no-provenance",
                link=f"{kind} '{name}'",
                message=f"no statement that counts says how the {kind} was made",
                expected=f"a signed statement about the digest {digest}",
                found=seen,
                todo=_TODO[kind],
            )
        )

    @contextmanager
    def _entered(self, digest: str, name: str) -> Iterator[bool]:
        """Keeps the way back in mind: one that leads to itself proves nothing."""
        if digest in self._path or len(self._path) >= DEEPEST:
            self.add(_endless(digest, name, cyclic=digest in self._path))
            yield False
            return
        self._path.append(digest)
        try:
            yield True
        finally:
            self._path.pop()


_TODO = {
    "dataset": "ask its producer for the bundle, or describe it yourself: undertow attest generate DATA --sign KEY "
    "(collect, if no model wrote it)",
    "model": "ask for its bundle, list it under [[models]] in the trust file if it is an initial checkpoint, or "
    "describe it yourself: undertow attest finetune MODEL --sign KEY",
}
"""What to do where nothing counts."""


def _signed(origin: DataOrigin, statement: Accepted, subject: StatementSubject) -> DataOrigin:
    """With what the statement itself says: who signed it, when, and the rows."""
    return replace(
        origin,
        producers=origin.producers | frozenset(statement.signers),
        organisations=origin.organisations | statement.organisations,
        times=(*origin.times, moment(statement.attestation.at)),
        rows=stated_rows(subject),
        row_set=stated_set(subject),
    )


def _endless(digest: str, name: str, *, cyclic: bool) -> Problem:
    return Problem(
        id="cyclic" if cyclic else "too-deep",
        link=f"'{name}'",
        message="the chain leads back to what it began with" if cyclic else "the chain is too long",
        expected="steps that end at trusted models and collected data"
        if cyclic
        else f"at most {DEEPEST} steps",
        found=f"{digest} again" if cyclic else "more",
        todo="one of these statements is false: ask their signers",
    )


def _subject(statement: Accepted, digest: str) -> StatementSubject:
    subjects = statement.attestation.statement.subject
    return next(subject for subject in subjects if subject.digest["sha256"] == digest)


def _input(resource: Resource) -> Input:
    return Input(role=resource.role, name=resource.name, digest=resource.sha256)
