"""
The notebooks of docs/notebooks: executed as they stand, with outputs that hold no path, time or memory of a machine.

`python -m tests.test_notebooks` executes them and writes their outputs anew.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "docs/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
_OF_THE_MACHINE = re.compile(r"\d[\d.,]* (?:h \d+ min|min \d+ s|s|MB|GB)\b")


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that are executed, in their order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown(value: object) -> dict[str, str]:
    """How a notebook shows the last value of a cell, without what differs from machine to machine."""
    data = {"text/plain": repr(value)}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = _OF_THE_MACHINE.sub("…", value._repr_html_())
    return data


def executed(notebook: dict[str, Any], folder: Path) -> list[dict[str, str] | None]:
    """What each cell of code shows when all are executed in a folder, one behind the other."""
    known: dict[str, Any] = {"__name__": "__main__"}
    outputs: list[dict[str, str] | None] = []
    with contextlib.chdir(folder):
        for cell in code_cells(notebook):
            tree = ast.parse("".join(cell["source"]))
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "<cell>", "exec"), known)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), known)
                outputs.append(shown(value))
            else:
                outputs.append(None)
    return outputs


def kept(cell: dict[str, Any]) -> str | None:
    """The plain text that a cell is committed with."""
    texts = ["".join(one["data"]["text/plain"]) for one in cell["outputs"]]
    return texts[0] if texts else None


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
    """Executed anew, each cell ends, and shows the text that it is committed with."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    texts = [data and data["text/plain"] for data in executed(notebook, tmp_path)]

    assert texts == [kept(cell) for cell in code_cells(notebook)]


def write(path: Path) -> None:
    """Execute a notebook and keep what it shows."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        outputs = executed(notebook, Path(folder))
    for place, (cell, data) in enumerate(zip(code_cells(notebook), outputs, strict=True), start=1):
        made = {"output_type": "execute_result", "execution_count": place, "metadata": {}}
        lines = {kind: text.splitlines(keepends=True) for kind, text in (data or {}).items()}
        cell |= {"execution_count": place, "outputs": [made | {"data": lines}] if data else []}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ["UNDERTOW_CACHE"] = cache
        for one in NOTEBOOKS:
            write(one)
