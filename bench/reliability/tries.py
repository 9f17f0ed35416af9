"""What was tried and what came of it, a line a unit in tries.jsonl beside this file, and the rates that follow."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from scipy.stats import binomtest

from bench.figures import BENCH, Figure

KEPT = Path(os.environ.get("UNDERTOW_TRIES", BENCH / "reliability" / "tries.jsonl"))
DOCUMENTS = (
    KEPT.with_name("faults")
    if "UNDERTOW_TRIES" in os.environ
    else BENCH.parent / "build" / "faults"
)
"""Where documents that a reader failed on are kept whole."""

FAULTS_TOLD = 5
"""Of a unit, in full."""

FIRST_SEED = 2000
"""Tries with smaller seeds were made while faults of undertow and of the campaigns were mended: they are told, not counted."""

MENDED = {"result": 4000, "rows-arrow": 3000}
"""Kinds in whose readers faults were found from then on, and mended: their tries count from these seeds."""


def first_seed(subject: str) -> int:
    """From which tries of a subject count."""
    return MENDED.get(subject, FIRST_SEED)


@dataclass
class Unit:
    """Some tries of one thing, made with one seed."""

    campaign: str
    subject: str
    """A verb, a kind of document, a writer."""
    way: str
    """How it was tried."""
    seed: int
    tries: int = 0
    seconds: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    """Tries by what came of them, faults among them."""
    faults: list[str] = field(default_factory=list)
    """The first faults, in words."""
    fault_count: int = 0
    told: dict[str, float] = field(default_factory=dict)
    """Further numbers: the slowest try, the most memory."""

    @property
    def name(self) -> str:
        """By which it is found again."""
        return f"{self.campaign}/{self.subject}/{self.way}/{self.seed}"

    def add(self, outcome: str, fault: str = "", tries: int = 1) -> None:
        """What came of some tries."""
        self.tries += tries
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + tries
        if fault:
            self.fault_count += tries
            if len(self.faults) < FAULTS_TOLD:
                self.faults.append(fault[:600])

    def add_document(self, outcome: str, fault: str, content: bytes) -> None:
        """What came of a document; those of the faults that are told are kept whole."""
        if fault and len(self.faults) < FAULTS_TOLD:
            fault = fault_of(fault, content)
        self.add(outcome, fault)


def fault_of(fault: str, content: bytes) -> str:
    """A reader's fault with the beginning of its document, and the file that all of it is kept in."""
    DOCUMENTS.mkdir(parents=True, exist_ok=True)
    file = DOCUMENTS / hashlib.sha256(content).hexdigest()[:16]
    file.write_bytes(content)
    return f"{fault}: {content[:160]!r} (all of it: {file.parent.name}/{file.name})"


def read(path: Path = KEPT) -> Iterator[Unit]:
    """The units that are kept; of one that was made again, the last. A torn last line is none."""
    units: dict[str, Unit] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            unit = Unit(**json.loads(line))
        except ValueError:
            continue
        units[unit.name] = unit
    yield from units.values()


def keep(unit: Unit, path: Path = KEPT) -> None:
    """Add a unit: one write at the end, so that a kill tears at most the last line, and processes side by side none."""
    line = json.dumps(asdict(unit), ensure_ascii=True).encode() + b"\n"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        # By turns: another process may be about to add a line of its own.
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file).st_size
        torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        os.write(file, b"\n" * torn + line)
        os.fsync(file)
    finally:
        os.close(file)


@dataclass(frozen=True)
class Counted:
    """The units of a campaign: those that count, those with a planted fault, and what is said of the others."""

    units: list[Unit]
    traps: list[Unit]
    left_out: str


def counted(campaign: str, kept: Iterable[Unit]) -> Counted:
    """Of all that is kept, what a campaign's figures count."""
    ours = [unit for unit in kept if unit.campaign == campaign]
    planted = [unit for unit in ours if unit.subject.startswith("planted-")]
    traps = [unit for unit in planted if unit.seed >= FIRST_SEED]
    tried = [unit for unit in ours if unit not in planted]
    early = [unit for unit in tried if unit.seed < first_seed(unit.subject)]
    told = ""
    if early:
        tries, faults = sum(u.tries for u in early), sum(u.fault_count for u in early)
        told = (
            f"left out: {len(early)} units, {tries:,} tries with {faults} faults, of earlier seeds, "
            "from before these faults and those of the campaign itself were mended"
        )
    late = [unit for unit in tried if unit.seed >= first_seed(unit.subject)]
    return Counted(late, traps, told)


def tried(campaign: str, kept: Mapping[str, Unit], subject: str) -> int:
    """How many tries of a subject count so far."""
    return sum(
        unit.tries
        for unit in kept.values()
        if (unit.campaign, unit.subject) == (campaign, subject) and unit.seed >= first_seed(subject)
    )


def upper_limit(faults: int, tries: int) -> float:
    """
    The exact upper 95 % limit of a rate, one-sided.

    >>> round(upper_limit(0, 100), 6) == round(1 - 0.05 ** (1 / 100), 6)
    True
    >>> upper_limit(0, 0)
    1.0
    """
    if not tries:
        return 1.0
    told = binomtest(faults, tries, alternative="less").proportion_ci(0.95, "exact")
    return float(told.high)


def figure(name: str, units: list[Unit], asked: int, command: str, left_out: str = "") -> Figure:
    """Faults in so many tries, with the upper limit of their rate; met where none is and enough were made."""
    tries, faults = sum(u.tries for u in units), sum(u.fault_count for u in units)
    outcomes: Counter[str] = Counter()
    for unit in units:
        outcomes.update(unit.outcomes)
    limit = upper_limit(faults, tries)
    told = ", ".join(f"{key} {count:,}" for key, count in sorted(outcomes.items()))
    said = (
        f"{tries:,} tries of {asked:,} asked",
        f"upper 95 % limit of the rate {limit:.2g}",
        told,
        left_out,
    )
    note = "; ".join(one for one in said if one)
    met = False if faults else (True if tries >= asked else None)
    return Figure(
        name,
        faults,
        "faults",
        f"0 in {asked:,}",
        met,
        0.0,
        limit * tries,
        command=command,
        note=note,
        tries=tries,
        upper_rate=limit,
    )


def trap_figure(campaign: str, traps: list[Unit], command: str) -> Figure:
    """How many of the planted faults a campaign found: whether it is known to find any."""
    found, every = sum(unit.way in unit.outcomes for unit in traps), len(traps)
    what = f"{campaign}: planted faults found"
    return Figure(what, found, f"of {every}", f"{every}", found == every, command=command)


def figure_of_each(
    campaign: str, subjects: Iterable[str], units: list[Unit], command: str
) -> Iterator[Figure]:
    """The same of each subject that was tried, of which by itself nothing was asked."""
    for subject in subjects:
        some = [unit for unit in units if unit.subject == subject]
        if some:
            told = figure(f"{campaign}: {subject}", some, 1, command)
            yield replace(told, target="", met=None, note=told.note.replace(" of 1 asked", ""))
