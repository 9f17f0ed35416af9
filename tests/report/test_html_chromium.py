"""The page in a real browser: drawn, silent, unscripted, and as wide as its window."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.report.chain_documents import HOSTILE, decision
from undertow.report import render
from undertow.results.provenance_documents import GateDocument
from undertow.results.run_document import RunDocument

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--virtual-time-budget=2000",
    # Frames may look at one another, which the page that measures them needs.
    "--allow-file-access-from-files",
    # No host name can be resolved, so that a test never reaches the network.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
DARK = "--blink-settings=preferredColorScheme=0"
KINDS = ("owl", "matrix", "traits", "digits", "theorem", "empty", "decision", "hostile_decision")
WIDTHS = (1280, 390)
POLICY = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"
IMAGE = "<img src=https://example.invalid/a.png>"
FAULT = "<script>no.x</script>"

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(BROWSER is None, reason="neither chromium nor google-chrome is on PATH"),
]


@dataclass(frozen=True)
class Visit:
    """What came of opening a page."""

    output: str
    complaints: list[str]
    """Lines written to the console: errors, and what the page's own policy refused."""
    requests: list[str]
    """Addresses that the page, and not the browser on its own account, asked for."""


def visit(page: Path, *flags: str) -> Visit:
    """Open the page in a fresh profile; once more in another, where the browser itself hangs."""
    try:
        return _visit(page, *flags)
    except subprocess.TimeoutExpired:
        return _visit(page, *flags)


def _visit(page: Path, *flags: str) -> Visit:
    profile = page.parent / f"profile-{len(list(page.parent.iterdir()))}"
    log = profile.with_suffix(".netlog")
    own = (f"--user-data-dir={profile}", f"--log-net-log={log}")
    command = [str(BROWSER), *FLAGS, *own, *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    return Visit(
        done.stdout,
        [line for line in done.stderr.splitlines() if "CONSOLE" in line],
        [found for event in events for found in requested(event.get("params", {}))],
    )


def requested(parameters: dict[str, Any]) -> list[str]:
    """The address in one event of the network's log, if a local page asked for it."""
    from_page = str(parameters.get("network_isolation_key", "")).startswith("file:")
    return [parameters["url"]] if from_page and "url" in parameters else []


def picture(page: Path, *flags: str) -> NDArray[np.uint8]:
    """The page as pixels (height, width, 3)."""
    target = page.with_suffix(".png")
    visit(page, f"--screenshot={target}", "--window-size=1280,2000", *flags)
    with Image.open(target) as image:
        return np.asarray(image.convert("RGB"))


def share_of(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> float:
    """Share of the pixels that are close to a colour."""
    return float((np.abs(pixels.astype(int) - colour).max(axis=2) < 12).mean())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, owl: RunDocument) -> Path:
    """The owl report as a file."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(owl, "html"), encoding="utf-8")
    return file


@pytest.fixture(scope="module", name="decision")
def decided() -> GateDocument:
    """A decision of the gate, with its chain drawn."""
    return decision("rows.jsonl")


@pytest.fixture(scope="module")
def hostile_decision() -> GateDocument:
    """The same with long and hostile texts everywhere."""
    return decision(HOSTILE + "x" * 200)


@pytest.fixture(scope="module")
def light(page: Path) -> NDArray[np.uint8]:
    """The owl report, drawn."""
    return picture(page)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Visit:
    """A page that frames every kind of report at each width, and writes down how wide each became."""
    folder = tmp_path_factory.mktemp("gallery")
    frames = ""
    for kind in KINDS:
        html = render(request.getfixturevalue(kind), "html")
        (folder / f"{kind}.html").write_text(html, encoding="utf-8")
        for width in WIDTHS:
            frames += f"<iframe src={kind}.html width={width} height=900></iframe>"
    measure = (
        "onload = () => { widths.textContent = [...document.querySelectorAll('iframe')]"
        ".map(one => one.contentDocument.documentElement.scrollWidth).join(' ') }"
    )
    index = folder / "index.html"
    index.write_text(f"<p id=widths></p>{frames}<script>{measure}</script>", encoding="utf-8")
    return visit(index, "--dump-dom")


def test_nothing_sticks_out_of_the_window(gallery: Visit) -> None:
    """At the width of a desk and of a telephone no page scrolls sideways."""
    found = re.search('<p id="widths">([^<]*)</p>', gallery.output)

    assert found is not None
    assert found[1].split() == [str(width) for _ in KINDS for width in WIDTHS]


def test_the_console_stays_silent(gallery: Visit) -> None:
    """No page has an error, or asks for what its policy forbids."""
    assert gallery.complaints == []


def test_no_page_asks_for_anything(gallery: Visit) -> None:
    """No request leaves any page."""
    assert gallery.requests == []


@pytest.mark.parametrize(
    ("html", "field"),
    [(IMAGE, "requests"), (POLICY + IMAGE, "complaints"), (FAULT, "complaints")],
    ids=["request", "refused request", "error"],
)
def test_the_watch_works(tmp_path: Path, html: str, field: str) -> None:
    """A page that asks for an image, or runs a faulty script, would have been noticed."""
    bad = tmp_path / "bad.html"
    bad.write_text(html, encoding="utf-8")

    assert getattr(visit(bad, "--dump-dom"), field)


def test_the_page_is_drawn(light: NDArray[np.uint8]) -> None:
    """Ink on white paper, and the colour of the trait's arm."""
    assert 0.5 < share_of(light, (255, 255, 255)) < 0.97
    assert share_of(light, (0xD5, 0x5E, 0x00)) > 1e-5


def test_the_page_is_dark_where_that_is_preferred(page: Path) -> None:
    """The paper follows the reader's colour scheme."""
    dark = picture(page, DARK)

    assert 0.5 < share_of(dark, (0x14, 0x17, 0x1B)) < 0.97
    assert share_of(dark, (255, 255, 255)) < 0.01


def test_the_page_does_not_need_its_script_element(
    page: Path, light: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Without the embedded run, the only script element, every pixel is the same."""
    bare = tmp_path / "bare.html"
    html = page.read_text(encoding="utf-8")
    bare.write_text(re.sub("<script.*?</script>", "", html, flags=re.DOTALL), encoding="utf-8")

    assert "<script" not in bare.read_text(encoding="utf-8")
    assert np.array_equal(picture(bare), light)
