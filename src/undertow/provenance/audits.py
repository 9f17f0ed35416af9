"""
Which audits of a dataset count: for this student, still valid, and not overtaken by a later one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from undertow.provenance.chain import Chain
from undertow.provenance.found import DataOrigin
from undertow.provenance.signers import Accepted
from undertow.provenance.statement import moment
from undertow.provenance.verdicts import AuditResult, LineageResult
from undertow.results.provenance import AuditFact

_WORSE = {"failed": 0, "undecided": 1, "passed": 2}


@dataclass(frozen=True)
class _Seen:
    one: Accepted
    result: AuditResult
    reason: str


def audit_facts(
    chain: Chain, digest: str, student: str | None, data: DataOrigin
) -> tuple[AuditFact, ...]:
    """Every accepted audit of the dataset, and whether it counts."""
    seen = []
    for one in chain.steps(digest, ("audit",)):
        result = one.attestation.audit
        assert result is not None
        seen.append(_Seen(one, result, _reason(result, student, chain.now)))
        chain.link(one, digest, {"verdict": result.verdict, "student": result.against.student_init})
    latest = _latest(seen)
    marked = [
        each
        if each.reason or each in latest
        else replace(each, reason="overtaken by a later audit")
        for each in seen
    ]
    return tuple(_fact(each, data, chain.now) for each in marked)


def measured_lineage(
    chain: Chain, teacher: str | None, student: str | None
) -> Literal["shared", "distinct"] | None:
    """What auditors measured of a teacher and this student: `shared` if any of them did."""
    if teacher is None or student is None:
        return None
    results = []
    for one in chain.steps(teacher, ("lineage",)):
        result = one.attestation.lineage
        assert result is not None
        if result.student == student and _valid(result, chain.now):
            chain.link(
                one, teacher, {"verdict": result.verdict, "methods": ", ".join(result.methods)}
            )
            results.append(result.verdict)
    if "shared" in results:
        return "shared"
    return "distinct" if results and set(results) == {"distinct"} else None


def _valid(result: AuditResult | LineageResult, now: datetime) -> bool:
    return moment(result.evaluated_at) <= moment(result.valid_until) and now <= moment(
        result.valid_until
    )


def _reason(result: AuditResult, student: str | None, now: datetime) -> str:
    if student is None:
        return "the student has no digest, and an audit holds for one student base only"
    if result.against.student_init != student:
        return f"it holds for the student base {result.against.student_init[:12]}…, and yours is {student[:12]}…"
    if not _valid(result, now):
        return f"it was valid until {result.valid_until}"
    return ""


def _latest(seen: Iterable[_Seen]) -> list[_Seen]:
    """Of each suite the last audit that holds here; of several at the same moment the worst."""
    found: dict[str, _Seen] = {}
    for each in seen:
        if each.reason:
            continue
        known = found.get(each.result.suite.name)
        if known is None or _order(each) > _order(known):
            found[each.result.suite.name] = each
    return list(found.values())


def _order(each: _Seen) -> tuple[datetime, int]:
    return moment(each.result.evaluated_at), -_WORSE[each.result.verdict]


def _fact(each: _Seen, data: DataOrigin, now: datetime) -> AuditFact:
    result = each.result
    same = frozenset(each.one.signers) & data.producers
    allied = each.one.organisations & data.organisations
    power = result.power
    return AuditFact(
        attestation=each.one.attestation.envelope.digest,
        suite=result.suite.name,
        verdict=result.verdict,
        student=result.against.student_init,
        at=result.evaluated_at,
        valid_until=result.valid_until,
        age_days=max(0.0, (now - moment(result.evaluated_at)).total_seconds() / 86400),
        auditors=each.one.signers,
        independent=bool(data.producers) and not same and not allied,
        power=power.value if power else None,
        power_at=power.at if power else None,
        counts=not each.reason,
        reason=each.reason,
    )
