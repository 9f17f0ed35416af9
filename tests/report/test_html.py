"""
The page: its structure, its safety, its determinism.

Longer than a module should be, since all of it needs the same parser of pages.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from tests.report.former_scan_documents import ALL_SCANS
from undertow.report import render
from undertow.report.html import embedded, environment
from undertow.results.run_document import RunDocument
from undertow.results.scan_document import AnyScan

KINDS = ("owl", "matrix", "traits", "digits", "theorem", "empty")
SECTIONS = {
    "comparisons": "comparisons",
    "arms": "runs",
    "teachers": "teachers",
    "datasets": "datasets",
    "notes": "doctor",
    "limits": "limits",
}
CLOSED = ("schema", "kind", "level", "verdict", "status", "what")
"""Keys whose values are from closed lists."""

VOID = {"meta", "circle", "line", "rect", "polyline"}


class Page(HTMLParser):
    """The elements of a page, its visible text, and whether its tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.data = ""
        self.unbalanced: list[str] = []
        self.at_once: set[str] = set()
        """Tables, and the names of sections, that are seen before anything is unfolded."""
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("table", "section", "nav") and "details" not in self._open:
            self.at_once.add(str(dict(attrs).get("id") or dict(attrs).get("class") or tag))
        if tag == "details" and "open" in dict(attrs):
            self.at_once.add("open details")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            self.data += data
        elif "style" not in self._open:
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def ids(self) -> set[str | None]:
        """Every identifier."""
        return {attributes.get("id") for _, attributes in self.elements} - {None}


@pytest.fixture(params=[*KINDS, *ALL_SCANS])
def document(request: pytest.FixtureRequest) -> RunDocument | AnyScan:
    """Each kind of run in turn, and of screen."""
    made: RunDocument | AnyScan
    made = (
        ALL_SCANS[request.param]()
        if request.param in ALL_SCANS
        else request.getfixturevalue(request.param)
    )
    return made


def test_the_page_is_well_formed(document: RunDocument | AnyScan) -> None:
    """Every tag that opens closes, identifiers are unique, and every link leads somewhere."""
    page = Page(render(document, "html"))
    links = [(attributes["href"] or "").removeprefix("#") for attributes in page.named("a")]

    assert page.unbalanced == []
    assert len(page.ids) == sum("id" in attributes for _, attributes in page.elements)
    assert set(links) <= page.ids


def test_nothing_is_loaded_from_elsewhere(document: RunDocument | AnyScan) -> None:
    """No address of any kind, no imported style, and a policy that forbids both."""
    html = render(document, "html")
    attributes = {name for _, found in Page(html).elements for name in found}

    assert not attributes & {"src", "srcset", "action", "xlink:href", "background", "poster"}
    assert not re.search(r"https?:|url\(|@import|<link", html)
    assert "default-src 'none'; style-src 'unsafe-inline'" in html


def test_the_only_script_is_the_stored_result(document: RunDocument | AnyScan) -> None:
    """One element of data, from which the whole document can be read back."""
    page = Page(render(document, "html"))
    name = "run" if isinstance(document, RunDocument) else "scan"

    assert "<" not in page.data
    assert page.named("script") == [{"type": "application/json", "id": name}]
    assert type(document).model_validate_json(page.data) == document


def test_the_same_document_gives_the_same_bytes(document: RunDocument | AnyScan) -> None:
    """Also after a round trip through JSON."""
    again = type(document).model_validate_json(document.model_dump_json(by_alias=True))

    assert render(document, "html") == render(again, "html")


def test_the_page_is_small(document: RunDocument | AnyScan) -> None:
    """Well below a megabyte."""
    assert len(render(document, "html").encode()) < 300_000


def test_the_order_of_the_headline(owl: RunDocument) -> None:
    """Title, verdict, figure, what was done, sample rows, then the comparisons."""
    text = Page(render(owl, "html")).text
    wanted = (
        owl.title,
        owl.conclusion,
        "Probability of answering",
        "What was done",
        "Rows by the owl teacher",
        "Do the owl teacher's rows move",
        "Which answer moved",
        "The doctor",
        "What this cannot show",
        "How to reproduce it",
    )
    body = text[text.index("undertow run") :]
    places = [body.index(part) for part in wanted if part != "Which answer moved"]

    assert places == sorted(places)
    assert "Which answer moved" in body


def test_every_run_of_the_headline_is_drawn(owl: RunDocument) -> None:
    """Sixteen dots and one in the key, four bars and one, and the lines of chance and base."""
    classes = [attributes.get("class") for _, attributes in Page(render(owl, "html")).elements]

    assert classes.count("dot") == 17
    assert classes.count("band") == classes.count("mean") == 5
    assert classes.count("chance") == classes.count("untrained") == 5


@pytest.mark.parametrize(("field", "identifier"), SECTIONS.items())
def test_a_section_is_there_exactly_when_it_has_something(
    owl: RunDocument, field: str, identifier: str
) -> None:
    """Without its records a section and the link to it are gone, and the page still renders."""
    lacking = Page(render(owl.model_copy(update={field: ()}), "html"))

    assert identifier in Page(render(owl, "html")).ids
    assert identifier not in lacking.ids
    assert lacking.unbalanced == []


def test_facts_of_the_run_are_told(owl: RunDocument) -> None:
    """Command, digests, packages, hardware, time and memory are in the text."""
    text = Page(render(owl, "html")).text
    wanted = (owl.command, owl.config_digest, "2.13.0", "2 cores, x86_64", "4 min 31 s", "1.8 GB")

    assert [part for part in wanted if part not in text] == []
    assert all(digest in text for digest in owl.inputs.values())
    assert 'carrier = "numbers"' in text


def test_every_plot_has_its_numbers_as_a_table(owl: RunDocument, theorem: RunDocument) -> None:
    """The values behind dots, shifts and lines can be read."""
    text = Page(render(owl, "html")).text + Page(render(theorem, "html")).text
    wanted = ("31.0\N{NO-BREAK SPACE}%", "+2.49", "3×10⁻⁶", "0.01589")

    assert [part for part in wanted if part not in text] == []


def test_matrices_show_every_number(traits: RunDocument) -> None:
    """256 cells, each with its value, the diagonal marked."""
    cells = [found for found in Page(render(traits, "html")).named("td") if "style" in found]

    assert len(cells) == 256
    assert sum("own" in (cell["class"] or "") for cell in cells) == 16


PAYLOAD = (
    "</script><script>alert(1)</script ><!--<script /><img src=x onerror=alert(1)>"
    "\x1b]8;;http://evil.invalid\x07<!--{{ 7*7 }}{% raw %}\u202eevil\u2066\x00'\"&amp;"
)


def hostile(value: object) -> object:
    """The same structure, every free text replaced by the payload; numbers and closed lists stay."""
    if isinstance(value, dict):
        if "kinds" in value:
            value = value | {"kinds": {PAYLOAD: 3}}
        return {key: entry if key in CLOSED else hostile(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [hostile(entry) for entry in value]
    return PAYLOAD if isinstance(value, str) else value


@pytest.fixture
def attacked(document: RunDocument | AnyScan) -> RunDocument | AnyScan:
    """A result whose every text is an attack."""
    plain = json.loads(document.model_dump_json(by_alias=True))
    return type(document).model_validate_json(json.dumps(hostile(plain)))


def test_hostile_text_makes_no_element(
    document: RunDocument | AnyScan, attacked: RunDocument | AnyScan
) -> None:
    """The attacked page has no tag and no attribute that the harmless one has not."""
    page, harmless = Page(render(attacked, "html")), Page(render(document, "html"))
    # Where every check of a screen has one name, evidence is drawn too, with the arrows of its open intervals.
    drawn = set() if isinstance(document, RunDocument) else {"text"}

    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in harmless.elements} | drawn
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]
    assert page.unbalanced == []


def test_hostile_text_is_shown(attacked: RunDocument | AnyScan) -> None:
    """Markup is text, templates are not evaluated, controls are visible."""
    text = Page(render(attacked, "html")).text

    assert (
        "</script><script>alert(1)</script ><!--<script /><img src=x onerror=alert(1)>␛]8;;" in text
    )
    assert "{{ 7*7 }}{% raw %}‹U+202E›evil‹U+2066›␀'\"&amp;" in text


def test_no_invisible_character_is_in_the_file(attacked: RunDocument | AnyScan) -> None:
    """Neither in the page nor in the data; and the data still hold the text as it was."""
    html = render(attacked, "html")
    data = Page(html).data

    assert not re.search(
        r"[^\n\x20-\x7e\xa0-\uffff]|[\u200b-\u200f\u202a-\u202e\u2066-\u2069]", html
    )
    assert "<" not in data
    assert type(attacked).model_validate_json(data) == attacked


def test_a_very_long_row_does_not_swell_the_page(owl: RunDocument) -> None:
    """Samples are cut where they are shown, and the page says how much is missing."""
    dataset = owl.datasets[0].model_copy(update={"samples": (("asked", "7 " * 50_000),)})
    page = Page(render(owl.model_copy(update={"datasets": (dataset,)}), "html"))

    assert len(page.text) < 40_000
    assert "more characters)" in page.text


@pytest.mark.parametrize(
    ("kind", "leads"),
    [("owl", "dots"), ("digits", "dots"), ("matrix", "heat"), ("traits", "heat")],
)
def test_what_leads_the_page(request: pytest.FixtureRequest, kind: str, leads: str) -> None:
    """The arms where there are few, else the matrix: the first figure of the page."""
    page = Page(render(request.getfixturevalue(kind), "html"))

    assert page.named("figure")[0]["class"] == leads


def test_many_arms_give_way_to_a_square_matrix(owl: RunDocument, traits: RunDocument) -> None:
    """Nine arms and sixteen traits by sixteen probes: the matrix leads."""
    arms = tuple(owl.arms[0].model_copy(update={"arm": f"arm {index}"}) for index in range(9))
    page = Page(render(traits.model_copy(update={"arms": arms}), "html"))

    assert page.named("figure")[0]["class"] == "heat"


def test_every_value_is_escaped_and_made_visible() -> None:
    """A template that asks for neither gets both."""
    template = environment(filters={}, names={}).from_string("{{ text }}")

    assert template.render(text="<b>\u202e\x1b") == "&lt;b&gt;‹U+202E›␛"


def test_own_markup_filters_and_names_are_used() -> None:
    """What the caller hands in is at hand in templates, and markup of ours stays markup."""
    made = environment(filters={"loud": str.upper}, names={"rule": Markup("<hr>")})

    assert made.from_string("{{ rule }}{{ 'a'|loud }}").render() == "<hr>A"


def test_what_is_not_given_is_an_error() -> None:
    """A misspelt name does not become an empty place."""
    with pytest.raises(UndefinedError):
        environment(filters={}, names={}).from_string("{{ nothing }}").render()


def test_an_embedded_document_cannot_end_its_element() -> None:
    """Neither a tag nor an entity is left, and the JSON reads as before."""
    text = json.dumps({"a": "</script><!-- & é"})

    assert not set("<>&é") & set(embedded(text))
    assert json.loads(embedded(text)) == json.loads(text)
