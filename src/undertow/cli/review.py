"""`undertow review`: can people see which rows carry the trait? A blinded pack, and its scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.columns_option import ColumnsCommand, columns_option
from undertow.cli.terminal import lines, one_line, tell_notes
from undertow.cli.verdict_options import PathHere
from undertow.errors import DataError, InputError

if TYPE_CHECKING:
    from undertow.data.rows import Row
    from undertow.review.review_pack import ReviewKey

FORMATS = ("text", "json")
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(name="review")
def command() -> None:
    """Let people try to see which rows carry the trait."""


@command.command(name="pack", cls=ColumnsCommand)
@click.argument("data_a", metavar="DATA_A")
@click.argument("data_b", metavar="DATA_B")
@click.option(
    "--out",
    required=True,
    type=PathHere(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the pack is written; new or empty.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="Pairs to draw.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="S",
    help="Seed of the draw and of the sides; drawn, and kept in the key, if not given.",
)
@columns_option
@click.option("--question", metavar="TEXT", help="What reviewers are asked, of every pair.")
@click.option(
    "--repeat",
    type=click.IntRange(min=0),
    default=0,
    metavar="R",
    help="Pairs shown a second time at the end, to see whether a reviewer agrees with themselves.",
)
@click.option(
    "--drop-shared", is_flag=True, help="Leave out rows that stand in both, instead of refusing."
)
def pack(
    data_a: str,
    data_b: str,
    out: Path,
    pairs: int,
    seed: int | None,
    columns: tuple[tuple[str, str], ...],
    question: str | None,
    repeat: int,
    drop_shared: bool,
) -> None:
    """
    Make a blinded pack of pairs, one row from each dataset.

    DATA_A is what reviewers should find, the trait teacher's rows; DATA_B is the control. Rows are paired by
    prompt as far as both hold the same prompts. Reviewers get review.html or review.csv, never key.json.
    """
    import secrets

    from undertow.data.dataset import open_dataset
    from undertow.data.files import atomic_write
    from undertow.data.records import read_rows
    from undertow.report.review_page import render_csv, render_page
    from undertow.review.review_pack import QUESTION, Named, blinded, key_json

    _refuse_same([data_a, data_b])
    tell_notes(data_a, data_b)
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"'{out}' is not empty; allowed: a new or an empty directory")

    def read(data: str) -> tuple[Row, ...]:
        # The control may have columns of its own.
        named = replace(open_dataset(data), columns=columns, columns_optional=data == data_b)
        return tuple(read_rows(named))

    sheet, key = blinded(
        *(Named(data, read(data)) for data in (data_a, data_b)),
        pairs=pairs,
        # A default that anyone could look up would tell reviewers the sides.
        seed=secrets.randbelow(2**32) if seed is None else seed,
        question=QUESTION if question is None else question,
        repeat=repeat,
        drop_shared=drop_shared,
    )
    out.mkdir(parents=True, exist_ok=True)
    atomic_write(out / "review.html", render_page(sheet))
    # Excel takes a file without the mark for one in the encoding of its country.
    atomic_write(out / "review.csv", "\ufeff" + render_csv(sheet))
    atomic_write(out / "key.json", key_json(key))
    click.echo(lines(_told(out, key)))
    warning = f"warning: {out / 'key.json'} says which side is which; keep it from reviewers"
    click.echo(one_line(warning), err=True)


@command.command(name="score")
@click.argument("answers", nargs=-1, required=True, type=_FILE, metavar="ANSWERS.csv...")
@click.option(
    "--key", "key_file", required=True, type=_FILE, metavar="key.json", help="The pack's key."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="What to print.",
)
def score(answers: tuple[Path, ...], key_file: Path, form: str) -> None:
    """
    Score reviewers' answers, one file a reviewer.

    A file is the page's answers.csv, or review.csv with its last column filled in: left, right or unsure.
    """
    from undertow.data.seeds import generator
    from undertow.report.review_page import render_score
    from undertow.review.review_pack import read_answers, read_key
    from undertow.review.review_score import review_json
    from undertow.review.review_score import score as scored

    _refuse_same(answers)
    key = read_key(key_file)
    given = [read_answers(path, key) for path in answers]
    review = scored(key, given, generator(key.seed, "review", "score"))
    # JSON is escaped as it is, and a file name in it must stay what it was.
    shown = lines(render_score(review)) if form == "text" else review_json(review)
    click.echo(shown, nl=False)


def _told(out: Path, key: ReviewKey) -> str:
    from undertow.report.plain_text import percent
    from undertow.review.review_score import detectable_accuracy

    pairs = len(key.judged)
    matched = sum(pair.matched for pair in key.judged)
    repeated = len(key.pairs) - pairs
    told = [f"{key.pack}: {pairs} pairs, {matched} of them of the same prompt, {repeated} repeated"]
    if key.left_out:
        told.append(f"left out: {key.left_out} rows that stand in both")
    told.append(f"for reviewers: {out / 'review.html'} or {out / 'review.csv'}")
    if power := detectable_accuracy(pairs):
        told.append(
            "one reviewer, deciding every pair, is likely noticed "
            f"(80 % power) from {percent(power)} right"
        )
    else:
        told.append("so few pairs cannot show anything of one reviewer; 6 are the least")
    told.append(f"then: undertow review score answers.csv --key {out / 'key.json'}")
    return "\n".join(told)


def _refuse_same(paths: Sequence[str | Path]) -> None:
    seen: dict[str, str | Path] = {}
    for path in paths:
        place = os.path.realpath(path)
        if place in seen:
            raise DataError(f"'{seen[place]}' and '{path}' are the same file; allowed: each once")
        seen[place] = path
