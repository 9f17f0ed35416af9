"""The campaign of hostile content: every kind of document in every format, names of files, archives, and a real browser."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from markupsafe import Markup

from bench.figures import Figure
from bench.reliability import hostile
from bench.reliability.hostile import KINDS, PAYLOADS
from bench.reliability.tries import FIRST_SEED, Unit, counted, figure, trap_figure

COMMAND = "python -m bench.reliability hostile"
ASKED = len(KINDS) * len(PAYLOADS) * 4
"""Renderings: the documents by the payloads, in page, text, Markdown, and SARIF or JSON."""


PARTS = ("documents", "review", "browser", "names", "archives")


def units(kept: Mapping[str, Unit], parts: Sequence[str] = ()) -> Iterator[Callable[[], Unit]]:
    """Each payload in every document and format; names and archives; the pages in a browser. A seed is a payload's number."""
    for seed, payload in enumerate(PAYLOADS, FIRST_SEED):
        makers: dict[str, Callable[[], Unit]] = {
            f"hostile/documents/{payload}/{seed}": lambda p=payload, s=seed: documents(p, s),  # type: ignore[misc]
            f"hostile/review/{payload}/{seed}": lambda p=payload, s=seed: reviews(p, s),  # type: ignore[misc]
            f"hostile/browser/{payload}/{seed}": lambda p=payload, s=seed: browser(p, s),  # type: ignore[misc]
            f"hostile/names/{payload}/{seed}": lambda p=payload, s=seed: names(p, s),  # type: ignore[misc]
        }
        makers |= {f"hostile/archives/slips/{FIRST_SEED}": archives} if seed == FIRST_SEED else {}
        for name, make in makers.items():
            if name not in kept and name.split("/")[1] in (parts or PARTS):
                yield make


@cache
def document(kind: str, payload: str) -> Any:
    """The document of a kind with the payload everywhere."""
    from undertow.results.store import _READ

    honest = hostile.honest(kind)
    model = next(form.model for form in _READ if form.schema == honest["schema"])
    return model.model_validate(hostile.filled(model, honest, PAYLOADS[payload]))


@cache
def _scripts(kind: str) -> int:
    """Scripts of an honest page: the document itself, which is data."""
    from undertow.report import render
    from undertow.results.store import read_result

    page = render(read_result(hostile.SEEDS / "kept" / f"{kind}.json"), "html")
    return page.count("<script")


def documents(payload: str, seed: int, chosen: tuple[str, ...] = KINDS) -> Unit:
    """A payload in all kinds of documents, in all formats that they have."""
    unit, began = Unit("hostile", "documents", payload, seed), time.perf_counter()
    for kind in chosen:
        for form, told in _rendered(kind, payload):
            what = f"{kind} as {form}: " + "; ".join(told[:3]) if told else ""
            unit.add("acts" if told else f"shown in {form}", what)
    unit.seconds = round(time.perf_counter() - began, 2)
    return unit


def _rendered(kind: str, payload: str) -> Iterator[tuple[str, list[str]]]:
    from undertow.errors import UnknownNameError
    from undertow.report import CHAIN_FORMATS, render

    made = document(kind, payload)
    for form in CHAIN_FORMATS:
        try:
            text = render(made, form)
        except UnknownNameError:
            continue
        if form == "html":
            yield form, hostile.acting_in_page(text, _scripts(kind))
        elif form in ("markdown", "hf-card"):
            yield (
                form,
                hostile.acting_in_markdown(
                    text.split("---\n", 2)[-1] if form == "hf-card" else text
                ),
            )
        elif form == "sarif":
            yield form, hostile.acting_in_sarif(text)
        elif form == "text":
            yield form, hostile.hidden(text)
        else:
            json.loads(text)
            yield form, hostile.hidden(text)


def _sheet(payload: str) -> Any:
    from undertow.data.rows import Message
    from undertow.review.review_pack import BlindedPair, Sheet, Shown

    shown = Shown((Message("user", PAYLOADS[payload]),), PAYLOADS[payload])
    # Without a prompt a cell begins with the text itself.
    alone = Shown((), PAYLOADS[payload])
    pairs = (BlindedPair(1, shown, shown), BlindedPair(2, alone, alone))
    return Sheet("pack-0", PAYLOADS[payload], pairs)


def reviews(payload: str, seed: int) -> Unit:
    """The page and the spreadsheet of a review."""
    from undertow.report.review_page import render_csv, render_page

    unit = Unit("hostile", "review", payload, seed)
    sheet = _sheet(payload)
    for form, told in (
        ("html", hostile.acting_in_page(render_page(sheet), 1)),
        (
            "csv",
            hostile.acting_in_csv(render_csv(sheet)) + hostile.hidden(render_csv(sheet), "\r\n"),
        ),
    ):
        unit.add(
            "acts" if told else f"shown in {form}", f"{form}: {'; '.join(told[:3])}" if told else ""
        )
    return unit


def browser(payload: str, seed: int, chosen: tuple[str, ...] = KINDS) -> Unit:
    """All pages of a payload in a real browser, with their policy and without it."""
    from undertow.report import render
    from undertow.report.review_page import render_page

    unit, began = Unit("hostile", "browser", payload, seed), time.perf_counter()
    pages = {kind: render(document(kind, payload), "html") for kind in chosen}
    for policy in (True, False):
        opened = pages | ({"review": render_page(_sheet(payload))} if policy else {})
        with tempfile.TemporaryDirectory() as folder:
            try:
                told = hostile.paged(Path(folder), opened, policy)
            except subprocess.TimeoutExpired:  # on a busy machine; nothing was tried
                unit.add("the browser did not end", tries=0)
                continue
        what = "with its policy" if policy else "without a policy"
        unit.add("acts" if told else f"opened {what}", "; ".join(told[:3]), tries=len(opened))
    unit.seconds = round(time.perf_counter() - began, 2)
    return unit


def names(payload: str, seed: int) -> Unit:
    """Files whose names are hostile, given to every verb that reads one: what is said is two lines of plain characters."""
    from undertow.cli import main

    unit = Unit("hostile", "names", payload, seed)
    name = PAYLOADS[payload].replace("/", "\u2215").translate({0: "", 0xD800: "?"})[:80]
    verbs = (
        ("report", "{}"), ("scan", "{}", "--student", "world:owlet-a"), ("changed", "{}", "{}"), ("run", "{}.toml"),
        ("verify", "{}", "--trust", "{}"), ("gate", "{}", "--student", "x", "--policy", "{}.toml", "--trust", "{}"),
        ("attest", "generate", "{}", "--from", "{}"), ("attest", "trust", "{}.toml"), ("traits", "{}.toml"),
        ("clean", "{}", "--scan", "{}", "--method", "delete", "--out", "{}.jsonl"), ("diff", "{}", "{}"), ("explain", "{}"),
        ("review", "score", "{}.csv", "--key", "{}"), ("{}",),
    )  # fmt: skip
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for suffix in ("", ".toml", ".jsonl", ".json", ".csv"):
                with contextlib.suppress(OSError, ValueError):
                    Path(name + suffix).write_bytes(
                        b"{" + PAYLOADS[payload].encode(errors="replace")
                    )
            for verb in verbs:
                arguments = [part.replace("{}", name) for part in verb]
                for given in (
                    arguments,
                    [part + ".jsonl" if part == name else part for part in arguments],
                ):
                    told = _said(main, given)
                    unit.add(
                        "acts" if told else "refused",
                        f"{verb[:2]}: {'; '.join(told)}" if told else "",
                    )
        finally:
            os.chdir(here)
    return unit


def _said(main: Callable[[list[str]], int], arguments: list[str]) -> list[str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        main(arguments)
    told = hostile.hidden(out.getvalue() + err.getvalue())
    lines = [
        line
        for line in err.getvalue().splitlines()
        if not line.startswith(("note: ", "…", "reading"))
    ]
    starts = [line[:6] for line in lines[-2:]]
    if not lines or starts != ["error:", "  = he"]:
        told.append(f"not one line of error and one of help: {lines[-4:]!r}"[:300])
    return told


def archives() -> Unit:
    """Archives of a Ray folder with members that lead out of it."""
    from undertow.engines.ray_post import unpack
    from undertow.errors import UndertowError

    unit = Unit("hostile", "archives", "slips", FIRST_SEED)
    for name, kind, link in SLIPS:
        with tempfile.TemporaryDirectory() as outside:
            folder = Path(outside) / "inner" / "run"
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as archive:
                entry = tarfile.TarInfo(name.replace("OUTSIDE", outside))
                entry.type, entry.linkname, entry.size = kind, link.replace("OUTSIDE", outside), 0
                archive.addfile(entry)
                if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                    through = tarfile.TarInfo(f"{entry.name}/slipped")
                    through.size = 1
                    archive.addfile(through, io.BytesIO(b"x"))
            try:
                unpack(buffer.getvalue(), folder)
                what = "kept inside"
            except UndertowError:
                what = "refused"
            stray = [
                p
                for p in Path(outside).rglob("*")
                if p.name not in ("inner", "run") and folder not in p.parents
            ]
            links = [
                p
                for p in folder.rglob("*")
                if p.is_symlink() and not p.resolve().is_relative_to(folder)
            ]
            told = [str(p) for p in (*stray, *links)]
            unit.add("slipped" if told else what, f"{name}: {told}" if told else "")
    return unit


SLIPS = (
    ("../slipped", tarfile.REGTYPE, ""),
    ("../../slipped", tarfile.REGTYPE, ""),
    ("OUTSIDE/slipped", tarfile.REGTYPE, ""),
    ("a/../../../slipped", tarfile.REGTYPE, ""),
    ("link", tarfile.SYMTYPE, "OUTSIDE"),
    ("link", tarfile.SYMTYPE, "../.."),
    ("link", tarfile.LNKTYPE, "../../slipped"),
    ("device", tarfile.CHRTYPE, ""),
    ("pipe", tarfile.FIFOTYPE, ""),
    ("a\nb", tarfile.REGTYPE, ""),
)


def planted() -> list[Unit]:
    """A cell that is not escaped, for each writer, and a page that acts in the browser."""
    from undertow.report import html, markdown, review_page, sarif, text

    traps: tuple[tuple[str, Any, str, Any, Callable[[], Unit]], ...] = (
        ("html", html, "escape", Markup, lambda: documents("script", 0, ("scan",))),
        ("browser", html, "escape", Markup, lambda: browser("script", 0, ("scan",))),
        ("markdown", markdown, "escaped", lambda t: t, lambda: documents("markdown", 0, ("scan",))),
        (
            "terminal",
            text,
            "visible",
            lambda t, limit=None: t,
            lambda: documents("terminal", 0, ("scan",)),
        ),
        (
            "sarif",
            sarif,
            "message",
            lambda t: {"text": t},
            lambda: documents("sarif", 0, ("diff",)),
        ),
        ("csv", review_page, "_cell", lambda t: t, lambda: reviews("formula", 0)),
    )
    made = []
    for name, module, function, instead, work in traps:
        with patch.object(module, function, instead):
            unit = work()
        unit.subject, unit.way = f"planted-{name}", "acts"
        made.append(unit)
    return made


def figures(kept: list[Unit]) -> list[Figure]:
    """Renderings, pages in a browser, names of files, archives."""
    counts = counted("hostile", kept)
    ours, traps = counts.units, counts.traps
    asked = {
        "documents": ASKED,
        "review": 2 * len(PAYLOADS),
        "browser": 2 * len(KINDS) * len(PAYLOADS),
    }
    asked |= {"names": 20 * len(PAYLOADS), "archives": len(SLIPS)}
    told = {
        "documents": "renderings in which data acts", "review": "pages and tables of a review in which data acts",
        "browser": "pages that run or fetch what the data says", "names": "names of files that act",
        "archives": "members of archives that get out",
    }  # fmt: skip
    made = [trap_figure("hostile", traps, COMMAND)]
    for subject, count in asked.items():
        of_subject = [unit for unit in ours if unit.subject == subject]
        made.append(
            figure(f"hostile: {told[subject]}", of_subject, count, COMMAND, counts.left_out)
        )
    return made
