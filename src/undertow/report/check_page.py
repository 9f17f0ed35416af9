"""
A check's page: what the docstring of its function says, in sections, for every place that shows it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass

from undertow.checks.registry import Registered, check_named, registered
from undertow.results.measurement import Kind

WHY = "Why it matters"
CANNOT = "What it cannot tell you"
TO_DO = "What to do"
HEADINGS = (WHY, CANNOT, TO_DO)
"""Each opens a paragraph of the docstring, followed by a full stop."""

_HEADED = re.compile(rf"({'|'.join(HEADINGS)})\.\s*", re.IGNORECASE)


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
        found = (paragraphs for name, paragraphs in self.sections if name == heading)
        return " ".join(" ".join(text.split()) for text in next(found, ()))


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


def _page(check: Registered) -> CheckPage:
    try:
        docstring = inspect.getdoc(check.load())
    except (ImportError, AttributeError):
        # A plug-in that is broken, or that lacks a library: a stored result must render all the same.
        docstring = None
    if not docstring:
        return CheckPage(check.id, check.kind, check.summary)
    return parsed(docstring, id=check.id, kind=check.kind)


def parsed(docstring: str, *, id: str, kind: Kind) -> CheckPage:
    """The page that a docstring, already without indentation, makes."""
    summary, *others = (_unwrapped(text) for text in re.split(r"\n\s*\n", docstring.strip()))
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for text in others:
        if found := _HEADED.match(text):
            current = found[1].capitalize()
            sections.setdefault(current, [])
            text = text[found.end() :]
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
