"""A screen in words that every version of it shares: transfer, advice, what was searched, and its glossary."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from undertow.report.page import Block, Phrase, Point, Section
from undertow.report.plain_text import (
    NOTHING,
    capital,
    decimal,
    duration,
    file_name,
    in_words,
    interval,
    percent,
    significant,
    whole,
)
from undertow.report.probe_words import silenced
from undertow.report.scan_forest import after
from undertow.report.scan_stages import guarantee, of_100
from undertow.report.sections import again
from undertow.results.measurement import SEVERITY, Verdict
from undertow.results.scan_document import (
    WHOLE,
    AnyScan,
    AnySubjectResult,
    FormerSubjectResult,
    ScanDocument,
    StageResult,
    SubjectResult,
)

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


@dataclass(frozen=True)
class Grounds:
    """What the verdicts of a screen rest on, as its page tells it; each version of the document has its own."""

    quantity: str
    """What is measured of a trait, e.g. `effect`."""
    meanings: Mapping[Verdict, str]
    """A sentence for each verdict that the page uses."""
    beside: tuple[str, ...]
    """Sentences that stand by the verdicts."""
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
    return min(document.subjects, key=lambda one: SEVERITY.index(one.verdict), default=None)


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


def advice(result: AnySubjectResult, document: AnyScan, *, short: bool = False) -> str:
    """How much of these rows, or of the plan, stays under the limit; `short` without what that is known by."""
    ways = []
    if result.largest_safe_dose is not None:
        known = "" if short else _estimate(result)
        ways.append(f"at most {percent(result.largest_safe_dose)} of a clean mixture{known}")
    if result.largest_safe_steps is not None:
        steps = f"{whole(result.largest_safe_steps)} of {whole(document.planned_steps)} steps"
        ways.append(f"at most {steps}")
    return " or ".join(ways) or NOTHING


def _estimate(result: AnySubjectResult) -> str:
    """The advised dose is by the interval's upper end: the interval of the dose that reaches the limit, and its proof."""
    if isinstance(result, FormerSubjectResult) or result.dose_of_estimate is None:
        return ""
    between = ""
    if result.dose_of_lower_end is not None and result.largest_safe_dose is not None:
        low, high = percent(result.largest_safe_dose), percent(result.dose_of_lower_end)
        between = f"limit reached between {low} and {high}, "
    return f" ({between}{percent(result.dose_of_estimate)} by the estimate; scan what you keep)"


def conclusion(document: AnyScan) -> str:
    """The conclusion without the verdict's own name before it, which stands beside it."""
    text = document.conclusion
    return capital(text.removeprefix(f"{in_words(document.verdict)}: "))


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


def scan_point(document: AnyScan) -> Point:
    """A screen in five seconds: its most severe subject, what to do about it, and how sure that is."""
    result = headline(document)
    todo, command = _todo(document, result)
    return Point(
        verdict=_sentence(document, result),
        todo=todo,
        command=command,
        sure=tuple(_sure(document, result)),
        facts=tuple(_told(document)),
    )


def _sentence(document: AnyScan, result: AnySubjectResult | None) -> str:
    """The verdict for people to repeat."""
    if result is None:
        return "Nothing was judged."
    rows = "these rows" if result.subject in WHOLE else f"the rows of “{result.subject}”"
    towards = f" towards “{result.trait}”" if result.trait else ""
    last = _last(result)
    begun = f"the first {after(last)}" if last else "the beginning of the plan"
    if _silenced(document, result) and document.verdict in ("flagged", "stands out"):
        leans = f"; the answers that are left lean towards “{result.trait}”" if result.trait else ""
        short = last is not None and last.steps < last.planned_steps
        would = f"In {begun}, {rows} leave" if short else f"Training on {rows} would leave"
        return f"{would} your student hardly answering at all{leans}."
    told: dict[Verdict, str] = {
        "flagged": f"Training on {rows} would move your student{towards}.",
        "stands out": f"{capital(rows)} move your student as benign rows do not"
        f"{f',{towards} most' if towards else ''}.",
        "within": f"In {begun}, {rows} move your student no more than benign rows do.",
        "clear": f"Training on {rows} would move no trait that was probed beyond the limit.",
        "undecided": f"Whether {rows} move your student cannot be said yet.",
        "error": f"The scan broke before it could judge {rows}.",
        "skipped": f"{capital(rows)} were not judged.",
        "not_applicable": f"{capital(rows)} are of a kind that is not judged.",
    }
    return told[document.verdict]


def _silenced(document: AnyScan, result: AnySubjectResult) -> tuple[float, float] | None:
    if not isinstance(document, ScanDocument):
        return None
    return silenced(document.probes, document.measurements, result.subject)


def _last(result: AnySubjectResult | None) -> StageResult | None:
    return result.last if isinstance(result, SubjectResult) else None


def _sure(document: AnyScan, result: AnySubjectResult | None) -> Iterator[str]:
    """How sure the verdict is, and what it takes for granted."""
    if result is None or document.verdict in ("skipped", "error", "not_applicable"):
        yield f"Nothing is known: {result.reason}." if result else "Nothing is known of the rows."
        return
    if not isinstance(document, ScanDocument):
        yield "This is what a calibration table of an older version expected; nothing was trained to the plan’s end."
        return
    last = _last(result)
    if document.verdict == "undecided":
        yield "It may go either way: what was seen is too little for a verdict."
    elif last is not None:
        yield _certainty(document, result, last)
    if shares := _silenced(document, result):
        before, after_it = map(percent, shares)
        yield (
            f"{after_it} of the student’s answers would be among the candidates, {before} before: the effect says which of "
            "them gains on the others, not what the student would say."
        )
    if document.references is not None and document.verdict != "undecided":
        yield f"Taken for granted: {document.references.assumption.rstrip('.')}."


def _certainty(document: ScanDocument, result: AnySubjectResult, last: StageResult) -> str:
    limit = decimal(document.limit, 2)
    ends = f"{decimal(result.low, 2, signed=True)} to {decimal(result.high, 2, signed=True)} logits"
    beside = f"after {after(last)}, beside {whole(last.references)} benign datasets"
    errs = of_100(1 - document.level)
    wrong = f"Wrong in at most {errs} such scans: {beside},"
    if document.verdict == "flagged":
        return f"{wrong} the effect is {ends}, all of it above the limit of {limit}{_odds(result)}."
    if document.verdict == "stands out":
        rest = "How far the whole plan would go was not measured"
        if last.stage == 2:
            rest = f"The whole plan was trained too, and the effect there, {ends}, may lie on either side of the limit of {limit}"
        level = f"At most {errs} benign datasets stand out on average over draws of references."
        return f"{_guaranteed(result) or level} {rest}."
    if document.verdict == "within":
        rest = f" The other {whole(last.planned_steps - last.steps)} steps were not trained."
        above = decimal(last.excluded, 2, signed=True)
        told = f"{wrong} no trait that was probed moved by more than {above} logits."
        return told + (rest if last.steps < last.planned_steps else "")
    high = decimal(result.high, 2, signed=True)
    return f"{wrong} every trait’s effect lies below the limit of {limit}; the largest is {high} logits at most."


def _guaranteed(result: AnySubjectResult) -> str:
    stages = result.comparisons if isinstance(result, SubjectResult) else ()
    return next((guarantee(stage) for stage in stages if stage.stage == 1), "")


def _odds(result: AnySubjectResult) -> str:
    """An interval of logits in odds, which people know from betting: a logit margin is a logarithm of odds."""
    if result.low is None or result.high is None:
        return ""
    if not 0 < result.low <= result.high < math.log(1e4):
        return ""
    low, high = (
        decimal(grown, int(grown < 10)) for grown in map(math.exp, (result.low, result.high))
    )
    return f": the odds of “{result.trait}” would grow {low} to {high} times"


def _todo(document: AnyScan, result: AnySubjectResult | None) -> tuple[str, str]:
    """What to do next, and the command for it."""
    verdict = document.verdict
    if result is None and isinstance(document, ScanDocument) and document.prices:
        return _priced(document)
    if result is None or verdict in ("skipped", "error", "not_applicable"):
        return "Scan the rows, with what stands in the way removed.", again(
            document.command.replace(" --dry-run", "")
        )
    if not isinstance(document, ScanDocument):
        return "Scan the rows again: verdicts now rest on benign references.", document.command
    if verdict in ("within", "clear"):
        more = "; --require clear judges the whole plan" if verdict == "within" else ""
        tuned = f"undertow diff {shlex.quote(document.student)} TUNED"
        return f"Train on them, then see what the training changed{more}.", tuned
    clean = (
        f"undertow clean {shlex.quote(document.data.path)} --scan {shlex.quote(_folder(document))}"
    )
    sources = [one for one in document.subjects if one.subject not in WHOLE]
    bad = [one for one in sources if one.verdict in ("flagged", "stands out")]
    if bad and len(bad) < len(sources):
        names = ", ".join(f"“{one.subject}”" for one in bad[:3])
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        told = f"Do not train on them as they are: leave out {names}{more}, and scan what is left."
        return told, f"{clean} --method drop-sources --out KEPT.jsonl"
    if _silenced(document, result) and verdict != "undecided":
        told = (
            "Do not train on them as they are: read some of them, and see whether the plan should frame them as a chat "
            "(wrap); rows of noise, and rows without their template, leave a student that hardly answers."
        )
        return told, document.command
    last = _last(result)
    if last is not None and last.stage == 2:
        told = (
            "Do not train on them as they are: "
            f"{advice(result, document, short=True)} stays under the limit."
        )
        if result.largest_safe_dose is None:
            told = (
                "Do not train on them as they are: judge them beside benign rows of their own kind."
            )
            return told, again(document.command, "--reference", "BENIGN.jsonl")
        return told, f"{clean} --method dilute --with CLEAN.jsonl --out MIXED.jsonl"
    if last is not None and last.verdict != "undecided" and verdict == "undecided":
        return (
            "Mend the rows that could not be read (“Data”, below), and scan again.",
            document.command,
        )
    if verdict == "undecided" and (asked := _ASKED.search(result.reason)):
        name, value = asked.groups()
        if name == "--budget":
            told = "Do not train on them yet: give the scan the budget that its references take."
            return told, again(document.command, name, value, without=(name,))
        told = "Do not train on them yet: judge them beside benign rows of your own."
        return told, again(document.command, name, "BENIGN.jsonl")
    if last is not None and last.references < last.needed:
        told = f"Do not train on them yet: judge them beside {whole(last.needed)} benign datasets."
        count = str(last.needed)
        return told, again(
            document.command, "--references", count, without=("--budget", "--references")
        )
    if verdict == "stands out" or not document.config.get("require_clear"):
        told = "Do not train on them yet: judge the whole plan."
        return told, again(
            document.command, "--require", "clear", without=("--budget", "--require")
        )
    return "Do not train on them yet: see what the reason asks for.", document.command


def _priced(document: ScanDocument) -> tuple[str, str]:
    """After a dry run; where the budget would not do, the one that does."""
    scan = document.command.replace(" --dry-run", "")
    if asked := _ASKED.search(document.conclusion):
        told = "Scan the rows, with the budget that their references take."
        return told, again(scan, *asked.groups(), without=("--budget",))
    return "Scan the rows.", again(scan)


_ASKED = re.compile(r"(--budget|--reference) (\d(?:[\d.e+]*\d)?|DATA)")
"""The option that the reason of an undecided subject names, and its value."""


def _folder(document: ScanDocument) -> str:
    """Where the scan was left, by its own command."""
    words = again(document.command).split(" --out ")
    return (
        words[1].split(" ")[0]
        if len(words) > 1
        else f"scans/{file_name(document.data.path).partition('.')[0]}"
    )


def _told(document: AnyScan) -> Iterator[str]:
    data = document.data
    left_out = sum(one.rows for one in data.excluded)
    unusable = f", {whole(left_out)} could not be used" if left_out else ""
    yield f"{whole(data.rows)} rows read{unusable}, models saw {whole(data.sampled)}"
    if document.loss is not None:
        yield f"loss policy “{document.loss.policy}”: {document.loss.sentence.partition(';')[0].rstrip('.')}"
    tunes = (
        sum(price.spent_fine_tunes for price in document.prices)
        if isinstance(document, ScanDocument)
        else 0
    )
    amount = significant(tunes, 3)
    noun = "planned training" if amount == "1" else "planned trainings"
    spent = f", as much as {amount} {noun}" if tunes else ""
    yield f"cost: {duration(document.wall_seconds)}{spent}"
