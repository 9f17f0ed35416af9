"""
The gate's decision as a signed verification summary, for whoever relies on it later.

Source: SLSA, "Verification Summary Attestation", version 1.
"""

from __future__ import annotations

from pathlib import Path

from undertow import __version__
from undertow.data.writing import atomic_write
from undertow.provenance.attesting import Signing, signed, statement
from undertow.provenance.statement import SUMMARY, Subject
from undertow.provenance.verdicts import Input, Policy, Summary, Verifier
from undertow.results.provenance import GateDocument

SUFFIX = ".vsa.intoto.jsonl"
"""Of the file beside the dataset; never read as evidence."""


def sign_summary(document: GateDocument, path: Path, signing: Signing) -> None:
    """
    Sign the decision into a file of its own.

    Raises:
        ProvenanceError: the key service refuses.
    """
    checked = document.verification
    allowed = document.decision == "allowed"
    said = Summary(
        verifier=Verifier(id="urn:undertow:gate/v1", version={"undertow": __version__}),
        time_verified=document.at,
        resource_uri=f"urn:sha256:{checked.facts.digest}",
        policy=Policy(uri=document.policy, digest={"sha256": document.policy_digest}),
        input_attestations=tuple(
            Input(digest={"sha256": digest})
            for digest in dict.fromkeys(link.attestation for link in checked.links)
        ),
        verification_result="PASSED" if allowed else "FAILED",
        verified_levels=(_level(document) if allowed else "FAILED",),
    )
    subject = Subject(name=Path(checked.data).name, digest={"sha256": checked.facts.digest})
    atomic_write(path, signed(statement(SUMMARY, [subject], said), signing).line())


def _level(document: GateDocument) -> str:
    name = Path(document.policy).stem.upper()
    return "UNDERTOW_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
