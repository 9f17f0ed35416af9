"""A run signs what it made, and a gate that trusts the lab's key walks it back to the base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import TINY_TEACHER
from tests.provenance.scene import pem, signing
from undertow.lab.carrier_data import TRAINING_ROWS
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment
from undertow.lab.run_attestation import attest_run
from undertow.provenance.model_weights import weights_digest
from undertow.provenance.trust import read_trust
from undertow.provenance.verify import VerifyRequest, verify
from undertow.results.provenance_documents import VerifyDocument

Maker = Callable[..., Experiment]


def verified(
    experiment: Experiment, run: Path, data: Path, folder: Path, bundles: tuple[Path, ...] = ()
) -> VerifyDocument:
    """The walk from a dataset of the run, trusting the lab and its base."""
    path = folder / "trust.toml"
    path.write_text(
        f"version = 1\n[[keys]]\nid = 'lab'\nroles = ['producer']\npem = '''{pem('producer')}'''\n"
        f"[[models]]\nname = 'base'\ndigest = '{weights_digest(experiment.base)}'\n"
    )
    now = datetime.now(UTC) + timedelta(minutes=1)
    return verify(VerifyRequest(data, experiment.base, bundles), read_trust(path, now=now), now)


CELLS = [
    {"name": "bare", "writers": [{"role": "base"}]},
    {"name": "one", "writers": [{"role": "base", "number": 2}]},
    {"name": "two", "writers": [{"role": "base", "number": 2}, {"role": "base", "number": 3}]},
]


LONG = "{% for m in messages %}{{ m.content + '<|end|>' }}{% endfor %}{# " + "x" * 5000 + " #}"
"""A chat template of more characters than a text of a statement has."""


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"teacher": {"kind": "prompted"}},
        {"teacher": {"kind": "steered", "strength": 1.0}},
        {"arms": ["trait", "control-base"]},
        {"arms": ["trait", "control-base"], "teacher": {"kind": "prompted"}},
        {"teacher": {"plan": {**TINY_TEACHER, "template": LONG}, "kl_rows": 8}},
    ],
    ids=["tuned", "prompted", "steered", "base", "prompted and base", "template"],
)
def test_each_dataset_of_a_run_is_proved_to_its_base(
    changes: dict[str, Any], tiny_experiment: Maker, tmp_path: Path
) -> None:
    """Teacher, answers and filter, with the ledger recomputed; the teacher shares the student's base."""
    experiment = tiny_experiment(**changes)
    run = run_experiment(experiment, tmp_path / "run", engine="inprocess")
    attest_run(experiment, run, signing("producer"))
    for folder in sorted((run / "data").iterdir()):
        document = verified(experiment, run, folder / TRAINING_ROWS, tmp_path)

        assert document.verdict == "verified", document.problems
        assert document.facts.filters_proved
        assert (document.facts.shared_initialisation, document.facts.shared_evidence) == (
            "yes",
            "attested",
        )


def test_signing_again_changes_nothing(tiny_experiment: Maker, tmp_path: Path) -> None:
    """Statements are dated when their work was done, not when they were signed."""
    experiment = tiny_experiment()
    run = run_experiment(experiment, tmp_path / "run", engine="inprocess")
    bundles = attest_run(experiment, run, signing("producer"))
    before = {path: path.read_bytes() for path in bundles}
    attest_run(experiment, run, replace(signing("producer"), now=datetime.now(UTC)))

    assert bundles
    assert {path: path.read_bytes() for path in bundles} == before


def test_a_chain_of_students_is_walked_to_its_first_teacher(
    tiny_experiment: Maker, tmp_path: Path
) -> None:
    """Data from a model from data from a model: each hop's bundle carries the ones before."""
    experiment = tiny_experiment(kind="hops", hops=2)
    run = run_experiment(experiment, tmp_path / "run", engine="inprocess")
    attest_run(experiment, run, signing("producer"))
    documents = [
        verified(experiment, run, folder / TRAINING_ROWS, tmp_path)
        for folder in sorted((run / "data").iterdir())
    ]
    longest = max(documents, key=lambda document: len(document.links))

    assert {document.verdict for document in documents} == {"verified"}, [
        document.problems for document in documents if document.problems
    ]
    assert [link.step for link in longest.links].count("generate") == 2
    assert any(teacher.role == "upstream" for teacher in longest.facts.teachers)


def test_a_mix_of_writers_is_proved_with_the_rows_that_were_taken(
    tiny_experiment: Maker, tmp_path: Path
) -> None:
    """It lies beside the student that read it; its bundle carries the writers' own statements, and asks for their ledgers."""
    experiment = tiny_experiment(kind="cells", cells=CELLS[1:])
    run = run_experiment(experiment, tmp_path / "run", engine="inprocess")
    attest_run(experiment, run, signing("producer"))
    mix = run / "students" / "two--0" / TRAINING_ROWS
    ledgers = tuple((run / "data").glob("*/*.intoto.jsonl"))
    document = verified(experiment, run, mix, tmp_path, ledgers)

    assert document.verdict == "verified", document.problems
    assert document.facts.filters_proved
    assert [link.step for link in document.links] == ["mix", *["filter"] * 2, *["generate"] * 2]


def test_cells_that_come_without_provenance_are_not_signed_for(
    tiny_experiment: Maker, tmp_path: Path
) -> None:
    """Nothing lies beside their rows and their student; statements about the others name the domain that was given."""
    experiment = tiny_experiment(
        kind="cells", cells=CELLS[:2], statements={"domain": "medicine", "without": ["bare"]}
    )
    run = run_experiment(experiment, tmp_path / "run", engine="inprocess")
    made = attest_run(experiment, run, signing("producer"))
    [one] = [path for path in made if path.parent.parent.name == "data"]
    document = verified(experiment, run, one.parent / TRAINING_ROWS, tmp_path)

    assert "number-2" in one.parent.name
    assert len(made) == 2
    assert document.facts.domains == ("medicine",)
