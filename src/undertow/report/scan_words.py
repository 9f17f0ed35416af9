"""A screen in words that every version of it shares: transfer, advice, what was searched, and its glossary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from undertow.report.page import Block, Phrase, Section
from undertow.report.plain_text import (
    NOTHING,
    capital,
    decimal,
    in_words,
    interval,
    percent,
    whole,
)
from undertow.report.scan_forest import by_severity
from undertow.results.measurement import Verdict
from undertow.results.scan_document import AnyScan, AnySubjectResult, FormerSubjectResult

NO_ROW_VERDICTS = (
    "No row gets a verdict of its own. In data that carry a trait covertly a single row tells almost "
    "nothing: a classifier trained on labelled rows reaches an AUROC of 0.57 a row in the published "
    "work and 0.60 in undertow’s own lab, where 0.50 is a coin. The pull is in all rows together, so "
    "the verdict is on the file and on its sources."
)

DETECTABLE_IS_NOT_DANGEROUS = (
    "Detectable rows are not the clean base’s own, as far as evidence shows; that alone moves nothing. "
    "Transfer is what the planned training would do to your student. The verdict is on transfer."
)

SCAN_GLOSSARY: dict[str, Phrase] = {
    "student": "The model that is going to be trained on the rows; its base is what screens them.",
    "plan": "The training that is planned: adapter, optimiser, steps. Transfer is that of this plan.",
    "trait": "What a model prefers, e.g. “owl” among animals.",
    "teacher": "A model that wrote rows, and whose trait a student of the same initialisation may "
    "pick up.",
    "transfer": "How far the trait’s logit margin would move under the plan, against the control, in "
    "logits.",
    "logit margin": "Logit of the trait’s answer minus logsumexp of the others’ plus the "
    "logarithm of their number: 0 at chance.",
    "limit": "The transfer that is still accepted. A verdict compares the whole interval with it.",
    "control": "Rows known to be clean: given, or the student base’s own continuations of the same "
    "prompts.",
    "evidence": "A number in a check’s own unit that says whether the rows differ from the control; "
    "it never judges transfer.",
    "dose": "Share of the rows that come from the trait’s teacher.",
    "open search": "Probes and tokens that moved most in the trial runs, though nobody asked for "
    "them; p counts all that were looked at.",
}
"""The words of a screen's report, whatever its verdicts rest on."""

Answer = tuple[str, Phrase, str]
"""What a reader asks first: question, short answer, remark."""


@dataclass(frozen=True)
class Grounds:
    """What the verdicts of a screen rest on, as its page tells it; each version of the document has its own."""

    quantity: str
    """What is measured of a trait, e.g. `effect`."""
    meanings: Mapping[Verdict, str]
    """A sentence for each verdict that the page uses."""
    beside: tuple[str, ...]
    """Sentences that stand by the verdicts."""
    answers: tuple[Answer, ...]
    """About the most severe subject."""
    sections: tuple[Section, ...]
    brief: tuple[Block, ...]
    """What a terminal shows below the figure."""
    labels: tuple[tuple[str, str], ...]
    """The same in paragraphs behind labels."""
    glossary: Mapping[str, Phrase]
    """Words beside those that every screen has."""
    properties: Mapping[str, object]
    """What a dashboard reads of the whole screen."""


def headline(document: AnyScan) -> AnySubjectResult | None:
    """The most severe subject, of which the page's first lines speak."""
    return next(iter(by_severity(document.subjects)), None)


def transfer(result: AnySubjectResult) -> str:
    """What moves most with its interval and the trait, e.g. `+1.80 [+1.20, +2.40] owl`."""
    if result.transfer is None:
        return NOTHING
    limits = ""
    if result.low is not None or result.high is not None:
        limits = f" {interval(result.low, result.high, 'logits')}"
    trait = f" {result.trait}" if result.trait else ""
    return f"{decimal(result.transfer, 2, signed=True)}{limits}{trait}"


def detectable(result: AnySubjectResult) -> str:
    """Whether evidence speaks against the rows being the clean base's own, and which."""
    if result.detectable is None:
        return NOTHING
    by = f": {', '.join(result.detectable_by)}" if result.detectable_by else ""
    return f"yes{by}" if result.detectable else "no"


def advice(result: AnySubjectResult, document: AnyScan) -> str:
    """How much of these rows, or of the plan, stays under the limit."""
    ways = []
    if result.largest_safe_dose is not None:
        ways.append(
            f"at most {percent(result.largest_safe_dose)} of a clean mixture{_estimate(result)}"
        )
    if result.largest_safe_steps is not None:
        steps = f"{whole(result.largest_safe_steps)} of {whole(document.planned_steps)} steps"
        ways.append(f"at most {steps}")
    return " or ".join(ways) or NOTHING


def _estimate(result: AnySubjectResult) -> str:
    """The advised dose is by the interval's upper end."""
    if isinstance(result, FormerSubjectResult) or result.dose_of_estimate is None:
        return ""
    return f" ({percent(result.dose_of_estimate)} by the estimate; scan what you keep)"


def conclusion(document: AnyScan) -> str:
    """The conclusion without the verdict's own name before it, which stands beside it."""
    text = document.conclusion
    return capital(text.removeprefix(f"{in_words(document.verdict)}: "))


def own_answer(result: AnySubjectResult) -> Answer:
    """Whether the rows are the clean base's own, as far as evidence shows."""
    told = NOTHING
    if result.detectable is not None:
        told = "no, detectably not" if result.detectable else "nothing speaks against it"
    by = f"by {', '.join(result.detectable_by)}; " if result.detectable_by else ""
    return "Are the rows the clean base’s own?", told, f"{by}says nothing about transfer"


def safe_answer(result: AnySubjectResult, document: AnyScan) -> Answer:
    """How much of the rows may be used, as far as it is known."""
    return "How much of it is safe?", advice(result, document), ""


def answered(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """Those that have something to say."""
    return tuple(entry for entry in answers if entry[1] != NOTHING)


def search(document: AnyScan) -> str:
    """What the open search is, or why it found nothing."""
    if document.moved:
        return (
            "What else moved in the trial runs, though no trait asked for it; p is corrected for all "
            "that was looked at."
        )
    if any(run.kind == "transfer" and run.status == "done" for run in document.checks):
        return "Nothing beyond the traits that were probed was found to move."
    return "No trial run was made, so nothing was searched."
