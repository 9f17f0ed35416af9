"""The pages of the site that the code itself writes: verbs, files, documents, checks and the Python API; a hook of mkdocs."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel

from undertow.checks.registry import registered
from undertow.cli.terminal import EXIT_CODES
from undertow.cli.verbs import VERBS
from undertow.cli.verbs import undertow as command_line
from undertow.data.plan import TrainingPlan
from undertow.lab.experiment import Experiment
from undertow.policy.rules import Policy
from undertow.provenance.trust import TrustFile
from undertow.report.check_page import CheckPage, check_page
from undertow.results.model_documents import DiffDocument, LineageDocument
from undertow.results.provenance_documents import GateDocument, VerifyDocument
from undertow.results.run_document import RunDocument
from undertow.results.scan_document import FormerScanDocument, ScanDocument
from undertow.traits.trait_file import TopicFile, TraitFile

ROOT = Path(__file__).parent.parent

CONFIGURATION: dict[str, tuple[str, str, tuple[type[BaseModel], ...]]] = {
    "plan": (
        "Plan",
        "How you would train: `--plan FILE` of `scan`, `changed` and `diff`, and the tables `student` and `teacher.plan` of "
        "an experiment. A trainer's own file does as well: [plans](../plans.md).",
        (TrainingPlan,),
    ),
    "experiment": (
        "Experiment",
        "What `undertow run FILE.toml` runs. How to write one: [the lab](../lab.md).",
        (Experiment,),
    ),
    "trait": (
        "Trait",
        "A category of answers, or topics with answers in sentences: `--traits FILE.toml`, and an experiment's `trait`. How "
        "to write one: [the lab](../lab.md#your-own-trait).",
        (TraitFile, TopicFile),
    ),
    "policy": (
        "Policy",
        "What `undertow gate --policy FILE` enforces, in TOML or YAML. How to choose one: [policy](../policy.md).",
        (Policy,),
    ),
    "trust": (
        "Trust file",
        "Whose keys may say what: `--trust FILE`. How it is used: [provenance](../provenance.md#the-trust-file).",
        (TrustFile,),
    ),
}
"""Every kind of configuration file: its title, what it is for, and its tables."""

DOCUMENTS: dict[str, tuple[type[BaseModel], str]] = {
    "scan-2": (ScanDocument, "`undertow scan` leaves it as `scan.json`."),
    "diff-1": (DiffDocument, "`undertow diff` leaves it as `diff.json`."),
    "lineage-1": (LineageDocument, "`undertow lineage` leaves it as `lineage.json`."),
    "run-1": (RunDocument, "`undertow run` leaves it as `results.json`."),
    "verify-1": (VerifyDocument, "`undertow verify --out FILE.json` writes it."),
    "gate-1": (GateDocument, "`undertow gate` leaves it as `gate.json`."),
    "scan-1": (FormerScanDocument, "Scans of before: they are read, and written no more."),
}
"""Every stored document: its form, and where it comes from."""

API = {
    "verbs": (
        "Scan, diff and gate",
        [
            "undertow.integrations.notebook_results",
            "undertow.audit.requests.ScanRequest",
            "undertow.audit.requests.DiffRequest",
        ],
    ),
    "results": ("Stored results", ["undertow.results.store", "undertow.results.measurement"]),
    "models": (
        "Models and traits",
        ["undertow.models.language_model", "undertow.traits.catalogue"],
    ),
    "training": (
        "During training",
        [
            "undertow.integrations.trainer_callbacks",
            "undertow.mitigate.training.interventions",
            "undertow.mitigate.training.penalties",
        ],
    ),
    "pipelines": (
        "In pipelines",
        [
            "undertow.integrations.row_screen",
            "undertow.integrations.pipeline_verdict",
            "undertow.integrations.datasets_map",
            "undertow.integrations.datatrove_step",
            "undertow.integrations.tracking",
        ],
    ),
    "checks": (
        "A check of your own",
        ["undertow.checks.dataset.scan_subject", "undertow.checks.registry"],
    ),
    "errors": ("Errors", ["undertow.errors"]),
}
"""Pages of the Python API, by what a reader wants to do."""

PROJECT = {
    "CONTRIBUTING.md": "project/contributing.md",
    "LOG.md": "project/log.md",
    "CHANGELOG.md": "project/changes.md",
    "SECURITY.md": "project/security.md",
}
"""Pages that lie outside docs/, and where the site has them."""

NOTEBOOKS = ROOT / "docs" / "notebooks"

LINK = re.compile(r"(?<=\]\()([^)\s:#]+)(?=[)#])")


def pages() -> dict[str, str]:
    """Every generated page, Markdown by its place in the site."""
    return {
        "reference/verbs/index.md": verbs(),
        **{f"reference/verbs/{name}.md": verb(name) for name in VERBS},
        "reference/exit-codes.md": exit_codes(),
        "reference/checks.md": checks(),
        **{f"reference/{name}.md": configuration(name) for name in CONFIGURATION},
        **{f"reference/documents/{name}.md": document(name) for name in DOCUMENTS},
        **{f"reference/python/{name}.md": api(name) for name in API},
        **{
            f"notebooks/{path.stem}.md": notebook(path)
            for path in sorted(NOTEBOOKS.glob("*.ipynb"))
        },
    }


# --- verbs


def verbs() -> str:
    """The table of all verbs."""
    lines = ["# Verbs", "", "`undertow VERB --help` says the same in the terminal.", ""]
    for name in VERBS:
        summary = plain((_command(name).help or "").strip().split("\n\n")[0])
        lines += [f"[`undertow {name}`]({name}.md)", f":   {summary}", ""]
    return "\n".join(lines)


def verb(name: str) -> str:
    """The page of a verb: usage, what it does, every option; the same of each verb below it."""
    command = _command(name)
    lines = [f"# undertow {name}", ""]
    lines += _described(command, f"undertow {name}")
    if isinstance(command, click.Group):
        for below in command.commands.values():
            path = f"undertow {name} {below.name}"
            lines += [f"## {path} {{ #{below.name} }}", "", *_described(below, path)]
    lines += ["", "What the exit code means: [exit codes](../exit-codes.md)."]
    return "\n".join(lines)


def _command(name: str) -> click.Command:
    command = command_line.get_command(click.Context(command_line, info_name="undertow"), name)
    assert command is not None
    return command


def every_command() -> Iterator[tuple[str, str, click.Command]]:
    """Each verb, and each verb below it: the page that it stands on, its words, and itself."""
    for name in VERBS:
        command = _command(name)
        yield f"reference/verbs/{name}.md", f"undertow {name}", command
        for below in getattr(command, "commands", {}).values():
            yield f"reference/verbs/{name}.md", f"undertow {name} {below.name}", below


def _described(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("```text", f"{path} {usage}".rstrip(), "```", "")
    for paragraph in inspect.cleandoc(command.help or "").replace("\b", "").split("\n\n"):
        yield from (plain(" ".join(paragraph.split())), "")
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield from _option(parameter, context)


def _option(option: click.Option, context: click.Context) -> Iterator[str]:
    record = option.get_help_record(context)
    names = ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag or option.count else option.make_metavar(context)
    said = plain(record[1] if record else option.help or "")
    place = option.opts[-1].lstrip("-")
    yield from (
        f'<span id="{context.info_name.split()[-1]}--{place}"></span>{names}{f" *`{value}`*" if value else ""}',
        f":   {said}",
        "",
    )


def exit_codes() -> str:
    """The table of exit codes."""
    rows = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(
        [
            "# Exit codes",
            "",
            "The same for every verb, so that CI can go by them.",
            "",
            "| code | meaning |",
            "|---|---|",
            *rows,
            "",
            "Where several apply: 2 > 3 > 1 > 4 > 5.",
            "`--fail-on` says from which verdict on the code is 1, `--allow-undecided` makes 5 a 0.",
        ]
    )


def checks() -> str:
    """The pages of all checks, as `undertow explain` prints them."""
    lines = [
        "# Checks",
        "",
        "A check of kind *transfer* judges; one of kind *evidence* says what can be detected, and never judges.",
        "`undertow explain CHECK` prints the same.",
        "",
    ]
    for entry in registered().values():
        lines += _check(check_page(entry.id), entry.about)
    return "\n".join(lines)


def _check(page: CheckPage, about: str) -> Iterator[str]:
    yield from (f"## {page.id}", "", f"*{page.kind}, of a {about}.* {sentence(page.summary)}", "")
    for paragraph in page.introduction:
        yield from (plain(paragraph), "")
    for heading, paragraphs in page.sections:
        yield from (f"**{heading}.**", "")
        for paragraph in paragraphs:
            # A paragraph with line breaks is a list or a formula, and keeps them.
            yield from ("  \n".join(plain(line) for line in paragraph.splitlines()), "")


# --- files and documents


def configuration(name: str) -> str:
    """The page of a kind of configuration file: every table with every key."""
    title, purpose, models = CONFIGURATION[name]
    elsewhere = {TrainingPlan: "plan.md"} if name != "plan" else {}
    return "\n".join([f"# {title}", "", purpose, "", *_tables(models, elsewhere, aliases=False)])


def document(name: str) -> str:
    """The page of a stored document: every part with every key, and its JSON Schema."""
    model, source = DOCUMENTS[name]
    lines = [
        f"# undertow.{name.replace('-', '/')}",
        "",
        source,
        f"Its JSON Schema: [`{name}.json`](../../schema/{name}.json); within a version, keys are only added.",
        "How to read it: [results](../../results.md).",
        "",
    ]
    return "\n".join([*lines, *_tables((model,), {}, aliases=True)])


def _tables(
    models: Sequence[type[BaseModel]], elsewhere: dict[type[BaseModel], str], *, aliases: bool
) -> Iterator[str]:
    known = _reachable(models, set(elsewhere))
    names = {
        model.__name__: f"[{path.rpartition(': ')[2] or 'the file'}](#{model.__name__.lower()})"
        for model, path in known.items()
    }
    names |= {model.__name__: f"[{page[:-3]}]({page})" for model, page in elsewhere.items()}
    for model, path in known.items():
        yield from (f"## {path or 'The file'} {{ #{model.__name__.lower()} }}", "")
        yield from (sentence(prose(inspect.cleandoc(model.__doc__ or ""))), "")
        schema = model.model_json_schema(by_alias=True)
        said = _said(model)
        for key, field in model.model_fields.items():
            shown = (field.alias if aliases or key.endswith("_") else None) or key
            about = schema["properties"][field.alias or key]
            needed = field.is_required() or (field.alias == "schema" and aliases)
            yield f"`{shown}`"
            yield f":   <small>{_kind(about, names)}{_default(about, needed)}</small>"
            yield from (f"    <br>{prose(said[key])}" if key in said else "", "")


def _reachable(
    models: Sequence[type[BaseModel]], without: set[type[BaseModel]]
) -> dict[type[BaseModel], str]:
    """Every table, the outermost first, with the keys that lead to it."""
    known: dict[type[BaseModel], str] = {}
    waiting = [(model, "" if len(models) == 1 else model.__name__) for model in models]
    while waiting:
        model, path = waiting.pop(0)
        if model in known or model in without:
            continue
        kind = model.model_fields.get("kind")
        named = get_args(kind.annotation) if kind and kind.is_required() else ()
        known[model] = f"{path}: {named[0]}" if len(named) == 1 else path
        for key, field in model.model_fields.items():
            below = f"{path}.{key}" if path and model not in models else key
            waiting += [(each, below) for each in _models(field.annotation)]
    return known


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _said(model: type[BaseModel]) -> dict[str, str]:
    """The docstring under each field, those of its parents included."""
    said: dict[str, str] = {}
    for kind in reversed([each for each in model.__mro__ if issubclass(each, BaseModel)]):
        if kind.__module__.startswith("undertow."):
            body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
            for field, after in pairwise(body):
                text = after.value if isinstance(after, ast.Expr) else None
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Constant):
                    said[ast.unparse(field.target)] = inspect.cleandoc(str(text.value))
    return said


_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minItems": "{} or more",
    "pattern": "like `{}`",
}


def _kind(schema: dict[str, Any], names: dict[str, str]) -> str:
    """What a key takes, in words."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return names.get(name, "table")
    choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if choices:
        words = [_kind(each, names) for each in choices if each.get("type") != "null"]
        words = [each for each in words if '"NaN"' not in each] or words
        return " or ".join(dict.fromkeys(words))
    if "enum" in schema or "const" in schema:
        return " or ".join(
            f"`{json.dumps(each)}`" for each in schema.get("enum", [schema.get("const")])
        )
    bounds = [text.format(_number(schema[key])) for key, text in _BOUNDS.items() if key in schema]
    kind = _KINDS.get(schema.get("type", ""), "anything")
    if schema.get("type") == "array":
        kind, bounds = f"list of {_kind(schema.get('items') or {}, names)}", bounds[:1]
        if "prefixItems" in schema:
            kind = "list of " + ", ".join(_kind(each, names) for each in schema["prefixItems"])
            bounds = []
    elif schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        kind = f"table of {_kind(inner, names)} by name" if isinstance(inner, dict) else "table"
    return ", ".join([kind, *bounds])


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _default(schema: dict[str, Any], needed: bool) -> str:
    if needed:
        return " · **required**"
    value = schema.get("default")
    # None and tables say nothing that their own keys do not say better.
    return (
        ""
        if value in (None, [], {}, "") or isinstance(value, dict)
        else f" · default `{json.dumps(value)}`"
    )


# --- the Python API


def api(name: str) -> str:
    """A page of the Python API, which mkdocstrings fills from docstrings and annotations."""
    title, modules = API[name]
    return "\n\n".join([f"# {title}", *(f"::: {module}" for module in modules)])


# --- notebooks


def notebook(path: Path) -> str:
    """An executed notebook as a page: its words, its code, and what each cell gave."""
    told = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        told += [text] if cell["cell_type"] == "markdown" else [f"````python\n{text}\n````"]
        for output in cell.get("outputs", []):
            told += [_output(output)]
    return "\n\n".join(told)


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        # Lines without a blank one between them: Markdown takes the whole for one piece of HTML.
        html = re.sub(r"\n\s*\n", "\n", "".join(data["text/html"]))
        return f'<div class="notebook-output">{html}</div>'
    if "image/png" in data:
        return (
            f'<img alt="output" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
        )
    text = "".join(output.get("text", data.get("text/plain", output.get("traceback", []))))
    return f"````text\n{text.rstrip()}\n````"


# --- text


def plain(text: str) -> str:
    """Text of a terminal, in which nothing is markup."""
    return re.sub(
        r"([\\*_\[\]])", r"\\\1", " ".join(text.split()) if "\n" not in text else text
    ).replace("<", "&lt;")


def prose(text: str) -> str:
    """A docstring on one line: its backquotes stay."""
    return " ".join(text.split()).replace("<", "&lt;")


def sentence(text: str) -> str:
    """With its first letter in upper case and an end."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(("?", ".")) else ".")


# --- the hook


def on_config(config: MkDocsConfig) -> None:
    """Fill the places of the navigation that end in `/*` with the generated pages there."""
    generated = pages()

    def filled(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {title: filled(below) for title, below in entry.items()}
        if isinstance(entry, list):
            return [each for below in entry for each in _each(filled(below))]
        if isinstance(entry, str) and entry.endswith("/*"):
            return [page for page in generated if page.startswith(entry[:-1])]
        return entry

    config.nav = filled(config.nav)
    config.extra["generated"] = generated


def _each(entry: Any) -> list[Any]:
    return entry if isinstance(entry, list) else [entry]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and each file outside docs/ that a page links to."""
    for place, text in config.extra["generated"].items():
        files.append(File.generated(config, place, content=text))
    for name in linked_files():
        files.append(File.generated(config, place_of(name), content=_as_page(name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links lead to where the site has what they name in the repository."""
    place = page.file.src_uri
    # `sh runnable` is for the tests, and no language.
    markdown = re.sub(r"^( *```\w+) runnable$", r"\1", markdown, flags=re.MULTILINE)
    outside = {place_of(name): ROOT / name for name in linked_files()}
    origin = outside.get(place, ROOT / "docs" / place)
    if place.startswith("reference/") or origin.suffix != ".md":
        return markdown

    def rewritten(match: re.Match[str]) -> str:
        name = _in_repository(origin, match[1])
        return os.path.relpath(place_of(name), Path(place).parent) if name else match[1]

    return LINK.sub(rewritten, markdown)


def place_of(name: str) -> str:
    """Where the site has a file of the repository."""
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    if name == "README.md":
        return "index.md"
    return PROJECT.get(name, f"project/files/{name.removesuffix('.md')}.md")


@cache
def linked_files() -> tuple[str, ...]:
    """The files outside docs/ that pages link to, directly or by others of them."""
    known = {*PROJECT}
    waiting = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in PROJECT)]
    while waiting:
        page = waiting.pop()
        targets = LINK.findall(page.read_text(encoding="utf-8")) if page.suffix == ".md" else []
        for name in {_in_repository(page, target) for target in targets} - known:
            if name and not name.startswith("docs/") and name != "README.md":
                known.add(name)
                waiting.append(ROOT / name)
    return tuple(sorted(known))


def _in_repository(page: Path, target: str) -> str | None:
    file = (page.parent / target).resolve()
    return str(file.relative_to(ROOT)) if file.is_file() and file.is_relative_to(ROOT) else None


def _as_page(name: str) -> str:
    text = (ROOT / name).read_text(encoding="utf-8")
    if name.endswith(".md"):
        return text
    kind = {".py": "python", ".toml": "toml", ".yml": "yaml"}.get(Path(name).suffix, "text")
    return f"# {Path(name).name}\n\n`{name}`\n\n````{kind}\n{text}````\n"


def on_page_content(html: str, **_: Any) -> str:
    """Options, and other short words of a command line, stay on one line: a browser breaks them behind a hyphen."""

    def with_options(block: re.Match[str]) -> str:
        return re.sub(r"(?<=[\s>])(--?[a-z][\w-]*)", r'<span class="whole">\1</span>', block[0])

    html = re.sub(r"<code>(?=[^<]{1,28}</code>)", '<code class="whole">', html)
    return re.sub(r'<div class="language-sh .*?</pre>', with_options, html, flags=re.DOTALL)


def on_post_build(config: MkDocsConfig) -> None:
    """
    Refuse a site with a link that leads nowhere, or with anything that a browser would fetch from elsewhere.

    Raises:
        PluginError: with every fault and its page.
    """
    if faults := site_faults(Path(config.site_dir)):
        raise PluginError("\n".join(["the site has faults:", *faults]))


def site_faults(site: Path) -> list[str]:
    """What is wrong with the built pages: lost links, addresses of the network, fences that were not understood."""
    read = {path: _Reading(path) for path in sorted(site.rglob("*.html"))}
    faults = []
    for path, reading in read.items():
        place = path.relative_to(site)
        faults += [f"{place}: '{each}' is fetched from elsewhere" for each in reading.fetched]
        faults += [f"{place}: a fence is not understood: {each}" for each in reading.fences]
        for link in reading.links:
            target, _, anchor = link.partition("#")
            # Of a page for whatever is not there nobody knows where it is shown: its links begin at the root.
            start = site if target.startswith("/") else path.parent
            file = (start / unquote(target).lstrip("/")).resolve() if target else path
            if not file.is_file():
                faults.append(f"{place}: '{link}' leads to no file")
            elif anchor and file in read and unquote(anchor) not in read[file].anchors:
                faults.append(f"{place}: '{link}' leads to no heading")
    styles = [
        path for path in site.rglob("*.css") if re.search(r"url\(\W*(https?:)?//", path.read_text())
    ]
    return faults + [f"{path.relative_to(site)}: asks for an address" for path in styles]


class _Reading(HTMLParser):
    """What a page has and wants."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = {"", "__top"}
        self.fences: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take its links and its name."""
        of = {name: value or "" for name, value in attrs}
        self.anchors |= {of[name] for name in ("id", "name") if name in of}
        for address in (of[name] for name in ("href", "src") if name in of):
            if not re.match(r"[a-z]+:|//", address):
                self.links.append(address)
            elif tag != "a" and not address.startswith("data:"):
                self.fetched.append(address)

    def handle_data(self, data: str) -> None:
        """Notice what should have been a block."""
        self.fences += re.findall(r"^ *```.*", data, re.MULTILINE)
