"""The bench of scale: what it costs is said beforehand, and an interrupted one repeats no finished pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.scale import generated_shards, one_pass
from bench.scale.generated_shards import ROW, shards
from bench.scale.one_pass import Pass, Planned, figures, planned
from undertow.data.file_sample import screen_file


def test_the_passes_of_a_number_are_those_of_a_smaller_one_and_more() -> None:
    """So that what was measured stays measured when more is asked for."""
    ten, hundred = planned(10**7), planned(10**8)

    assert hundred[: len(ten)] == ten
    assert hundred[len(ten) :] == [Planned(10**8, 2)]
    assert sum(each.seconds for each in hundred) < 3600


def test_shards_are_written_once_and_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Datasets of a folder share their whole shards; the disk holds what is distinct, about as much as is said."""
    monkeypatch.setattr(generated_shards, "SHARD", 500)
    monkeypatch.setattr(generated_shards, "DISTINCT", 2000)
    for rows in (300, 1200, 5000):
        assert screen_file(shards(tmp_path, rows), seed=0).data.rows == rows
    inodes = {(path.stat().st_ino, path.stat().st_size) for path in tmp_path.rglob("*.jsonl")}

    assert len([*(tmp_path / "5000").iterdir()]) == 10
    # The four whole shards, and those that the two small datasets end with.
    assert len(inodes) == 6
    assert sum(size for _, size in inodes) == pytest.approx(ROW * 2500, rel=0.05)


class Interrupted(Exception):
    """Ends a bench."""


def test_an_interrupted_bench_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pass is made once; figures come of all, and then the place is given back."""
    made: list[Planned] = []

    def done(self: Planned, base: Path) -> Pass:
        if len(made) == 2:
            made.append(self)
            raise Interrupted
        made.append(self)
        each = self.rows * 1e-5
        return Pass(
            self.rows,
            215 * self.rows,
            215 * self.rows,
            0,
            each,
            each,
            each,
            each,
            9,
            9,
            0,
            "x",
            0.0,
        )

    monkeypatch.setattr(Planned, "done", done)
    with pytest.raises(Interrupted):
        figures(10**7, tmp_path / "scale")
    found = figures(10**7, tmp_path / "scale")

    assert made[:2] + made[3:] == planned(10**7)
    assert "in all: about" in capsys.readouterr().err
    assert any(
        figure.name.startswith("rows: 10,000,000 with two workers, rate") for figure in found
    )
    assert not (tmp_path / "scale").exists()


def test_a_disk_without_room_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first row is made."""
    monkeypatch.setattr(
        one_pass.shutil, "disk_usage", lambda path: type("Disk", (), {"free": 10**9})
    )
    with pytest.raises(SystemExit, match=r"no room: 2\.6 GB are needed"):
        figures(10**8, tmp_path / "scale")

    assert not [*tmp_path.rglob("*.jsonl")]
