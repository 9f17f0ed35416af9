"""What each rule says of the facts, built in or in CEL; nothing is taken for true because it is not known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from undertow.errors import ConfigError, MissingExtraError
from undertow.policy.rules import (
    AnyRule,
    AuditorDiffers,
    Custom,
    LargestAge,
    LargestDose,
    LeastFamilies,
    LineageMeasured,
    NoFailedAudit,
    RefuseUnvetted,
    RequireAudit,
    RequireProvenance,
)
from undertow.provenance.facts import EVIDENCE
from undertow.provenance.statement import folded
from undertow.results.provenance_documents import AuditFact, Facts

SHOWN_BY = "see which link is missing, and ask its maker to sign: undertow verify DATA --trust FILE"
"""What to do where statements are missing."""

Decide = Callable[[Facts], tuple[bool, str]]
"""Whether a custom rule is exactly true, and what it was otherwise."""


@dataclass(frozen=True)
class RuleAnswer:
    """A rule's outcome, why, and what to do."""

    outcome: Literal["passed", "refused", "not_matched"]
    reason: str
    todo: str = ""


def answer(rule: AnyRule, facts: Facts) -> RuleAnswer:
    """What a built-in rule says of the facts."""
    return _ANSWERS[type(rule)](rule, facts)


def _provenance(rule: RequireProvenance, facts: Facts) -> RuleAnswer:
    whole = rule.scope == "whole"
    if not (facts.provenance_complete if whole else facts.data_complete):
        what = "every dataset and model behind it" if whole else "the data up to its writers"
        ids = ", ".join(facts.problems) or "incomplete"
        return RuleAnswer(
            "refused",
            f"trusted keys do not vouch for {what} ({ids})",
            SHOWN_BY,
        )
    if rule.all_teachers_named and not facts.teachers_complete:
        return RuleAnswer(
            "refused",
            "a signer does not claim to have named every model that wrote rows",
            "ask the producer for a complete statement (completeness.teachers)",
        )
    if rule.filters_proved and not facts.filters_proved:
        return RuleAnswer(
            "refused",
            "a filter's ledger is not at hand, so what it removed is not proved",
            "put the ledger beside the bundle",
        )
    return RuleAnswer("passed", "trusted keys say how the data was made, link by link")


def _audit(rule: RequireAudit, facts: Facts) -> RuleAnswer:
    shared = facts.shared_initialisation
    believed = EVIDENCE.index(facts.shared_evidence) >= EVIDENCE.index(rule.least_evidence)
    if rule.when == "shared-or-unknown" and shared == "no" and believed:
        return RuleAnswer(
            "not_matched",
            f"no teacher shares the student's initialisation ({facts.shared_evidence})",
        )
    no = f"that no teacher shares the student's initialisation is only {facts.shared_evidence}"
    why = {
        "yes": "a teacher shares the student's initialisation",
        "unknown": "whether a teacher shares the student's initialisation is unknown, which counts as shared",
        "no": "an audit is required in any case" if rule.when == "always" else no,
    }[shared]
    accepted = ("passed", "within") if rule.accept_within else ("passed",)
    good = [audit for audit in facts.audits if audit.counts and audit.verdict in accepted]
    fitting = [audit for audit in good if _strong(rule, audit)]
    if fitting:
        return RuleAnswer("passed", f"{why}; {_named(fitting)} {_ended(fitting)}")
    whole = "" if rule.accept_within else " --require clear"
    return RuleAnswer(
        "refused",
        f"{why}, and {_lacking(rule, facts, good)}",
        f"have an auditor scan it: undertow scan DATA --student MODEL{whole} --sign KEY",
    )


def _ended(audits: Sequence[AuditFact]) -> str:
    if any(audit.verdict == "passed" for audit in audits):
        return "passed"
    return "found it within its references in the beginning of the plan"


def _strong(rule: RequireAudit, audit: AuditFact) -> bool:
    if rule.suites and audit.suite not in rule.suites:
        return False
    if rule.independent and not audit.independent:
        return False
    if rule.least_power is None:
        return True
    if audit.power is None or audit.power_at is None:
        return False
    at = rule.at_most_logits
    return float(audit.power) >= rule.least_power and (at is None or float(audit.power_at) <= at)


def _lacking(rule: RequireAudit, facts: Facts, good: Sequence[AuditFact]) -> str:
    if good:
        wanted = [f"the suite {' or '.join(rule.suites)}"] if rule.suites else []
        wanted += ["an independent auditor"] if rule.independent else []
        wanted += (
            [f"power of at least {rule.least_power:g}"] if rule.least_power is not None else []
        )
        return f"{_named(good)} {_ended(good)} without what is asked for: {', '.join(wanted)}"
    others = [audit for audit in facts.audits if audit.counts]
    if others:
        return "; ".join(
            f"the audit by {' and '.join(a.auditors)} says '{a.verdict}'{_short_of(a)}"
            for a in others
        )
    if facts.audits:
        return "no audit counts: " + "; ".join(audit.reason for audit in facts.audits)
    return "there is no audit of this dataset"


def _short_of(audit: AuditFact) -> str:
    """Why a good verdict is not enough."""
    if audit.verdict != "within":
        return ""
    return ", which is about the beginning of the plan and needs accept_within"


def _no_failed(rule: NoFailedAudit, facts: Facts) -> RuleAnswer:
    failed = [audit for audit in facts.audits if audit.counts and audit.verdict == "failed"]
    if failed:
        return RuleAnswer(
            "refused",
            f"{_named(failed)} failed",
            "leave the data out, or clean it: undertow clean DATA --scan SCAN.json --method drop-sources",
        )
    return RuleAnswer("passed", "no audit that counts has failed")


def _unvetted(rule: RefuseUnvetted, facts: Facts) -> RuleAnswer:
    hit = domains_among(rule.domains, facts)
    known = facts.data_complete and bool(facts.domains)
    if known and not hit:
        return RuleAnswer("not_matched", f"the data is of {', '.join(facts.domains)}")
    if facts.model_written_known and facts.model_written == 0 and known:
        return RuleAnswer("passed", "no row of it was written by a model")
    vetted = [a for a in facts.audits if a.counts and a.verdict == "passed" and a.independent]
    where = f"in the domain {', '.join(hit)}" if hit else "in a domain that is not known"
    if vetted and known:
        return RuleAnswer("passed", f"model-written rows {where}, and {_named(vetted)} passed")
    return RuleAnswer(
        "refused",
        f"rows that a model wrote, or may have written, {where} and no independent auditor has passed them",
        "have it audited by somebody else: undertow scan DATA --student MODEL --sign KEY",
    )


def domains_among(named: Sequence[str], facts: Facts) -> list[str]:
    """The data's domains that a rule names, and those that may only look otherwise: look-alikes are not plain ASCII."""
    plain = {folded(name) for name in named}
    return sorted(name for name in facts.domains if name in plain or not name.isascii())


def _families(rule: LeastFamilies, facts: Facts) -> RuleAnswer:
    if _nothing_written(facts):
        return RuleAnswer("not_matched", "no row was written by a model")
    known = facts.families
    if len(known) >= rule.families:
        return RuleAnswer(
            "passed", f"families of the teachers: {', '.join(_short(name) for name in known)}"
        )
    return RuleAnswer(
        "refused",
        f"{len(known)} known {'family' if len(known) == 1 else 'families'} of teachers, and {rule.families} are asked for",
        "add rows by teachers of other families, or prove the families of those there are",
    )


def _differs(rule: AuditorDiffers, facts: Facts) -> RuleAnswer:
    counting = _relied_on(facts)
    if not counting:
        return RuleAnswer("not_matched", "no passed audit counts")
    independent = [audit for audit in counting if audit.independent]
    if independent:
        return RuleAnswer("passed", f"{_named(independent)} is independent of the producer")
    return RuleAnswer(
        "refused",
        f"{_named(counting)} is by the producer, or by the producer's organisation",
        "have it audited by somebody else",
    )


def _relied_on(facts: Facts) -> list[AuditFact]:
    """The audits that a decision may rest on: those that passed, or else those that are `within`."""
    counting = [audit for audit in facts.audits if audit.counts]
    passed = [audit for audit in counting if audit.verdict == "passed"]
    return passed or [audit for audit in counting if audit.verdict == "within"]


def _age(rule: LargestAge, facts: Facts) -> RuleAnswer:
    if rule.of in ("data", "both"):
        if facts.oldest_days is None or not facts.data_complete:
            return RuleAnswer("refused", "the age of the data is not known", SHOWN_BY)
        if facts.oldest_days > rule.days:
            return RuleAnswer(
                "refused",
                f"the oldest step is {facts.oldest_days:.0f} days old; allowed: {rule.days:g}",
                "make the data again",
            )
    counting = _relied_on(facts)
    if rule.of in ("audits", "both") and counting:
        youngest = min(audit.age_days for audit in counting)
        if youngest > rule.days:
            return RuleAnswer(
                "refused",
                f"the newest audit is {youngest:.0f} days old; allowed: {rule.days:g}",
                "have it audited again: undertow scan DATA --student MODEL --sign KEY",
            )
    if rule.of == "audits" and not counting:
        return RuleAnswer("not_matched", "no passed audit counts")
    return RuleAnswer("passed", f"nothing that counts is older than {rule.days:g} days")


def _dose(rule: LargestDose, facts: Facts) -> RuleAnswer:
    if not facts.model_written_known or not facts.data_complete:
        return RuleAnswer(
            "refused",
            "the share of model-written rows is not known",
            SHOWN_BY,
        )
    if facts.model_written > rule.share:
        return RuleAnswer(
            "refused",
            f"up to {100 * facts.model_written:.3g} % of rows were written by models; allowed: {100 * rule.share:.3g} %",
            "mix in rows that people wrote: undertow attest mix",
        )
    return RuleAnswer(
        "passed", f"at most {100 * facts.model_written:.3g} % of rows were written by models"
    )


def _measured(rule: LineageMeasured, facts: Facts) -> RuleAnswer:
    if _nothing_written(facts):
        return RuleAnswer("not_matched", "no row was written by a model")
    if not facts.teachers or not facts.data_complete:
        return RuleAnswer("refused", "the teachers are not known", SHOWN_BY)
    without = [teacher for teacher in facts.teachers if not teacher.measured]
    if without:
        names = ", ".join(teacher.name for teacher in without)
        return RuleAnswer(
            "refused",
            f"the lineage of {names} was not measured against this student",
            "have an auditor measure it: undertow lineage STUDENT TEACHER --out DIR --sign KEY",
        )
    return RuleAnswer("passed", "auditors measured the lineage of every teacher")


def _nothing_written(facts: Facts) -> bool:
    return (
        facts.data_complete
        and facts.model_written_known
        and facts.model_written == 0
        and not facts.teachers
    )


def _named(audits: Sequence[AuditFact]) -> str:
    names = dict.fromkeys(" and ".join(audit.auditors) for audit in audits)
    return f"the audit by {', '.join(names)}"


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:12]}…"


_ANSWERS: dict[type[AnyRule], Callable[[Any, Facts], RuleAnswer]] = {
    RequireProvenance: _provenance,
    RequireAudit: _audit,
    NoFailedAudit: _no_failed,
    RefuseUnvetted: _unvetted,
    LeastFamilies: _families,
    AuditorDiffers: _differs,
    LargestAge: _age,
    LargestDose: _dose,
    LineageMeasured: _measured,
}


def compiled(rule: Custom, where: str) -> Decide:
    """
    A custom rule, ready to be asked.

    Raises:
        ConfigError: the expression is no CEL, or cannot be a truth value.
        MissingExtraError: the evaluator is not installed.
    """
    cel = _cel()
    # `facts` is the one name that an expression can see.
    env = cel.NewEnv(variables={"facts": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})
    try:
        expression = env.compile(rule.expression)
    except RuntimeError as error:
        told = _short_text(error)
        raise ConfigError(
            f"{where}, rule '{rule.id}': the expression is not valid CEL: {told}"
        ) from error
    if expression.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        raise ConfigError(
            f"{where}, rule '{rule.id}': the expression gives {expression.return_type()}; allowed: BOOL"
        )

    def decide(facts: Facts) -> tuple[bool, str]:
        try:
            value = expression.eval(data={"facts": facts.model_dump(mode="json")})
            plain = value.plain_value() if value.type() == cel.Type.BOOL else None
        except (RuntimeError, TypeError, ValueError) as error:
            return False, f"it could not be evaluated: {_short_text(error)}"
        if plain is True:
            return True, "true"
        if plain is False:
            return False, "it is false"
        return False, f"it gives {value.type()} and no truth value ({_short_text(value.value())})"

    return decide


def _cel() -> Any:
    try:
        from cel_expr_python import cel
    except ImportError as error:
        raise MissingExtraError("cel-expr-python", "cel", purpose="a rule in CEL") from error
    return cel


def _short_text(told: object) -> str:
    text = " ".join(str(told).split())
    return text if len(text) <= 240 else text[:237] + "..."
