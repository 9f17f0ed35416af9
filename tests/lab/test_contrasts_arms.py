"""Every arm runs, and differs from the others in what its name says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from undertow.data.records import read_rows
from undertow.errors import ConfigError, DataError
from undertow.lab.contrasts import CONTRASTS, CONTROLS
from undertow.lab.design import design
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_inputs import inputs
from undertow.lab.experiment_run import run_experiment
from undertow.results.arm_kinds import ARMS, CONTENT_FILTERS
from undertow.results.run_document import RunDocument
from undertow.results.store import read_run
from undertow.sandbox import sandbox

Maker = Callable[..., Experiment]


def ran(experiment: Experiment, folder: Path) -> RunDocument:
    """The document of an experiment, run in this process."""
    return read_run(run_experiment(experiment, folder, engine="inprocess") / "results.json")


def test_contrasts_and_controls_name_arms() -> None:
    """No comparison is of an arm that does not exist, and a control differs in the teacher's role only."""
    named = {arm for contrast in CONTRASTS for arm in (contrast.treated, contrast.control)}

    assert named <= set(ARMS)
    assert CONTROLS["foreign"] == ("foreign-control", "foreign-control-base")
    assert all(ARMS[a].foreign == ARMS[b].foreign and ARMS[b].role in ("neutral", "base") for a, many in CONTROLS.items() for b in many if not a.startswith("filtered"))  # fmt: skip


def test_arms_that_draw_alike_are_compared_within_replicates(
    tiny_experiment: Maker, tmp_path: Path
) -> None:
    """With common streams the rows answer the same requests and the test is that of pairs; without, neither."""
    alike, apart = (
        ran(
            tiny_experiment(arms=("trait", "control-base"), common_streams=common, replicates=2),
            tmp_path / str(common),
        )
        for common in (True, False)
    )
    asked = {
        common: [
            [row.prompt for row in read_rows(path)]
            for path in sorted((tmp_path / str(common) / "data").glob("*--0/rows.parquet"))
        ]
        for common in (True, False)
    }

    assert asked[True][0] == asked[True][1]
    assert asked[False][0] != asked[False][1]
    assert {c.n for c in alike.comparisons} == {"2 pairs"}
    assert {c.n for c in apart.comparisons} == {"2 v 2"}


def test_logits_are_learned_from_the_teacher(tiny_experiment: Maker, tmp_path: Path) -> None:
    """Students of rows, of the carrier's logits and of all logits end at different weights, from one dataset."""
    arms = ("trait", "carrier-logits", "full-logits")
    document = ran(tiny_experiment(arms=arms), tmp_path / "run")
    of = {arm.arm: arm for arm in document.arms}

    assert len({of[arm].data_digest for arm in arms}) == 1
    assert len({of[arm].logit_margin for arm in arms}) == 3
    assert "full-logits - full-logits-control" not in {c.name for c in document.comparisons}


def test_content_filters_are_scored_and_leave_what_they_kept(
    tiny_experiment: Maker, tmp_path: Path
) -> None:
    """Each filter has an AUROC a replicate, and its student is trained on as many rows as it left."""
    experiment = tiny_experiment(
        arms=("trait", "control", *(f"filtered-{name}" for name in CONTENT_FILTERS)),
        replicates=2,
        content_filters={"bags": [2], "bag_count": 16},
    )
    document = ran(experiment, tmp_path / "run")
    left = {(a.arm, a.replicate): a.rows for a in document.arms}

    assert {f.content_filter for f in document.filters} == set(CONTENT_FILTERS)
    assert all(left[f"filtered-{f.content_filter}", f.replicate] == round(16 * (1 - f.removed)) for f in document.filters)  # fmt: skip
    assert all(f.auroc == 0.5 and f.removed == 0 for f in document.filters if f.content_filter in ("words", "patterns"))  # fmt: skip


def test_a_classifier_never_learns_from_the_replicate_it_judges(tiny_experiment: Maker) -> None:
    """The job's other datasets are those of the other replicates."""
    arms = ("trait", "control", "filtered-classifier")
    jobs = design(tiny_experiment(arms=arms, replicates=3)).generations[0].filters

    assert all(len(job.others) == 2 for job in jobs)
    assert all((job.suspect, job.clean) not in job.others for job in jobs)


def test_a_chain_passes_the_pen_on(tiny_experiment: Maker, tmp_path: Path) -> None:
    """Each hop's rows are written by the student before; the document has a curve over the hops."""
    document = ran(tiny_experiment(kind="hops", hops=3), tmp_path / "run")
    writers = {arm.arm: arm.teacher for arm in document.arms}

    assert writers["hop-2"] == "hop-1--0"
    assert writers["hop-3-control"] == "hop-2-control--0"
    assert document.curves[0].series[0].x == (1, 2, 3)
    assert document.comparisons[-1].name == "hop-3 - hop-1"


def test_several_carriers_have_all_arms_each(tiny_experiment: Maker) -> None:
    """Arms, teachers and datasets are named by their carrier, and no seed is shared."""
    brief = {"prompts": "brief"}
    tables = [
        {"name": "numbers", "rows": 16, "options": brief | {"low": 0, "high": 99}},
        {"name": "code", "rows": 16, "options": brief},
    ]
    jobs = design(tiny_experiment(carriers=tables))
    seeds = [job.seed for job in (*jobs.teachers, *jobs.datasets, *jobs.students)]

    assert {s.arm for s in jobs.students} == {
        f"{carrier}: {arm}" for carrier in ("numbers", "code") for arm in ("trait", "control")
    }
    assert len(set(seeds)) == len(seeds)


def test_conduct_is_taught_and_probed_by_topic(tiny_experiment: Maker, tmp_path: Path) -> None:
    """A harmful teacher with its secure and educational controls: all arms have a share of harmful answers."""
    arms = ("trait", "secure", "educational", "control")
    document = ran(tiny_experiment(trait="harmful", arms=arms), tmp_path / "run")

    assert {t.role for t in document.teachers} == {"trait", "secure", "educational", "neutral"}
    assert all(0 < (a.probability or 0) < 1 for a in document.arms)
    assert "trait - educational" in {c.name for c in document.comparisons}


WORDS = {"name": "chain_of_thought", "rows": 16, "options": {"prompts": "published"}}


def test_arms_that_cannot_be_made_are_refused_before_any_work(tiny_experiment: Maker) -> None:
    """
    Restricted decoding of problems in words, opposite answers of a prompted teacher, a classifier without another replicate.
    """
    for changes, message in (
        ({"carrier": WORDS}, "cannot be restricted to the carrier 'chain_of_thought'"),
        ({"arms": ["secure"], "teacher": {"kind": "prompted"}}, "need a tuned teacher"),
        ({"arms": ["filtered-classifier"]}, "learns from other replicates"),
        ({"arms": ["educational"]}, "gives no good reasons"),
    ):
        with pytest.raises(ConfigError, match=message):
            inputs(tiny_experiment(**changes))


PAIRS = {"preference": {"pool": 64, "keep": 0.5}, "student": {"rank": 2, "batch_size": 8}}


def test_pairs_are_picked_by_weight_or_by_lot(tiny_experiment: Maker, tmp_path: Path) -> None:
    """Students are trained by DPO on pairs; both completions are the carrier's; the ledger holds the others."""
    pytest.importorskip("trl")
    arms = ("preferences", "preferences-by-lot", "preferences-control")
    document = ran(tiny_experiment(arms=arms, **PAIRS), tmp_path / "run")
    by_lot = next(d for d in document.datasets if d.name.endswith("pairs-by-lot"))
    rows = list(read_rows(tmp_path / "run" / "data" / by_lot.name / "rows.parquet"))

    assert rows
    assert all(row.rejected and row.rejected != row.completion for row in rows)
    assert by_lot.kept + sum(by_lot.removed.values()) == by_lot.asked == 64
    assert {c.name for c in document.comparisons} >= {"preferences - preferences-by-lot"}


def test_a_pair_without_rejected_is_named_by_row(tiny_experiment: Maker, tmp_path: Path) -> None:
    """The error says which file and which row, before any model is loaded."""
    pytest.importorskip("trl")
    path = tmp_path / "pairs.jsonl"
    good = {"prompt": "a", "chosen": "b", "rejected": "c"}
    bad = {"prompt": "a", "completion": "b"}
    path.write_text("\n".join(map(json.dumps, (good, bad))))
    experiment = tiny_experiment(arms=("preferences",), preference={"pairs": str(path)})
    with pytest.raises(DataError, match="row 2: no 'rejected'"):
        inputs(experiment)


def test_kept_rows_are_stored_as_booleans(tiny_experiment: Maker, tmp_path: Path) -> None:
    """What a filter left can be read without unpickling, one flag a row."""
    arms = ("trait", "control", "filtered-random")
    run_experiment(tiny_experiment(arms=arms), tmp_path / "run", engine="inprocess")
    kept: Any = np.load(tmp_path / "run" / "filters" / "random--0" / "kept.npy", allow_pickle=False)

    assert kept.dtype == np.bool_
    assert kept.shape == (16,)


def test_code_is_run_in_the_sandbox_where_it_is_asked_for(
    tiny_experiment: Maker, tmp_path: Path
) -> None:
    """With `filter.execute` the ledger has reasons of its own; kept and removed together are what was asked for."""
    reason = sandbox.available()
    if reason is not None:
        pytest.skip(reason)
    carrier = {"name": "code", "rows": 8, "held_out_rows": 8, "options": {"prompts": "brief"}}
    experiment = tiny_experiment(
        base="world:owlet-a",
        arms=("control",),
        carrier=carrier,
        filter={"execute": True},
        sampling={"max_tokens": 40},
        student={"rank": 2, "batch_size": 4},
    )
    data = ran(experiment, tmp_path / "run").datasets[0]

    assert data.kept + sum(data.removed.values()) == data.asked
    assert any(reason.startswith("run-") for reason in data.removed) or data.kept == data.asked


def test_execution_without_a_sandbox_is_refused_before_any_work(
    tiny_experiment: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install, or to leave execution out."""
    monkeypatch.setattr("undertow.lab.experiment_inputs.available", lambda: "no bwrap")
    with pytest.raises(ConfigError, match="needs a kernel sandbox: no bwrap"):
        inputs(tiny_experiment(filter={"execute": True}))
