"""Files of plans: recognised by their keys, read strictly, and what is not a plan is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from undertow.data.plan import TrainingPlan
from undertow.data.plan_files import LARGEST, TRAINERS, load_plan
from undertow.data.trainer_keys import Trainer
from undertow.errors import ConfigError


def written(folder: Path, name: str, text: str) -> Path:
    """A file of plans."""
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda trainer: trainer.name)
def test_a_trainers_key_is_in_one_table(trainer: Trainer) -> None:
    """No key is both translated and refused, say."""
    groups = [trainer.translated, trainer.ignored, trainer.noted, trainer.refused]

    assert [key for key in trainer.keys if sum(key in group for group in groups) != 1] == []


def test_toml_holds_undertows_own_keys(tmp_path: Path) -> None:
    """What it leaves out has undertow's default, and nothing is to be said of it."""
    path = written(tmp_path, "plan.toml", "rank = 4\ndora = true\n")
    loaded = load_plan(path)

    assert loaded.plan == TrainingPlan(rank=4, dora=True)
    assert loaded.lines(path) == []


@pytest.mark.parametrize(
    ("text", "trainer"),
    [
        ("output_dir: o\nlearning_rate: 1e-4\nnum_train_epochs: 2\n", "TRL"),
        ("use_peft: true\nlora_r: 8\nassistant_only_loss: true\n", "TRL"),
        ("base_model: m\nmicro_batch_size: 2\nlearning_rate: 1e-4\n", "axolotl"),
        (
            "model_name_or_path: m\nstage: sft\ncutoff_len: 99\nlearning_rate: 1e-4\n",
            "LLaMA-Factory",
        ),
    ],
)
def test_a_trainer_is_recognised_by_its_keys(tmp_path: Path, text: str, trainer: str) -> None:
    """Whichever knows most of them; `1e-4`, a string to YAML, is a number."""
    loaded = load_plan(written(tmp_path, "mine.yml", text))

    assert loaded.trainer == trainer
    assert loaded.plan.learning_rate in (1e-4, 2e-5)


def test_json_is_read_as_yaml_is(tmp_path: Path) -> None:
    """The same keys give the same plan."""
    keys = {"stage": "sft", "lora_rank": 4, "learning_rate": 1e-4}
    made = load_plan(written(tmp_path, "a.json", json.dumps(keys)))

    assert made == load_plan(
        written(tmp_path, "a.yaml", "stage: sft\nlora_rank: 4\nlearning_rate: 1e-4")
    )


def test_undertows_keys_may_stand_in_yaml_or_json(tmp_path: Path) -> None:
    """A plan as a result stores it is a plan again."""
    plan = TrainingPlan(rank=4, batch_size=32, targets=("q_proj",), dora=True)

    assert load_plan(written(tmp_path, "p.json", plan.model_dump_json())).plan == plan
    assert load_plan(written(tmp_path, "p.yaml", plan.model_dump_json())).plan == plan


def test_a_mark_of_byte_order_and_line_ends_of_windows_are_read(tmp_path: Path) -> None:
    """As editors on Windows write them, in each format."""
    for name, text in (("a.toml", "rank = 4\r\n"), ("a.yaml", "stage: sft\r\nlora_rank: 4\r\n")):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())

        assert load_plan(tmp_path / name).plan.rank == 4


def test_what_is_ignored_is_said_in_one_line(tmp_path: Path) -> None:
    """The line names the file and the keys."""
    path = written(
        tmp_path,
        "axolotl.yaml",
        "base_model: m\noutput_dir: o\nwandb_project: p\nlearning_rate: 1e-4\n",
    )

    assert load_plan(path).lines(path)[0] == (
        "ignored of axolotl.yaml: base_model, output_dir, wandb_project"
    )


def test_a_template_is_text_or_a_file_beside_the_plan(tmp_path: Path) -> None:
    """In TOML and in YAML of undertow's own keys alike."""
    written(tmp_path, "mine.jinja", "{{ messages[0].content }}\n")
    texts = [
        load_plan(written(tmp_path, name, text)).plan.template
        for name, text in (
            ("a.toml", 'template = "mine.jinja"'),
            ("b.toml", "template = '{{ messages[0].content }}\n'".replace("'", "'''")),
            ("c.yaml", "rank: 4\nalpha: 4\ntemplate: mine.jinja\n"),
        )
    ]

    assert texts == ["{{ messages[0].content }}\n"] * 3


BILLION = "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(9))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.yaml", BILLION, "refers to another part of itself"),
        ("a.yaml", "base: &b {lora_r: 8}\n<<: *b\n", "refers to another part of itself"),
        ("a.yaml", "lora_r: !!python/object/apply:os.system [ls]\n", "not valid YAML"),
        ("a.yaml", "lora_r: !mine 8\n", "not valid YAML"),
        ("a.yaml", "lora_r: 8\nlora_r: 16\n", "the key 'lora_r' twice"),
        ("a.yaml", "lora_r: [8\n", "not valid YAML"),
        ("a.yaml", "lora_r: 8\n---\nlora_r: 9\n", "not valid YAML"),
        ("a.yaml", "[" * 5000, "nested more than 64 levels"),
        ("a.yaml", "- lora_r\n", "holds no table of keys"),
        ("a.yaml", "", "holds no table of keys"),
        ("a.yaml", "ranks: 8\nbeta_max: 3\n", "is no configuration of TRL, axolotl, LLaMA-Factory"),
        ("a.yaml", "#" * (LARGEST + 1), "allowed: at most"),
        ("a.yaml", "learning_rate: .nan\noutput_dir: o\n", "it is no number"),
        ("a.json", '{"lora_r": 8, "lora_r": 9}', "the key 'lora_r' twice"),
        ("a.json", '{"learning_rate": NaN}', "not valid JSON"),
        ("a.json", '{"learning_rate": 1e999, "output_dir": "o"}', "it is no number"),
        ("a.json", "[1]", "holds no table of keys"),
        ("a.toml", "lora_r = 8", "unknown key 'lora_r'"),
        ("a.toml", "rank: 8", "not valid TOML"),
        ("a.toml", 'template = "chatml"', "neither a template's text nor a file of it"),
        ("a.toml", 'template = "none.jinja"', "no such file: '.*none.jinja'"),
        (
            "a.toml",
            "template = '{% for %}'",
            "'template' has the value .*it is no template: line 1",
        ),
        ("a.toml", "template = 3", "'template' has the value 3"),
        ("training_args.bin", "PK", "is a pickle, which is never read"),
        ("a.json", '{"rank": 8, "batch_size": 4, "alpah": 2}', "did you mean 'alpha'"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, name: str, text: str, told: str) -> None:
    """One line that names the file and what is wrong with it."""
    with pytest.raises(ConfigError, match=told) as refused:
        load_plan(written(tmp_path, name, text))

    assert name in refused.value.message
    assert "\n" not in refused.value.message
    assert refused.value.hint


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    """Both are errors of the configuration, not of undertow."""
    with pytest.raises(ConfigError, match="no such file"):
        load_plan(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_plan(tmp_path / "bytes.yaml")


def test_an_anchor_that_nothing_refers_to_is_harmless(tmp_path: Path) -> None:
    """It stands for nothing but its value."""
    path = written(tmp_path, "a.yaml", "use_peft: true\nlora_r: &rank 8\n")

    assert load_plan(path).plan.rank == 8
