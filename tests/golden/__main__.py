"""
The golden set by hand: `python -m tests.golden make DIR | write | compare [--exact] [--against DIR]`.

`compare --exact` is for the machine that wrote the set, after each move of code. It plays the scenes anew and
compares byte for byte. `make DIR` leaves the pages (HTML) too, which are not kept in the repository;
`compare --exact --against DIR` compares with them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import click

from tests.golden.comparing import exactly, nearly
from tests.golden.playing import NOT_KEPT, play, settle

KEPT = Path(__file__).parent / "kept"
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def golden() -> None:
    """Documents of every verb on the embedded world."""


@golden.command()
@click.argument("folder", type=_FOLDER)
def make(folder: Path) -> None:
    """Play all scenes and leave what they give in FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        play(folder.resolve(), Path(work))


@golden.command()
@click.pass_context
def write(context: click.Context) -> None:
    """Play all scenes and keep what they give, pages aside."""
    with tempfile.TemporaryDirectory() as made:
        context.invoke(make, folder=Path(made))
        shutil.rmtree(KEPT, ignore_errors=True)
        shutil.copytree(made, KEPT, ignore=shutil.ignore_patterns(*NOT_KEPT))


@golden.command()
@click.option("--exact", is_flag=True, help="Byte for byte.")
@click.option(
    "--against", type=_FOLDER, default=KEPT, help="What `make` left; the kept set if not given."
)
@click.pass_context
def compare(context: click.Context, exact: bool, against: Path) -> None:
    """Play all scenes and say where they differ; exit code 1 if anywhere."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        against = against.resolve()
        context.invoke(make, folder=made)
        found = {
            path.name: differences(path, made / path.name, exact)
            for path in sorted(against.iterdir())
        }
    for name, lines in found.items():
        if lines:
            click.echo("\n".join([f"== {name}", *lines]))
    differing = sum(map(bool, found.values()))
    click.echo(f"{len(found) - differing} of {len(found)} documents are the same")
    sys.exit(1 if differing else 0)


def differences(was: Path, now: Path, exact: bool) -> list[str]:
    """Between two files, by either way."""
    if not now.exists():
        return ["is not made any more"]
    return exactly(was, now) if exact else nearly(was, now)


if __name__ == "__main__":
    settle()
    golden()
