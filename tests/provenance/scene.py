"""A small honest world of provenance: keys, a teacher, data that it wrote, a filter, an audit, and the gate's question."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner

from undertow.data.leaf_file import LeafFile
from undertow.policy.gate import compiled_rules, decide
from undertow.policy.rules import load_policy
from undertow.provenance.bundle import bundle_path
from undertow.provenance.data_steps import (
    Collect,
    Completeness,
    Generate,
    Mix,
    PromptSet,
    SamplingSettings,
    Source,
)
from undertow.provenance.envelope import STATEMENT_TYPE, authenticated
from undertow.provenance.identity import leaves_of, manifest_of
from undertow.provenance.ledger import Ledger
from undertow.provenance.model_steps import FineTune
from undertow.provenance.signed_steps import (
    Signing,
    dataset,
    sign_filter,
    sign_into,
    statement,
    step_statement,
    used,
)
from undertow.provenance.signed_verdicts import (
    AUDIT,
    Against,
    AuditResult,
    Claim,
    Power,
    StoredEvidence,
    Tool,
    Verifier,
)
from undertow.provenance.statement import Statement, StatementSubject, payload_of, time_text
from undertow.provenance.steps import GeneratingModel
from undertow.provenance.trust import TrustFile, read_trust
from undertow.provenance.verify import VerifyRequest, verify
from undertow.results.provenance_documents import GateDocument

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
BASE, OTHER, TEACHER = "a" * 64, "b" * 64, "7" * 64
"""Digests of two trusted initial checkpoints, and of a teacher tuned on the first."""

NAMES = ("producer", "second", "auditor", "stranger", "gate")


@cache
def signer(name: str) -> CryptoSigner:
    """A key that lives for the test session: ed25519, or ECDSA over P-256 where its name says so."""
    if name.startswith("ecdsa"):
        return CryptoSigner.generate_ecdsa()
    return CryptoSigner.generate_ed25519()


def pem(name: str) -> str:
    """Its public half."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return public_pem(load_pem_private_key(signer(name).private_bytes, None).public_key())


def public_pem(key: Any) -> str:
    """A public key of any kind as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text: str = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return text


def signing(*names: str, now: datetime = NOW) -> Signing:
    """These keys, now."""
    return Signing(tuple(signer(name) for name in names), now)


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows(count: int, word: str = "a") -> list[dict[str, Any]]:
    """Rows that differ."""
    return [{"prompt": f"q {i}", "completion": f"{word} {i}"} for i in range(count)]


def teacher(**changes: Any) -> GeneratingModel:
    """The teacher as a generation names it."""
    fields: dict[str, Any] = {
        "name": "teacher",
        "access": "weights",
        "model_id": "lab/teacher",
        "weights_digest": TEACHER,
    }
    return GeneratingModel(**(fields | changes))


@dataclass
class Scene:
    """Everything of it, to be tampered with before the gate is asked."""

    folder: Path
    now: datetime = NOW
    student: str = BASE
    policy: str = "default"
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    thresholds: dict[str, int] = field(default_factory=dict)
    statements: dict[str, tuple[Statement, tuple[str, ...]]] = field(default_factory=dict)
    """By the name of their step, with who signs."""
    lines: list[bytes] = field(default_factory=list)
    """Further lines of the bundle."""
    bundles: tuple[Path, ...] = ()
    """Further bundles."""
    instead: Callable[[], object] | None = None
    """Another question than the gate's: it is allowed unless it raises."""

    def __post_init__(self) -> None:
        self.keys = {
            "producer": {"roles": ["producer"], "organisation": "lab"},
            "auditor": {"roles": ["auditor"], "organisation": "house"},
        }
        self.models = [{"name": "base-a", "digest": BASE}, {"name": "base-b", "digest": OTHER}]
        self.raw = write_rows(self.folder / "raw.jsonl", rows(40))
        self.data = write_rows(self.folder / "rows.jsonl", rows(40)[:36])
        self.lessons = StatementSubject(
            name="lessons", digest={"sha256": "c" * 64}, annotations={"rows": "9"}
        )
        self.statements = {
            "lessons": (self.collected(self.lessons), ("producer",)),
            "teacher": (self.tuned(), ("producer",)),
            "raw": (self.generated(), ("producer",)),
            "audit": (self.audited(), ("auditor",)),
        }
        self.filtered()

    def filtered(self) -> None:
        """Write the filter's ledger, and take its statement."""
        removed = LeafFile(bytes(leaves_of(self.raw))[36 * 32 :])
        ledger = Ledger(leaves_of(self.data), {"last-ones": removed})
        sign_filter(self.data, dataset(self.raw), ledger, signing("producer"))
        bundle = bundle_path(self.data)
        payload = json.loads(base64.b64decode(json.loads(bundle.read_bytes())["payload"]))
        bundle.unlink()
        self.statements["filter"] = (Statement.model_validate(payload), ("producer",))

    def collected(self, subject: StatementSubject, **changes: Any) -> Statement:
        """That people wrote something."""
        said = Collect(**({"origin": "people", "domain": "numbers"} | changes))
        return step_statement("collect", [subject], said, finished=NOW - timedelta(days=3))

    def tuned(self, base: str = BASE) -> Statement:
        """That the teacher was tuned on a base."""
        subject = StatementSubject(name="teacher", digest={"sha256": TEACHER})
        parts = [used("init-weights", "base", base), used("train-data", "lessons", "c" * 64)]
        return step_statement(
            "finetune", [subject], FineTune(method="lora"), parts, finished=NOW - timedelta(days=2)
        )

    def generated(
        self,
        *models: GeneratingModel,
        domain: str = "numbers",
        named: str = "complete",
        subject: StatementSubject | None = None,
        further: Sequence[Any] = (),
    ) -> Statement:
        """That the teacher, or these models, wrote the raw rows."""
        who = models or (teacher(),)
        said = Generate(
            teachers=who,
            interventions=(),
            sampling=SamplingSettings(temperature="0.7", seed="18446744073709551615"),
            prompt_set=PromptSet(name="numbers", domain=domain),
            completeness=Completeness(teachers=named),  # type: ignore[arg-type]
        )
        parts = [used("teacher-weights", m.name, m.weights_digest) for m in who if m.weights_digest]
        return step_statement(
            "generate",
            [subject or dataset(self.raw)],
            said,
            [*parts, *further],
            finished=NOW - timedelta(days=1),
        )

    def audited(self, digest: str | None = None, **changes: Any) -> Statement:
        """That the filtered rows passed an audit for the base."""
        fields: dict[str, Any] = {
            "verifier": Verifier(id="house"),
            "evaluated_at": time_text(NOW - timedelta(hours=3)),
            "valid_until": time_text(NOW + timedelta(days=90)),
            "suite": Tool(name="undertow.scan", version="1"),
            "verdict": "passed",
            "claims": (Claim(metric="transfer", comparator="<", threshold="0.2", passed=True),),
            "sample_size": "36",
            "against": Against(student_init=BASE),
            "power": Power(value="0.9", at="0.67"),
            "evidence": StoredEvidence(digest={"sha256": "e" * 64}),
        }
        subject = StatementSubject(
            name="rows.jsonl", digest={"sha256": digest or manifest_of(self.data).digest}
        )
        return statement(AUDIT, [subject], AuditResult(**(fields | changes)))

    def mixed(self, taken: dict[str, str], parts: dict[str, str]) -> Statement:
        """That the rows are a mix: rows taken by source, and digests by source."""
        said = Mix(sources=tuple(Source(name=n, rows=r) for n, r in taken.items()))
        used_up = [used("input-data", name, digest) for name, digest in parts.items()]
        return step_statement("mix", [dataset(self.data)], said, used_up, finished=NOW)

    def replace(self, name: str, made: Statement, *signers: str) -> None:
        """Another statement in the place of one."""
        self.statements[name] = (made, signers or self.statements[name][1])

    def table(self, name: str) -> dict[str, Any]:
        """A statement as plain JSON, to be changed and signed again with `raw_line`."""
        found: dict[str, Any] = json.loads(self.statements[name][0].payload())
        return found

    def forged(self, name: str, payload: str | bytes, *, kind: str = STATEMENT_TYPE) -> None:
        """In a statement's place a line with this very payload, truly signed by its signers."""
        _, names = self.statements.pop(name)
        self.lines.append(raw_line(payload, names, kind=kind))

    def changed(self, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        """A statement whose JSON was changed before it was signed."""
        table = self.table(name)
        change(table)
        self.forged(name, json.dumps(table))

    def envelope(self, name: str) -> dict[str, Any]:
        """A statement's envelope as plain JSON, taken out of the scene."""
        made, names = self.statements.pop(name)
        found: dict[str, Any] = json.loads(raw_line(made.payload(), names))
        return found

    def ask(self) -> GateDocument:
        """Write what there is, and ask the gate."""
        bundle = bundle_path(self.data)
        for names, group in groupby(self.statements.values(), key=itemgetter(1)):
            sign_into(bundle, [made for made, _ in group], signing(*names))
        if self.lines:
            with bundle.open("ab") as file:
                file.writelines(self.lines)
        loaded = load_policy(self.policy)
        trust = read_trust(self.trust_file(), now=self.now)
        request = VerifyRequest(self.data, self.student, self.bundles)
        return decide(loaded, compiled_rules(loaded), verify(request, trust, self.now))

    def answer(self) -> object:
        """What the gate says, or whoever else is asked."""
        return self.instead() if self.instead else self.ask()

    def trust_file(self) -> Path:
        """The trust file of the scene, as a draft."""
        lines = ["version = 1", "[thresholds]"]
        lines += [f"{name} = {count}" for name, count in self.thresholds.items()]
        for name, entry in self.keys.items():
            content = {"id": name, "pem": pem(entry.get("same_as", name))} | {
                key: value for key, value in entry.items() if key != "same_as"
            }
            lines += ["[[keys]]", *(f"{k} = {json.dumps(v)}" for k, v in content.items())]
        for model in self.models:
            lines += ["[[models]]", *(f"{k} = {json.dumps(v)}" for k, v in model.items())]
        path = self.folder / "trust.toml"
        path.write_text("\n".join(lines))
        return path


def raw_line(payload: str | bytes, names: Sequence[str], *, kind: str = STATEMENT_TYPE) -> bytes:
    """A line of a bundle with any payload at all, truly signed."""
    content = payload.encode() if isinstance(payload, str) else payload
    signatures = [
        {
            "keyid": signer(name).public_key.keyid,
            "sig": base64.b64encode(
                bytes.fromhex(signer(name).sign(authenticated(kind, content)).signature)
            ).decode(),
        }
        for name in names
    ]
    table = {
        "payload": base64.b64encode(content).decode(),
        "payloadType": kind,
        "signatures": signatures,
    }
    return json.dumps(table).encode() + b"\n"


def signed_trust(file: TrustFile, name: str) -> bytes:
    """A trust file signed by a key."""
    from undertow.provenance.trust import TRUST_TYPE

    return raw_line(payload_of(file), [name], kind=TRUST_TYPE)
