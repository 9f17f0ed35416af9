"""
Every attack of the table is refused, for the reason that the table names; the same world untouched is allowed.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.provenance.attacks import ATTACKS, Attack
from tests.provenance.scene import Scene
from undertow.errors import InputError

PAGE = Path(__file__).parents[2] / "docs" / "provenance.md"


def test_the_untouched_scene_is_allowed(tmp_path: Path) -> None:
    """
    What the attacks tamper with is allowed as it stands, so that each refusal is the attack's own.
    """
    document = Scene(tmp_path).ask()

    assert document.decision == "allowed", document.conclusion
    assert document.verification.verdict == "verified"
    assert [problem.id for problem in document.verification.problems] == []


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_refused(attack: Attack, tmp_path: Path) -> None:
    """The gate refuses, and says why."""
    kind, _, name = attack.outcome.partition(" ")
    scene = Scene(tmp_path)
    if kind == "error":
        with pytest.raises(InputError, match=re.escape(name)):
            refused(attack, scene)
        return
    document = refused(attack, scene)
    problems = {problem.id for problem in document.verification.problems}
    rules = {rule.id for rule in document.rules if rule.outcome == "refused"}

    assert document.decision == "refused"
    assert name in (problems if kind == "problem" else rules), (
        problems,
        rules,
        document.conclusion,
    )


def refused(attack: Attack, scene: Scene):  # type: ignore[no-untyped-def]
    """What the gate says after the attack."""
    attack.tamper(scene)
    return scene.ask()


def test_there_are_enough_attacks() -> None:
    """At least 40, each once."""
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 40


def test_the_page_shows_the_table_that_is_run() -> None:
    """docs/provenance.md lists exactly these attacks with these outcomes."""
    shown = re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    attacks = {attack.name: (attack.what, attack.outcome) for attack in ATTACKS}

    assert {name: (what, outcome) for name, what, outcome in shown if name in attacks} == attacks
