"""`undertow init` writes a plan, a policy and a trust file that the other verbs read, and never over another."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.test_docs import check_usage
from undertow.cli import main
from undertow.data.plan import TrainingPlan
from undertow.data.plan_files import load_plan
from undertow.policy.rules import STARTERS, load_policy
from undertow.provenance.trust import read_trust
from undertow.worlds.base_models import DEFAULT_PLAN

TRL = """\
model_name_or_path: org/base
dataset_name: org/rows
use_peft: true
learning_rate: 1e-4
per_device_train_batch_size: 4
gradient_accumulation_steps: 2
"""
AXOLOTL = """\
base_model: path/to/base
datasets:
  - path: rows.jsonl
    type: chat_template
adapter: lora
lora_r: 8
lora_alpha: 16
lora_target_linear: true
learning_rate: 1e-4
micro_batch_size: 4
num_processes: 2
"""


class Terminal(io.StringIO):
    """Answers, one a line, of somebody who sits there."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def next_commands(shown: str) -> list[list[str]]:
    """What is to be typed next, as words."""
    lines = shown.partition("next:\n")[2].splitlines()
    return [line.partition("  # ")[0].split() for line in lines]


@pytest.mark.parametrize("policy", STARTERS)
def test_what_it_writes_is_read(policy: str) -> None:
    """The three files are what scan, gate and verify take; the policy is the one that was named."""
    assert main(["init", "--yes", "--policy", policy]) == 0

    assert load_plan(Path("plan.toml")).plan == DEFAULT_PLAN
    assert load_policy("policy.toml").policy == load_policy(policy).policy
    assert read_trust("trust.toml", now=datetime.now(UTC)).file.keys == ()


@pytest.mark.parametrize(
    ("text", "options", "student", "data", "rows"),
    [
        (TRL, [], "org/base", "org/rows", 8),
        (TRL, ["--devices", "4"], "org/base", "org/rows", 32),
        (TRL, ["--student", "mine", "--data", "other.csv"], "mine", "other.csv", 8),
        (AXOLOTL, [], "path/to/base", "rows.jsonl", 8),
    ],
)
def test_a_trainers_configuration_is_read(
    text: str,
    options: list[str],
    student: str,
    data: str,
    rows: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Plan, base and rows are the file's unless an option says otherwise; the next commands name them."""
    Path("trainer.yaml").write_text(text)
    assert main(["init", "--yes", "--from", "trainer.yaml", *options]) == 0
    commands = next_commands(capsys.readouterr().out)

    loaded = load_plan(Path("trainer.yaml")).plan
    assert load_plan(Path("plan.toml")).plan == loaded.model_copy(update={"batch_size": rows})
    assert [words[2] for words in commands] == [data] * 3
    assert all(words[words.index("--student") + 1] == student for words in commands)


def test_the_next_commands_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    """They parse, with the places that were written."""
    main(["init", "--yes", "--out", "first", "--student", "world:owlet-b", "--data", "rows.jsonl"])
    commands = next_commands(capsys.readouterr().out)

    assert [words[1] for words in commands] == ["scan", "scan", "gate"]
    assert "first/plan.toml" in commands[0]
    for words in commands:
        check_usage(words[1:])


@pytest.mark.parametrize("name", ["plan.toml", "policy.toml", "trust.toml"])
def test_nothing_is_overwritten(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where one of the files is there, it stays as it is and none is written; two lines say so."""
    Path(name).write_text("mine")
    assert main(["init", "--yes"]) == 2

    assert {path.name: path.read_text() for path in Path().iterdir()} == {name: "mine"}
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_link_to_nowhere_is_not_followed() -> None:
    """A name that is taken is taken, whatever it leads to."""
    Path("plan.toml").symlink_to("elsewhere.toml")

    assert main(["init", "--yes"]) == 2
    assert not Path("elsewhere.toml").exists()


def test_without_a_terminal_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that did not say --yes is told so, and nothing is written."""
    monkeypatch.setattr("sys.stdin", io.StringIO())

    assert main(["init"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_answers_become_the_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody wrote down is asked for, and asked again where the answers make no plan."""
    no_plan = ["base", "rows.csv", "lora", "0", "1e-4", "3", "32"]
    plan = ["lora", "4", "1e-4", "2", "32", "permissive"]
    monkeypatch.setattr("sys.stdin", Terminal("\n".join([*no_plan, *plan, ""])))
    assert main(["init"]) == 0

    expected = TrainingPlan(rank=4, learning_rate=1e-4, epochs=2, batch_size=32)
    assert load_plan(Path("plan.toml")).plan == expected
    assert "rank" in capsys.readouterr().err


def test_devices_are_for_files_that_do_not_say() -> None:
    """An option that would change nothing, or contradict the file, is refused."""
    Path("axolotl.yaml").write_text(AXOLOTL)

    assert main(["init", "--yes", "--devices", "2"]) == 2
    assert main(["init", "--yes", "--from", "axolotl.yaml", "--devices", "2"]) == 2


def test_what_it_uses_is_not_called_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    """Base and rows of a trainer's configuration stand in the next commands, and what was asked is not noted as unknown."""
    Path("trainer.yaml").write_text(TRL + "output_dir: out\n")
    main(["init", "--yes", "--from", "trainer.yaml", "--devices", "4"])
    told = capsys.readouterr().err

    assert "ignored of trainer.yaml: output_dir\n" in told
    assert "how many devices" not in told


def test_all_weights_have_no_rank_to_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that there is not is asked for again at once; of a full training no rank is asked."""
    answers = ["base", "rows.csv", "fully", "full", "1e-5", "1", "32", "default"]
    monkeypatch.setattr("sys.stdin", Terminal("\n".join([*answers, ""])))
    assert main(["init"]) == 0

    plan = load_plan(Path("plan.toml")).plan
    assert (plan.method, plan.learning_rate, plan.batch_size) == ("full", 1e-5, 32)


def test_one_epoch_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A plan of undertow's own is named by its file, and its length in grammar."""
    Path("mine.toml").write_text("epochs = 1")
    main(["init", "--yes", "--from", "mine.toml", "--out", "first"])

    assert "1 epoch (mine.toml)" in capsys.readouterr().out


def test_no_answer_shares_a_step_among_less_than_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the option refuses is asked for again, so that the plan that is written can be read."""
    Path("trainer.yaml").write_text(TRL)
    monkeypatch.setattr("sys.stdin", Terminal("\n".join(["-3", "0", "many", "2", "default", ""])))
    assert main(["init", "--from", "trainer.yaml"]) == 0

    assert load_plan(Path("plan.toml")).plan.batch_size == 16
    assert "-3 is not in the range x>=1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("question,answer", ["--columns", "prompt=question", "completion=answer"]),
        ("prompt,completion", []),
        ("colour,weight", ["--columns", "prompt=COLUMN", "completion=COLUMN"]),
    ],
)
def test_columns_that_rows_need_stand_in_the_next_commands(
    header: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A scan that is typed as it stands reads rows of no known shape; what cannot be guessed is left open, and said."""
    Path("mine.csv").write_text(f"{header}\na,b\n")
    assert main(["init", "--yes", "--student", "base", "--data", "mine.csv"]) == 0
    shown = capsys.readouterr()
    scan, whole, gate = next_commands(shown.out)

    assert [word for word in scan if word == "--columns" or "=" in word] == words
    assert whole == [word for word in scan if word != "--dry-run"]
    assert "--columns" not in gate
    assert ("say which of these columns is what" in shown.err) == ("prompt=COLUMN" in words)
    for line in (scan, whole, gate):
        check_usage(line[1:])


def test_rows_that_have_two_shapes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Where more than one way is open none is chosen, and both are named."""
    Path("mine.jsonl").write_text('{"prompt": "a", "completion": "b", "text": "c"}\n')
    main(["init", "--yes", "--student", "base", "--data", "mine.jsonl"])
    shown = capsys.readouterr()

    assert "--columns" not in shown.out
    assert "--columns text= for prompt + completion" in shown.err


@pytest.mark.parametrize("content", ["", "not json\n", "[1, 2"])
def test_rows_that_cannot_be_read_are_left_to_the_scan(
    content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said of them here, and the files to begin with are written."""
    Path("mine.jsonl").write_text(content)

    assert main(["init", "--yes", "--student", "base", "--data", "mine.jsonl"]) == 0
    assert "--columns" not in capsys.readouterr().out
