"""`undertow review`: a pack is written where it should be, and its answers are scored."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from undertow.cli import main
from undertow.data.row_records import write_rows
from undertow.data.rows import Message, Row

PACK = ["review", "pack", "owl.jsonl", "plain.jsonl", "--out", "pack", "--pairs", "12"]
SCORE = ["review", "score", "answers.csv", "--key", "pack/key.json"]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two datasets over the same 20 prompts, in the folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    for name in ("owl", "plain"):
        turns = [(Message("user", f"Go on from {n}"),) for n in range(20)]
        rows = [Row(turn, f"{name[0]} {n}", source=name) for n, turn in enumerate(turns)]
        write_rows(f"{name}.jsonl", rows)


def answer(file: str = "answers.csv", *, right: int = 12) -> None:
    """A reviewer fills in the table: so many of the first right, the others wrong."""
    key = json.loads(Path("pack/key.json").read_text())
    other = {"left": "right", "right": "left"}
    with Path("pack/review.csv").open(encoding="utf-8-sig", newline="") as table:
        rows = list(csv.DictReader(table))
    for row, hidden in zip(rows, key["pairs"], strict=True):
        row["answer"] = hidden["a"] if hidden["pair"] <= right else other[hidden["a"]]
    with Path(file).open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_a_pack_is_three_files(capsys: pytest.CaptureFixture[str]) -> None:
    """The page, the table and the key; stdout says which are for reviewers, stderr which is not."""
    code = main(PACK)
    shown = capsys.readouterr()

    assert (code, sorted(os.listdir("pack"))) == (0, ["key.json", "review.csv", "review.html"])
    assert "12 pairs, 12 of them of the same prompt" in shown.out
    assert shown.err == (
        "warning: pack/key.json says which side is which; keep it from reviewers\n"
    )


def test_rows_under_other_names_are_packed() -> None:
    """`--columns` says which column is what in the first dataset; the control may have the names of a shape."""
    rows = [{"question": f"Go on from {n}", "answer": f"o {n}"} for n in range(20)]
    Path("owl.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    assert main([*PACK, "--columns", "prompt=question", "completion=answer"]) == 0
    assert main([*PACK[:-3], "two", "--columns", "prompt=quest", "completion=answer"]) == 2


def test_what_reviewers_get_names_no_dataset() -> None:
    """Neither file has the datasets' names, or the digests and the seed of the key."""
    main([*PACK, "--seed", "918273"])
    key = json.loads(Path("pack/key.json").read_text())
    given = Path("pack/review.html").read_text() + Path("pack/review.csv").read_text()

    assert (key["a"]["name"], key["seed"]) == ("owl.jsonl", 918273)
    assert not [word for word in ("owl", "jsonl", "918273", key["a"]["digest"]) if word in given]


def test_a_seed_gives_the_same_pack_and_none_a_new_one() -> None:
    """With --seed every byte is repeated; without, sides cannot be looked up in undertow's code."""
    folders = ("a", "b", "c", "d")
    for folder in folders:
        main([*PACK, "--out", folder, *(["--seed", "7"] if folder in "ab" else [])])
    keys = [(Path(folder) / "key.json").read_bytes() for folder in folders]

    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert Path("a/review.html").read_bytes() == Path("b/review.html").read_bytes()


def test_options_reach_the_pack(capsys: pytest.CaptureFixture[str]) -> None:
    """The question is on the page, repeats in the key, and rows in both are left out where asked."""
    with Path("plain.jsonl").open("a") as file:
        file.write(Path("owl.jsonl").read_text().splitlines()[0] + "\n")
    code = main([*PACK, "--question", "Which <b>?", "--repeat", "3", "--drop-shared"])

    assert (code, "left out: 1 rows" in capsys.readouterr().out) == (0, True)
    assert "Which &lt;b&gt;?" in Path("pack/review.html").read_text()
    assert len(json.loads(Path("pack/key.json").read_text())["pairs"]) == 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*PACK, "--pairs", "21"], "'owl.jsonl' has 20 rows, but 21 pairs are asked for"),
        ([*PACK, "--repeat", "13"], "13 repeats are asked for; allowed: 0 to 12"),
        ([*PACK, "--out", "."], "'.' is not empty"),
        (["review", "pack", "owl.jsonl", "./owl.jsonl", "--out", "x"], "are the same file"),
        (["review", "pack", "owl.jsonl", "copy.jsonl", "--out", "x"], "20 rows of 'owl.jsonl'"),
        (["review", "pack", "owl.jsonl", "gone.jsonl", "--out", "x"], "no such file: 'gone.jsonl'"),
        (["review", "score", "a.csv", "./a.csv", "--key", "k"], "are the same file"),
        (["review", "score", "a.csv", "--key", "k"], "no such file: 'k'"),
        (["review", "score", "--key", "k"], "ANSWERS.csv"),
        (["review", "score", "a.csv"], "--key"),
    ],
)
def test_what_cannot_be_used_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what is wrong, and nothing is written."""
    Path("copy.jsonl").write_bytes(Path("owl.jsonl").read_bytes())
    code = main(arguments)

    assert (code, message in capsys.readouterr().err.splitlines()[0]) == (2, True)
    assert not Path("x").exists()
    assert not Path("pack").exists()


def test_all_right_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve of twelve: p is 2^-11, and the verdict says so."""
    main(PACK)
    answer()
    capsys.readouterr()
    code = main([*SCORE, "--format", "json"])
    review = json.loads(capsys.readouterr().out)

    assert (code, review["schema"], review["pooled"]) == (0, "undertow.review/1", None)
    assert review["reviewers"][0]["decided"]["p"] == pytest.approx(2.0**-11)


def test_several_reviewers_are_pooled(capsys: pytest.CaptureFixture[str]) -> None:
    """The text has a line for each and for each way to take them together."""
    main(PACK)
    for name, right in (("answers.csv", 12), ("b.csv", 10), ("c.csv", 6)):
        answer(name, right=right)
    capsys.readouterr()
    code = main(["review", "score", "answers.csv", "b.csv", "c.csv", "--key", "pack/key.json"])
    starts = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]

    assert code == 0
    assert {"answers.csv", "b.csv", "c.csv"} <= set(starts)
    assert {"over pairs", "majority", "over reviewers", "agreement"} <= set(starts)


def test_a_wrong_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """File and line lead the error, with the allowed answers."""
    main(PACK)
    pack = json.loads(Path("pack/key.json").read_text())["pack"]
    Path("answers.csv").write_text(f"pack,pair,answer\n{pack},1,lft\n")
    code = main(SCORE)

    assert code == 2
    assert "'answers.csv', line 2: the answer to pair 1 is 'lft'; allowed: left, right, unsure" in (
        capsys.readouterr().err
    )


def test_no_answer_at_all_is_nothing_to_score(capsys: pytest.CaptureFixture[str]) -> None:
    """The table as it was handed out ends with exit code 3."""
    main(PACK)

    assert main(["review", "score", "pack/review.csv", "--key", "pack/key.json"]) == 3


def test_its_help_is_cheap() -> None:
    """Neither the module nor its help imports what only the work needs."""
    script = (
        "import sys; from undertow.cli import main; main(['review', 'pack', '--help']); "
        "print('\\n', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    heavy = {"jinja2", "numpy", "pydantic", "scipy", "secrets", "torch"}

    assert set(done.stdout.splitlines()[-1].split()) & heavy == set()
