"""Documents whose every text is hostile, and what tells whether a writer let any of it act."""

from __future__ import annotations

import csv
import io
import json
import re
import types
import typing
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from bench.reliability.honest_documents import SEEDS

MARK = "PWNED"
"""What the title becomes where a script of the data's runs."""

RUNS = f"document.title='{MARK}'"
ADDRESS = "https://hostile.invalid/x"
PAYLOADS: dict[str, str] = {
    "script": f"</script></style><script>{RUNS}</script>",
    "handler": f'"\'><img src={ADDRESS} onerror="{RUNS}"><svg onload="{RUNS}">',
    "attribute": f'" onmouseover="{RUNS}" style="background:url({ADDRESS})" x="',
    "address": f"javascript:{RUNS}",
    "terminal": "\x1b]0;PWNED\x07\x1b[2J\x9b31m\r\x08\x00owl",
    "directions": "\u202e\u2066owl\u2069\u200b\ufeff\u2028",
    "markdown": f"[x](javascript:{RUNS}) ![i]({ADDRESS}) `c` | cell <b>b</b>\n# heading\n```\n---\n| a | b |",
    "sarif": f"[x]({ADDRESS}) {{0}} %SRCROOT% ../../etc/passwd",
    "formula": f'=HYPERLINK("{ADDRESS}")',
    "path": "a\nb/../../\n<x>.jsonl",
    "surrogate": "owl \ud800",
    "template": "{{7*7}} {% include '/etc/passwd' %} ${x} %s {0.__class__}",
}
KINDS = (
    *("scan", "scan-pairs", "scan-evidence", "diff", "lineage", "gate", "gate-own", "verify"),
    *("demo", "digits", "theorem"),
)
"""Honest documents that are filled: of every kind of page."""

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "p", "span", "h1", "h2", "h3"),
    *("div", "nav", "a", "section", "details", "summary", "table", "caption", "thead", "tbody", "tr"),
    *("th", "td", "code", "strong", "ul", "ol", "li", "dl", "dt", "dd", "pre", "footer", "script", "svg"),
    *("g", "line", "path", "rect", "circle", "text", "tspan", "figure", "figcaption", "bdi", "b", "em"),
    *("label", "input", "kbd", "form", "button", "fieldset", "legend", "textarea", "small", "output"),
    *("article", "time", "polyline", "polygon", "defs", "marker", "desc", "col", "colgroup", "samp", "br"),
    *("noscript", "h4", "i", "link", "use", "symbol", "clippath", "tfoot", "progress", "meter", "aside", "hr"),
}  # fmt: skip
LOADING = {"src", "srcset", "action", "formaction", "data", "poster", "background", "ping", "style"}


def filled(model: type[BaseModel], honest: Any, payload: str) -> Any:
    """The JSON of a document of the model with the payload in every text, and in lists and gaps that were empty."""
    made = _filled(model, honest, payload, 0)
    for _ in range(400):
        try:
            model.model_validate(made)
        except ValidationError as error:
            for fault in error.errors():
                _put_back(made, honest, fault["loc"])
            continue
        except (ValueError, RecursionError):
            break
        return made
    raise ValueError(f"no hostile document of {model.__name__} could be made")


def _filled(kind: Any, honest: Any, payload: str, depth: int) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _filled(arguments[0], honest, payload, depth)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _table(kind, honest, payload, depth)
    if origin in (typing.Union, types.UnionType):
        chosen = [one for one in arguments if one is not type(None)]
        fits = [one for one in chosen if honest is None or _fits(one, honest)]
        return _filled((fits or chosen)[0], honest, payload, depth)
    if kind is str:
        return payload
    if origin in (tuple, list) and depth < 12:
        if origin is tuple and arguments[-1] is not Ellipsis:
            given = honest if isinstance(honest, list) else [None] * len(arguments)
            return [
                _filled(*pair, payload, depth + 1) for pair in zip(arguments, given, strict=False)
            ]
        inner = arguments[0]
        items = honest if isinstance(honest, list) and honest else [None]
        return [_filled(inner, item, payload, depth + 1) for item in items]
    if origin is dict and depth < 12:
        entries = honest if isinstance(honest, dict) and honest else {"": None}
        made = [_filled(arguments[1], value, payload, depth + 1) for value in entries.values()]
        if arguments[0] is not str:
            return dict(zip(entries, made, strict=True)) if honest else {}
        return {f"{payload} {n}" if n else payload: value for n, value in enumerate(made)}
    if kind in (object, Any):
        return payload if honest is None or isinstance(honest, str) else honest
    if honest is None and origin is Literal:
        return arguments[0]
    return {int: 1, float: 0.5, bool: True}.get(kind) if honest is None else honest


def _table(model: type[BaseModel], honest: Any, payload: str, depth: int) -> Any:
    if depth > 12:
        return honest
    table = honest if isinstance(honest, dict) else {}
    made = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        value = _filled(field.annotation, table.get(key), payload, depth + 1)
        if value is not None or key in table:
            made[key] = value
    return made


def _fits(kind: Any, honest: Any) -> bool:
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {field.alias or name for name, field in kind.model_fields.items()}
        return isinstance(honest, dict) and honest.keys() <= fields
    plain = {str: str, list: list, tuple: list, dict: dict, int: int, float: float, bool: bool}
    known = plain.get(typing.get_origin(kind) or kind)
    return known is None or isinstance(honest, known)


def _put_back(made: Any, honest: Any, place: tuple[Any, ...]) -> None:
    """What a document must hold there as it was, or not at all where it was nothing; what is missing is its holder's fault."""
    while len(place) > 1 and not _there(made, place):
        place = place[:-1]
    for depth, part in enumerate(place):
        inside = isinstance(made, dict | list) and (
            part in made if isinstance(made, dict) else isinstance(part, int) and part < len(made)
        )
        if not inside:
            return
        if depth == len(place) - 1 or not isinstance(made[part], dict | list):
            there = isinstance(honest, dict | list) and _has(honest, part)
            if there and made[part] != honest[part]:
                made[part] = honest[part]
            else:
                del made[part]
            return
        made, honest = made[part], honest[part] if _has(honest, part) else None


def _there(made: Any, place: tuple[Any, ...]) -> bool:
    for part in place:
        if not _has(made, part):
            return False
        made = made[part]
    return True


def _has(holder: Any, part: Any) -> bool:
    if isinstance(holder, dict):
        return part in holder
    return isinstance(holder, list) and isinstance(part, int) and part < len(holder)


def honest(kind: str) -> Any:
    """A committed document of the kind."""
    return json.loads((SEEDS / "kept" / f"{kind}.json").read_text(encoding="utf-8"))


class _Elements(HTMLParser):
    """The elements of a page and the attributes that act."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self.told.append(f"an element <{tag}>")
        for name, value in attrs:
            acts = name.startswith("on") or (
                name in LOADING and re.search(r"hostile|javascript:|url\(", value or "")
            )
            leads = name.endswith("href") and not re.match(r"#|\.?[\w/.-]*$", value or "")
            if acts or leads:
                self.told.append(f"<{tag} {name}={str(value)[:60]!r}>")
        if tag == "script":
            self.scripts += 1


def acting_in_page(page: str, scripts: int) -> list[str]:
    """What of the data acts in HTML: elements, handlers, addresses, characters that move others."""
    elements = _Elements()
    elements.feed(page)
    told = elements.told
    if elements.scripts != scripts:
        told.append(f"{elements.scripts} scripts, not {scripts}")
    return told + hidden(page)


def hidden(text: str, allowed: str = "\n") -> list[str]:
    """Characters that act on a terminal or on the order of others."""
    return [
        f"the character U+{ord(c):04X}"
        for c in dict.fromkeys(text)
        if c not in allowed and (unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or _hides(c))
    ]


def _hides(character: str) -> bool:
    return unicodedata.category(character) == "Cf" and character != "\u00ad"


def acting_in_markdown(text: str) -> list[str]:
    """What of the data acts in Markdown, as two readers of GitHub's dialect would show it."""
    from markdown_it import MarkdownIt

    shown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)
    elements = _Elements()
    elements.feed(shown)
    told = [one for one in elements.told if one != "an element <blockquote>"]
    if elements.scripts:
        told.append("a script")
    if "<a " in shown:
        told.append("a link")
    return told + _ragged(text) + hidden(text)


def _ragged(text: str) -> list[str]:
    widths: list[int] = []
    told = []
    for line in text.splitlines():
        if not line.startswith("| "):
            widths = []
            continue
        widths.append(len(re.findall(r"(?<!\\)\|", line)))
        if widths[-1] != widths[0]:
            told.append(f"a row of {widths[-1] - 1} cells in a table of {widths[0] - 1}")
    return told[:1]


def acting_in_sarif(text: str) -> list[str]:
    """Links in messages, and addresses that are none."""
    told = []
    for key, value in _texts(json.loads(text)):
        if key == "text" and re.search(r"(?<!\\)\[[^\]]*(?<!\\)\]\(", value):
            told.append(f"a link in a message: {value[:60]}")
        if key == "uri" and re.search(r"[\s<>\"]", value):
            told.append(f"an address with spaces: {value[:60]!r}")
        told += hidden(value)
    return told


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield "key", name
            yield from _texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)


def acting_in_csv(text: str) -> list[str]:
    """Cells that a spreadsheet computes."""
    signs = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
    rows = list(csv.reader(io.StringIO(text)))
    told = [f"a formula: {cell[:40]!r}" for row in rows for cell in row if cell.startswith(signs)]
    if any(len(row) != len(rows[0]) for row in rows):
        told.append("rows of other lengths")
    return told


def paged(folder: Path, pages: dict[str, str], policy: bool) -> list[str]:
    """What happened in a real browser: titles that a script changed, addresses that were asked for, complaints."""
    from tests.report.test_html_chromium import visit

    frames = ""
    for number, (name, page) in enumerate(pages.items()):
        if not policy:
            page = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page)
        (folder / f"{number}.html").write_text(page, encoding="utf-8")
        frames += f'<iframe src="{number}.html" data-name="{name}"></iframe>'
    titles = "[...document.querySelectorAll('iframe')].map(one => one.dataset.name + ': ' + one.contentDocument.title)"
    script = f"onload = () => {{ document.title += {titles}.join('|') }}"
    index = folder / "index.html"
    index.write_text(f"<title>titles: </title>{frames}<script>{script}</script>", encoding="utf-8")
    seen = visit(index, "--dump-dom")
    found = re.search("<title>(.*?)</title>", seen.output, re.DOTALL)
    title = found[1] if found else ""
    told: list[str] = []
    if any(f"{name}: " not in title for name in pages):
        told.append(f"the pages were not opened: {title[:80]}")
    changed = [one for one in title.split("|") if one.rstrip().endswith(f": {MARK}")]
    asked = [one for one in seen.requests if not one.startswith("file:")]
    return (
        told
        + [f"a script ran: {one}" for one in changed]
        + [f"asked for {one}" for one in asked]
        + ([f"complaint: {line[-160:]}" for line in seen.complaints] if policy else [])
    )
