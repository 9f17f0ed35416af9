"""
The documentation, measured: `python -m bench.documentation` builds the site and writes bench/documentation/results.json.

Links and options are looked up in the built pages, as a browser gets them. Before anything is counted, faults are planted in
a copy of the site and found.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import click

from bench.figures import BENCH, Figure, at_most, measured, tell, write
from docs.generate import every_command, site_faults

COMMAND = "python -m bench.documentation"
LOST = ("leads to no file", "leads to no heading")
"""How `site_faults` ends where a link is broken."""


@dataclass(frozen=True)
class Built:
    """The site in a folder, and the seconds that it took by the clock and of the processor."""

    folder: Path
    wall: float
    processor: float


def built(folder: Path) -> Built:
    """
    The site as `make docs` builds it.

    Raises:
        CalledProcessError: mkdocs finds a fault itself; it is built strictly.
    """
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(words, cwd=BENCH.parent, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Built(folder, time.perf_counter() - began, processor)


def links(site: Path) -> int:
    """How many links of the pages lead to a place of the site."""
    targets = [
        target
        for page in site.rglob("*.html")
        for target in re.findall(r"\bhref=[\"']?([^\s\"'>]+)", page.read_text(encoding="utf-8"))
    ]
    return sum(not re.match(r"[a-z]+:|//", target) for target in targets)


def lost_links(site: Path) -> list[str]:
    """Each link that leads nowhere, with its page."""
    return [fault for fault in site_faults(site) if fault.endswith(LOST)]


def entries() -> list[tuple[str, str]]:
    """What the reference has to hold: for each verb its page and itself, and for each of its options the same."""
    return [
        (page.replace(".md", ".html"), name)
        for page, path, command in every_command()
        for name in (path, *_options(command))
    ]


def _options(command: click.Command) -> list[str]:
    options = (each for each in command.params if isinstance(each, click.Option))
    return [name for option in options if not option.hidden for name in option.opts]


def lost_entries(site: Path) -> list[str]:
    """Each verb whose page is not there or has no heading for it, and each option that its page does not show."""
    lost = []
    for page, name in entries():
        path = site / page
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        kind = "code" if name.startswith("-") else "h[12]"
        shown = re.findall(rf"<{kind}[^>]*>([^<]*)<", text)
        if name not in map(unescape, shown):
            lost.append(f"{page}: {name}")
    return lost


def planted(site: Path) -> list[bool]:
    """Whether each of three faults is found: a link to no file, one to no heading, an option that is not shown."""
    page = site / "reference" / "verbs" / "scan.html"
    whole = page.read_text(encoding="utf-8")
    found = []
    for faulty in (
        f"{whole}<a href=lost.html>x</a>",
        f"{whole}<a href='#lost'>x</a>",
        whole.replace(">--placebo<", "><"),
    ):
        page.write_text(faulty, encoding="utf-8")
        found.append(len(lost_links(site)) + len(lost_entries(site)) == 1)
    page.write_text(whole, encoding="utf-8")
    return found


def figures_of(site: Built, found: list[bool]) -> list[Figure]:
    """Of a built site, in which faults that were planted have been looked for."""
    pages = [page for page in site.folder.rglob("*.html") if page.name != "404.html"]
    return [
        Figure(
            "site: planted faults found",
            sum(found),
            f"of {len(found)}",
            f"{len(found)}",
            all(found),
            command=COMMAND,
        ),
        at_most("site: build, by the clock", site.wall, 60, "s", command=COMMAND),
        Figure("site: build, of the processor", site.processor, "s", command=COMMAND),
        Figure("site: pages", len(pages), "pages", command=COMMAND),
        Figure("site: links into it", links(site.folder), "links", command=COMMAND),
        at_most(
            "site: links that lead nowhere",
            len(lost_links(site.folder)),
            0,
            "links",
            command=COMMAND,
        ),
        Figure("site: verbs and options", len(entries()), "names", command=COMMAND),
        at_most(
            "site: verbs and options that the reference lacks",
            len(lost_entries(site.folder)),
            0,
            "names",
            command=COMMAND,
        ),
    ]


def _site() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        site = built(Path(folder) / "site")
        copy = Path(shutil.copytree(site.folder, Path(folder) / "copy"))
        return figures_of(site, planted(copy))


def main(parts: list[str]) -> int:
    """Build the site once and write every figure."""
    figures, seconds = measured(parts, {"site": _site})
    tell(figures, write("documentation", figures, seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
