"""
What reviewers get of a review pack: one offline page to answer on, and the same as a spreadsheet.
"""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
from importlib import resources

from jinja2 import Environment
from markupsafe import Markup, escape

from undertow.filters.review import Sheet
from undertow.report.environment import environment
from undertow.report.visible import visible

COLUMNS = ("pack", "pair", "left", "right", "answer")
"""Columns of the spreadsheet; the page's answers have the first, the second and the last."""

# What starts a formula in some spreadsheet; its full-width twins do so in some languages.
_FORMULA = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


def render_page(sheet: Sheet) -> str:
    """
    The pairs as one self-contained page, which keeps the answers and makes a file of them.

    The page's policy names the digest of its one script, so that no other can run.
    """
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    template = _environment().get_template("review.html.j2")
    return template.render(sheet=sheet, script=Markup(script), script_digest=digest)


def render_csv(sheet: Sheet) -> str:
    """The pairs as a spreadsheet with an empty column for the answers."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for pair in sheet.pairs:
        left, right = (_cell(each.text) for each in (pair.left, pair.right))
        writer.writerow([sheet.pack, pair.number, left, right, ""])
    return file.getvalue()


def _cell(text: str) -> str:
    """
    The text with an apostrophe before it where a spreadsheet would compute it.

    Source: OWASP, "CSV Injection".

    >>> _cell("=1+1"), _cell(" @SUM(A1)"), _cell("1, 2")
    ("'=1+1", "' @SUM(A1)", '1, 2')
    """
    guarded = text.lstrip(" \n").startswith(_FORMULA) or text.startswith("\n")
    return ("'" if guarded else "") + _visible_lines(text)


def _visible_lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


@functools.cache
def _environment() -> Environment:
    return environment(
        filters={"lines": lambda text: Markup(escape(_visible_lines(text)))}, names={}
    )


def _script() -> str:
    file = resources.files("undertow.report") / "templates" / "review.js"
    return file.read_text(encoding="utf-8")
