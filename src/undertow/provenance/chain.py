"""
The walk: from a dataset to the steps, the data and the models behind it, as far as trusted keys vouch for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from undertow.provenance.at_hand import AtHand
from undertow.provenance.bundle import Attestation
from undertow.provenance.found import DataOrigin, ModelOrigin, RowWriter
from undertow.provenance.signers import Accepted, accepted
from undertow.provenance.statement import Resource
from undertow.provenance.trust import Trust
from undertow.results.provenance import Input, Link, Problem

DEEPEST = 200
"""Steps from the dataset, at most."""

DATA_STEPS = ("generate", "collect", "filter", "edit", "mix")
MODEL_STEPS = ("finetune", "merge", "quantize")
"""Which steps make data, and which make models."""


class Chain:
    """
    The statements that count, by what they speak of; and what a walk along them has found so far.
    """

    def __init__(
        self, attestations: Sequence[Attestation], trust: Trust, at_hand: AtHand, now: datetime
    ) -> None:
        self.trust, self.at_hand, self.now = trust, at_hand, now
        self.links: list[Link] = []
        self.roots: dict[str, Input] = {}
        self.problems: list[Problem] = []
        self.by_digest: dict[str, list[Accepted]] = defaultdict(list)
        self._refused: dict[str, list[Problem]] = defaultdict(list)
        self._data: dict[str, DataOrigin] = {}
        self._models: dict[str, ModelOrigin] = {}
        self._path: list[str] = []
        for attestation in attestations:
            self._take(attestation)

    def data(self, digest: str | None, name: str, *, row_set: str | None = None) -> DataOrigin:
        """What is known of a dataset; `row_set` is what a step that used it says of its rows."""
        from undertow.provenance.data_steps import data_found

        if digest is None:
            self.block("no-digest", f"'{name}'", "a step used a dataset without naming its digest")
            return DataOrigin()
        if digest not in self._data:
            with self._entered(digest, name) as free:
                if not free:
                    return DataOrigin()
                self._data[digest] = data_found(self, digest, name)
        return self._data[digest]

    def model(self, digest: str | None, name: str, *, quiet: bool = False) -> ModelOrigin:
        """
        What is known of a model; nothing for one without a digest.

        Args:
            quiet: a model without statements is no problem, only unknown.
        """
        from undertow.provenance.model_steps import model_found

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
                self._models[digest] = model_found(self, digest, name, quiet=quiet)
        return self._models[digest]

    def steps(self, digest: str, kinds: Sequence[str]) -> list[Accepted]:
        """The accepted statements of these kinds that speak of a digest."""
        return [one for one in self.by_digest[digest] if one.attestation.step in kinds]

    def missing(self, digest: str, name: str, kind: str) -> None:
        """
        Note that nothing that counts speaks of a dataset or model, with what was refused, if anything.
        """
        link = f"{kind} '{name}'"
        refused = self._refused[digest]
        for each in refused:
            # It was noted as a line that does not count; here it is what is missing.
            self.problems = [known for known in self.problems if known != each]
            self.add(each.model_copy(update={"blocks": True}))
        other = [one.attestation.step for one in self.by_digest[digest]]
        found = "statements of the kind " + ", ".join(sorted(set(other))) if other else "none"
        if refused:
            found = f"{len(refused)} that cannot be relied on"
        self.block(
            "no-provenance",
            link,
            f"no statement that counts says how the {kind} was made",
            expected=f"a signed statement about the digest {digest}",
            found=found,
            todo=_todo(kind),
        )

    def block(
        self,
        id: str,
        link: str,
        message: str,
        *,
        expected: str = "",
        found: str = "",
        todo: str = "",
    ) -> None:
        """Note a problem that leaves the chain incomplete."""
        self.add(
            Problem(id=id, link=link, message=message, expected=expected, found=found, todo=todo)
        )

    def add(self, problem: Problem) -> None:
        """Note a problem, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def link(self, one: Accepted, digest: str, about: dict[str, str], proof: str = "") -> None:
        """Add a statement to the chain that is shown."""
        attestation = one.attestation
        subject = next(s for s in attestation.statement.subject if s.digest["sha256"] == digest)
        self.links.append(
            Link(
                step=attestation.step,
                subject=subject.name,
                digest=digest,
                attestation=attestation.envelope.digest,
                signers=one.signers,
                at=attestation.at,
                where=attestation.where,
                depth=max(0, len(self._path) - 1),
                inputs=tuple(_input(each) for each in dependencies(one)),
                about=about,
                proof=proof,
            )
        )

    def upstream(self, found: DataOrigin) -> tuple[RowWriter, ...]:
        """The writers of a dataset that a model was trained on, seen from that model's own data."""
        return tuple(writer.upstream() for writer in found.writers)

    def _take(self, attestation: Attestation) -> None:
        verdict = accepted(attestation, self.trust, self.now)
        for subject in attestation.statement.subject:
            digest = subject.digest["sha256"]
            if isinstance(verdict, Problem):
                self._refused[digest].append(verdict)
            else:
                self.by_digest[digest].append(verdict)
        if isinstance(verdict, Problem):
            self.add(verdict)

    @contextmanager
    def _entered(self, digest: str, name: str) -> Iterator[bool]:
        """Keeps the way back in mind: one that leads to itself proves nothing."""
        if digest in self._path or len(self._path) >= DEEPEST:
            cyclic = digest in self._path
            self.block(
                "cyclic" if cyclic else "too-deep",
                f"'{name}'",
                "the chain leads back to what it began with" if cyclic else "the chain is too long",
                expected="steps that end at trusted models and collected data"
                if cyclic
                else f"at most {DEEPEST} steps",
                found=f"{digest} again" if cyclic else "more",
                todo="one of these statements is false: ask their signers",
            )
            yield False
            return
        self._path.append(digest)
        try:
            yield True
        finally:
            self._path.pop()


def dependencies(one: Accepted) -> tuple[Resource, ...]:
    """What the step of a statement used."""
    provenance = one.attestation.provenance
    return provenance.build_definition.resolved_dependencies if provenance else ()


def with_role(one: Accepted, role: str) -> list[Resource]:
    """Those of them that were used as this."""
    return [each for each in dependencies(one) if each.role == role]


def _input(resource: Resource) -> Input:
    return Input(role=resource.role, name=resource.name, digest=resource.sha256)


def _todo(kind: str) -> str:
    if kind == "dataset":
        return "ask its producer for the bundle, or describe it yourself: undertow attest generate DATA --sign KEY"
    return (
        "ask for its bundle, list it under [[models]] in the trust file if it is an initial checkpoint, or describe "
        "it yourself: undertow attest finetune MODEL --sign KEY"
    )
