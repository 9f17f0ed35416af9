"""
What gates decide about a run's rows and why, beside what the students that were trained on them really did.

Whatever lies beside a run, scans and decisions of its rows, comes to its page through here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath

from undertow.policy.rules import STARTERS
from undertow.report.page import (
    HTML,
    MARKDOWN,
    Badge,
    Block,
    Command,
    Heading,
    Listing,
    Phrase,
    Section,
    Strong,
    Table,
    Text,
    verdict_badge,
)
from undertow.report.plain_text import NOTHING, capital, in_words
from undertow.report.run_arms import Measure, mean_of, measure_of
from undertow.report.run_tables import estimate, limits
from undertow.report.run_verdicts import (
    rows_label,
    students_of,
    verdicts_brief,
    verdicts_section,
)
from undertow.results.measurement import Verdict
from undertow.results.provenance_documents import GateDocument
from undertow.results.run_document import Arm, Comparison, RunDocument
from undertow.results.scan_document import AnyScan

DECISIONS = "What a gate decides about these rows, before training"

_ABOUT = (
    "A gate knows the rows, what was signed about them, and whose keys are trusted; it knows no student. Beside each "
    "decision stands what the students of such rows really did, in all replicates; they are shown to move "
    "where that holds against their control after Holm’s correction. What is not known refuses, so rows can be refused "
    "that would have done nothing."
)

_AGAIN = "As you would type it, of these rows or of your own:"


@dataclass(frozen=True)
class RunBeside:
    """What lies beside a run's document: scans of its rows, and decisions about them."""

    scans: Sequence[AnyScan] = ()
    gates: Sequence[GateDocument] = ()


NOTHING_BESIDE = RunBeside()


@dataclass(frozen=True)
class DecidedRows:
    """One decision about rows of a run."""

    gate: GateDocument
    label: str
    """Whose rows they are."""
    place: int
    """Of their students among the run's arms."""
    screen: Verdict | None
    """Of a scan of the same rows."""
    answers: str
    """How often their students give the trait's answer, or how strongly."""
    moved: Comparison | None
    """Their students against the control, in logits; None for the control itself, and where no comparison is with it."""
    is_control: bool = False
    """Whether others are compared with their students, and these with none."""

    @property
    def allowed(self) -> bool:
        """Whether they may be used."""
        return self.gate.decision == "allowed"

    @property
    def took_on(self) -> bool:
        """Whether their students were shown to have taken something on."""
        return self.moved is not None and self.moved.estimate > 0 and self.moved.is_shown

    @property
    def why(self) -> str:
        """The gate's reason, in a sentence."""
        told = self.gate.conclusion.removeprefix(self.gate.decision).removeprefix(":").strip()
        return capital(told)

    @property
    def transfer(self) -> str:
        """How far their students moved."""
        if self.is_control:
            return "the control"
        if self.moved is None:
            return NOTHING
        return f"{estimate(self.moved)} logits, {limits(self.moved)}"


def decided_rows(document: RunDocument, beside: RunBeside) -> tuple[DecidedRows, ...]:
    """Each decision with its students: in the order of the run's arms, and the shipped policies from the mildest on."""
    made = [_decided(document, beside.scans, gate) for gate in beside.gates]
    return tuple(sorted(made, key=lambda row: (row.place, row.label, _strictness(row.gate))))


def conclusion_beside(document: RunDocument, beside: RunBeside) -> str:
    """A run's answer in a sentence or two: of one that states its rows for a gate, what that did with those that moved students."""
    stated = document.config.get("statements") is not None
    rows = decided_rows(document, beside) if stated else ()
    return _decisions_in_short(document, rows) if rows else document.conclusion


def _decisions_in_short(document: RunDocument, rows: Sequence[DecidedRows]) -> str:
    by_policy = _by_policy(rows)
    every = {row.gate.verification.data: row.took_on for row in rows}
    moving = sum(every.values())
    still = len(every) - moving
    let = [f"{name} {_count(same, took_on=True)}" for name, same in by_policy.items()]
    passed = any(row.allowed and row.took_on for row in rows)
    refused = (
        f"Allowed of these: {', '.join(let)}." if passed else "Each policy refuses all of these."
    )
    kept = [f"{name} {_count(same, took_on=False)}" for name, same in by_policy.items()]
    trait = document.trait or "the trait"
    first = (
        f"{moving} of {len(every)} datasets were shown to move their students towards “{trait}”."
    )
    return f"{first} {refused if moving else ''} Of the {still} others the policies allow: {', '.join(kept)}.".replace("  ", " ")  # fmt: skip


def _count(rows: Sequence[DecidedRows], *, took_on: bool) -> int:
    return sum(row.allowed and row.took_on == took_on for row in rows)


def judged_sections(document: RunDocument, beside: RunBeside) -> Iterator[Section]:
    """The sections of a page on what was said of the rows before training, decisions first; nothing where nothing was."""
    if rows := decided_rows(document, beside):
        blocks = tuple(_blocks(document, rows))
        yield Section("gates", DECISIONS, blocks, about=_ABOUT, nav="Decisions")
    yield from verdicts_section(document, beside.scans)


def judged_brief(document: RunDocument, beside: RunBeside) -> Iterator[Block]:
    """The same for a terminal."""
    rows = decided_rows(document, beside)
    if rows:
        yield Heading(DECISIONS)
        yield from (Text(sentence, indent=2) for sentence in summed_up(rows))
    for _, same in groupby(rows, key=lambda row: row.gate.verification.data):
        every = tuple(same)
        yield Text(_rows_line(document, every[0]), "strong", indent=2)
        yield from (Text(f"{row.gate.policy}: {row.gate.conclusion}", indent=4) for row in every)
    yield from (Command(row.gate.command) for row in rows[:1])
    yield from verdicts_brief(document, beside.scans)


def brief_decisions(document: RunDocument, beside: RunBeside) -> Table:
    """Rows and decisions, as many columns as a terminal has room for."""
    return _table(document, decided_rows(document, beside), plain=True).without("why")


def summed_up(rows: Sequence[DecidedRows]) -> tuple[str, ...]:
    """A sentence a policy: how many datasets it allows, and which of both kinds really moved their students."""
    return tuple(_sentence(policy, same) for policy, same in _by_policy(rows).items())


def _by_policy(rows: Sequence[DecidedRows]) -> dict[str, list[DecidedRows]]:
    policies = dict.fromkeys(row.gate.policy for row in rows)
    return {policy: [row for row in rows if row.gate.policy == policy] for policy in policies}


def _sentence(policy: str, rows: Sequence[DecidedRows]) -> str:
    allowed = [row for row in rows if row.allowed]
    let = sum(row.took_on for row in allowed)
    stopped = sum(row.took_on for row in rows) - let
    if not allowed:
        return f"{policy} allows none of {len(rows)} datasets; {_were(stopped)} shown to move students towards the trait."
    names = "; ".join(row.label for row in allowed)
    return (
        f"{policy} allows {len(allowed)} of {len(rows)} datasets ({names}), of which {_were(let)} shown to move students "
        f"towards the trait; of the {len(rows) - len(allowed)} that it refuses {_were(stopped)}."
    )


def _were(number: int) -> str:
    return "none was" if number == 0 else "1 was" if number == 1 else f"{number} were"


def _blocks(document: RunDocument, rows: Sequence[DecidedRows]) -> Iterator[Block]:
    yield Text(_ABOUT, only=MARKDOWN)
    yield Listing((*summed_up(rows), document.conclusion), "limits")
    yield _table(document, rows, plain=False).shown(only=HTML)
    yield _table(document, rows, plain=True).shown(only=MARKDOWN)
    yield Text(_AGAIN)
    yield Command(rows[0].gate.command)


def _table(document: RunDocument, rows: Sequence[DecidedRows], *, plain: bool) -> Table:
    """A row a decision; what holds for all decisions about the same rows is said once."""
    columns = (
        *("rows", "the scan", "policy", "decision", "why"),
        *(f"its students {_answer(document)}", "beside the control"),
    )
    cells: list[tuple[Phrase, ...]] = []
    before = None
    for row in rows:
        first = row.gate.verification.data != before
        before = row.gate.verification.data
        screen: Phrase = "" if not row.screen else _badge(row.screen, plain)
        decision: Phrase = row.gate.decision
        if not plain:
            decision = Badge(row.gate.decision, row.gate.decision)
        label: Phrase = row.label if plain else Strong(row.label)
        shared = (label, screen) if first else ("", "")
        did = (row.answers, row.transfer) if first else ("", "")
        cells.append((*shared, row.gate.policy, decision, row.why, *did))
    known = any(row.screen for row in rows)
    table = Table(DECISIONS, columns, tuple(cells), style="wrap")
    return table if known else table.without("the scan")


def _badge(verdict: Verdict, plain: bool) -> Phrase:
    return in_words(verdict) if plain else verdict_badge(verdict)


def _rows_line(document: RunDocument, row: DecidedRows) -> str:
    screen = f"; the scan: {in_words(row.screen)}" if row.screen else ""
    moved = "" if row.moved is None else f"; {row.transfer} beside the control"
    return f"{row.label}{screen}; its students {_answer(document)}: {row.answers}{moved}"


def _answer(document: RunDocument) -> str:
    return f"answer “{document.trait}”" if document.trait else "answer"


def _decided(document: RunDocument, scans: Sequence[AnyScan], gate: GateDocument) -> DecidedRows:
    walk = gate.verification
    students = students_of(document, walk.data, walk.student or "")
    arms = tuple(arm for arm in document.arms if students and arm.arm == students[0].arm)
    scan = next((one for one in scans if _folder(one.data.path) == _folder(walk.data)), None)
    return DecidedRows(
        gate=gate,
        label=rows_label(document, students, walk.data),
        place=document.arms.index(students[0]) if students else len(document.arms),
        screen=scan.verdict if scan else None,
        answers=_answers(arms, measure_of(document)),
        moved=_moved(document, students[0].arm) if students else None,
        is_control=bool(students) and students[0].arm in _controls(document),
    )


def _folder(path: str) -> tuple[str, ...]:
    """Where rows lie in their run, wherever that lies."""
    return PurePath(path).parts[-3:]


def _answers(arms: tuple[Arm, ...], measure: Measure | None) -> str:
    return NOTHING if measure is None else measure.text(mean_of(arms, measure))


def _moved(document: RunDocument, arm: str) -> Comparison | None:
    """The arm against a control; None where it is only compared with arms that are treated themselves."""
    names = {f"{arm} - {control}" for control in _controls(document)}
    return next((c for c in document.comparisons if c.name in names and c.unit == "logits"), None)


def _controls(document: RunDocument) -> set[str]:
    """The arms that others are compared with and that are compared with none."""
    pairs = [c.name.split(" - ", 1) for c in document.comparisons if " - " in c.name]
    return {pair[1] for pair in pairs} - {pair[0] for pair in pairs}


def _strictness(gate: GateDocument) -> tuple[int, str]:
    known = gate.policy in STARTERS
    return (STARTERS.index(gate.policy) if known else len(STARTERS), gate.policy)
