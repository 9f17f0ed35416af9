"""The chain as a drawing: datasets and models as boxes, sources on the left, the dataset in question on the right."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from undertow.provenance.predicates import is_result, makes_model
from undertow.report.figure import Diagram, DiagramBox
from undertow.report.plain_text import file_name, shortened, visible
from undertow.results.provenance_documents import VerifyDocument

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
