"""`undertow changed`: which files changed, one scan each, one log, one summary, the most severe exit code."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.report.scan_documents import clear, stands_out, within
from undertow.audit.requests import ScanRequest
from undertow.cli import main
from undertow.cli.changed import MARK, ChangedFile, joined_sarif, summary
from undertow.errors import DataError
from undertow.results.scan_document import ScanDocument


def git(*words: str) -> str:
    """A command of git in this folder."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two data files and a text; on a branch one of them changes, a strange one is new, main goes on by itself."""
    folder = tmp_path / "repository"
    (folder / "data").mkdir(parents=True)
    monkeypatch.chdir(folder)
    for name in ("data/old.jsonl", "data/gone.csv", "data/kept.parquet", "notes.txt"):
        Path(name).write_text("1\n")
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "first")
    git("checkout", "-qb", "branch")
    Path("data/old.jsonl").write_text("2\n")
    Path("data/gone.csv").unlink()
    Path("data/-new $(x)\n.JSONL.gz").write_text("3\n")
    Path("rows.json").write_text("[]")
    git("add", ".")
    git("commit", "-qm", "second")
    git("checkout", "-q", "main")
    Path("data/theirs.jsonl").write_text("4\n")
    git("add", ".")
    git("commit", "-qm", "third")
    git("checkout", "-q", "branch")
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ScanRequest]:
    """Scans that answer at once: `old` stands out, `broken` cannot be read, all others are clear."""
    requests: list[ScanRequest] = []

    def scan(request: ScanRequest, *told: object) -> ScanDocument:
        requests.append(request)
        if "broken" in request.data:
            raise DataError("row 1: no JSON <b>\x1b[2J")
        return stands_out() if "old" in request.data else clear()

    monkeypatch.setattr("undertow.audit.scan.scan", scan)
    return requests


COMMAND = ["changed", "--student", "org/base", "--limit", "0.3"]


def test_what_the_branch_changed_is_scanned(repository: Path, asked: list[ScanRequest]) -> None:
    """Data files that it added or changed, whatever their names hold; not what main did since, nor what is gone."""
    code = main([*COMMAND, "--since", "main"])

    assert sorted(request.data for request in asked) == [
        "./data/-new $(x)\n.JSONL.gz",
        "./data/old.jsonl",
    ]
    assert {(request.student, request.limit) for request in asked} == {("org/base", 0.3)}
    assert code == 1


def test_patterns_name_other_files(repository: Path, asked: list[ScanRequest]) -> None:
    """A pathspec takes a file by any name, and nothing else."""
    main([*COMMAND, "--since", "main", "--paths", "*.json", "--paths", ":(glob)**/theirs*"])

    assert [request.data for request in asked] == ["./rows.json"]


def test_a_new_branch_has_every_file_changed(repository: Path, asked: list[ScanRequest]) -> None:
    """A push that begins at no commit; from a folder below, names are as seen from there."""
    main([*COMMAND, "--since", "0" * 40])

    assert {Path(request.data).name for request in asked} == {
        "old.jsonl",
        "kept.parquet",
        "-new $(x)\n.JSONL.gz",
    }


def test_no_data_file_changed(
    repository: Path, asked: list[ScanRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, an empty log that is a log, and a summary that says so."""
    code = main([*COMMAND, "--since", "HEAD"])

    assert (code, asked) == (0, [])
    assert json.loads(Path("undertow-scans/changed.sarif").read_text())["runs"] == []
    assert "No data file changed" in Path("undertow-scans/changed.md").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "no FILE is named, and no --since COMMIT; allowed: either, or both"),
        (("--since", ""), "--since is empty, so there is no commit to compare with"),
    ],
)
def test_nothing_to_look_for_is_no_pass(
    repository: Path,
    asked: list[ScanRequest],
    words: tuple[str, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither files nor a commit, or the empty one of an event that has none: refused, and never "no data file changed"."""
    code = main([*COMMAND, *words])

    assert (code, asked) == (2, [])
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--machine", "--scored-by"])
def test_what_goes_with_one_file_alone_is_no_option(
    repository: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options whose partner (--dry-run, --row-scores) is not here are unknown, not offered and then refused."""
    code = main([*COMMAND, "--since", "main", option, "here"])

    assert code == 2
    assert f"No such option '{option}'" in capsys.readouterr().err


@pytest.mark.parametrize("commit", ["nowhere", "--output=x", "HEAD^{tree}", "$(touch x)"])
def test_a_commit_that_is_not_there_is_refused(
    repository: Path, asked: list[ScanRequest], commit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and what to do, before any scan; no text is taken for an option of git's."""
    code = main([*COMMAND, f"--since={commit}"])

    assert (code, asked) == (2, [])
    assert "fetch-depth: 0" in capsys.readouterr().err
    assert not Path("x").exists()


def test_outside_of_a_repository_no_commit_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever stands elsewhere is sent to the repository, not to the history of a checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    told = [main([*COMMAND, "--since", commit]) for commit in ("main", "0" * 40)]
    hints = capsys.readouterr().err

    assert told == [2, 2]
    assert hints.count("= help: go to the repository that holds the data, or name the files") == 2
    assert "checkout" not in hints


def test_a_file_that_cannot_be_scanned_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its error has a line of help like that of any other verb."""
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("{}")
    code = main([*COMMAND, "row.jsonl"])
    told = capsys.readouterr().err.splitlines()

    assert code == 2
    assert told[-2:] == [
        "error: no such file: './row.jsonl'",
        "  = help: did you mean './rows.jsonl'?",
    ]


def test_a_broken_file_keeps_no_other_from_its_scan(
    repository: Path, asked: list[ScanRequest]
) -> None:
    """Named files, each once: exit code 2 goes before 1, and the others are in log and summary."""
    Path("broken.jsonl").write_text("{}\n")
    code = main([*COMMAND, "--out", "o", "broken.jsonl", "data/old.jsonl", "data/old.jsonl"])
    text = Path("o/changed.md").read_text()
    log = json.loads(Path("o/changed.sarif").read_text())

    assert (code, len(asked)) == (2, 2)
    assert text.startswith(f"{MARK}\n")
    assert "not scanned" in text
    assert "**stands out**" in text
    assert "<b>" not in text.replace("<details><summary>", "")
    assert [run["automationDetails"]["id"][:18] for run in log["runs"]] == ["undertow/old.jsonl"]


def test_runs_of_one_log_are_told_apart() -> None:
    """Files of the same name in two folders have categories of their own."""
    files = [ChangedFile(path, 0, within()) for path in ("a/rows.jsonl", "b/rows.jsonl")]
    ids = [run["automationDetails"]["id"] for run in json.loads(joined_sarif(files))["runs"]]

    assert len(set(ids)) == 2


def test_a_summary_fits_into_a_comment() -> None:
    """Of many files the table is whole, and what has no room is counted; nobody is mentioned."""
    files = [ChangedFile(f"@org/{i}.jsonl", 1, stands_out()) for i in range(40)]
    text = summary(files)

    assert len(text) < 65_536
    assert all(f"`@org/{i}.jsonl`" in text for i in range(40))
    assert "are too long for this place" in text
    assert "<summary>@" not in text
