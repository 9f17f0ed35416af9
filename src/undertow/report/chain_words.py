"""What a verification and a decision say, in words: the answers, the tables, and the limits."""

from __future__ import annotations

from collections.abc import Iterator

from undertow.report.numbers import NOTHING
from undertow.report.table import Column, Table, table_of
from undertow.results.provenance import (
    AuditFact,
    Facts,
    GateDocument,
    Link,
    Problem,
    RuleResult,
    TeacherFact,
    VerifyDocument,
)

OUTCOMES = {"passed": "holds", "refused": "refuses", "not_matched": "does not apply"}

LIMITS = (
    "A signature proves who said something and that it was not changed; it does not prove that it is true.",
    "Statements can be taken away from a bundle: what is missing refuses, but a failed audit that was removed is not "
    "seen.",
    "An audit holds for the student base and the dataset that it names, and for the traits that it probed.",
    "Times are those that signers claim; there is no outside witness offline.",
)
"""What none of this shows."""


def checked(document: VerifyDocument | GateDocument) -> VerifyDocument:
    """The verification: the document itself, or the one that a decision rests on."""
    return document.verification if isinstance(document, GateDocument) else document


def verdict(document: VerifyDocument | GateDocument) -> str:
    """`allowed`, `refused` or `verified`."""
    return document.decision if isinstance(document, GateDocument) else document.verdict


def found(document: VerifyDocument | GateDocument) -> str:
    """The conclusion without the verdict that it opens with."""
    text = document.conclusion.removeprefix(verdict(document)).removeprefix(":").strip()
    return text[:1].upper() + text[1:]


def answers(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Question, answer and remark on what people ask of a dataset."""
    names = ", ".join(dict.fromkeys(one.model for one in facts.teachers if one.role == "teacher"))
    yield (
        "Who wrote it?",
        names or "not known",
        "" if facts.teachers_complete else "not everyone may be named",
    )
    shared = {"yes": "yes", "no": "no", "unknown": "not known, which counts as yes"}
    evidence = "" if facts.shared_evidence == "none" else f"{facts.shared_evidence}"
    yield (
        "Does a writer share the student's initialisation?",
        shared[facts.shared_initialisation],
        evidence,
    )
    counting = [audit for audit in facts.audits if audit.counts]
    told = ", ".join(f"{audit.verdict} ({', '.join(audit.auditors)})" for audit in counting)
    yield "Was it audited for this student?", told or "no", ""
    share = (
        f"at most {100 * facts.model_written:.3g} %" if facts.model_written_known else "not known"
    )
    yield "How much of it did models write?", share, ", ".join(facts.domains)


def rules_table(document: GateDocument) -> Table:
    """Every rule with its outcome and its reason."""
    columns: tuple[Column[RuleResult], ...] = (
        Column("rule", lambda one: one.id, numeric=False),
        Column("", lambda one: OUTCOMES[one.outcome], numeric=False),
        Column("why", lambda one: one.reason, numeric=False),
        Column("what to do", lambda one: one.todo or NOTHING, numeric=False),
    )
    return table_of("Rules", document.rules, columns)


def problems_table(document: VerifyDocument) -> Table:
    """Every link that does not hold."""
    columns: tuple[Column[Problem], ...] = (
        Column("link", lambda one: one.link, numeric=False),
        Column("problem", lambda one: one.message, numeric=False),
        Column("key", lambda one: one.key or NOTHING, numeric=False),
        Column("expected", lambda one: one.expected or NOTHING, numeric=False),
        Column("found", lambda one: one.found or NOTHING, numeric=False),
        Column("what to do", lambda one: one.todo or NOTHING, numeric=False),
    )
    return table_of("Problems", document.problems, columns)


def links_table(document: VerifyDocument) -> Table:
    """Every statement of the chain."""
    columns: tuple[Column[Link], ...] = (
        Column("step", lambda one: one.step, numeric=False),
        Column("of", lambda one: one.subject, numeric=False),
        Column("signed by", lambda one: ", ".join(one.signers), numeric=False),
        Column("at", lambda one: one.at, numeric=False),
        Column("about", about, numeric=False),
        Column("recomputed", lambda one: one.proof or NOTHING, numeric=False),
    )
    return table_of("Chain", document.links, columns)


def teachers_table(facts: Facts) -> Table:
    """Every model that had a hand in the rows."""
    columns: tuple[Column[TeacherFact], ...] = (
        Column("model", lambda one: one.model, numeric=False),
        Column("as", lambda one: one.role, numeric=False),
        Column(
            "family", lambda one: short(one.family) if one.family else "not known", numeric=False
        ),
        Column("shares the student's initialisation", lambda one: one.shared, numeric=False),
        Column("evidence", lambda one: one.evidence, numeric=False),
        Column(
            "weights", lambda one: short(one.digest) if one.digest else "no digest", numeric=False
        ),
    )
    return table_of("Models that wrote or judged rows", facts.teachers, columns)


def audits_table(facts: Facts) -> Table:
    """Every audit, and why it counts or not."""
    columns: tuple[Column[AuditFact], ...] = (
        Column("suite", lambda one: one.suite, numeric=False),
        Column("verdict", lambda one: one.verdict, numeric=False),
        Column("auditor", lambda one: ", ".join(one.auditors), numeric=False),
        Column("independent", lambda one: "yes" if one.independent else "no", numeric=False),
        Column("power", power, numeric=False),
        Column("valid until", lambda one: one.valid_until, numeric=False),
        Column("counts", lambda one: "yes" if one.counts else f"no: {one.reason}", numeric=False),
    )
    return table_of("Audits", facts.audits, columns)


def about(link: Link) -> str:
    """What a reader should know of a step."""
    return "; ".join(f"{name}: {value}" for name, value in link.about.items()) or NOTHING


def power(audit: AuditFact) -> str:
    """An audit's power and the effect it holds for."""
    if audit.power is None:
        return "not stated"
    return f"{audit.power} at {audit.power_at} logits"


def short(digest: str) -> str:
    """The beginning of a digest; other names are left as they are."""
    return f"{digest[:12]}…" if len(digest) == 64 else digest


def student(document: VerifyDocument) -> str:
    """The student as it was named, with its digest unless that is its name."""
    digest = document.facts.student_digest or "no digest"
    named = document.student or "none"
    return digest if named == digest else f"{named}, {digest}"


def counted(number: int, one: str, several: str) -> str:
    """
    A number with its noun.

    >>> counted(1, "file", "files"), counted(2, "file", "files")
    ('1 file', '2 files')
    """
    return f"{number} {one if number == 1 else several}"


def check_facts(document: VerifyDocument) -> dict[str, str]:
    """How the walk was made."""
    return {
        "data": f"{document.data} ({counted(document.files, 'file', 'files')})",
        "digest": document.facts.digest,
        "student": student(document),
        "trust file": f"{document.trust} (version {document.trust_version}, {short(document.trust_digest)})",
        "bundles": ", ".join(document.attestations) or "none",
        "as of": document.at,
    }
