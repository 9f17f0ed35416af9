"""The built site: whole, quiet, found by its search, and no wider than a telephone."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from docs.generate import notebook, site_faults
from tests.report.test_html_chromium import BROWSER, visit

ROOT = Path(__file__).parent.parent
WIDTH = 390
A_VISIT = 12
"""Pages that are framed at a time."""

in_a_browser = [
    pytest.mark.long,
    pytest.mark.chromium,
    pytest.mark.skipif(BROWSER is None, reason="neither chromium nor google-chrome is on PATH"),
]


@dataclass(frozen=True)
class Built:
    """The site, and what it took."""

    folder: Path
    seconds: float
    """Of processor time: another process beside it must not fail the test."""

    @property
    def pages(self) -> list[Path]:
        """Every page but the one for pages that are not there, whose links need a server."""
        return [path for path in sorted(self.folder.rglob("*.html")) if path.name != "404.html"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The site as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Built(folder, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@pytest.mark.long
def test_the_site_is_whole(site: Built) -> None:
    """It is built without a warning in under a minute, every link leads somewhere, and nothing is fetched."""
    assert site.seconds < 60
    assert len(site.pages) > 60
    assert site_faults(site.folder) == []


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ("<a href=lost.html>x</a>", "leads to no file"),
        ("<a href='#lost'>x</a>", "leads to no heading"),
        ("<a href=other.html#lost>x</a>", "leads to no heading"),
        ("<script src=https://example.invalid/x.js></script>", "is fetched from elsewhere"),
        ("<link rel=stylesheet href='//example.invalid/x.css'>", "is fetched from elsewhere"),
        ("<p>```sh strange\nundertow</p>", "a fence is not understood"),
    ],
)
def test_a_fault_would_be_seen(tmp_path: Path, html: str, fault: str) -> None:
    """The look at links itself: what is lost, fetched or left as text is named with its page."""
    (tmp_path / "other.html").write_text("<h1 id=there>x</h1>", encoding="utf-8")
    page = tmp_path / "page.html"
    page.write_text(f"{html}<a href=other.html#there>x</a>", encoding="utf-8")

    assert [each for each in site_faults(tmp_path) if not each.startswith("page.html")] == []
    assert [fault in each for each in site_faults(tmp_path)] == [True]


def test_a_notebook_becomes_a_page(tmp_path: Path) -> None:
    """Its words, its code and its outputs stand in their order, a rich output as it is."""
    rich = {
        "output_type": "execute_result",
        "data": {"text/html": ["<b>within</b>"], "text/plain": ["-"]},
    }
    cells = [
        {"cell_type": "markdown", "source": ["# A scan\n", "Of rows."]},
        {
            "cell_type": "code",
            "source": ["print(1)"],
            "outputs": [{"output_type": "stream", "text": ["1\n"]}],
        },
        {"cell_type": "code", "source": ["result"], "outputs": [rich]},
    ]
    path = tmp_path / "scan.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    parts = [
        "# A scan",
        "Of rows.",
        "````python\nprint(1)",
        "````text\n1\n",
        "result",
        "<b>within</b>",
    ]
    places = [notebook(path).index(part) for part in parts]

    assert places == sorted(places)


class TestInABrowser:
    """What only a browser can tell; the pages are opened as files."""

    pytestmark = in_a_browser

    def test_no_page_is_wider_than_a_telephone(self, site: Built) -> None:
        """At 390 pixels no page scrolls sideways, complains or asks for an address."""
        wide, complaints, requests = [], [], []
        for start in range(0, len(site.pages), A_VISIT):
            pages = site.pages[start : start + A_VISIT]
            names = [page.relative_to(site.folder) for page in pages]
            frames = "".join(
                f"<iframe src={each} width={WIDTH} height=800></iframe>" for each in names
            )
            index = site.folder / "gallery.html"
            index.write_text(
                f"<p id=widths></p>{frames}<script>{MEASURE}</script>", encoding="utf-8"
            )
            seen = visit(index, "--dump-dom")
            index.unlink()
            measured = re.search('<p id="widths">([^<]*)</p>', seen.output)
            assert measured is not None
            widths = measured[1].split()
            wide += [
                (str(name), width)
                for name, width in zip(names, widths, strict=True)
                if width != str(WIDTH)
            ]
            complaints += seen.complaints
            requests += [each for each in seen.requests if not each.startswith("file:")]

        assert wide == []
        assert complaints == []
        assert requests == []

    def test_the_search_works_from_a_disk(self, site: Built) -> None:
        """Whoever opens the site as files finds a verb's option by its name."""
        page = site.folder / "search.html"
        page.write_text(SEARCH, encoding="utf-8")
        seen = visit(page, "--dump-dom", "--virtual-time-budget=20000")
        page.unlink()

        assert "scan.html" in seen.output, seen.complaints


MEASURE = (
    "onload = () => { widths.textContent = [...document.querySelectorAll('iframe')]"
    ".map(one => one.contentDocument.documentElement.scrollWidth).join(' ') }"
)
SEARCH = """<iframe src="index.html?q=placebo" width=1200 height=800></iframe><p id=hits></p><script>
setTimeout(() => { hits.textContent = [...document.querySelector('iframe').contentDocument
.querySelectorAll('.md-search-result__link')].map(one => one.href).join(' ') }, 15000)</script>"""
