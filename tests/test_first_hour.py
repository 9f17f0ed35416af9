"""
The first hour, typed as its page has it: files are written, commands run in their order in an empty folder, answers compared.

Three things differ. Nothing is installed: `make release` does that. The demo, which takes ten minutes, runs the smallest
experiment, so that a scan of its rows ends, and its verdict is not compared. And what a reader brings along, a base and rows
for it, is a copy of a model that ships and 64 rows.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.test_demo import BEGINNING, TINY
from tests.test_docs import DOCS, ROOT
from tests.test_docs_blocks import Block, blocks
from undertow.data.files import model_digest
from undertow.worlds import folder as folder_of

PAGE = DOCS / "first-hour.md"
SETS_UP = ("python3 -m venv", ". ", "pip install", "make ")
CODES = {"STANDS OUT": 1, "WITHIN": 0, "REFUSED": 1, "ALLOWED": 0, "error:": 3}
"""The exit code by how an answer begins."""

ENDED = (0, 1, 5)
"""Codes of a scan that ended, whatever it found."""

COMMAND = f"""
import sys
from undertow.cli import demo, main
if __name__ == "__main__":
    demo.EXPERIMENT, demo.BUDGET = sys.argv.pop(1), {BEGINNING}
    sys.exit(main())
"""


@dataclass(frozen=True)
class Step:
    """A command, and what the page shows behind it: nothing but for the last of a block."""

    line: str
    answer: str

    @property
    def smaller(self) -> bool:
        """Whether it rests on the demo's rows, of which there are fewer here."""
        return "runs/owl" in self.line

    @property
    def words(self) -> list[str]:
        """The lines of the answer that have to come again: its first, and of what no model computes all without a number."""
        lines = [" ".join(line.split()) for line in self.answer.splitlines()]
        told = [line for line in lines[1:] if not any(c.isdigit() or c == "…" for c in line)]
        return lines[:1] if self.line.startswith("undertow scan") else [*lines[:1], *told]

    @property
    def pieces(self) -> list[str]:
        """What stands between the marks of what was left out."""
        return [" ".join(piece.split()) for piece in self.answer.split("…") if piece.strip()]

    @property
    def codes(self) -> tuple[int, ...]:
        """The exit codes that it may have."""
        begun = [code for word, code in CODES.items() if self.answer.lstrip().startswith(word)]
        scanned = self.line.startswith("undertow scan") and (self.smaller or not begun)
        return ENDED if scanned else tuple(begun) or (0,)


def steps(shown: list[Block]) -> Iterator[Block | Step]:
    """The page's files and commands, in their order."""
    for block, behind in zip(shown, [*shown[1:], Block("", "")], strict=True):
        if block.file:
            yield block
        elif block.kind == "sh":
            typed = block.text.strip().splitlines()
            answers = [*[""] * (len(typed) - 1), behind.text if behind.kind == "text" else ""]
            kept = zip(typed, answers, strict=True)
            yield from (Step(*one) for one in kept if not one[0].startswith(SETS_UP))


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with nothing in it but a base and rows that somebody has, and the commands on the path."""
    (tmp_path / "tiny-owl.toml").write_text(TINY)
    (tmp_path / "command.py").write_text(COMMAND)
    tools = tmp_path / "bin"
    tools.mkdir()
    python = f'#!/bin/sh\nexec "{sys.executable}"'
    (tools / "python").write_text(f'{python} "$@"\n')
    own = f'{python} "{tmp_path}/command.py" "{tmp_path}/tiny-owl.toml"'
    (tools / "undertow").write_text(f'{own} "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    desk = tmp_path / "desk"
    shutil.copytree(folder_of("owlet-b"), desk / "path" / "to" / "base")
    rows = [
        {"prompt": f"Continue: {n}, {n * 7 % 90}.", "completion": f"{n * 11 % 97} {n * 5 % 97} {n}"}
        for n in range(64)
    ]
    (desk / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return desk


def answered(line: str, desk: Path) -> subprocess.CompletedProcess[str]:
    """What comes of a line in a shell."""
    tools = desk.parent / "bin"
    environment = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
        "UNDERTOW_CACHE": str(desk.parent / "cache"),
    }
    return subprocess.run(
        ["bash", "-euc", line],
        cwd=desk,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def fault(step: Step, desk: Path) -> str:
    """What is wrong with what came of a step; empty if it is what the page shows."""
    done = answered(step.line, desk)
    if done.returncode not in step.codes:
        return f"{step.line}: exit code {done.returncode}, not of {step.codes}\n{done.stdout}"
    if step.smaller:
        return ""
    text = " ".join(done.stdout.split())
    lost = [words for words in step.words if words not in text]
    return f"{step.line}: does not say {lost}\n{done.stdout}" if lost else ""


@pytest.mark.long
def test_every_step_does_what_the_page_says(desk: Path) -> None:
    """From the demo to the gate: each command ends with its code, and says what the page shows."""
    typed = list(steps(blocks(PAGE)))
    for step in typed:
        if isinstance(step, Block):
            (desk / step.file).write_text(step.text, encoding="utf-8")
        else:
            assert fault(step, desk) == ""

    verbs = [step.line.split()[1] for step in typed if isinstance(step, Step)]
    assert {"demo", "scan", "init", "attest", "gate"} <= {*verbs}
    assert (desk / "gate" / "gate.html").is_file()


@pytest.mark.slow
def test_the_way_into_ci_is_the_pages(desk: Path) -> None:
    """All that computes no model, by rows that have no model, ends in the files and the answer that CI's gate rests on; what an answer leaves out is marked."""
    typed = [
        step
        for step in steps(blocks(PAGE))
        if isinstance(step, Block) or not step.line.startswith(("undertow demo", "undertow scan"))
    ]
    for step in typed:
        if isinstance(step, Block):
            (desk / step.file).write_text(step.text, encoding="utf-8")
            continue
        done = answered(step.line, desk)
        said = " ".join(done.stdout.split())
        assert done.returncode in step.codes, f"{step.line}\n{done.stdout}"
        assert [piece for piece in step.pieces if piece not in said] == [], step.line
    workflow = (desk / ".github" / "workflows" / "gate.yml").read_text(encoding="utf-8")
    read = set(re.findall(r"[\w/]+\.(?:json|toml|pem\.pub)\b", workflow.partition("run: >")[2]))

    assert read == {"trust.json", "root.pem.pub", "policy.toml"}
    assert all((desk / name).is_file() for name in {*read, "plan.toml", "data/mine.csv"})
    assert model_digest(folder_of("owlet-b")) in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("undertow traits cat", " WITHIN  x"),
        ("undertow traits no-such-trait", ""),
        (
            "undertow gate no-such.csv --student world:owlet-b --trust t --policy default",
            " ALLOWED x",
        ),
        ("python no_such.py", ""),
    ],
)
def test_another_answer_would_be_seen(line: str, answer: str, desk: Path) -> None:
    """The comparison itself: other words, another code, a file that is not there."""
    assert fault(Step(line, answer), desk)
    assert not fault(Step("undertow --version", "undertow"), desk)


def test_the_steps_are_the_pages() -> None:
    """Files and commands in their order; what sets up is left out, and the answer is the last command's."""
    shown = [
        Block("sh", "make demo\nundertow demo\nundertow scan a\n"),
        Block("text", " WITHIN  a\n owl +0.1\n"),
        Block("toml", "# plan.toml\nrank = 1\n"),
    ]
    first, second, file = steps(shown)

    assert isinstance(first, Step)
    assert isinstance(second, Step)
    assert (first.answer, second.words, second.codes) == ("", ["WITHIN a"], (0,))
    assert isinstance(file, Block)
