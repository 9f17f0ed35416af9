"""Every attack of the table is refused, for the reason that the table names; the same world without it is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.provenance.attack_table import Attack, as_named, control_allowed, table, tried
from tests.provenance.attacks import ATTACKS
from tests.provenance.scene import Scene

PAGE = Path(__file__).parents[2] / "docs" / "provenance.md"


def test_the_untouched_scene_is_allowed(tmp_path: Path) -> None:
    """What the attacks tamper with is allowed as it stands, so that each refusal is the attack's own."""
    document = Scene(tmp_path).ask()

    assert document.decision == "allowed", document.conclusion
    assert document.verification.verdict == "verified"
    assert [problem.id for problem in document.verification.problems] == []


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_refused(attack: Attack, tmp_path: Path) -> None:
    """The gate refuses, and says why; everything but the attack, where that is more than the scene, it allows."""
    accepted, refusals = tried(attack, tmp_path / "attacked")
    allowed, doubts = control_allowed(attack, tmp_path / "c") if attack.prepared else (True, set())

    assert not accepted
    assert as_named(attack, refusals), refusals
    assert allowed, doubts


def test_there_are_enough_attacks() -> None:
    """At least 150, each once; those of advisories are named by them."""
    advised = [attack for attack in ATTACKS if re.match(r"(CVE|GHSA)-", attack.known)]

    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 150
    assert len({attack.known for attack in advised}) >= 40


def test_the_page_shows_the_table_that_is_run() -> None:
    """docs/provenance.md holds exactly this table, which `attack_table.table()` gives."""
    assert table() in PAGE.read_text(encoding="utf-8")
