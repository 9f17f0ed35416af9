"""A diff whose models are read elsewhere, by processes or on two nodes of Ray, is that of one process bit for bit."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.audit.test_control_students import BASE, PLAN, written
from tests.engines.clusters import SMALL, cluster
from undertow.audit import model_readings
from undertow.audit.control_students import clean_rows, student_jobs
from undertow.audit.diff import diff
from undertow.audit.model_readings import ReadModel, read_models, reader_for
from undertow.audit.requests import DiffRequest
from undertow.engines.engine import InProcess
from undertow.models import adapters
from undertow.models.hardware import AUTO
from undertow.models.language_model import load
from undertow.results.model_documents import DiffDocument
from undertow.traits import catalogue
from undertow.worlds import locate
from undertow.worlds.base_models import Opening

T = TypeVar("T")
R = TypeVar("R")


def tuned(folder: Path) -> str:
    """The base with an adapter that changes it."""
    wrapped = adapters.trainable(load(locate(BASE)), PLAN, 1)
    for weight in adapters.trained_weights(wrapped):
        weight.data.normal_(0, 0.05)
    adapters.save(wrapped, folder)
    return f"{BASE}+{folder}"


def test_a_worker_that_travelled_reads_the_same(tmp_path: Path) -> None:
    """Without the base's weights it is a thousandth of them, opens them there, and gives equal readings."""
    base = load(locate(BASE))
    reader = reader_for(base, [catalogue.load("owl")], None, 0)
    clean = clean_rows(base, written(tmp_path, 60), PLAN, 2, 16, 0)
    [job] = student_jobs("clean.jsonl", clean, 0)
    worker = ReadModel(base, reader, opens=Opening(BASE, base.tokenizer.chat_template, AUTO))
    sent = pickle.dumps((worker, job))
    there, its_job = pickle.loads(sent)

    assert there.base.network is None
    for here, elsewhere in zip(worker(job), there(its_job), strict=True):
        assert (here.ref, here.file, here.part) == (elsewhere.ref, elsewhere.file, elsewhere.part)
        assert np.array_equal(here.wide, elsewhere.wide)
        assert np.array_equal(here.activations, elsewhere.activations)


def judged(document: DiffDocument) -> object:
    """What was measured and concluded, without what took how long."""
    told = {"measurements", "changes", "moved", "searched", "controls", "limits", "verdict"}
    return document.model_dump(include=told)


@pytest.mark.long
def test_models_read_elsewhere_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four students in two jobs, a tuned model, a teacher and a control: the same document and the same kept readings."""
    monkeypatch.setattr(model_readings, "TOGETHER", 2)
    made, clean = tuned(tmp_path / "tuned"), written(tmp_path, 100)
    measured: dict[str, object] = {}
    kept: dict[str, dict[str, bytes]] = {}
    with cluster() as there:
        there.add_node(num_cpus=1, **SMALL)
        there.wait_for_nodes()
        for engine in ("inprocess", "processes", f"ray://{there.address}"):
            name = engine.partition(":")[0]
            monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / name))
            readings = tmp_path / f"{name}.safetensors"
            request = DiffRequest(
                BASE,
                (made,),
                controls=(str(clean), BASE),
                keep_controls=readings,
                teacher=made,
                students=4,
                rows=16,
                plan=PLAN,
                traits=("owl", "cat"),
                engine=engine,
                jobs=2,
            )
            measured[name] = judged(diff(request))
            kept[name] = {key: array.tobytes() for key, array in load_file(readings).items()}

    assert measured["processes"] == measured["inprocess"] == measured["ray"]
    assert kept["processes"] == kept["inprocess"] == kept["ray"]


class Backwards(InProcess):
    """Ends the last task first."""

    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """(index, result), the last one first."""
        return reversed([*super().map(worker, tasks)])


def test_readings_stand_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Whichever job ends first."""
    base = load(locate(BASE))
    reader = reader_for(base, [catalogue.load("owl")], None, 0)
    request = DiffRequest(BASE, (BASE,), controls=(BASE,), teacher=tuned(tmp_path / "tuned"))
    start = reader.read(base)
    read = read_models(request, None, reader, base, start, lambda doing: None, Backwards())

    assert [one.ref for one in (*read.controls, *read.tuned)] == [BASE, BASE]
    assert read.teacher is not None
    assert read.teacher.ref.endswith("tuned")
