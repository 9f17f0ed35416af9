"""What the documentation's figures count, on a site of one page: links that lead nowhere, verbs and options that are not shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.documentation.__main__ import Built, entries, figures_of, links, lost_entries, lost_links


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site whose reference has every verb and option, and a link."""
    for page, name in entries():
        kind = "code" if name.startswith("-") else "h2"
        path = tmp_path / page
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"<{kind} id=x>{name}</{kind}>\n")
    (tmp_path / "index.html").write_text(
        "<a href=reference/verbs/scan.html#x>x</a><a href=https://example.invalid>y</a>"
    )
    return tmp_path


def test_a_whole_site_lacks_nothing(site: Path) -> None:
    """One link into it, which leads somewhere, and no name that is not shown."""
    assert links(site) == 1
    assert lost_links(site) == lost_entries(site) == []
    assert all(figure.met in (True, None) for figure in figures_of(Built(site, 1, 1), [True]))


def test_what_is_lost_is_counted(site: Path) -> None:
    """A link to nothing, and an option that its page leaves out."""
    page = site / "reference" / "verbs" / "scan.html"
    page.write_text(page.read_text().replace(">--placebo<", ">-<") + "<a href=lost.html>x</a>")
    figures = figures_of(Built(site, 61, 1), [True, False])

    assert lost_links(site) == ["reference/verbs/scan.html: 'lost.html' leads to no file"]
    assert lost_entries(site) == ["reference/verbs/scan.html: --placebo"]
    assert {figure.met for figure in figures if figure.target} == {False}
