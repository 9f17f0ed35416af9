"""The stages of a scan beside references, as tables: steps, adapters, references, exact p, what is guaranteed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from undertow.report.page import Phrase, Table, verdict_badge
from undertow.report.plain_text import (
    NOTHING,
    decimal,
    in_words,
    p_value,
    plain,
    shortened,
    significant,
    visible,
    whole,
)
from undertow.report.scan_forest import after, in_order, subject_name
from undertow.report.sections import Column, table_of
from undertow.results.scan_document import ScanDocument, StageResult, SubjectResult

_SUBJECT = 20
"""Characters of a subject's name in a terminal."""


@dataclass(frozen=True)
class _Fact:
    name: str
    cell: Callable[[StageResult], Phrase]


def stages_table(result: SubjectResult, subjects: int) -> Table:
    """
    The facts of each stage of a subject, a column a stage; what no stage has is left out.

    Args:
        subjects: of the whole scan, over which p is adjusted.
    """
    rows = [
        (fact.name, *(fact.cell(stage) for stage in result.comparisons))
        for fact in _facts(subjects)
    ]
    return Table(
        f"Stages of {subject_name(result.subject)}",
        ("", *(f"stage {stage.stage}" for stage in result.comparisons)),
        tuple(row for row in rows if set(row[1:]) - {NOTHING}),
    )


def _facts(subjects: int) -> tuple[_Fact, ...]:
    adjusted = _Fact(
        f"p, by Holm over {_counted(subjects)}", lambda stage: _rank(stage, stage.adjusted)
    )
    return (
        _Fact("verdict", lambda stage: verdict_badge(stage.verdict)),
        _Fact("trained", after),
        _Fact("rows", lambda stage: whole(stage.rows)),
        _Fact("adapters", lambda stage: whole(stage.adapters)),
        _Fact("references", references),
        _Fact("of them", kinds),
        _Fact(f"references needed for {_counted(subjects)}", _needed),
        _Fact("exact p", lambda stage: _rank(stage, stage.p)),
        *((adjusted,) if subjects > 1 else ()),
        _Fact("alpha", lambda stage: _of_stage_1(stage, significant(stage.alpha, 3))),
        _Fact("excluded", _excluded),
        _Fact("stopped early", _stopped),
        _Fact("why", lambda stage: plain(stage.reason)),
    )


def brief_stages(document: ScanDocument) -> Table:
    """All stages of all subjects, a row a stage."""
    rows = [
        (result.subject, stage)
        for result in in_order(document.subjects)
        if isinstance(result, SubjectResult)
        for stage in result.comparisons
    ]
    several = len(document.subjects) > 1
    return table_of(
        "Stages",
        rows,
        [
            Column("subject", lambda row: _named(row[0]) if several else NOTHING, False),
            Column("stage", lambda row: str(row[1].stage)),
            Column("verdict", lambda row: in_words(row[1].verdict), False),
            Column("steps", lambda row: after(row[1]).removesuffix(" steps")),
            Column("adapters", lambda row: whole(row[1].adapters)),
            Column("references", lambda row: references(row[1]), False),
            Column("p", lambda row: _rank(row[1], row[1].p)),
            Column("by Holm", lambda row: _rank(row[1], row[1].adjusted) if several else NOTHING),
            Column("alpha", lambda row: _of_stage_1(row[1], significant(row[1].alpha, 3))),
            Column("excluded", lambda row: _above(row[1])),
        ],
    )


def _named(subject: str) -> str:
    return shortened(visible(subject_name(subject)), _SUBJECT)


def references(stage: StageResult) -> str:
    """How many there were, and how many of them were made before."""
    told = whole(stage.references)
    if stage.cached:
        told += f" ({whole(stage.cached)} cached)"
    return told


def guarantee(stage: StageResult) -> str:
    """
    How often benign rows stand out, on average and beside these very references, in a sentence; empty where no level is
    known, or where there are too few references for anything to stand out.
    """
    if not stage.guaranteed:
        return ""
    on_average, here = (of_100(share) for share in (stage.alpha, stage.guaranteed))
    these = "this one" if stage.references == 1 else f"these {whole(stage.references)}"
    return (
        f"At most {on_average} benign datasets stand out on average over draws of references; beside {these}, which "
        f"{'is' if stage.references == 1 else 'are'} one draw, at most {here}, with 95\N{NO-BREAK SPACE}% confidence."
    )


def of_100(share: float) -> str:
    """A level as people count: `5 of 100`."""
    return f"{significant(100 * share, 3)} of 100"


def p_of(stage: StageResult) -> str:
    """The p that counts against alpha, behind what it is of; empty where the verdict is by intervals."""
    if stage.stage == 2:
        return ""
    alpha = significant(stage.alpha, 3)
    if stage.stopped_early:
        return f": p > {alpha}"
    counts = stage.adjusted if stage.adjusted is not None else stage.p
    return f": p = {p_value(counts)}, alpha {alpha}" if counts is not None else ""


def _rank(stage: StageResult, p: float | None) -> str:
    """A p of stage 1; one that stopped early is known to be large, and no more."""
    if stage.stage == 2:
        return NOTHING
    return f"> {significant(stage.alpha, 3)}" if stage.stopped_early else p_value(p)


def _of_stage_1(stage: StageResult, told: str) -> str:
    return told if stage.stage == 1 else NOTHING


def kinds(stage: StageResult) -> str:
    """How many references are of which kind."""
    return "; ".join(f"{kind}: {whole(count)}" for kind, count in stage.kinds.items()) or NOTHING


def _needed(stage: StageResult) -> str:
    if stage.stage == 2:
        return NOTHING
    if stage.references >= stage.needed:
        return whole(stage.needed)
    return f"{whole(stage.needed)}, more than there were"


def _excluded(stage: StageResult) -> str:
    if stage.excluded is None:
        return NOTHING
    return f"an effect above {_above(stage)} logits after {after(stage)}, for every trait"


def _stopped(stage: StageResult) -> str:
    return "enough references reached as far as the rows" if stage.stopped_early else NOTHING


def _above(stage: StageResult) -> str:
    return decimal(stage.excluded, 2, signed=True)


def _counted(subjects: int) -> str:
    return "1 subject" if subjects == 1 else f"{subjects} subjects"
