"""What the gate decides about a run's cells: by statements really signed, whatever a scan said, and told as figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.lab.gated import gated, gated_figures
from tests.report.scan_documents import clear, flagged
from undertow.audit.run_scans import ArmScan, arm_scans
from undertow.data.part_leaves import dataset_root
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment
from undertow.provenance.model_weights import weights_digest
from undertow.report.run_decisions import RunBeside
from undertow.results.provenance_documents import GateDocument
from undertow.results.run_document import RunDocument
from undertow.results.store import SCAN_FILE, read_run, read_run_gates, write_result
from undertow.studies.experiments import load_experiment
from undertow.worlds import locate

pytestmark = pytest.mark.slow

BARE = ("harmless, nobody signs", "harmful, nobody signs")
OTHERS = "two other families, signed"


def _scanned(cell: ArmScan) -> None:
    """A scan as if it had been made: harmful rows are flagged, others clear."""
    made = flagged() if cell.arm.startswith("harmful") else clear()
    about = {"path": cell.request.data, "digest": dataset_root(cell.request.data)}
    known: dict[str, Any] = {
        "data": made.data.model_copy(update=about),
        "student": cell.request.student,
        "student_digest": weights_digest(locate(cell.request.student)),
    }
    cell.folder.mkdir(parents=True)
    write_result(cell.folder / SCAN_FILE, made.model_copy(update=known))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDocument, Path]:
    """The experiment in a few rows and steps, scanned and decided."""
    tables: dict[str, Any] = load_experiment("safety").model_dump(exclude_unset=True)
    tables |= {"replicates": 1, "seed": 7}
    tables["carrier"] |= {"rows": 24, "held_out_rows": 8}
    tables["teacher"]["plan"] |= {"max_steps": 4}
    tables["teacher"] |= {"kl": None, "kl_rows": 8}
    experiment = Experiment.model_validate(tables)
    folder = run_experiment(
        experiment, tmp_path_factory.mktemp("gated") / "run", engine="inprocess"
    )
    document = read_run(folder)
    scans = list(arm_scans(experiment, document, folder, None, whole=True))
    for cell in scans:
        _scanned(cell)
    gated(experiment, folder, scans)
    return document, folder


def _decisions(folder: Path) -> dict[tuple[str, str], GateDocument]:
    """By the beginning of the folder's name and the policy."""
    return {
        (Path(gate.verification.data).parent.name, gate.policy): gate
        for gate in read_run_gates(folder)
    }


def test_only_signed_rows_that_an_audit_passed_are_allowed(run: tuple[RunDocument, Path]) -> None:
    """
    By the default; where nobody signs, harmless rows are refused as well. Safety-critical asks for people's rows too, and
    for a lineage that cannot be measured between two architectures.
    """
    gates = _decisions(run[1])
    allowed = {key for key, gate in gates.items() if gate.decision == "allowed"}
    signed, mix = "number-2--base-harmful--owlet-a--0", "two-other-families--signed--0"

    assert allowed == {(name, p) for name in (signed, mix) for p in ("permissive", "default")}
    strict = gates[mix, "safety-critical"]
    refused = [rule.id for rule in strict.rules if rule.outcome == "refused"]
    assert refused == ["lineage-measured", "dose"]


def test_reasons_are_those_of_the_documents(run: tuple[RunDocument, Path]) -> None:
    """No provenance where nobody signs, a failed audit where the scan flagged; the domain is the supplier's word."""
    gates = _decisions(run[1])
    bare = gates["base-harmful--owlet-a--0", "default"]
    failed = gates["number-2--trait-harmful--owlet-a--0", "permissive"]

    assert "no-provenance" in bare.conclusion
    assert (
        failed.conclusion == "refused by the rule 'no-failed-audit': the audit by auditor failed."
    )
    assert failed.verification.facts.domains == ("medicine",)


def test_figures_tell_each_decision_and_both_errors(run: tuple[RunDocument, Path]) -> None:
    """What is allowed and moved must be nothing by the strict policies; what is refused and did not is counted."""
    document, folder = run
    figures = {f.name: f for f in gated_figures(document, RunBeside((), read_run_gates(folder)))}
    default = figures[f"gated safety: {OTHERS}: allowed by default"]
    still = figures["gated safety: datasets not shown to move students and refused by default"]

    assert (default.value, default.note) == (
        1,
        "allowed: 5 of 6 rules hold, and the others do not apply.",
    )
    assert still.value == 3
    assert figures["gated safety: datasets that moved students and are allowed by default"].met


def test_signing_and_deciding_again_keeps_keys_and_decisions(
    run: tuple[RunDocument, Path],
) -> None:
    """Statements take the place of the former ones."""
    _, folder = run
    before = {key: gate.decision for key, gate in _decisions(folder).items()}
    key = (folder / "gates" / "supplier.pem").read_bytes()
    bundle = next((folder / "data").glob("number-2--base*/*.intoto.jsonl"))
    lines = bundle.read_bytes().count(b"\n")
    experiment = Experiment.model_validate(read_run(folder).config)
    gated(experiment, folder, list(arm_scans(experiment, read_run(folder), folder, None)))

    assert {key: gate.decision for key, gate in _decisions(folder).items()} == before
    assert (folder / "gates" / "supplier.pem").read_bytes() == key
    assert bundle.read_bytes().count(b"\n") == lines
