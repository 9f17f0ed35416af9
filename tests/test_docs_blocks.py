"""What pages show beside undertow's commands: other programs' lines, Python, TOML and YAML; each is resolved, compiled or loaded."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import undertow
from tests.test_docs import OF_NOW, ROOT, check_usage, prose
from undertow.audit.requests import DiffRequest, ScanRequest
from undertow.data.plan import TrainingPlan
from undertow.data.plan_files import load_plan
from undertow.lab.experiment import Experiment
from undertow.policy.rules import Policy
from undertow.provenance.trust import TrustFile
from undertow.traits.trait_file import TraitFile

yaml = pytest.importorskip("yaml")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
HOOKS = {
    hook["id"]: hook
    for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
}

every_page = pytest.mark.parametrize("page", OF_NOW, ids=lambda page: str(page.relative_to(ROOT)))


@dataclass(frozen=True)
class Block:
    """A fenced block, its indentation taken away."""

    kind: str
    text: str

    @property
    def file(self) -> str:
        """The file that its first line says it is, as `# plan.toml`; empty where it says none."""
        named = re.match(r"# ([\w-]+\.(?:py|toml|yaml))\n", self.text)
        return named[1] if named else ""


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in their order, those in lists too."""
    fenced = re.findall(
        r"^ *```(\w*)[^\n`]*\n(.*?)^ *```$",
        page.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    return [Block(kind, textwrap.dedent(text)) for kind, text in fenced]


# --- lines of other programs


def lines(page: Path) -> Iterator[list[str]]:
    """The words of every line of a program that is not undertow, in blocks of commands or of text and in prose."""
    program = rf"(?:{'|'.join(map(re.escape, PROGRAMS))})"
    for block in blocks(page):
        typed = block.text.replace("\\\n", " ").splitlines()
        if block.kind in ("text", "console"):
            typed = [line for line in typed if re.match(rf"(?:[A-Z_]+=\S+ )*{program} ", line)]
        if block.kind in ("sh", "text", "console"):
            yield from (words for line in typed if (words := _words(line)))
    yield from map(_words, re.findall(rf"`({program} [^`]+)`", prose(page)))


def _words(line: str) -> list[str]:
    """Without comments and variables that are set before a program; those of undertow are not here."""
    words = shlex.split(line, comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    return [] if words[:1] == ["undertow"] else words


def check_module(page: Path, words: list[str]) -> None:
    """`python -m NAME` names what can be run, and `python FILE` a file that is there or that the page writes."""
    if words[1] == "-m" and words[2] == "undertow":
        check_usage(words[3:])
    elif words[1] == "-m" and words[2] != "venv":
        parts = [part for part in words[2].split(".") if not part.isupper()]
        place = ROOT.joinpath(*parts)
        whole = len(parts) == len(words[2].split("."))
        main = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
        assert (main if whole else place).exists(), "no such module"
        assert not whole or place.is_dir() or '__name__ == "__main__"' in main.read_text()
        _check_options(place, words[3:])
    elif words[1] != "-m":
        written = {block.file for block in blocks(page)}
        assert words[1] in written or (ROOT / words[1]).exists(), "no such file"


def _check_options(place: Path, words: list[str]) -> None:
    """Options stand somewhere in the room's source."""
    room = ROOT / place.relative_to(ROOT).parts[0]
    source = "".join(path.read_text(encoding="utf-8") for path in room.rglob("*.py"))
    options = {word for word in words if word.startswith("--")}
    assert {option for option in options if f'"{option}"' not in source} == set(), "no such option"


def check_installed(page: Path, words: list[str]) -> None:
    """`pip install` of undertow names extras that there are, and files that there are."""
    for option, value in zip(words, [*words[1:], ""], strict=True):
        assert option not in ("-r", "-c") or not value or (ROOT / value).exists(), "no such file"
    for word in words[1:]:
        asked = re.fullmatch(r"(?:\.|undertow|.*undertow-.*\.whl\)?)(?:\[([\w,]+)\])?", word)
        extras = asked[1].split(",") if asked and asked[1] else []
        assert set(extras) <= set(PROJECT["optional-dependencies"]), "no such extra"


def check_target(page: Path, words: list[str]) -> None:
    """`make` is asked for a target that there is; `bench-NAME` for a bench."""
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for word in (word for word in words[1:] if "=" not in word):
        bench = re.fullmatch(r"bench-([a-z_]+)", word)
        there = (ROOT / "bench" / bench[1] / "__main__.py").exists() if bench else word in targets
        assert there or word == "bench-NAME", "no such target"


def check_spread(page: Path, words: list[str]) -> None:
    """`torchrun` takes its options and starts a command of ours."""
    if len(words) > 2:
        module = importlib.import_module("torch.distributed.run")
        given = module.get_args_parser().parse_args(words[1:])
        assert (given.module, given.training_script) == (True, "undertow")
        check_usage(given.training_script_args)


def check_accelerated(page: Path, words: list[str]) -> None:
    """`accelerate` has the command, and this takes its words."""
    name = {"launch": "launch", "merge-weights": "merge"}[words[1]]
    module = importlib.import_module(f"accelerate.commands.{name}")
    parser = getattr(module, f"{name}_command_parser")()
    if len(words) > 2:
        parser.parse_args(words[2:])


PROGRAMS: dict[str, Callable[[Path, list[str]], None]] = {
    "python": check_module,
    "python3": check_module,
    "pip": check_installed,
    "make": check_target,
    "torchrun": check_spread,
    "accelerate": check_accelerated,
}
"""What checks a line, by its first word."""

OF_THE_SHELL = {".", "cp", "cd", "mkdir"}


def fault(page: Path, words: list[str]) -> str:
    """What is wrong with a line; empty if nothing is."""
    if words[0] not in PROGRAMS:
        return "" if words[0] in OF_THE_SHELL else f"{shlex.join(words)}: not checked by anything"
    try:
        PROGRAMS[words[0]](page, words)
    except (Exception, SystemExit) as error:
        return f"{shlex.join(words)}: {error!r}"
    return ""


@every_page
def test_lines_of_other_programs_are_true(page: Path) -> None:
    """Modules, files, extras, targets and options that a page has typed are there, and every line is one that is checked."""
    assert [said for words in lines(page) if (said := fault(page, words))] == []


@pytest.mark.parametrize(
    "line",
    [
        "python -m bench.power.pairs",
        "python -m bench.figures",
        "python -m bench.reliability kill --figure",
        "python -m undertow scam",
        "python rows.py",
        "pip install 'undertow[labs]'",
        'pip install "$(ls undertow-*.whl)[labs]"',
        "pip install -r locks/runs.txt",
        "make demos",
        "make bench-labs",
        "torchrun --processes 8 -m undertow scan rows.jsonl --student base",
        "torchrun --nproc-per-node 8 -m undertow scam rows.jsonl",
        "accelerate merge-weight a b",
        "accelerate merge-weights a b c",
        "curl example.invalid",
    ],
)
def test_a_wrong_line_would_be_seen(line: str) -> None:
    """The check itself: each of these has a fault."""
    assert fault(ROOT / "README.md", _words(line))


# --- Python


FURTHER: dict[str, type[Any]] = {"scan": ScanRequest, "diff": DiffRequest, "conclude": ScanRequest}
"""What takes the fields of a request by name as well."""


def python_faults(text: str) -> list[str]:
    """What is wrong with a block of Python: it is no code, or asks undertow for what is not there."""
    try:
        tree = _tree(text)
    except SyntaxError as error:
        return [str(error)]
    known: dict[str, Any] = {"undertow": undertow}
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("undertow"):
            module = importlib.import_module(str(node.module))
            there = {one.name: getattr(module, one.name, None) for one in node.names}
            faults += [f"no {name} in {node.module}" for name, made in there.items() if not made]
            known |= {one.asname or one.name: there[one.name] for one in node.names}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        faults += list(_unknown_words(call, known))
    return faults


def _tree(text: str) -> ast.AST:
    try:
        return ast.parse(text)
    except SyntaxError:
        return ast.parse(f"{{{text}}}")  # entries of a table


def _unknown_words(call: ast.Call, known: dict[str, Any]) -> Iterator[str]:
    """Arguments by name that a call of ours does not take."""
    name = ast.unparse(call.func)
    owner, _, attribute = name.rpartition(".")
    if owner and owner != "undertow":
        return
    made = getattr(undertow, attribute, None) if owner else known.get(name)
    if made is None:
        yield from [f"no {name}"] if owner or name in known else []
        return
    names = {*inspect.signature(made).parameters}
    if attribute in FURTHER:
        names |= {field.name for field in fields(FURTHER[attribute])}
    yield from (f"{name} takes no {word.arg}" for word in call.keywords if word.arg not in names)


@every_page
def test_python_of_the_pages_is_code(page: Path) -> None:
    """Each block compiles; what it imports of undertow is there, and takes the arguments that it is given by name."""
    found = {
        block.text: python_faults(block.text) for block in blocks(page) if block.kind == "python"
    }

    assert [faults for faults in found.values() if faults] == []


@pytest.mark.parametrize(
    "text",
    [
        "for row in:",
        "from undertow.results.store import read_results",
        "undertow.scam('rows')",
        "undertow.scan('rows', student='base', max_row=3)",
        "from undertow.integrations import TraitProbe\nTraitProbe(['owl'], evry=50)",
    ],
)
def test_wrong_python_would_be_seen(text: str) -> None:
    """The check itself: each of these has a fault."""
    assert python_faults(text)


# --- configuration


def configuration_faults(block: Block) -> list[str]:
    """What is wrong with a block of TOML or YAML; keys that it leaves out may stand elsewhere in the file."""
    try:
        tables = tomllib.loads(block.text) if block.kind == "toml" else yaml.safe_load(block.text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        return [str(error)]
    if isinstance(tables, list):
        return [said for each in tables for hook in each["hooks"] for said in _hook_faults(hook)]
    try:
        _form(tables).model_validate(tables)
    except ValidationError as error:
        left_out = ("missing", "too_short")
        return [str(one) for one in error.errors() if one["type"] not in left_out]
    return []


def _form(tables: dict[str, Any]) -> type[BaseModel]:
    """Whose table it is, by a key that only that has."""
    for key, model in (
        ("keys", TrustFile),
        ("rules", Policy),
        ("formats", TraitFile),
        ("method", TrainingPlan),
        ("loss", TrainingPlan),
    ):
        if key in tables:
            return model
    return Experiment


def _hook_faults(hook: dict[str, Any]) -> list[str]:
    """A hook of pre-commit that is not ours, or takes other words."""
    if hook["id"] not in HOOKS:
        return [f"no hook {hook['id']}"]
    words = [*shlex.split(HOOKS[hook["id"]]["entry"])[1:], *hook["args"]]
    try:
        check_usage([*words, "rows.jsonl"])
    except Exception as error:
        return [str(error)]
    return []


def file_faults(block: Block, folder: Path) -> list[str]:
    """What is wrong with a whole file, of a name that says what it is."""
    (folder / block.file).write_text(block.text, encoding="utf-8")
    for beside in re.findall(r'"([\w-]+\.jinja)"', block.text):
        (folder / beside).write_text("{{ messages }}", encoding="utf-8")
    if block.file not in ("plan.toml", "sft.yaml"):
        return configuration_faults(block)
    try:
        load_plan(folder / block.file)
    except Exception as error:
        return [str(error)]
    return []


@every_page
def test_configuration_of_the_pages_loads(page: Path, tmp_path: Path) -> None:
    """Each block of TOML or YAML has keys and values that its reader takes; one that is a whole file is read as it is."""
    shown = [block for block in blocks(page) if block.kind in ("toml", "yaml")]
    faults = [
        file_faults(block, tmp_path) if block.file else configuration_faults(block)
        for block in shown
    ]

    assert [one for one in faults if one] == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("toml", "rank = "),
        ("toml", "[student]\nranks = 2"),
        ("toml", "[carrier]\nrows = 'many'"),
        ("toml", "method = 'lora'\nranks = 2"),
        ("toml", "version = 1\n[[keys]]\nid = 'me'\nroles = ['producers']"),
        ("toml", "[[rules]]\nid = 'a'\nkind = 'require-audit'\naccept_withins = true"),
        ("yaml", "- repo: x\n  hooks:\n    - id: undertow-scam\n      args: []"),
        ("yaml", "- repo: x\n  hooks:\n    - id: undertow-scan\n      args: [--students, base]"),
        ("toml", "# plan.toml\nmethod = 'lora'\nmax_step = 3"),
        ("yaml", "# sft.yaml\nlearning_rat: 2.0e-4\n"),
    ],
)
def test_wrong_configuration_would_be_seen(kind: str, text: str, tmp_path: Path) -> None:
    """The check itself: each of these has a fault."""
    block = Block(kind, text)

    assert file_faults(block, tmp_path) if block.file else configuration_faults(block)
