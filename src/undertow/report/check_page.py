"""A check's page: what the docstring of its function says, in sections, for every place that shows it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from undertow.checks.registry import Registered, check_named, registered
from undertow.report.page import (
    Block,
    Finding,
    FindingLog,
    FindingRule,
    Gap,
    Heading,
    Notice,
    Text,
)
from undertow.results.measurement import Kind
from undertow.results.model_documents import DiffDocument, LineageDocument
from undertow.results.scan_document import CheckRun

WHY = "Why it matters"
CANNOT = "What it cannot tell you"
TO_DO = "What to do"
HEADINGS = (WHY, CANNOT, TO_DO)
"""Each opens a paragraph of the docstring, followed by a full stop."""

_HEADED = re.compile(rf"({'|'.join(HEADINGS)})\.\s*", re.IGNORECASE)

_KINDS = {
    "transfer": "judges transfer: by a rank among references, or by an interval against the limit",
    "evidence": "gives evidence in a unit of its own; never judges transfer",
}


@dataclass(frozen=True)
class CheckPage:
    """What a check is, and what its result means."""

    id: str
    kind: Kind
    summary: str
    """One sentence."""
    introduction: tuple[str, ...] = ()
    """Paragraphs before the first heading."""
    sections: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Headings with their paragraphs; a paragraph with line breaks is shown line by line."""

    def section(self, heading: str) -> str:
        """The section's paragraphs as one text; empty where there is none."""
        paragraphs = dict(self.sections).get(heading, ())
        return " ".join(" ".join(text.split()) for text in paragraphs)


def check_page(id: str) -> CheckPage:
    """
    The page of a check that is registered.

    Raises:
        UnknownNameError: there is no such check.
    """
    return _page(check_named(id))


def pages_of(ids: Iterable[str]) -> dict[str, CheckPage]:
    """
    Pages by id; a check that is not installed here has an entry without words.

    A stored result may come from another machine, with checks of other packages.
    """
    known = registered()
    return {id: _page(known[id]) if id in known else CheckPage(id, "evidence", "") for id in ids}


def explanation(page: CheckPage) -> Iterator[Block]:
    """The page for a terminal."""
    yield Text(page.id, "strong")
    yield Text(page.summary)
    yield Text(f"This check {_KINDS[page.kind]}.", "about")
    for text in page.introduction:
        yield Gap()
        yield from _paragraph(text)
    for name, paragraphs in page.sections:
        yield Heading(name)
        for number, text in enumerate(paragraphs):
            if number:
                yield Gap()
            yield from _paragraph(text)


def rules_of(judge: str, runs: Sequence[CheckRun]) -> tuple[FindingRule, ...]:
    """The check that judges and those that were run, as rules."""
    ids = dict.fromkeys([judge, *(run.check for run in runs)])
    return tuple(_rule(page) for page in pages_of(tuple(ids)).values())


def log_of(
    document: DiffDocument | LineageDocument,
    judge: str,
    results: Iterable[Finding],
    about: Mapping[str, object],
) -> FindingLog:
    """The findings of a document on models; `about` is what identifies it beside its verdict and seed."""
    broken = failures(document.checks)
    return FindingLog(
        rules=rules_of(judge, document.checks),
        results=tuple(results),
        properties={
            "schema": document.schema_,
            "verdict": document.verdict,
            **about,
            "seed": document.seed,
        },
        command=document.command,
        notices=broken,
        succeeded=not broken,
    )


def failures(runs: Sequence[CheckRun]) -> tuple[Notice, ...]:
    """Every check that failed."""
    return tuple(
        Notice(f"{run.check}: {run.reason}", "error", run.check)
        for run in runs
        if run.status == "error"
    )


def _page(check: Registered) -> CheckPage:
    try:
        docstring = inspect.getdoc(check.load())
    except (ImportError, AttributeError):
        # A plug-in that is broken, or that lacks a library: a stored result must render all the same.
        docstring = None
    if not docstring:
        return CheckPage(check.id, check.kind, check.summary)
    return read_docstring(docstring, id=check.id, kind=check.kind)


def read_docstring(docstring: str, *, id: str, kind: Kind) -> CheckPage:
    """The page that a docstring, already without indentation, makes."""
    summary, *others = (_unwrapped(text) for text in re.split(r"\n\s*\n", docstring.strip()))
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for text in others:
        if heading := _HEADED.match(text):
            current = heading[1].capitalize()
            sections.setdefault(current, [])
            text = text[heading.end() :]
        if text:
            sections[current].append(text)
    introduction = tuple(sections.pop(""))
    return CheckPage(
        id, kind, summary, introduction, tuple((name, tuple(sections[name])) for name in sections)
    )


def _unwrapped(text: str) -> str:
    lines = text.strip("\n").split("\n")
    listed = any(line.startswith((" ", "- ", "* ")) for line in lines)
    return "\n".join(lines) if listed else " ".join(line.strip() for line in lines)


def _rule(page: CheckPage) -> FindingRule:
    summary = page.summary or f"the check '{page.id}' of a package that is not installed here"
    paragraphs = [summary, *page.introduction]
    helped = [*paragraphs, *(f"{name}. {page.section(name)}" for name, _ in page.sections)]
    return FindingRule(
        id=page.id,
        summary=summary,
        tags=("subliminal-learning", page.kind),
        level="error" if page.kind == "transfer" else "note",
        description=" ".join(paragraphs),
        help=(*helped, f"undertow explain {page.id}"),
    )


def _paragraph(text: str) -> Iterator[Text]:
    if "\n" not in text:
        yield Text(text)
        return
    for line in text.split("\n"):
        yield Text(line, indent=len(line) - len(line.lstrip()))
