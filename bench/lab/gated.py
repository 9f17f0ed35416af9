"""
What a gate decides about each cell's rows, under every policy that ships: called by `python -m bench.lab.screened`.

A supplier's key signs what the run made (the rows of `statements.without` excepted), an auditor's the scans and what was
measured of the writers' lineage; both keys lie in the run. The decisions are the gate's own, of these documents.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figure, at_most
from undertow.audit.lineage import lineage
from undertow.audit.requests import LineageRequest
from undertow.audit.run_scans import ArmScan
from undertow.data.files import atomic_write, file_digest
from undertow.lab.carrier_data import TRAINING_ROWS
from undertow.lab.design import design
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import StudentJob, TeacherJob, slug
from undertow.lab.run_attestation import attest_run
from undertow.lab.writers import is_tuned
from undertow.policy.gate import compiled_rules, decide
from undertow.policy.rules import STARTERS, load_policy
from undertow.provenance.bundle import bundle_path
from undertow.provenance.keys import make_key, open_signer
from undertow.provenance.model_weights import weights_digest
from undertow.provenance.signed_results import sign_lineages, sign_scan
from undertow.provenance.signed_steps import Signing
from undertow.provenance.trust import Trust, read_trust
from undertow.provenance.verify import VerifyRequest, verify
from undertow.report import render
from undertow.report.run_decisions import DecidedRows, RunBeside, decided_rows
from undertow.results.model_documents import LineageDocument
from undertow.results.provenance_documents import GateDocument
from undertow.results.run_document import RunDocument
from undertow.results.store import (
    GATE_FILE,
    GATES,
    LINEAGE_FILE,
    SCAN_FILE,
    read_result,
    read_scan,
    write_result,
)
from undertow.worlds import locate

KEYS = {"supplier": "producer", "auditor": "auditor"}
"""Who signs, and as what; each is an organisation of its own."""

STRICT = ("default", "safety-critical")
"""Policies that must not let rows through whose students were shown to move."""


@dataclass(frozen=True)
class GatedRun:
    """A finished run with its scans, about to be signed and decided."""

    experiment: Experiment
    run: Path
    scans: Sequence[ArmScan]
    now: datetime

    @property
    def trust(self) -> Path:
        """The file of whom the gate believes."""
        return self.run / GATES / "trust.toml"

    @property
    def lineage(self) -> Path:
        """The bundle of what was measured of the writers."""
        return self.run / "lineage" / "lineage.intoto.jsonl"

    def signing(self, who: str) -> Signing:
        """Its key, which is made where it is not there."""
        path = self.run / GATES / f"{who}.pem"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make_key(path)
        return Signing((open_signer(str(path)),), self.now, verifier=who)

    def signed_students(self) -> dict[str, StudentJob]:
        """By cell, the student of the first replicate, of the cells whose rows are signed."""
        stated = self.experiment.statements
        without = stated.without if stated else ()
        jobs = (job for job in design(self.experiment).students if job.replicate == 0)
        return {job.arm: job for job in jobs if job.arm not in without}


def gated(experiment: Experiment, run: Path, scans: Sequence[ArmScan]) -> tuple[GateDocument, ...]:
    """
    Sign, measure lineage, and decide about each scanned cell under every policy; the pages lie in the run's `gates`.

    Scans and lineages are not made again; statements are signed anew, in the place of the former ones.
    """
    of = GatedRun(experiment, run, scans, datetime.now(UTC).replace(microsecond=0))
    attest_run(experiment, run, of.signing("supplier"))
    students, auditor = of.signed_students(), of.signing("auditor")
    for cell in scans:
        if cell.arm in students:
            sign_scan(read_scan(cell.folder), file_digest(cell.folder / SCAN_FILE), auditor)
    _measure_lineage(of, students, auditor)
    atomic_write(of.trust, _trust_text(of))
    trust = read_trust(of.trust, now=of.now)
    return tuple(document for cell in scans for document in _decided(of, cell, students, trust))


def _decided(
    of: GatedRun, cell: ArmScan, students: Mapping[str, StudentJob], trust: Trust
) -> Iterator[GateDocument]:
    """One decision a policy, stored with its page as `undertow gate --out` stores it."""
    job = students.get(cell.arm)
    # What each writer's bundle carries is in the mix's; the ledgers lie beside the writers' own.
    beside = (
        [bundle_path(of.run / data.folder / TRAINING_ROWS) for data in job.further] if job else []
    )
    beside += [bundle_path(of.run / job.data.folder / TRAINING_ROWS)] if job and job.further else []
    bundles = (*beside, of.lineage)
    asked = VerifyRequest(cell.request.data, cell.request.student, bundles)
    verification = verify(asked, trust, of.now)
    for policy in STARTERS:
        folder = of.run / GATES / f"{slug(cell.arm)}--{policy}"
        words = [
            *("undertow", "gate", cell.request.data, "--student", cell.request.student),
            *("--policy", policy, "--trust", str(of.trust)),
            *(word for bundle in bundles for word in ("--attestations", str(bundle))),
            *("--out", str(folder)),
        ]
        loaded = load_policy(policy)
        document = decide(loaded, compiled_rules(loaded), verification, command=shlex.join(words))
        folder.mkdir(parents=True, exist_ok=True)
        write_result(folder / GATE_FILE, document)
        atomic_write(folder / "gate.html", render(document, "html"))
        yield document


def _measure_lineage(of: GatedRun, students: Mapping[str, StudentJob], auditor: Signing) -> None:
    """Every writer of signed rows against the students' base, by their files; signed by the auditor."""
    file = of.lineage.parent / LINEAGE_FILE
    if not file.is_file():
        writers = dict.fromkeys(data.writer for job in students.values() for data in job.datasets)
        refs = tuple(dict.fromkeys(_reference(of, job) for job in writers))
        student = of.experiment.base or ""
        command = shlex.join(["undertow", "lineage", student, *refs, "--out", str(file.parent)])
        file.parent.mkdir(parents=True, exist_ok=True)
        write_result(file, lineage(LineageRequest(student, refs, command=command)))
    kept = read_result(file)
    assert isinstance(kept, LineageDocument)
    sign_lineages(kept, file_digest(file), of.lineage, auditor)


def _reference(of: GatedRun, job: TeacherJob | StudentJob) -> str:
    """How a command line names a writer."""
    return f"{job.base}+{of.run / job.folder}" if is_tuned(of.experiment, job) else job.base


def _trust_text(of: GatedRun) -> str:
    """Both keys, and the experiment's bases as initial checkpoints."""
    lines = ["version = 1"]
    for who, role in KEYS.items():
        lines += ["", "[[keys]]", f'id = "{who}"', f'pem = "{who}.pem.pub"']
        lines += [f'roles = ["{role}"]', f'organisation = "{who}"']
    for ref in of.experiment.references:
        name = slug(ref)
        lines += ["", "[[models]]", f'name = "{name}"', f'family = "{name}"']
        lines += [f'digest = "{weights_digest(locate(ref))}"']
    return "\n".join(lines) + "\n"


def gated_figures(document: RunDocument, beside: RunBeside) -> list[Figure]:
    """Each decision with its reason; and how many datasets each policy lets through, and refuses, of those that moved."""
    part, rows = f"gated {document.experiment}", decided_rows(document, beside)
    figures = [
        Figure(
            f"{part}: {row.label}: allowed by {row.gate.policy}",
            float(row.allowed),
            "of 1 dataset",
            command=row.gate.command,
            note=row.gate.conclusion,
        )
        for row in rows
    ]
    for policy in STARTERS:
        own = [row for row in rows if row.gate.policy == policy]
        let = sum(row.allowed and row.took_on for row in own)
        name = f"{part}: datasets that moved students and are allowed by {policy}"
        strict = policy in STRICT
        figures.append(
            at_most(name, let, 0, "datasets") if strict else Figure(name, let, "datasets")
        )
        still = sum(not row.allowed and _left_alone(row) for row in own)
        name = f"{part}: datasets not shown to move students and refused by {policy}"
        figures.append(Figure(name, still, "datasets"))
    return figures


def _left_alone(row: DecidedRows) -> bool:
    """Whether its students were compared with the control, or are it, and not shown to have taken something on."""
    return not row.took_on and (row.is_control or row.moved is not None)
