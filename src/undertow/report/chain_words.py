"""What a verification and a decision say, in words: the answers, the tables, the limits and the glossary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from undertow.provenance.predicates import is_result, makes_model
from undertow.report.figure import Diagram, DiagramBox
from undertow.report.page import MARKDOWN, Phrase, Table
from undertow.report.plain_text import NOTHING, file_name, shortened, visible
from undertow.report.sections import Column, table_of
from undertow.results.provenance_documents import (
    AuditFact,
    Facts,
    GateDocument,
    Link,
    VerifyDocument,
)

OUTCOMES = {"passed": "holds", "refused": "refuses", "not_matched": "does not apply"}

LIMITS = (
    "A signature proves who said something and that it was not changed; it does not prove that it is true.",
    "Statements can be taken away from a bundle: what is missing refuses, but a failed audit that was removed is not "
    "seen.",
    "An audit holds for the student base and the dataset that it names, and for the traits that it probed.",
    "Times are those that signers claim; there is no outside witness offline.",
)
"""What none of this shows."""

CHAIN_GLOSSARY: dict[str, Phrase] = {
    "attestation": "a signed statement about how data or a model was made, or what an audit of it found",
    "bundle": "a file of attestations beside the data, one a line",
    "trust file": "whose keys may say what, until when, and which initial checkpoints need no further proof",
    "producer": "who makes data or models, and signs how",
    "auditor": "who examines a dataset for one student base, and signs the verdict",
    "within": "the verdict of an audit of the beginning of a plan: benign references move the student as far there; the "
    "whole plan is not judged",
    "initialisation": "the checkpoint that a model's training goes back to; models that share it share the hidden channel",
    "ledger": "every row of a filter's input with the rule that removed it; kept and removed rows together are the input",
    "policy": "the rules that must all hold before the data may be used",
}


def chain_answers(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Question, answer and remark on what people ask of a dataset."""
    names = ", ".join(dict.fromkeys(one.model for one in facts.teachers if one.role == "teacher"))
    nobody = facts.model_written_known and facts.model_written == 0 and facts.teachers_complete
    yield (
        "Who wrote it?",
        names or ("no model" if nobody else "not known"),
        "" if facts.teachers_complete else "not everyone may be named",
    )
    shared = {"yes": "yes", "no": "no", "unknown": "not known, which counts as yes"}
    evidence = "" if facts.shared_evidence == "none" else facts.shared_evidence
    yield (
        "Does a writer share the student's initialisation?",
        shared[facts.shared_initialisation],
        evidence,
    )
    counting = [audit for audit in facts.audits if audit.counts]
    told = ", ".join(f"{audit.verdict} ({', '.join(audit.auditors)})" for audit in counting)
    yield "Was it audited for this student?", told or "no", ""
    most = f"at most {100 * facts.model_written:.3g} %" if facts.model_written else "nothing"
    share = most if facts.model_written_known else "not known"
    yield "How much of it did models write?", share, ", ".join(facts.domains)


def rules_table(document: GateDocument) -> Table:
    """Every rule with its outcome and its reason."""
    return table_of(
        "Rules",
        document.rules,
        [
            Column("rule", lambda one: one.id, False),
            Column("", lambda one: OUTCOMES[one.outcome], False),
            Column("why", lambda one: one.reason, False),
            Column("what to do", lambda one: one.todo or NOTHING, False),
        ],
    )


def problems_table(walk: VerifyDocument) -> Table:
    """Every link that does not hold."""
    return table_of(
        "Problems",
        walk.problems,
        [
            Column("link", lambda one: one.link, False),
            Column("problem", lambda one: one.message, False),
            Column("key", lambda one: one.key or NOTHING, False),
            Column("expected", lambda one: one.expected or NOTHING, False),
            Column("found", lambda one: one.found or NOTHING, False),
            Column("what to do", lambda one: one.todo or NOTHING, False),
        ],
    )


def links_table(walk: VerifyDocument) -> Table:
    """Every statement of the chain."""
    return table_of(
        "Chain",
        walk.links,
        [
            Column("step", lambda one: one.step, False),
            Column("of", lambda one: one.subject, False),
            Column("signed by", lambda one: ", ".join(one.signers), False),
            Column("at", lambda one: one.at, False),
            Column("about", about, False),
            Column("recomputed", lambda one: one.proof or NOTHING, False),
        ],
    ).shown(style="wrap")


def teachers_table(facts: Facts) -> Table:
    """Every model that had a hand in the rows."""
    table = table_of(
        "Models that wrote or judged rows",
        facts.teachers,
        [
            Column("model", lambda one: one.model, False),
            Column("as", lambda one: one.role, False),
            Column("family", lambda one: short(one.family) if one.family else "not known", False),
            Column("shares the student's initialisation", lambda one: one.shared, False),
            Column("evidence", lambda one: one.evidence, False),
            Column("weights", lambda one: short(one.digest) if one.digest else "no digest", False),
        ],
    )
    return table.shown(style="wrap", caption=table.name, captioned=MARKDOWN)


def audits_table(facts: Facts) -> Table:
    """Every audit, and why it counts or not."""
    table = table_of(
        "Audits",
        facts.audits,
        [
            Column("suite", lambda one: one.suite, False),
            Column("verdict", lambda one: one.verdict, False),
            Column("auditor", lambda one: ", ".join(one.auditors), False),
            Column("independent", lambda one: "yes" if one.independent else "no", False),
            Column("power", _power, False),
            Column("valid until", lambda one: one.valid_until, False),
            Column("counts", lambda one: "yes" if one.counts else f"no: {one.reason}", False),
        ],
    )
    return table.shown(style="wrap", caption=table.name, captioned=MARKDOWN)


def about(link: Link) -> str:
    """What a reader should know of a step."""
    return "; ".join(f"{name}: {value}" for name, value in link.about.items()) or NOTHING


def _power(audit: AuditFact) -> str:
    """An audit's power and the effect it holds for."""
    return "not stated" if audit.power is None else f"{audit.power} at {audit.power_at} logits"


def chain_facts(walk: VerifyDocument) -> dict[str, str]:
    """How the walk was made."""
    trust = f"version {walk.trust_version}, {short(walk.trust_digest)}"
    return {
        "data": f"{walk.data} ({counted(walk.files, 'file', 'files')})",
        "digest": walk.facts.digest,
        "student": _student(walk),
        "trust file": f"{walk.trust} ({trust})",
        "bundles": ", ".join(walk.attestations) or "none",
        "as of": walk.at,
    }


def _student(walk: VerifyDocument) -> str:
    """The student as it was named, with its digest unless that is its name."""
    digest = walk.facts.student_digest or "no digest"
    name = walk.student or "none"
    return digest if name == digest else f"{name}, {digest}"


def short(digest: str) -> str:
    """The beginning of a digest; other names are left as they are."""
    return f"{digest[:12]}…" if len(digest) == 64 else digest


def counted(number: int, singular: str, plural: str) -> str:
    """
    A number with its noun.

    >>> counted(1, "file", "files"), counted(2, "file", "files")
    ('1 file', '2 files')
    """
    return f"{number} {singular if number == 1 else plural}"


WIDTH, HEIGHT = 184, 62
"""Of a box, in CSS pixels."""

GAP_X, GAP_Y = 56, 18
_NAME, _NOTE = 22, 28
"""Characters that a box has room for."""

MOST = 60
"""Boxes that are drawn; a table holds the rest."""

State = Literal["attested", "trusted", "missing"]

_MODEL_ROLES = ("weights", "filter-model", "adapter")


def chain_figure(document: VerifyDocument) -> Diagram:
    """The drawing of a verification."""
    nodes, edges = _graph(document)
    layers = _layers(list(nodes), edges, document.facts.digest)
    shown = sorted(layers, key=lambda digest: layers[digest])[:MOST]
    last = max((layers[digest] for digest in shown), default=0)
    columns: dict[int, list[str]] = defaultdict(list)
    for digest in shown:
        columns[last - layers[digest]].append(digest)
    tallest = max((len(column) for column in columns.values()), default=1)
    height = tallest * (HEIGHT + GAP_Y) - GAP_Y
    places = {
        digest: (
            column * (WIDTH + GAP_X),
            (height - (len(digests) * (HEIGHT + GAP_Y) - GAP_Y)) // 2 + row * (HEIGHT + GAP_Y),
        )
        for column, digests in columns.items()
        for row, digest in enumerate(digests)
    }
    rest = len(layers) - len(shown)
    return Diagram(
        label="The chain, drawn; the table below holds the same",
        width=(last + 1) * (WIDTH + GAP_X) - GAP_X,
        height=height,
        boxes=tuple(_box(nodes[digest], *places[digest]) for digest in places),
        box_width=WIDTH,
        box_height=HEIGHT,
        arrows=tuple(
            _curve(places[source], places[target])
            for source, target in edges
            if source in places and target in places
        ),
        key=(
            ("attested", "attested by a trusted key"),
            ("trusted", "trusted by its digest"),
            ("missing", "nothing that counts"),
            ("", "round: a model; square: data"),
        ),
        rest=f"{rest} more are in the table only." if rest else "",
    )


@dataclass
class _Node:
    digest: str
    name: str
    note: str
    state: State
    model: bool


def _graph(document: VerifyDocument) -> tuple[dict[str, _Node], list[tuple[str, str]]]:
    """What is drawn, and what was made of what."""
    target = document.facts.digest
    name = file_name(document.data)
    nodes = {target: _Node(target, name, "no statement counts", "missing", False)}
    edges: list[tuple[str, str]] = []
    links = [link for link in document.links if not is_result(link.step)]
    for link in links:
        made = makes_model(link.step)
        note = f"{link.step} · {', '.join(link.signers)}"
        nodes[link.digest] = _Node(link.digest, link.subject, note, "attested", made)
    trusted = {root.digest for root in document.roots}
    for link in links:
        for used in link.inputs:
            key = used.digest or f"{link.digest} {used.name}"
            is_model = any(role in used.role for role in _MODEL_ROLES)
            state: State = "trusted" if used.digest in trusted else "missing"
            note = "trusted by its digest" if state == "trusted" else "no statement counts"
            nodes.setdefault(key, _Node(key, used.name, note, state, is_model))
            edges.append((key, link.digest))
    return nodes, list(dict.fromkeys(edges))


def _layers(nodes: list[str], edges: list[tuple[str, str]], target: str) -> dict[str, int]:
    """Steps from the dataset, the longest way; what does not lead to it is left out."""
    layers = {target: 0}
    # A chain of n boxes is settled after n rounds, a cyclic one never.
    for _ in range(len(nodes)):
        before = dict(layers)
        for source, made in edges:
            if made in layers and layers.get(source, -1) <= layers[made] < len(nodes):
                layers[source] = layers[made] + 1
        if layers == before:
            break
    order = {
        digest: place for place, digest in enumerate(dict.fromkeys(sorted(set(layers.values()))))
    }
    return {digest: order[layer] for digest, layer in layers.items()}


def _box(node: _Node, x: int, y: int) -> DiagramBox:
    title = f"{node.name} {node.digest}"
    return DiagramBox(
        x,
        y,
        shortened(visible(node.name), _NAME),
        shortened(visible(node.note), _NOTE),
        node.state,
        node.model,
        visible(title, limit=200),
    )


def _curve(source: tuple[int, int], target: tuple[int, int]) -> str:
    x0, y0 = source[0] + WIDTH, source[1] + HEIGHT // 2
    x1, y1 = target[0] - 7, target[1] + HEIGHT // 2
    bend = max(20, (x1 - x0) // 2)
    return f"M{x0},{y0} C{x0 + bend},{y0} {x1 - bend},{y1} {x1},{y1}"
