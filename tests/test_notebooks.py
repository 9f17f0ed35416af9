"""
The notebooks of docs/notebooks: executed as they stand, with outputs that hold no path, time or memory of a machine.

`python -m tests.test_notebooks [NAME ...]` executes them, or those that are named, and writes their outputs anew.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.golden.comparing import alike
from undertow.cli.experiments import shipped

FOLDER = Path(__file__).parent.parent / "docs/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
_OF_THE_MACHINE = re.compile(
    r"\d[\d.,]* (?:h \d+ min|min \d+ s|s|MB|GB|planned trainings?)\b|\d{4}-\d\d-\d\dT[\d:]+Z"
)


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that are executed, in their order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


Shown = dict[str, str]
"""What a cell shows, by its kind; what it prints is of kind `stream`."""


def shown(value: object) -> Shown:
    """How a notebook shows the last value of a cell, without what differs from machine to machine."""
    data = {"text/plain": repr(value)}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = _OF_THE_MACHINE.sub("…", value._repr_html_())
    return data


def executed(notebook: dict[str, Any], folder: Path) -> list[Shown]:
    """What each cell of code shows when all are executed in a folder, beside the documents that notebooks read."""
    known: dict[str, Any] = {"__name__": "__main__"}
    for document in FOLDER.glob("*.json"):
        shutil.copy(document, folder)
    with contextlib.chdir(folder):
        return [_cell("".join(cell["source"]), known) for cell in code_cells(notebook)]


def _cell(source: str, known: dict[str, Any]) -> Shown:
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, "<cell>", "exec"), known)
        value = last and eval(compile(ast.Expression(last.value), "<cell>", "eval"), known)
    stream = {"stream": printed.getvalue()} if printed.getvalue() else {}
    return stream | (shown(value) if value is not None else {})


def kept(cell: dict[str, Any]) -> Shown:
    """What a cell is committed with."""
    parts = [one.get("data", {"stream": one.get("text")}) for one in cell["outputs"]]
    return {kind: "".join(text) for part in parts for kind, text in part.items()}


def differences(was: list[Shown], now: list[Shown]) -> list[str]:
    """Where cells show another kind of thing, other words, or numbers that differ by more than their last digit."""
    faults = []
    for place, (before, after) in enumerate(zip(was, now, strict=True), start=1):
        if before.keys() != after.keys():
            faults.append(f"cell {place}: was {sorted(before)}, now {sorted(after)}")
        faults += [
            f"cell {place}, {kind}: was {text}, now {after[kind]}"
            for kind, text in before.items()
            if kind in after and not alike(text, after[kind])
        ]
    return faults


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_clean_and_with_its_outputs(path: Path) -> None:
    """No machine's path, time or memory; every cell was executed, in order."""
    text = path.read_text(encoding="utf-8")
    cells = code_cells(json.loads(text))

    assert not re.search(r"/(?:home|root|Users|tmp|work)/", text)
    assert not _OF_THE_MACHINE.search(text)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_still_runs_and_shows_the_same(path: Path, tmp_path: Path) -> None:
    """Executed anew, each cell ends, and shows the text, the page's first lines and the figure that it is committed with."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    now = executed(notebook, tmp_path)

    assert differences([kept(cell) for cell in code_cells(notebook)], now) == []


def test_each_result_is_shown_as_a_notebook_shows_it() -> None:
    """A scan, a diff and a gate end a cell each, so that their first lines are on the page; so does the researcher's figure."""
    shows = {
        path.stem: [
            kept(cell)["text/html"]
            for cell in code_cells(json.loads(path.read_text(encoding="utf-8")))
            if "text/html" in kept(cell)
        ]
        for path in NOTEBOOKS
    }

    assert [re.findall(r"undertow (?:scan|diff|gate)\b", html)[0] for html in shows["verbs"]] == [
        "undertow scan",
        "undertow diff",
        "undertow gate",
    ]
    assert ["<svg" in html for html in shows["research"]] == [True]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_run_that_is_named_can_be_typed(path: Path) -> None:
    """Each `undertow run NAME` on a page, in its words or its outputs, names a built-in experiment or a file of the clone."""
    names = set(re.findall(r"undertow run ([\w./-]*\w)", path.read_text(encoding="utf-8")))
    files = {name for name in names if (FOLDER.parent.parent / name).is_file()}

    assert names - files - set(shipped()) == set()


@pytest.mark.parametrize(
    "now",
    [
        {"text/plain": "x", "text/html": "<b>clear</b>"},
        {"text/plain": "x", "text/html": "<b>within</b> 0.25"},
        {"text/plain": "x"},
        {"text/plain": "x", "text/html": "<b>within</b> 0.23", "stream": "y"},
    ],
)
def test_another_display_would_be_seen(now: Shown) -> None:
    """The comparison itself: another word, another number, nothing rich any more, something printed."""
    was = {"text/plain": "x", "text/html": "<b>within</b> 0.23"}

    assert differences([was], [now])
    assert not differences([was], [was])


def write(path: Path) -> None:
    """Execute a notebook and keep what it shows."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        outputs = executed(notebook, Path(folder))
    for place, (cell, data) in enumerate(zip(code_cells(notebook), outputs, strict=True), start=1):
        cell |= {"execution_count": place, "outputs": list(_outputs(place, data))}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _outputs(place: int, data: Shown) -> Iterator[dict[str, Any]]:
    lines = {kind: text.splitlines(keepends=True) for kind, text in data.items()}
    if printed := lines.pop("stream", None):
        yield {"output_type": "stream", "name": "stdout", "text": printed}
    if lines:
        made = {"output_type": "execute_result", "execution_count": place, "metadata": {}}
        yield made | {"data": lines}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ["UNDERTOW_CACHE"] = cache
        for one in NOTEBOOKS:
            if one.stem in (sys.argv[1:] or [one.stem]):
                write(one)
