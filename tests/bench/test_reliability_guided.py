"""The coverage-guided campaign in short: where atheris is installed it finds what blind tries do not."""

from __future__ import annotations

import sys

import pytest

from bench.reliability import guided, guided_campaign
from bench.reliability.fuzz import outcome
from bench.reliability.guided import TARGETS
from bench.reliability.kinds import KINDS
from bench.reliability.tries import FIRST_SEED, Unit


def test_without_atheris_the_command_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, before anything is done."""
    monkeypatch.setitem(sys.modules, "atheris", None)

    with pytest.raises(SystemExit, match="pip install --target build/campaigns atheris") as caught:
        next(guided_campaign.units({}))

    assert "\n" not in str(caught.value)


def test_every_target_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and each kind of document, with the next seed where one was used."""
    monkeypatch.setattr(guided, "atheris", lambda: None)
    monkeypatch.setattr(guided_campaign.fuzz, "preload", lambda kinds: None)
    tried: list[tuple[str, int, float]] = []
    monkeypatch.setattr(
        guided, "run", lambda kind, seed, most: tried.append((kind.name, seed, most))
    )
    monkeypatch.setattr(guided_campaign.fuzz, "missing", lambda kinds: "")
    first = Unit("guided", "plan", "by coverage", FIRST_SEED)
    for make in guided_campaign.units({first.name: first}, seconds=7):
        make()

    assert [name for name, *_ in tried] == ["rows", *KINDS]
    assert {name: seed for name, seed, _ in tried}["plan"] == FIRST_SEED + 1
    assert {most for *_, most in tried} == {7}


def test_honest_rows_are_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each line is used or told, by both readers alike."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    for content in TARGETS["rows"].seeds():
        path.write_bytes(content)
        assert outcome(lambda: TARGETS["rows"].read(path)) == ("read", "")


@pytest.mark.long
def test_the_planted_fault_is_found_and_blind_tries_miss_it() -> None:
    """A crash behind a word of three letters."""
    pytest.importorskip("atheris")
    [found] = guided_campaign.planted()
    blind = guided.run(guided_campaign.LOCKED, 0, 5.0, guide=False)

    assert "crash" in found.outcomes
    assert "crash" not in blind.outcomes


@pytest.mark.long
def test_guided_tries_find_no_other() -> None:
    """Some seconds of rows, of statements and of headers; what reaches further is kept."""
    pytest.importorskip("atheris")
    for name in ("rows", "statement", "gguf"):
        unit = guided.run(TARGETS[name], 900, 5.0)
        assert unit.faults == []
        assert unit.told["corpus"] > len(TARGETS[name].seeds())
