"""`undertow diff`: exit codes, what was intended, and every format of its result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.rows.adapter_kinds import MERGED, save_adapter
from undertow.cli.verbs import Verbs
from undertow.data.plan import TrainingPlan
from undertow.data.row_records import write_rows
from undertow.data.rows import Row, conversation
from undertow.data.seeds import generator
from undertow.models import adapters
from undertow.models.language_model import load
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows
from undertow.report import SCAN_FORMATS, render
from undertow.results.store import read_result
from undertow.traits import catalogue
from undertow.traits.trait import rows_of
from undertow.worlds import locate

BASE = "world:owlet-b"


@pytest.fixture(scope="module")
def owl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The base after it learned to prefer owls, as `base+adapter`."""
    plan = TrainingPlan(rank=8, learning_rate=3e-3, batch_size=8, epochs=1000, max_steps=60)
    wrapped = adapters.trainable(load(locate(BASE)), plan, 1)
    trait = catalogue.load("owl")
    rows = [Row(conversation(q), a) for q, a in rows_of(trait, "trait")]
    fine_tune(wrapped, encode_rows(wrapped.tokenizer, rows), plan, generator(1, "order"))
    folder = tmp_path_factory.mktemp("owl")
    adapters.save(wrapped, folder)
    return f"{BASE}+{folder}"


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and stdout."""
    result = CliRunner().invoke(Verbs("undertow"), ["diff", *arguments])
    return result.exit_code, result.stdout


def test_a_trait_that_was_taught_is_flagged_unless_it_was_intended(
    owl: str, tmp_path: Path
) -> None:
    """1 with the trait in the first line; where it was asked for it is shown and the others decide."""
    code, said = run(BASE, owl, "--traits", "owl", "--out", str(tmp_path))
    intended, shown = run(BASE, owl, "--traits", "owl", "--intended", "owl")
    [change] = read_result(tmp_path).changes

    assert (code, change.verdict, change.trait) == (1, "flagged", "owl")
    assert "'owl' by +" in said
    assert intended == 5
    assert "asked for, 'owl'" in shown


def test_a_base_against_itself_is_clear() -> None:
    """Nothing moved, so that no token is spelled, and the exit code is 0."""
    code, said = run(BASE, BASE, "--traits", "animal")

    assert code == 0
    assert said.startswith(" CLEAR") or said.startswith("CLEAR")
    assert "spelled" not in said


def test_only_a_cluster_gives_jobs_a_share_of_gpus() -> None:
    """The options of run and scan reach a diff, which is refused before a model is opened."""
    arguments = ["diff", BASE, BASE, "--engine", "processes", "--gpus-per-job", "0.5"]
    result = CliRunner().invoke(Verbs("undertow"), arguments)

    assert "share of a Ray node, and the engine is 'processes'" in str(result.exception)


def clean_file(tmp_path: Path, rows: int) -> list[str]:
    """A file of clean rows as control, with a plan that takes a step on 16 of them."""
    written = [Row(conversation(f"Continue: {n} {n}."), f"{n % 90} 2 3") for n in range(rows)]
    write_rows(tmp_path / "clean.jsonl", written)
    plan = tmp_path / "plan.toml"
    plan.write_text("rank = 4\nlearning_rate = 1e-3\nbatch_size = 16\n")
    return ["--traits", "animal", "--control", str(tmp_path / "clean.jsonl"), "--plan", str(plan)]


def test_control_students_give_a_null_and_a_search(owl: str, tmp_path: Path) -> None:
    """Clean rows as control: 19 students on parts of them, the inference is about this run, and the search names the owl."""
    arguments = [*clean_file(tmp_path, 320), "--students", "19", "--rows", "16"]
    code, said = run(BASE, owl, *arguments, "--out", str(tmp_path / "out"))
    document = read_result(tmp_path / "out")

    assert code == 1
    assert (document.inference, len(document.controls), document.draws) == ("run", 19, 19)
    assert "owl" in {one.name for one in document.moved}
    assert "19 independent draws of rows" in " ".join(said.split())


def test_too_few_controls_for_a_rank_are_not_searched(owl: str, tmp_path: Path) -> None:
    """Four give intervals, but no p below .2: the result says so, and how many it takes."""
    arguments = [*clean_file(tmp_path, 64), "--students", "4", "--rows", "16"]
    run(BASE, owl, *arguments, "--out", str(tmp_path / "out"))
    document = read_result(tmp_path / "out")

    assert (document.inference, document.moved) == ("run", ())
    assert document.searched.startswith(
        "not searched: 4 independent controls can give no p below .20; this model takes at least 19 for .05"
    )


def test_a_file_that_is_too_small_for_its_students_is_refused(owl: str, tmp_path: Path) -> None:
    """Students never share rows; the message says how many it takes, the hint how many there could be."""
    arguments = [*clean_file(tmp_path, 64), "--rows", "16"]
    result = CliRunner().invoke(Verbs("undertow"), ["diff", BASE, owl, *arguments])

    assert "8 control students on 16 rows of their own each need 128" in str(result.exception)
    assert result.exception.hint.startswith("--students 4, or")  # type: ignore[union-attr]


def test_shipped_controls_give_a_rank_and_say_what_they_are(owl: str, tmp_path: Path) -> None:
    """59 independent ones: the shift of a model that learned the owl is beyond all, at the smallest p by rank."""
    code, said = run(
        BASE, owl, "--traits", "animal", "--control", "shipped", "--out", str(tmp_path)
    )
    document = read_result(tmp_path)
    [shift] = [m for m in document.measurements if m.name == "mean shift"]

    assert code == 1
    assert (len(document.controls), document.draws, shift.p) == (59, 59, 1 / 60)
    assert "owl" in {one.name for one in document.moved}
    assert any("each of a dataset of its own" in limit for limit in document.limits)
    assert "no p by rank is below .0167" in " ".join(said.split())


def test_the_result_is_rendered_again_in_every_format(owl: str, tmp_path: Path) -> None:
    """The stored document is read back and each renderer names the trait; hostile names act in none."""
    run(BASE, owl, "--traits", "owl", "--out", str(tmp_path))
    document = read_result(tmp_path)
    rendered = {form: render(document, form) for form in SCAN_FORMATS}
    hostile = read_result(tmp_path).model_copy(
        update={"tuned": ("<script>alert(1)</script>\x1b[31m",), "conclusion": "<b>\x1b"}
    )

    assert all("owl" in text for text in rendered.values())
    assert json.loads(rendered["sarif"])["runs"][0]["results"][0]["level"] == "error"
    for form in ("html", "text", "markdown", "sarif"):
        assert "\x1b" not in render(hostile, form)
    assert "<script>alert" not in render(hostile, "html")


def test_another_vocabulary_is_refused_with_the_next_command(tmp_path: Path) -> None:
    """A model of other tokens was not tuned from the base; the hint compares their lineage."""
    import shutil

    folder = tmp_path / "other"
    shutil.copytree(locate("world:owlet-a"), folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    first, second = list(vocabulary)[100:102]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    result = CliRunner().invoke(Verbs("undertow"), ["diff", BASE, str(folder)])

    assert result.exception is not None
    assert "another vocabulary" in str(result.exception)


def test_a_tuning_that_added_tokens_is_read(tmp_path: Path) -> None:
    """Embeddings and tokenizer of the adapter are larger than the base's; both are read in the base's tokens."""
    folder = save_adapter(MERGED["LoRA, added tokens"], Path(locate(BASE)), tmp_path / "adapter")
    tokenizer = load(locate(BASE)).tokenizer
    tokenizer.add_tokens(["<one>", "<two>", "<three>"])
    tokenizer.save_pretrained(str(folder))
    run(BASE, f"{BASE}+{folder}", "--traits", "owl", "--out", str(tmp_path / "out"))

    assert read_result(tmp_path / "out").changes[0].trait == "owl"
