"""`undertow explain`: the page of a check, pages of the documentation and examples, which an installed undertow brings along."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from undertow.cli.terminal import aligned

_PLACES = (Path(__file__).parents[1], Path(__file__).parents[3])
"""Where docs/ and examples/ lie: in the package that was installed, or beside src/ in a clone."""


@click.command(name="explain")
@click.argument("name", metavar="[CHECK|PAGE]", required=False)
def command(name: str | None) -> None:
    """
    Explain a check, or print a page of the documentation.

    CHECK is one that `undertow checks` lists, which is also the rule id in SARIF: why it matters, what it cannot tell,
    what to do. PAGE is plans, scan, policy, ...; PAGE#HEADING is a part of it, as links spell it:
    scan#evidence. PAGE is an example, too: examples/gate.yml > gate.yml copies it. Without either the pages are listed.
    """
    from undertow.checks.registry import registered
    from undertow.errors import UnknownNameError
    from undertow.report.check_page import check_page, explanation
    from undertow.report.text import written

    pages, files = documentation(), examples()
    if name is None:
        click.echo(aligned([(page, _title(place)) for page, place in (pages | files).items()]))
        return
    if name in files:
        click.echo(files[name].read_text(encoding="utf-8"), nl=False)
        return
    page, _, heading = name.removesuffix(".md").partition("#")
    if page in pages:
        click.echo(_part(pages[page].read_text(encoding="utf-8"), heading, page), nl=False)
    elif name in registered():
        click.echo(written(explanation(check_page(name))), nl=False)
    else:
        allowed = [*registered(), *pages, *files]
        raise UnknownNameError("check or page", name, allowed, hint="undertow explain")


def documentation() -> dict[str, Path]:
    """The pages by their names: `plans`, `how-to/research`."""
    return {name.removesuffix(".md"): place for name, place in _found("docs", "**/*.md")}


def examples() -> dict[str, Path]:
    """The files to begin with, by their names: `examples/gate.yml`."""
    return {f"examples/{name}": place for name, place in _found("examples", "*.*")}


def _found(folder: str, pattern: str) -> Iterator[tuple[str, Path]]:
    above = next((each / folder for each in _PLACES if (each / folder).is_dir()), None)
    for place in sorted(above.glob(pattern)) if above else ():
        yield str(place.relative_to(above or place)), place


def _title(place: Path) -> str:
    """A page's heading, the comment that an example begins with, or the first sentence of its docstring."""
    lines = place.read_text(encoding="utf-8").splitlines()
    if place.suffix == ".py":
        return lines[1]
    return next((line[2:] for line in lines if line.startswith("# ")), "")


def _part(text: str, heading: str, page: str) -> str:
    """
    The page, or what stands below one of its headings.

    Raises:
        UnknownNameError: it has no such heading.
    """
    from undertow.errors import UnknownNameError

    if not heading:
        return text
    headings = list(_headings(text))
    names = [name for _, _, name in headings]
    if heading not in names:
        raise UnknownNameError("heading", heading, names, where=f"page '{page}'")
    start, depth, _ = headings[names.index(heading)]
    ends = (line for line, other, _ in headings if line > start and other <= depth)
    return "".join(text.splitlines(keepends=True)[start : next(ends, None)])


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Line, depth and name of each heading, as GitHub spells it in links; a comment in a block of code is none."""
    code = False
    for number, line in enumerate(text.splitlines()):
        code ^= line.lstrip().startswith("```")
        if not code and (told := re.match(r"(#+) (.*)", line)):
            yield number, len(told[1]), re.sub(r"[^\w\- ]", "", told[2].lower()).replace(" ", "-")
