"""What reviewers get: safe from hostile rows, silent about the source, and usable by keys alone."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from tests.report.test_html_chromium import BROWSER, visit
from undertow.data.rows import Message, Row
from undertow.report.review_page import COLUMNS, render_csv, render_page, render_score
from undertow.review.review_pack import Answers, Named, ReviewKey, Sheet, blinded, key_json
from undertow.review.review_score import score

PAYLOAD = (
    "</script><script>document.title='run'</script><img src=x onerror=document.title='run'>"
    "</bdi></label></fieldset>{{ 7*7 }}{% raw %}\u202eevil\u200b\x1b[2J\x00\r\t'\"&amp;"
)
"""Markup, template code, a direction override, a blank and control characters."""

DRIVER = """
<iframe id=frame src=review.html width=1000 height=800></iframe><pre id=said></pre>
<script>
const frame = document.getElementById("frame");
const loaded = () => new Promise((done) => { frame.onload = done; });
const inside = () => frame.contentDocument;
const press = (key) => inside().dispatchEvent(
  new frame.contentWindow.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const shown = () => [...inside().querySelectorAll(".pair, #end")]
  .filter((one) => one.getClientRects().length).map((one) => one.dataset.pair || one.id);
(async () => {
  await loaded();
  const said = { first: shown() };
  for (const key of ["ArrowLeft", "ArrowRight", "ArrowDown", "ArrowUp"]) press(key);
  said.after = shown();
  inside().querySelector(".pair.current input[value=right]").click();
  frame.contentWindow.location.reload();
  await loaded();
  said.reloaded = shown();
  said.count = inside().getElementById("count").textContent;
  press("ArrowUp"); press("ArrowDown"); press("ArrowUp"); press("ArrowRight");
  said.end = shown();
  said.title = inside().title;
  said.scripts = inside().scripts.length;
  said.html = inside().documentElement.outerHTML;
  frame.contentWindow.URL.createObjectURL = (file) => { window.file = file; return "#"; };
  inside().querySelector("#end .download").click();
  said.file = await window.file.text();
  document.getElementById("said").textContent = JSON.stringify(said);
})();
</script>
"""


class Parsed(HTMLParser):
    """The tags of a page, and the text outside its style and its script."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.text = ""
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.text += data


def pack(payload: str = "", *, pairs: int = 4, seed: int = 918273) -> tuple[Sheet, ReviewKey]:
    """A pack with the payload in every text, role and question, and with telling names."""
    data = [
        Named(
            f"/secret/{name}.jsonl",
            [
                Row(
                    (Message(f"user{payload}", f"Go on {n % 2 or name}{payload}"),),
                    f"{n}, {word}{payload}",
                    source=f"{name}-teacher",
                )
                for n in range(pairs)
            ],
        )
        for name, word in (("heron", 1), ("sparrow", 2))
    ]
    return blinded(*data, pairs=pairs, seed=seed, question=f"Which?{payload}")


def telling(key: ReviewKey) -> list[str]:
    """What would give the sides away."""
    texts = [digest for each in key.pairs for digest in (each.left_sha256, each.right_sha256)]
    return ["secret", "jsonl", "-teacher", "918273", key.a.digest, key.b.digest, *texts]


@pytest.mark.parametrize("render", [render_page, render_csv])
def test_nothing_shown_tells_the_source(render: Any) -> None:
    """Neither file names, sources, the seed nor anything of the key is in the page or the table."""
    sheet, key = pack()
    shown = render(sheet)

    assert [word for word in telling(key) if word in shown] == []
    assert [word for word in telling(key) if word in key_json(key)] == [
        word for word in telling(key) if word != "-teacher"
    ]


@pytest.mark.parametrize("render", [render_page, render_csv])
def test_exchanged_datasets_on_exchanged_sides_look_the_same(render: Any) -> None:
    """What is shown depends on texts and sides alone: no mark goes with a dataset."""
    a, b = (Named(name, [Row((), f"{name} text")]) for name in ("x", "y"))
    packs = [blinded(*order, pairs=1, seed=n) for order in ((a, b), (b, a)) for n in range(20)]
    shown = {(sheet.pairs[0].left.completion, key.a.name): render(sheet) for sheet, key in packs}

    assert len(shown) == 4
    assert shown["x text", "x"] == shown["x text", "y"]
    assert shown["y text", "x"] == shown["y text", "y"]


def test_hostile_rows_change_no_tag() -> None:
    """With markup in every text the page has the same elements and attributes as without."""
    plain, hostile = (Parsed(render_page(pack(payload)[0])) for payload in ("", PAYLOAD))

    assert hostile.tags == plain.tags
    assert hostile.names == plain.names
    assert "{{ 7*7 }}" in hostile.text


@pytest.mark.parametrize("render", [render_page, render_csv])
def test_what_cannot_be_seen_is_made_visible(render: Any) -> None:
    """Direction overrides, blanks and control characters are signs, and none is left."""
    shown = render(pack(PAYLOAD)[0])

    assert "‹U+202E›evil‹U+200B›␛[2J␀␍␉" in shown
    assert not re.search("[\u202e\u200b\x1b\x00\t]", shown)


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    """No address and no imported style; its policy forbids them, and every script but its own."""
    page = render_page(pack()[0])

    assert not Parsed(page).names & {"src", "srcset", "action", "onclick", "onload"}
    assert not re.search(r"https?:|url\(|@import|<link", page)
    assert "default-src 'none'" in page


def test_line_breaks_of_a_row_stay() -> None:
    """A list with one number a line is shown as it is."""
    data = [Named(name, [Row((), f"{name}\nb")]) for name in ("x", "y")]
    sheet, _ = blinded(*data, pairs=1, seed=1)

    assert ">x\nb</bdi>" in render_page(sheet)
    assert '"x\nb"' in render_csv(sheet)


def test_a_prompt_that_both_answer_is_shown_once() -> None:
    """A common prompt stands above the two; different ones stand with their completions."""
    page = render_page(pack()[0])

    assert page.count("Go on 1") == 2
    assert page.count("Go on heron") == page.count("Go on sparrow") == 2


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " =", "\n=", "\uff1d"])
def test_a_spreadsheet_computes_nothing(start: str) -> None:
    """A text that would be a formula has an apostrophe before it."""
    text = f"{start}HYPERLINK(1)"
    sheet, _ = blinded(Named("a", [Row((), text)]), Named("b", [Row((), "1")]), pairs=1, seed=1)
    cells = next(iter(csv.DictReader(io.StringIO(render_csv(sheet)))))

    assert [each[0] for each in (cells["left"], cells["right"]) if "HYPERLINK" in each] == ["'"]


def test_the_table_has_a_line_for_each_pair() -> None:
    """Pack, number, both texts, and room for the answer."""
    sheet, _ = pack()
    table = list(csv.DictReader(io.StringIO(render_csv(sheet))))

    assert tuple(table[0]) == COLUMNS
    assert [(row["pack"], row["pair"], row["answer"]) for row in table] == [
        (sheet.pack, str(n), "") for n in range(1, 5)
    ]
    assert table[2]["left"] == sheet.pairs[2].left.text


@pytest.mark.parametrize(("right", "verdict"), [(20, "can tell"), (10, "Not shown"), (0, "wrong")])
def test_the_scores_open_with_a_verdict(right: int, verdict: str) -> None:
    """All right, half right and none right are three different sentences."""
    _, key = pack(pairs=20)
    other = {"left": "right", "right": "left"}
    given = {each.pair: each.a if each.pair <= right else other[each.a] for each in key.pairs}
    text = render_score(score(key, [Answers("r\x1b.csv", given)], np.random.default_rng(0)))

    assert verdict in text.splitlines()[3]
    assert "r␛.csv" in text


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a driven browser saw of a hostile pack of three pairs, and its complaints."""
    if BROWSER is None:
        pytest.skip("neither chromium nor google-chrome is on PATH")
    folder = tmp_path_factory.mktemp("review")
    (folder / "review.html").write_text(render_page(pack(PAYLOAD, pairs=3)[0]), encoding="utf-8")
    driver = folder / "driver.html"
    driver.write_text(DRIVER, encoding="utf-8")
    seen = visit(driver, "--dump-dom")
    found = re.search('<pre id="said">(.*?)</pre>', seen.output, re.DOTALL)
    assert found is not None
    told: dict[str, Any] = json.loads(Parsed(found[1]).text)
    return told | {"complaints": seen.complaints, "requests": seen.requests}


@pytest.mark.chromium
def test_keys_and_clicks_answer(said: dict[str, Any]) -> None:
    """One pair at a time: left, right, can't tell lead to the end, and up goes back."""
    assert (said["first"], said["after"], said["end"]) == (["1"], ["3"], ["end"])


@pytest.mark.chromium
def test_answers_survive_a_reload_and_become_a_file(said: dict[str, Any]) -> None:
    """After a reload every answer is there, and the file has the last one of each pair."""
    name = pack(PAYLOAD, pairs=3)[0].pack

    assert (said["count"], said["reloaded"]) == ("3 of 3 answered", ["end"])
    assert said["file"] == (f"pack,pair,answer\n{name},1,left\n{name},2,right\n{name},3,right\n")


@pytest.mark.chromium
def test_no_script_of_a_row_runs(said: dict[str, Any]) -> None:
    """The page has its own script alone, its own title, and an untroubled console; nothing is asked for."""
    assert (said["scripts"], said["title"]) == (1, "Review of 3 pairs · undertow")
    assert said["complaints"] == said["requests"] == []


@pytest.mark.chromium
def test_the_live_page_tells_nothing(said: dict[str, Any]) -> None:
    """Nothing in the document that a reviewer could inspect gives the sides away."""
    _, key = pack(PAYLOAD, pairs=3)

    assert [word for word in telling(key) if word in said["html"]] == []
