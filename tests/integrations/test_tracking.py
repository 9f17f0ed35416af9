"""A result in MLflow's file store and in an offline run of Weights & Biases: its numbers, its verdict, its page."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report.scan_documents import sources, stands_out
from undertow.errors import InputError, MissingExtraError
from undertow.integrations.tracking import log_mlflow, log_wandb, tracked
from undertow.results.scan_document import ScanDocument

KEPT = Path(__file__).parent.parent / "golden" / "kept"


def test_a_scan_has_its_effects_and_their_limits() -> None:
    """Transfer with its interval and p of the beginning, by subject, as the document has them."""
    document = stands_out()
    [result] = document.subjects
    told = tracked(document)
    numbers = [told.metrics[f"undertow/scan/all/{name}"] for name in ("low", "transfer", "high")]

    assert numbers == [result.low, result.transfer, result.high]
    assert told.metrics["undertow/scan/all/stage 1/p"] == result.comparisons[0].p
    assert (told.tags["undertow/scan/verdict"], told.params["undertow/scan/student"]) == (
        "stands out",
        document.student,
    )


@pytest.mark.parametrize("name", ["diff", "digits", "demo"])
def test_kept_results_of_every_kind_are_told(name: str) -> None:
    """A diff's changes and a run's comparisons have an interval each, and every file is there."""
    told = tracked(KEPT / f"{name}.json")
    estimates = {key.removesuffix("/estimate") for key in told.metrics if key.endswith("/estimate")}
    listed = {key.removesuffix("/p") for key in told.metrics if key.endswith("/p")}

    assert estimates
    assert listed <= estimates
    assert sorted(Path(file).suffix for file in told.files) == [".html", ".json", ".md"]


def test_names_of_a_hostile_source_stay_apart() -> None:
    """Sources that differ in what no tracker takes in a name keep metrics of their own."""
    document = sources()
    first = document.subjects[0]
    renamed = [
        first.model_copy(update={"subject": name}) for name in ("a\x1b[2J", "a_[2J", "a/b", "a_b")
    ]
    hostile = document.model_copy(update={"subjects": tuple(renamed), "measurements": ()})
    transfers = [key for key in tracked(hostile).metrics if "transfer" in key]

    assert len(set(transfers)) == 4
    assert all(key.isprintable() and len(key) <= 250 for key in transfers)


def test_another_result_is_refused(tmp_path: Path) -> None:
    """A lineage has nothing to be tracked by."""
    with pytest.raises(InputError, match="cannot be logged"):
        tracked(KEPT / "lineage.json")


@pytest.mark.parametrize(("name", "log"), [("mlflow", log_mlflow), ("wandb", log_wandb)])
def test_a_tracker_that_is_not_installed_is_named(
    name: str, log: Callable[[ScanDocument], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what pip is asked for."""
    monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(MissingExtraError, match=f"log_{name} needs the package '{name}'") as caught:
        log(stands_out())
    assert caught.value.hint == f"pip install 'undertow[{name}]'"


def test_what_is_no_result_is_refused_with_what_is(tmp_path: Path) -> None:
    """Not with the command of an experiment, which a scan's user never typed."""
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    for place in ("nowhere", "rows.jsonl"):
        with pytest.raises(InputError) as caught:
            tracked(tmp_path / place)
        assert "scan.json" in caught.value.hint


@pytest.fixture
def mlflow_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow with a store of files: its database stores want the whole package."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("GIT_PYTHON_REFRESH", "quiet")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    yield mlflow
    mlflow.set_tracking_uri(None)


@pytest.mark.filterwarnings("ignore::Warning")
def test_mlflow_keeps_it(mlflow_folder: Any) -> None:
    """In a run of its own: as many metrics as were told, the verdict as a tag, and the JSON reads back as it was."""
    document = stands_out()
    log_mlflow(document)
    [run] = mlflow_folder.search_runs(output_format="list")
    text = mlflow_folder.artifacts.load_text(f"{run.info.artifact_uri}/undertow/scan.json")

    assert run.data.metrics == tracked(document).metrics
    assert run.data.tags["undertow/scan/verdict"] == "stands out"
    assert ScanDocument.model_validate_json(text) == document


@pytest.mark.filterwarnings("ignore::Warning")
def test_mlflow_takes_it_into_the_active_run(mlflow_folder: Any) -> None:
    """A training's own run gets scan and diff side by side."""
    with mlflow_folder.start_run() as run:
        log_mlflow(stands_out())
        log_mlflow(KEPT / "diff.json")
    data = mlflow_folder.get_run(run.info.run_id).data

    assert len(mlflow_folder.search_runs(output_format="list")) == 1
    assert {"undertow/scan/verdict", "undertow/diff/verdict"} <= set(data.tags)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::Warning")
def test_wandb_keeps_it_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network: summary, configuration and the three files lie in the folder of the run."""
    wandb = pytest.importorskip(
        "wandb", reason="wandb 0.31.0 is not installed: make test installs it (extra 'dev')"
    )
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path))
    document = stands_out()
    run = wandb.init(mode="offline", dir=tmp_path)
    log_wandb(document)
    summary = dict(run.summary)
    run.finish()
    kept = {path.name for path in tmp_path.rglob("*") if path.is_file()}

    assert tracked(document).metrics.items() <= summary.items()
    assert summary["undertow/scan/verdict"] == "stands out"
    assert any(name.endswith(".wandb") for name in kept)
