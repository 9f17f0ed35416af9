"""`undertow changed`: a scan of each data file that changed, for CI and pre-commit; one SARIF log and one summary of all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from undertow.cli import scan
from undertow.cli.columns_option import ColumnsCommand
from undertow.cli.terminal import Session, describe, one_line, typed_line
from undertow.cli.verdict_options import PathHere, made_folder
from undertow.errors import InputError, UndertowError

if TYPE_CHECKING:
    from undertow.results.scan_document import AnyScan

SARIF, SUMMARY = "changed.sarif", "changed.md"
MARK = "<!-- undertow changed -->"
"""The summary's first line, by which a comment is found again and replaced."""

_DATA = re.compile(r"\.(jsonl|ndjson|csv|tsv|parquet|arrow)(\.(gz|zst))?$", re.IGNORECASE)
"""Names of data files; `.json` is named by whoever has rows in it, as most of it is something else."""

_PRECEDENCE = (2, 3, 1, 4, 5)
_NO_COMMIT = re.compile("0{40,64}")
"""What a push event names as the commit before a branch that is new."""

_MOST_CHARACTERS = 60_000
"""Of the summary: a comment holds 65,536."""

_NOT_FOR_EACH = (
    *("data", "out", "row_scores", "scored_by", "dry_run", "machine", "keys", "public_key"),
)
"""Of `undertow scan`: what is said of one file, and what goes with that alone."""


@dataclass(frozen=True)
class ChangedFile:
    """One file, scanned."""

    path: str
    code: int
    """Exit code of its scan."""
    document: AnyScan | None
    error: str = ""
    """Where there is no document."""


@click.command(
    name="changed",
    cls=ColumnsCommand,
    params=[p for p in scan.command.params if p.name not in _NOT_FOR_EACH],
)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--since", metavar="COMMIT", help="Scan the data files that changed since this commit."
)
@click.option(
    "--paths",
    multiple=True,
    metavar="PATTERN",
    help="With --since, only files of this git pathspec, whatever they are called; may be given again.",
)
@click.option(
    "--out",
    type=PathHere(file_okay=False, path_type=Path),
    default=Path("undertow-scans"),
    show_default=True,
    metavar="DIR",
    help=f"Where a folder for each file, {SARIF} and {SUMMARY} go.",
)
@click.pass_context
def command(
    context: click.Context,
    /,
    files: tuple[str, ...],
    since: str | None,
    paths: tuple[str, ...],
    out: Path,
    **options: Any,
) -> None:
    """
    Scan each data file that changed, by itself.

    FILEs are named (pre-commit does), or found by git: those that were added or changed since a commit. The options
    that follow are those of `undertow scan`, for each of them. A file that cannot be scanned does not keep the others from it. The exit code is
    the most severe, in the order 2 > 3 > 1 > 4 > 5; 0 where no data file changed.
    """
    if paths and since is None:
        raise click.UsageError("--paths goes with --since")
    if not files and since is None:
        # Nothing was looked for, which is no "nothing changed".
        raise click.UsageError("no FILE is named, and no --since COMMIT; allowed: either, or both")
    named = [*files, *(changed_since(since, paths) if since is not None else ())]
    results = [_scanned(context, path, out, options) for path in dict.fromkeys(named)]
    text = summary(results)
    _leave(out, results, text)
    click.echo(text if results else "no data file changed")
    codes = {result.code for result in results}
    context.exit(next((code for code in _PRECEDENCE if code in codes), 0))


def changed_since(commit: str, paths: Sequence[str]) -> list[str]:
    """
    Data files that were added or changed since a commit, or since where the branch left it, as git names them from here.

    Raises:
        InputError: this is no repository, it lacks the commit, or none is named.
    """
    if not commit:
        raise InputError(
            "--since is empty, so there is no commit to compare with; allowed: a commit, a branch or a tag",
            hint="--since main; the action's input 'since', where the event names no commit (schedule, workflow_dispatch)",
        )
    _git("rev-parse", "--git-dir", hint=_NO_REPOSITORY)
    if _NO_COMMIT.fullmatch(commit):
        since = _git("hash-object", "-t", "tree", os.devnull).strip()
    else:
        since = _git(
            *("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"),
            missing=f"no commit '{commit}' here",
        ).strip()
        since = _git("merge-base", since, "HEAD", otherwise=since).strip()
    chosen = ["--", *paths] if paths else ["--"]
    listed = _git("diff", "--name-only", "-z", "--relative", "--diff-filter=d", since, *chosen)
    names = [name for name in listed.split("\0") if name]
    return [name for name in names if paths or _DATA.search(name)]


_NO_REPOSITORY = "go to the repository that holds the data, or name the files: undertow changed FILE... --student MODEL"
_HISTORY = "name one that `git log --all` shows; in CI check out the whole history (actions/checkout: fetch-depth: 0)"


def _git(
    *words: str,
    otherwise: str | None = None,
    missing: str = "no such commit here",
    hint: str = _HISTORY,
) -> str:
    done = subprocess.run(["git", *words], capture_output=True, check=False)
    if done.returncode and otherwise is None:
        told = one_line(done.stderr.decode(errors="replace").strip()) or missing
        raise InputError(f"git {words[0]}: {told}", hint=hint)
    return otherwise if done.returncode and otherwise is not None else os.fsdecode(done.stdout)


def _scanned(context: click.Context, path: str, out: Path, options: dict[str, Any]) -> ChangedFile:
    from undertow.results.store import SCAN_FILE, read_scan

    folder = out / folder_name(path)
    # Never `-`, an address, or a name on the hub: a file of this name.
    local = path if os.path.isabs(path) else os.path.join(os.curdir, path)
    (folder / SCAN_FILE).unlink(missing_ok=True)
    click.echo(f"\n{one_line(path)}", err=True)
    try:
        context.invoke(scan.command, data=local, out=folder, **options)
        code = 0
    except click.exceptions.Exit as end:
        code = end.exit_code
    except UndertowError as error:
        session = context.find_object(Session) or Session()
        click.echo(describe(error, session, typed_line()).text(), err=True)
        return ChangedFile(path, error.exit_code, None, error.message)
    return ChangedFile(path, code, read_scan(folder / SCAN_FILE))


def folder_name(path: str) -> str:
    """
    A folder for a file, by its name, and by its whole path where names repeat.

    >>> folder_name("data/a b.jsonl")
    'a_b.jsonl-f8756b'
    """
    name = re.sub(r"[^\w.-]", "_", Path(path).name, flags=re.ASCII)[:100]
    return f"{name}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:6]}"


def _leave(out: Path, results: Sequence[ChangedFile], text: str) -> None:
    from undertow.data.files import atomic_write

    made_folder(out)
    atomic_write(out / SUMMARY, f"{MARK}\n{text}\n")
    atomic_write(out / SARIF, joined_sarif(results))


def joined_sarif(results: Sequence[ChangedFile]) -> str:
    """One log with a run for each file that was scanned, told apart by its category."""
    from undertow.report import render

    runs = []
    for result in results:
        if result.document is not None:
            log = json.loads(render(result.document, "sarif"))
            [run] = log["runs"]
            run["automationDetails"] = {"id": f"undertow/{folder_name(result.path)}/"}
            runs.append(run)
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": runs}, indent=2) + "\n"


def summary(results: Sequence[ChangedFile]) -> str:
    """Markdown: a table of all files, and each one's page folded, as far as a comment has room."""
    from undertow.report import render
    from undertow.report.markdown import code

    if not results:
        return "### undertow\n\nNo data file changed."
    rows = [
        f"| {code(result.path, cell=True)} | {_verdict(result)} | {_told(result)} |"
        for result in results
    ]
    text = "\n".join(["### undertow", "", "| file | verdict | |", "|---|---|---|", *rows])
    left = 0
    for result in results:
        if result.document is None:
            continue
        page = render(result.document, "markdown")
        fold = f"\n\n<details><summary>{_html(result.path)}</summary>\n\n{page}\n</details>"
        if len(text) + len(fold) > _MOST_CHARACTERS:
            left += 1
        else:
            text += fold
    note = (
        f"\n\n{left} pages are too long for this place; they lie beside the SARIF log."
        if left
        else ""
    )
    return text[:_MOST_CHARACTERS] + note


def _verdict(result: ChangedFile) -> str:
    return "not scanned" if result.document is None else f"**{result.document.verdict}**"


def _told(result: ChangedFile) -> str:
    from undertow.report.markdown import escaped

    said = result.error if result.document is None else result.document.conclusion
    return escaped(one_line(said))


def _html(text: str) -> str:
    import html

    # Nobody is mentioned by the name of a file.
    return html.escape(one_line(text)).replace("@", "&#64;")
