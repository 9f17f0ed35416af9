"""What README and the other pages say is true: verbs, exit codes, commands, links, rooms."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

import undertow
from docs.generate import CONFIGURATION, every_command, pages
from undertow.cli.terminal import EXIT_CODES
from undertow.cli.verbs import VERBS
from undertow.cli.verbs import undertow as command_line

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GENERATED = pages()
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("changelog.d/*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("bench/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
)
OF_NOW = [page for page in PAGES if page.parent.name != "changelog.d" and page.name != "LOG.md"]
"""Pages that say what is, not what was."""
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHEAP = {"--help", "--version", "experiments", "traits", "worlds", "checks", "explain"}
FRAGMENT = re.compile(r"\d+\.(added|changed|fixed|removed|security)(\.\d+)?\.md")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@dataclass(frozen=True)
class Shown:
    """One command line in a fenced `sh` block of a page."""

    page: str
    words: tuple[str, ...]
    runnable: bool

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def commands(page: Path) -> Iterator[Shown]:
    """The commands in the page's `sh` blocks, those of lists too, continued lines joined, comments and variables left out."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for info, block in re.findall(
        r"^ *```sh( runnable)?\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE
    ):
        for line in block.splitlines():
            if words := shlex.split(line, comments=True):
                yield Shown(str(page.relative_to(ROOT)), tuple(words), bool(info))


def prose(page: Path) -> str:
    """The page without its fenced blocks, where brackets are no links."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    """The targets of the page's links that lead into this repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """What `#...` may name in a page: its headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_usage(words: list[str]) -> None:
    """
    Parse a command line of undertow without running it or looking at its files.

    Raises:
        click.UsageError: for an unknown verb, option or choice, or an argument or a required option that is missing.
    """
    words = list(words)
    context = click.Context(command_line, info_name="undertow")
    command: click.Command = command_line
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no verb '{name}'")
        command = found
        context = click.Context(command, parent=context, info_name=name)
    values, *_ = command.make_parser(context).parse_args(args=words)
    for parameter in command.params:
        value = values.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)
        given = isinstance(value, str | tuple | list) and bool(value)
        if parameter.required and not given:
            raise click.UsageError(f"no {parameter.name}")


SHOWN = [each for page in PAGES for each in commands(page)]


def mentions(page: Path) -> Iterator[str]:
    """Every command line of undertow outside `sh` blocks: in other blocks, whatever stands before it, and in prose."""
    text = page.read_text(encoding="utf-8")
    for info, block in re.findall(r"^ *```(.*)\n((?:.*\n)*?) *```$", text, re.MULTILINE):
        if not info.startswith(("sh", "python", "toml")):
            yield from re.findall(
                r"^(?:.*(?:run:|\$|help:) )?(undertow [a-z].*)", block, re.MULTILINE
            )
    yield from re.findall(r"`(undertow [a-z-][^`]*)`", prose(page))


def check_words(line: str) -> None:
    """
    Know the verbs and options of a line that may leave words out, or name several with bars between them.

    Raises:
        click.UsageError: for an unknown verb or option.
    """
    context = click.Context(command_line, info_name="undertow")
    commands: list[click.Command] = [command_line]
    for word in re.sub(r"(\[|\]|\.\.\.)", " ", line).split()[1:]:
        groups = [each for each in commands if isinstance(each, click.Group)]
        if word.startswith("--"):
            known = {name for each in commands for each_of in each.params for name in each_of.opts}
            if word.split("=")[0].rstrip(",;") not in known | {"--help"}:
                raise click.UsageError(f"no option '{word}'")
        elif groups and re.fullmatch(r"[a-z|…]+", word):
            names = [name for name in word.split("|") if name != "…"]
            below = [group.get_command(context, name) for name in names for group in groups]
            if None in below:
                raise click.UsageError(f"no verb '{word}'")
            commands = [each for each in below if each is not None]


@pytest.mark.parametrize("page", OF_NOW, ids=lambda page: str(page.relative_to(ROOT)))
def test_mentioned_commands_are_understood(page: Path) -> None:
    """Whatever a page calls a command of undertow has a verb and options that there are, in prose as well."""
    faults = []
    for line in mentions(page):
        try:
            check_words(line)
        except click.UsageError as error:
            faults.append(f"{line}: {error.format_message()}")

    assert faults == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_readme(verb: str) -> None:
    """README's table has a row for each verb."""
    assert re.search(rf"^\| `undertow {verb}\b", README, re.MULTILINE)


@pytest.mark.parametrize("row", re.findall(r"^\| `undertow (.*?)` \|", README, re.MULTILINE))
def test_rows_of_the_readme_can_be_typed(row: str) -> None:
    """A verb stands in README's table with every argument and option that it does not go without."""
    words = re.sub(r"\[.*?\]", "", row.replace("\\|", "|")).split()
    command = command_line.get_command(click.Context(command_line), words[0])
    assert command is not None
    if not isinstance(command, click.Group):
        chosen = [word if word.startswith("-") else word.split("|")[0] for word in words]
        stands_for = {"NAME": "default", "M": "drop-sources"}
        check_usage([stands_for.get(word, word) for word in chosen])


def test_the_table_of_exit_codes_is_the_programs() -> None:
    """README lists exactly the exit codes there are, with their meanings."""
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", README, re.MULTILINE)

    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_the_tree_shows_the_rooms_there_are() -> None:
    """The page on the architecture names every room under src/undertow, each with a comment, and no other."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = page.split("```text\nsrc/undertow/\n")[1].split("```")[0]
    shown = set(re.findall(r"^    (\w+)(?:/|\.py) +\S", tree, re.MULTILINE))
    package = Path(undertow.__file__).parent

    assert shown == {
        path.stem for path in package.iterdir() if not path.name.startswith(("__", "py."))
    }


@pytest.mark.parametrize("shown", [each for each in SHOWN if each.words[0] == "undertow"], ids=str)
def test_shown_commands_are_understood(shown: Shown) -> None:
    """Every command in a page parses: its verb, its options and their choices exist."""
    try:
        check_usage(list(shown.words[1:]))
    except click.UsageError as error:
        pytest.fail(f"{shown}: {error.format_message()}")


@pytest.mark.parametrize("shown", [each for each in SHOWN if each.words[0] == "make"], ids=str)
def test_shown_targets_exist(shown: Shown) -> None:
    """Every `make` target in a page is one of the Makefile's."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    wanted = {word for word in shown.words[1:] if "=" not in word}

    assert {word for word in wanted if not word.startswith("bench-")} <= targets


@pytest.mark.parametrize("shown", [each for each in SHOWN if each.runnable], ids=str)
def test_runnable_commands_run(shown: Shown, tmp_path: Path) -> None:
    """A command in a block marked runnable succeeds and prints something."""
    assert shown.words[0] == "undertow"
    assert shown.words[1] in CHEAP

    done = subprocess.run(
        [sys.executable, "-m", *shown.words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, bool(done.stdout)) == (0, True), done.stderr


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file that exists, and a heading that it has."""
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if file.is_relative_to(DOCS) and str(file.relative_to(DOCS)) in GENERATED:
            continue  # of the site; its build looks at the headings
        assert file.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(file), f"{target}: no such heading"


def test_links_are_in_words() -> None:
    """A page of the site is linked by what it is about; there are no files to look for."""
    named = {
        f"{page.name}: {text}"
        for page in DOCS.rglob("*.md")
        for text in re.findall(r"\[`?([\w./-]+\.md)`?\]\(", prose(page))
    }

    assert named == set()


NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_tests_that_a_page_names_exist() -> None:
    """Whoever is told which test would see a fault finds it."""
    named = {pair for page in PAGES for pair in NAMED.findall(page.read_text(encoding="utf-8"))}
    lost = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if f"\ndef {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]

    assert len(named) > 20
    assert lost == []


def test_every_page_of_docs_is_in_the_navigation() -> None:
    """Nobody has to find a page by listing folders: the site's navigation names each, and README its beginning."""
    navigation = set(re.findall(r"([\w/.-]+\.md)$", SITE.partition("\nnav:")[2], re.MULTILINE))

    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} <= navigation
    assert "docs/index.md" in links(ROOT / "README.md")


def test_the_reference_has_every_verb_and_option() -> None:
    """The site's pages of verbs hold each verb with all of its options, argument names and their help."""
    for page, _, command in every_command():
        text = GENERATED[page]
        context = click.Context(command, info_name=command.name)
        lost = [
            name
            for parameter in command.params
            for name in parameter.opts
            if isinstance(parameter, click.Option) and f"`{name}`" not in text
        ]
        usage = " ".join(command.collect_usage_pieces(context))

        assert f"{command.name} {usage}".strip() in text, page
        assert lost == [], page


def test_the_reference_has_every_key_of_every_file() -> None:
    """The site's pages of configuration files hold each key of the outermost tables."""
    for name, (_, _, models) in CONFIGURATION.items():
        keys = {field.alias or key for model in models for key, field in model.model_fields.items()}

        assert [key for key in keys if f"`{key}`" not in GENERATED[f"reference/{name}.md"]] == []


def test_the_reference_has_every_published_schema() -> None:
    """Each JSON Schema in docs/schema has a page."""
    written = {path.stem for path in (DOCS / "schema").iterdir()}

    assert {f"reference/documents/{stem}.md" for stem in written} <= set(GENERATED)


def test_news_fragments_are_named_for_their_kind() -> None:
    """A fragment is `ID.TYPE.md`, so that a release can sort them."""
    names = {path.name for path in (ROOT / "changelog.d").iterdir()} - {"README.md"}

    assert [name for name in names if not FRAGMENT.fullmatch(name)] == []


@pytest.mark.parametrize(
    "words",
    [
        ["scam"],
        ["run"],
        ["run", "owl", "--sead", "1"],
        ["report", "x", "--format", "pdf"],
        ["worlds", "paint"],
        ["gate", "rows.jsonl", "--student", "base", "--policy", "default"],
        ["scan", "rows.jsonl"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_would_be_seen(words: list[str]) -> None:
    """The parsing test itself: a wrong verb, option or choice, a missing argument or required option is refused."""
    with pytest.raises(click.UsageError):
        check_usage(words)
