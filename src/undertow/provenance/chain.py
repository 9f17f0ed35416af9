"""The statements that count, by what they speak of: signed by enough keys that may sign them, or which key may not and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from undertow.errors import ProvenanceError
from undertow.provenance.envelope import verified_by
from undertow.provenance.predicates import RESULTS, Attestation
from undertow.provenance.signed_verdicts import SignedResult
from undertow.provenance.statement import Provenance, Resource, folded, moment
from undertow.provenance.trust import Role, Trust, TrustedKey, allowed_subject
from undertow.results.provenance_documents import Problem

SKEW = timedelta(minutes=5)
"""Clocks of signers may be ahead by this much."""


@dataclass(frozen=True)
class Accepted:
    """A statement that enough trusted keys signed."""

    attestation: Attestation
    signers: tuple[str, ...]
    """Names of the keys that count, in order."""
    organisations: frozenset[str]

    @property
    def dependencies(self) -> tuple[Resource, ...]:
        """What the step of the statement used."""
        content = self.attestation.content
        if isinstance(content, Provenance):
            return content.build_definition.resolved_dependencies
        return ()


@dataclass(frozen=True)
class Chain:
    """Statements by the digest of what they speak of."""

    accepted: Mapping[str, Sequence[Accepted]]
    refused: Mapping[str, Sequence[Problem]]
    problems: tuple[Problem, ...]
    """Of all that were refused."""

    def about(self, digest: str, kinds: Container[str]) -> list[Accepted]:
        """The accepted statements of these kinds that speak of a digest."""
        statements = self.accepted.get(digest, ())
        return [statement for statement in statements if statement.attestation.kind in kinds]


def chain_of(attestations: Iterable[Attestation], trust: Trust, now: datetime) -> Chain:
    """Each statement accepted or refused, in their order."""
    counting: dict[str, list[Accepted]] = defaultdict(list)
    refused: dict[str, list[Problem]] = defaultdict(list)
    problems: list[Problem] = []
    for attestation in attestations:
        verdict = accepted(attestation, trust, now)
        for subject in attestation.statement.subject:
            digest = subject.digest["sha256"]
            if isinstance(verdict, Problem):
                refused[digest].append(verdict)
            else:
                counting[digest].append(verdict)
        if isinstance(verdict, Problem):
            problems.append(verdict)
    return Chain(counting, refused, tuple(problems))


def role_of(attestation: Attestation) -> Role:
    """The role that a statement's signers need."""
    return "auditor" if attestation.kind in RESULTS else "producer"


def accepted(attestation: Attestation, trust: Trust, now: datetime) -> Accepted | Problem:
    """The statement with the signers that count; or what is wrong, if they are too few."""
    try:
        _refuse_times(attestation, now)
    except ProvenanceError as error:
        return _problem("time", attestation, error.message, todo=error.hint)
    # Every key is tried, not only those that count, so that a refusal can say whose signature it is.
    signed = verified_by(attestation.envelope, trust.keys)
    if not signed:
        return _unknown(attestation, trust)
    refusals: dict[str, Problem] = {}
    for name in sorted(signed):
        refusal = _refusal(attestation, trust.entry(name), now)
        if refusal is not None:
            refusals[name] = refusal
    counting = tuple(name for name in sorted(signed) if name not in refusals)
    role = role_of(attestation)
    needed = trust.file.thresholds.of(role)
    if not counting:
        return next(iter(refusals.values()))
    if len(counting) < needed:
        return _problem(
            "threshold",
            attestation,
            f"too few signatures by keys of the role '{role}'",
            expected=f"{needed} different keys",
            found=f"{len(counting)}: {', '.join(counting)}",
            todo="let another key holder sign the same statement (undertow attest sign)",
        )
    organisations = frozenset(
        folded(organisation)
        for name in counting
        if (organisation := trust.entry(name).organisation)
    )
    return Accepted(attestation, counting, organisations)


def _refusal(attestation: Attestation, key: TrustedKey, now: datetime) -> Problem | None:
    """Why a key's true signature does not count; None if it does."""
    role = role_of(attestation)
    if key.revoked_at is not None:
        return _problem(
            "revoked-key",
            attestation,
            f"signed by the key '{key.id}', which was revoked",
            key=key.id,
            expected="a key that was not revoked",
            found=f"revoked at {key.revoked_at}",
            todo="have it signed again with the new key: what a stolen key signed cannot be told from the rest",
        )
    if role not in key.roles:
        return _problem(
            "role",
            attestation,
            f"signed by the key '{key.id}', which has not the role that a statement of the kind "
            f"'{attestation.step}' needs",
            key=key.id,
            expected=role,
            found=", ".join(key.roles),
            todo=f"have it signed by a key with the role '{role}'",
        )
    if key.predicate_types and attestation.statement.predicate_type not in key.predicate_types:
        return _problem(
            "predicate-type",
            attestation,
            f"signed by the key '{key.id}', which may not sign statements of this type",
            key=key.id,
            expected=", ".join(key.predicate_types),
            found=attestation.statement.predicate_type,
            todo="have it signed by another key, or widen the key's predicate_types in the trust file",
        )
    return _validity(attestation, key, now) or _subjects(attestation, key)


def _validity(attestation: Attestation, key: TrustedKey, now: datetime) -> Problem | None:
    claimed = moment(attestation.at, attestation.where)
    early = key.not_before is not None and claimed < moment(key.not_before)
    late = key.not_after is not None and max(now, claimed) > moment(key.not_after)
    if not early and not late:
        return None
    return _problem(
        "expired-key" if late else "key-not-yet-valid",
        attestation,
        f"signed by the key '{key.id}', which {'is no longer' if late else 'was not yet'} valid",
        key=key.id,
        expected=f"valid from {key.not_before or 'ever'} to {key.not_after or 'ever'}",
        found=f"signed at {attestation.at}, checked at {now:%Y-%m-%dT%H:%M:%SZ}",
        todo="have it signed again with a valid key, or prolong the key in the trust file",
    )


def _subjects(attestation: Attestation, key: TrustedKey) -> Problem | None:
    for subject in attestation.statement.subject:
        if not allowed_subject(key, subject.name):
            return _problem(
                "subject",
                attestation,
                f"signed by the key '{key.id}', which may not speak of {subject.name!a}",
                key=key.id,
                expected=", ".join(key.subjects),
                found=ascii(subject.name),
                todo="have it signed by the key of these names, or widen the key's subjects in the trust file",
            )
    return None


def _refuse_times(attestation: Attestation, now: datetime) -> None:
    claimed = moment(attestation.at, attestation.where)
    if claimed > now + SKEW:
        raise ProvenanceError(
            f"the statement says that it was made at {attestation.at}, which is in the future",
            hint="check the clocks of the signer and of this machine",
        )
    content = attestation.content
    if isinstance(content, SignedResult):
        if moment(content.valid_until, attestation.where) < claimed:
            raise ProvenanceError(
                f"the result is valid until {content.valid_until}, before it was made"
            )
        return
    started = content.run_details.metadata.started_on
    if started is not None and moment(started, attestation.where) > claimed:
        raise ProvenanceError(f"the step ended at {attestation.at}, before it began at {started}")


def _unknown(attestation: Attestation, trust: Trust) -> Problem:
    hints = [each.keyid[:16] or "(no key id)" for each in attestation.envelope.signatures]
    known = {key.keyid: name for name, key in trust.keys.items()}
    claimed = [name for each in attestation.envelope.signatures if (name := known.get(each.keyid))]
    if claimed:
        return _problem(
            "bad-signature",
            attestation,
            f"the signature that names the key '{claimed[0]}' does not match: the statement was changed after it "
            "was signed, or the signature is of something else",
            key=claimed[0],
            expected="a signature over these bytes",
            found="one over other bytes",
            todo="fetch the bundle again from the producer",
        )
    return _problem(
        "unknown-signer",
        attestation,
        "no key of the trust file signed it",
        expected=f"one of {', '.join(sorted(trust.keys)) or 'no key: the trust file lists none'}",
        found=f"key id {', '.join(hints)}",
        todo=f"if you trust the signer, add its public key to '{trust.path}'",
    )


def _problem(id: str, attestation: Attestation, message: str, **more: str) -> Problem:
    subject = attestation.statement.subject[0].name
    return Problem(
        id=id,
        link=f"{attestation.step} of '{subject}' ({attestation.where})",
        message=message,
        blocks=False,
        **more,
    )
