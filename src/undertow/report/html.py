"""A page as one offline HTML file without scripts: everything escaped and made visible, nothing of the data as markup."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from undertow.report import figure
from undertow.report import page as layout
from undertow.report.page import Badge, Block, Fold, Page, Phrase, Section, inlines
from undertow.report.plain_text import capital, visible
from undertow.results.store import result_json

_SAMPLE_CHARACTERS = 400


def render_html(page: Page) -> str:
    """The long page as one self-contained file, its links to sections above the first of these."""
    sections = page.sections if page.point is None else tuple(map(_folded, page.sections))
    links = [one for one in _shown(sections) if isinstance(one, Section) and one.nav]
    first = sections.index(links[0]) if links else 0
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            conclusion=capital(page.conclusion) if page.badge else page.conclusion,
            before=sections[:first],
            links=() if page.point else links,
            after=sections[first:],
            embedded=embedded(result_json(page.document)),
        )
    )


def render_point(page: Page) -> str:
    """The first lines of a page as a fragment for a notebook: without a script, a style sheet or an address."""
    names = {"page": page, "conclusion": capital(page.conclusion)}
    return _environment().get_template("point.html.j2").render(**names)


def environment(
    *, filters: Mapping[str, Callable[..., Any]], names: Mapping[str, object]
) -> Environment:
    """
    Where the templates of this package are filled; nothing undefined is written.

    Args:
        filters: filters that its templates use, by name.
        names: what its templates can see besides what they are given, by name.
    """
    made = Environment(
        loader=PackageLoader("undertow.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(filters)
    made.globals.update(names)
    return made


def embedded(document: str) -> Markup:
    """A JSON document that cannot end its script element: pure ASCII without `<`, `>` and `&`."""
    text = json.dumps(json.loads(document), separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@functools.cache
def _environment() -> Environment:
    sample = functools.partial(visible, limit=_SAMPLE_CHARACTERS)
    names = {"phrase": _phrase, "blocks": _blocks, "hangs": lambda part: isinstance(part, Badge)}
    return environment(filters={"sample": sample, "inlines": inlines}, names=names)


@functools.cache
def _macros() -> dict[type, Callable[[Any], Markup]]:
    """What writes each kind of block and of inline."""
    macros: Any = _environment().get_template("blocks.html.j2").module
    return {
        layout.Questions: macros.questions,
        layout.Badge: macros.badge,
        layout.Columns: macros.columns,
        layout.Command: macros.command,
        layout.Drawing: macros.drawing,
        layout.Fold: macros.fold,
        layout.Heading: macros.heading,
        layout.Listing: macros.listing,
        layout.Mono: macros.mono,
        layout.Name: macros.name,
        layout.Part: macros.part,
        layout.Records: macros.records,
        layout.Remark: macros.remark,
        layout.SampleList: macros.samples,
        layout.Section: macros.section,
        layout.Settings: macros.settings,
        layout.Strong: macros.strong,
        layout.Table: macros.table,
        layout.Terms: macros.terms,
        layout.Text: macros.text,
        figure.Diagram: macros.diagram,
        figure.Heat: macros.heat,
        figure.Lanes: macros.lanes,
        figure.Plot: macros.plot,
    }


def _blocks(blocks: Iterable[Block]) -> Markup:
    macros = _macros()
    return Markup("\n").join(macros[type(block)](block) for block in _shown(blocks))


def _folded(block: Block) -> Block:
    """A section behind its own title, unless it is one to be seen at once."""
    if not isinstance(block, Section) or block.open:
        return block
    return Fold(block.title, (replace(block, titled=frozenset()),), only=block.only)


def _shown(blocks: Iterable[Block]) -> Iterator[Block]:
    return (block for block in blocks if "html" in block.only)


def _phrase(phrase: Phrase) -> Markup:
    macros = _macros()
    return Markup("").join(
        escape(visible(part)) if isinstance(part, str) else macros[type(part)](part)
        for part in inlines(phrase)
    )


def _visible(value: Any) -> Any:
    """Every value that a template writes, so that no text can be forgotten; markup is ours."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value)
