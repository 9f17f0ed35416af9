"""The form of an attack on the gate, and how it and the control beside it are carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import isgeneratorfunction
from pathlib import Path
from typing import Any

from tests.provenance.scene import Scene
from undertow.errors import InputError
from undertow.results.provenance_documents import GateDocument

Tamper = Callable[[Scene], object]

OWN = "—"
"""Of an attack that stands in no document: it is of this gate's own making."""


@dataclass(frozen=True)
class Attack:
    """One attack."""

    name: str
    what: str
    outcome: str
    """`problem ID`, `rule ID` or `error WORDS`: what the refusal says."""
    known: str
    """The advisory that it follows, or the document and section that warn of it."""
    tamper: Tamper
    """Changes a scene. What stands before its `yield`, if it has one, is honest: the gate allows it."""

    @property
    def prepared(self) -> bool:
        """Whether its control is another than the untouched scene."""
        return isgeneratorfunction(self.tamper)

    def control(self, scene: Scene) -> None:
        """Everything but the attack."""
        steps = self.tamper(scene)
        assert isinstance(steps, Iterator)
        next(steps)
        steps.close()  # type: ignore[attr-defined]

    def carry_out(self, scene: Scene) -> None:
        """The whole of it."""
        steps = self.tamper(scene)
        if isinstance(steps, Iterator):
            assert len(list(steps)) == 1


ATTACKS: list[Attack] = []


def attack(outcome: str, known: str = OWN) -> Callable[[Tamper], Tamper]:
    """Add a function to the attacks under its own name; its docstring says what it does."""

    def added(tamper: Tamper) -> Tamper:
        what = " ".join((tamper.__doc__ or "").split())
        ATTACKS.append(Attack(tamper.__name__.replace("_", "-"), what, outcome, known, tamper))
        return tamper

    return added


def words(answer: object) -> set[str]:
    """What an answer refuses by; empty if it allows."""
    if not isinstance(answer, GateDocument) or answer.decision == "allowed":
        return set()
    problems = {f"problem {problem.id}" for problem in answer.verification.problems}
    return problems | {f"rule {rule.id}" for rule in answer.rules if rule.outcome == "refused"}


def tried(attack: Attack, folder: Path) -> tuple[bool, set[str]]:
    """Whether the gate accepted the attack, and what it refused by."""
    folder.mkdir()
    scene = Scene(folder)
    try:
        attack.carry_out(scene)
        answer: Any = scene.answer()
    except InputError as error:
        return False, {f"error {error.message}"}
    refusals = words(answer)
    return not refusals, refusals


def control_allowed(attack: Attack, folder: Path) -> tuple[bool, set[str]]:
    """Whether the gate allows everything but the attack, and what it refuses by if not."""
    folder.mkdir()
    scene = Scene(folder)
    attack.control(scene)
    try:
        refusals = words(scene.answer())
    except InputError as error:
        refusals = {f"error {error.message}"}
    return not refusals, refusals


def as_named(attack: Attack, refusals: set[str]) -> bool:
    """Whether the refusal says what the table says."""
    if attack.outcome.startswith("error "):
        wanted = attack.outcome.removeprefix("error ")
        return any(each.startswith("error ") and wanted in each for each in refusals)
    return attack.outcome in refusals


def table() -> str:
    """The attacks as docs/provenance.md shows them."""
    lines = ["| attack | what is done | known as | outcome |", "|---|---|---|---|"]
    lines += [
        f"| `{each.name}` | {each.what} | {each.known} | {each.outcome} |" for each in ATTACKS
    ]
    return "\n".join(lines)
