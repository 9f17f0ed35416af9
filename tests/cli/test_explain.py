"""`undertow explain`: the page of a check, and the pages of the documentation."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import undertow
from tests.report.scan_documents import flagged
from undertow.checks.registry import registered
from undertow.cli import main
from undertow.cli.explain import documentation, examples
from undertow.report import render


@pytest.mark.parametrize("id", registered())
def test_every_check_has_a_page(id: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The page opens with the id and says whether the check judges."""
    code = main(["explain", id])
    shown = capsys.readouterr().out

    assert code == 0
    assert shown.splitlines()[0] == id
    assert "This check " in shown


def test_rules_of_sarif_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    """Every rule id of a log is one that can be explained, as its help says."""
    rules = json.loads(render(flagged(), "sarif"))["runs"][0]["tool"]["driver"]["rules"]

    assert [main(["explain", rule["id"]]) for rule in rules] == [0] * len(rules)
    assert all(rule["help"]["text"].endswith(f"undertow explain {rule['id']}") for rule in rules)


def test_an_unknown_check_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the nearest, and the command that lists them."""
    code = main(["explain", "autor"])
    told = capsys.readouterr().err

    assert code == 2
    assert "did you mean 'author'?" in told
    assert "help: undertow explain" in told


def test_pages_are_listed_with_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name: every page of docs/ and every example, by the name that prints it."""
    code = main(["explain"])
    shown = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]

    assert code == 0
    assert ["plans", "Plans"] in shown
    assert [name for name, _ in shown] == [*documentation(), *examples()]


def test_no_page_has_a_checks_name() -> None:
    """A name stands for one of both."""
    assert documentation().keys() & registered().keys() == set()


def test_a_page_is_printed_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    """By its name, or by that of its file."""
    codes = [main(["explain", name]) for name in ("how-to/research", "how-to/research.md")]
    page = documentation()["how-to/research"].read_text(encoding="utf-8")

    assert codes == [0, 0]
    assert capsys.readouterr().out == 2 * page


def test_every_example_is_printed_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    """So that `>` copies it: what pages tell to begin with is at hand where a wheel was installed."""
    for name, place in examples().items():
        assert main(["explain", name]) == 0
        assert capsys.readouterr().out == place.read_text(encoding="utf-8")

    assert {"examples/gate.yml", "examples/scan.yml", "examples/heron.toml"} <= {*examples()}


def test_a_part_of_a_page_ends_at_the_next_heading(capsys: pytest.CaptureFixture[str]) -> None:
    """Of its own depth or above; what stands below it is its own, and a comment in code is no heading."""
    main(["explain", "scan#what-judges-transfer"])
    part = capsys.readouterr().out
    main(["explain", "plans#chat-templates"])
    code = capsys.readouterr().out

    assert part.startswith("## What judges transfer\n")
    assert "\n### References\n" in part
    assert "\n## " not in part
    assert code.count("# plan.toml\n") == 1


def test_an_unknown_heading_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The error lists those of the page and names the nearest."""
    code = main(["explain", "plans#chat-template"])
    told = capsys.readouterr().err

    assert code == 2
    assert "unknown heading 'chat-template' in page 'plans'" in told
    assert "did you mean 'chat-templates'?" in told


def said(path: Path) -> Iterator[str]:
    """The strings of a module that somebody may be told: all but what describes the code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    about = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in about:
            yield node.value


SAID = [text for path in Path(undertow.__file__).parent.rglob("*.py") for text in said(path)]


def test_no_message_names_a_file_of_a_clone() -> None:
    """Who installed a wheel has no docs/ to look into."""
    assert [text for text in SAID if re.search(r"docs/[\w-]+\.md", text)] == []


def test_what_messages_name_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """Each page, and each heading of it, is there."""
    named = {
        name for text in SAID for name in re.findall(r"undertow explain ([a-z][\w/#-]*)", text)
    }
    codes = {name: main(["explain", name]) for name in named}

    assert len(named) > 5
    assert {name for name, code in codes.items() if code} == set()
