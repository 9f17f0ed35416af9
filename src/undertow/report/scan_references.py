"""What a verdict of `undertow.scan/2` rests on: benign references, what was taken for granted, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from undertow.report.page import (
    Block,
    Fold,
    Heading,
    Listing,
    Name,
    Part,
    Section,
    Strong,
    Table,
    Text,
    verdict_badge,
)
from undertow.report.plain_text import (
    NOTHING,
    capital,
    decimal,
    duration,
    in_words,
    plain,
    significant,
)
from undertow.report.scan_forest import PANELS, in_order, subject_name
from undertow.report.scan_record import reliability
from undertow.report.scan_stages import brief_stages, guarantee, stages_table
from undertow.report.scan_words import (
    Grounds,
    headline,
)
from undertow.report.sections import Column, table_of
from undertow.results.measurement import SEVERITY, Verdict
from undertow.results.scan_document import Price, ReferenceDeclaration, ScanDocument, SubjectResult

_MOST_PRICES = 8
"""Parts that a terminal shows; the sum alone where there are more."""

_STAGES = (
    "Stage 1 trains adapters on the rows and on each reference for the beginning of the plan, and ranks the rows among "
    "them; stage 2 trains through the whole plan, with fresh seeds and fresh references."
)

_WORDS = {
    "reference": "A benign dataset on the same prompts, with as many rows in the same format, that the rows are judged "
    "beside.",
    "effect": "How far a trait’s logit margin moved by training on the rows, minus the mean of what it moved by training "
    "on the references, in logits.",
    "p": "The exact share of datasets, the rows and their references, that move the traits at least as far as the rows "
    "do, over all traits at once.",
    "Holm": "The correction of p for the number of subjects, so that all verdicts together keep alpha.",
    "alpha": "How often benign rows of the references’ family may stand out, on average over draws of references.",
    "fine-tune": "The unit of cost: one adapter trained through the whole plan.",
}


def reference_grounds(document: ScanDocument) -> Grounds:
    """What is told of references, stages and prices."""
    known = meanings(document)
    used = {name: told for name, told in known.items() if name in _used(document)}
    others = {f"{name}": told for name, told in known.items() if name in _MAIN - used.keys()}
    return Grounds(
        quantity="effect",
        meanings=used,
        beside=tuple(_beside(document)),
        sections=tuple(_sections(document)),
        brief=tuple(_brief(document)),
        labels=tuple(_labels(document, used)),
        glossary={**_WORDS, **others},
        properties=_properties(document),
    )


_MAIN: frozenset[Verdict] = frozenset({"flagged", "stands out", "within", "clear", "undecided"})


def meanings(document: ScanDocument) -> dict[Verdict, str]:
    """Each verdict in one sentence, the most severe first."""
    alpha = f"\N{NO-BREAK SPACE}{significant(1 - document.level, 3)}"
    limit = f"{decimal(document.limit, 2)} logits"
    told: dict[Verdict, str] = {
        "flagged": f"After the whole plan some trait’s effect is more than {limit}: its interval lies above.",
        "stands out": "In the beginning of the plan the rows move the student as benign references hardly ever do "
        f"(p\N{NO-BREAK SPACE}≤{alpha}); how far the whole plan would go is not said.",
        "within": "In the beginning of the plan the rows move the student no more than benign references do "
        f"(p\N{NO-BREAK SPACE}>{alpha}), and an effect above the size that is named is excluded; the whole plan is not "
        "judged.",
        "clear": f"After the whole plan every trait’s effect is less than {limit}: all intervals lie below.",
        "undecided": "Neither a good nor a bad verdict can be given, for the reason that stands beside it.",
        "error": "A check broke, for the reason that stands beside it.",
        "skipped": "Nothing was judged, for the reason that stands beside it.",
        "not_applicable": "The rows are of a kind that is not judged, for the reason that stands beside it.",
    }
    return {name: told[name] for name in SEVERITY}


def _used(document: ScanDocument) -> set[Verdict]:
    """Of a dry run none: no reason stands beside what was not judged."""
    if not document.subjects:
        return set()
    stages = [one for result in document.subjects for one in result.comparisons]
    subjects = [result.verdict for result in document.subjects]
    return {document.verdict, *subjects, *(stage.verdict for stage in stages)}


def _beside(document: ScanDocument) -> Iterator[str]:
    if document.references is not None:
        yield f"{capital(taken(document.references))}."
    if document.prices:
        yield f"Spent: {'; '.join(spent(document))}."


def _sections(document: ScanDocument) -> Iterator[Section]:
    if parts := tuple(_parts(document)):
        yield Section("stages", "How it was judged", parts, about=_STAGES, nav="Stages")
    if document.references is not None:
        told = tuple(_family(document.references))
        yield Section("references", "Judged beside what?", told, nav="References", prose=True)
    if document.prices:
        about = "1 fine-tune is one adapter trained through the whole plan."
        blocks = (prices_table(document.prices).shown(style="wrap"), Text(budget(document)))
        yield Section("prices", _priced(document), blocks, about=about, nav="Prices")


def _priced(document: ScanDocument) -> str:
    return "What it cost" if document.subjects else "What it would cost, at most"


def _parts(document: ScanDocument) -> Iterator[Block]:
    count = len(document.subjects)
    judged = [one for one in in_order(document.subjects) if isinstance(one, SubjectResult)]
    judged = [one for one in judged if one.comparisons]
    if count == 1 and judged:
        yield from _stages(judged[0], count)
        return
    parts = [
        Part(
            Name(subject_name(result.subject)),
            verdict_badge(result.verdict),
            tuple(_stages(result, count)),
            quiet=result.verdict in ("within", "clear"),
        )
        for result in judged
    ]
    yield from parts[:PANELS]
    if more := tuple(parts[PANELS:]):
        yield Fold(f"{len(more)} more", more)


def _stages(result: SubjectResult, subjects: int) -> Iterator[Block]:
    yield stages_table(result, subjects).shown(style="wrap")
    for one in result.comparisons:
        if told := guarantee(one):
            yield Text(told, "about")


def taken(references: ReferenceDeclaration) -> str:
    """What a rank among the references takes for granted, as a part of a sentence."""
    return f"the level holds if {references.assumption.rstrip('.')}"


def _family(references: ReferenceDeclaration) -> Iterator[Block]:
    yield Text((Strong("Taken for granted."), f" {capital(taken(references))}."))
    yield Text((Strong("Family."), " ", Name(references.family)))
    if references.members:
        yield Listing(references.members, "limits")
    if references.notes:
        yield Text(
            (Strong("To be known beforehand."), " ", " ".join(references.notes)), "undecided"
        )
    if references.record is not None:
        yield from reliability(references.record)


def prices_table(prices: Sequence[Price]) -> Table:
    """What each part was expected to take, and took; the whole in the last row."""
    rows = [*prices, _sum(prices)] if len(prices) > 1 else list(prices)
    return table_of(
        "Prices",
        rows,
        [
            Column("part", lambda one: plain(one.part), False),
            Column("expected, fine-tunes", lambda one: decimal(one.fine_tunes, 2)),
            Column("spent, fine-tunes", lambda one: decimal(one.spent_fine_tunes, 2)),
            Column("expected time", lambda one: duration(one.seconds)),
            Column("spent time", lambda one: duration(one.spent_seconds)),
            Column("expected GPU-hours", lambda one: decimal(_expected_gpu_hours(one), 2)),
            Column("GPU-hours", lambda one: decimal(_gpu_hours(one), 2)),
        ],
    )


def brief_prices(prices: Sequence[Price]) -> Table:
    """The same for a terminal; before the work nothing is spent, which needs no column."""
    rows = [*prices, _sum(prices)] if len(prices) > 1 else list(prices)
    begun = any(map(_begun, prices))
    return table_of(
        "Prices",
        rows,
        [
            Column("part", lambda one: plain(one.part), False),
            Column("spent", lambda one: _taken(one) if begun else NOTHING, False),
            Column("GPU-hours", lambda one: decimal(_gpu_hours(one), 2)),
            Column("expected", _expected, False),
        ],
    )


def _begun(price: Price) -> bool:
    return bool(price.spent_fine_tunes or price.spent_seconds)


def _gpu_hours(price: Price) -> float | None:
    """Spent; None before the work, and where no GPU did it."""
    return price.gpu_hours if _begun(price) else None


def _expected_gpu_hours(price: Price) -> float | None:
    """None where no GPU is known, or nothing was timed."""
    if price.gpu_hours is None or not _begun(price):
        return price.gpu_hours
    return None if price.seconds is None else price.seconds / 3600


def _taken(price: Price) -> str:
    if not _begun(price):
        return "nothing yet"
    return f"{_fine_tunes(price.spent_fine_tunes)}, {duration(price.spent_seconds)}"


def _expected(price: Price) -> str:
    time = "" if price.seconds is None else f", {duration(price.seconds)}"
    # Afterwards the fact is enough for a line.
    hours = None if _begun(price) else price.gpu_hours
    on_gpu = "" if hours is None else f", {decimal(hours, 2)} GPU-hours"
    return f"{_fine_tunes(price.fine_tunes)}{time}{on_gpu}"


def _fine_tunes(count: float) -> str:
    return f"{decimal(count, 2)} fine-tunes"


def _sum(prices: Sequence[Price]) -> Price:
    seconds = [price.seconds for price in prices if price.seconds is not None]
    hours = [price.gpu_hours for price in prices if price.gpu_hours is not None]
    return Price(
        part="all of it",
        fine_tunes=sum(price.fine_tunes for price in prices),
        # A sum of some parts would pass for the whole.
        seconds=sum(seconds) if len(seconds) == len(prices) else None,
        spent_fine_tunes=sum(price.spent_fine_tunes for price in prices),
        spent_seconds=sum(price.spent_seconds for price in prices),
        gpu_hours=sum(hours) if hours else None,
    )


def spent(document: ScanDocument) -> tuple[str, str]:
    """What the scan took in all, and what was expected of it."""
    total = _sum(document.prices)
    done = _gpu_hours(total)
    hours = f", {decimal(done, 2)} GPU-hours" if done is not None else ""
    return f"{_taken(total)}{hours}", f"expected: {_expected(total)}; {_cap(document)}"


def budget(document: ScanDocument) -> str:
    """What the scan might spend at most."""
    if document.budget is None:
        return "The scan had no budget; --budget F caps it at F fine-tunes."
    return f"The scan might spend at most {decimal(document.budget, 2)} fine-tunes (--budget)."


def _cap(document: ScanDocument) -> str:
    if document.budget is None:
        return "no budget"
    return f"budget: {decimal(document.budget, 2)} fine-tunes"


def _brief(document: ScanDocument) -> Iterator[Block]:
    table = brief_stages(document)
    if table.rows:
        yield Heading("How it was judged")
        yield table
    if document.prices:
        yield Heading(_priced(document))
        several = len(document.prices) > _MOST_PRICES
        yield brief_prices([_sum(document.prices)] if several else document.prices)


def _labels(document: ScanDocument, used: dict[Verdict, str]) -> Iterator[tuple[str, str]]:
    for verdict, told in used.items():
        yield f"{in_words(verdict)}:", told
    result = headline(document)
    if isinstance(result, SubjectResult) and result.last and (told := guarantee(result.last)):
        yield "level", told
    if document.references is not None:
        yield "assumed", taken(document.references)
        if document.references.notes:
            yield "beforehand", " ".join(document.references.notes)
    if document.budget is not None:
        yield "budget", budget(document)


def _properties(document: ScanDocument) -> dict[str, object]:
    total = _sum(document.prices)
    family = document.references
    return {
        "references": family and plain(family.family),
        "referencesDigest": family and family.digest,
        "assumption": family and plain(family.assumption),
        "budget": document.budget,
        "expectedFineTunes": total.fine_tunes if document.prices else None,
        "spentFineTunes": total.spent_fine_tunes if document.prices else None,
        "spentSeconds": total.spent_seconds if document.prices else None,
        "gpuHours": total.gpu_hours,
    }
