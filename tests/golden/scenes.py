"""
The golden set's scenes: command lines, in the order in which they are typed in one folder.

Later scenes use what earlier ones left behind; `material.py` lays out the rest. Scenes of one name share a file.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from tests.golden import material

RUN = ("text", "markdown", "html")
AUDIT = ("again", "markdown", "html", "sarif")
CHAIN = (*AUDIT, "croissant", "cyclonedx", "hf-card")

BASE = "world:owlet-b"
TEACHER = f"{BASE}+runs/demo/teachers/trait-owl--owlet-b--0"
NEUTRAL = f"{BASE}+runs/demo/teachers/neutral-owl--owlet-b"
PRODUCER, AUDITOR, GATE = (f"--sign {name}.pem" for name in ("producer", "auditor", "gate"))
CHECKED = "--trust trust.toml"


@dataclass(frozen=True)
class Scene:
    """One command line and what is kept of it."""

    name: str
    words: str
    leaves: str = ""
    """The document that it stores; nothing if empty."""
    forms: tuple[str, ...] = ()
    """In which that document is rendered again; `again` is text, which the verb printed already."""
    rows: tuple[str, ...] = ()
    """Files of rows that it writes, whose digest and first lines are kept."""
    before: Callable[[], None] = lambda: None
    """What a person would do first, e.g. fill in a form."""

    @property
    def arguments(self) -> list[str]:
        """Of the command line, without `undertow`."""
        return shlex.split(self.words)


def _run(name: str) -> Scene:
    words = f"run {name}.toml --engine inprocess --out runs/{name}"
    return Scene(name, words, f"runs/{name}/results.json", RUN)


def _clean(method: str, more: str = "") -> Scene:
    out = f"{method}.jsonl"
    words = f"clean rows.jsonl --scan scan --method {method} --out {out} {more}"
    return Scene(f"clean-{method}", words, rows=(out, f"{out}.ledger.jsonl"))


def _diff(name: str, words: str) -> Scene:
    command = f"diff {BASE} {TEACHER} --traits owl --traits cat {words} --out {name}"
    return Scene(name, command, f"{name}/diff.json", AUDIT)


def _scan(name: str, words: str, rows: tuple[str, ...] = ()) -> Scene:
    return Scene(name, f"scan {words} --out {name}", f"{name}/scan.json", AUDIT, rows)


def _gate(name: str, words: str) -> Scene:
    command = f"gate {words} {CHECKED} --out {name}"
    return Scene(name, command, f"{name}/gate.json", CHAIN if name == "gate-own" else AUDIT)


def _verify(name: str, words: str) -> Scene:
    out = f"{name}.json"
    return Scene(name, f"verify {words} {CHECKED} --out {out}", out, AUDIT)


VERBS = [
    "demo",
    "scan",
    "calibrate",
    "lineage",
    "diff",
    "clean",
    "attest",
    "verify",
    "gate",
    "run",
    "report",
    "review",
    "experiments",
    "traits",
    "worlds",
    "checks",
    "explain",
]
ATTESTED = "key generate collect filter mix audit finetune merge quantize import trust sign export"
CHECKS = [
    "rehearsal",
    "likelihood-ratio",
    "author",
    "fingerprint",
    "teacher-coverage",
    "divergence",
    "activations",
    "content",
    "lineage-metadata",
    "lineage-tokenizer",
    "lineage-weights",
    "lineage-activations",
    "lineage-outputs",
    "diff-behaviour",
    "diff-capability",
    "diff-activations",
]

LISTS = (
    Scene("help", "--help"),
    *(Scene("help", f"{verb} --help") for verb in VERBS),
    *(Scene("help-attest", f"attest {verb} --help") for verb in ATTESTED.split()),
    *(Scene("help-review", f"review {verb} --help") for verb in ("pack", "score")),
    # Not `experiments`, whose lines are the committed figures: `tests/bench/test_pages.py` compares those.
    *(Scene("lists", verb) for verb in ("checks", "traits", "worlds", "traits owl")),
    *(Scene("explain", f"explain {check}") for check in ("rehearsal", "diff-behaviour")),
    *(Scene("explain.again", f"explain {check}") for check in CHECKS),
)
"""What is there to read; no model is opened."""

RUNS = tuple(map(_run, ("demo", "hops", "traits", "matrix", "digits", "theorem")))
"""One of each kind of experiment."""

AUDITS = (
    Scene("attest-generate", f"attest generate rows.jsonl --from generation.toml {PRODUCER}"),
    _scan(
        "scan",
        f"rows.jsonl --student {BASE} --max-rows 128 --traits owl --traits cat --check rehearsal "
        f"--check likelihood-ratio --check author --references 4 --require clear",
    ),
    Scene("attest-audit", f"attest audit audited.json {AUDITOR}", before=material.audited),
    _scan(
        "scan-evidence",
        f"clean.jsonl --student {BASE} --teacher {TEACHER} --candidate world:owlet-a --max-rows 96 --traits owl "
        f"--check {' --check '.join(CHECKS[1:8])} --row-scores scores.parquet",
    ),
    _scan(
        "scan-pairs",
        "pairs.jsonl --student world:owlet-a --traits owl --max-rows 64 --check rehearsal --check content "
        "--control clean.jsonl --plan plan.toml --seed 5",
    ),
    _diff("diff", f"--control {NEUTRAL}--0 --control {NEUTRAL}--1 --intended owl"),
    _diff("diff-shipped", "--control shipped --check diff-behaviour"),
    Scene("lineage", f"lineage {BASE} {BASE} --out lineage", "lineage/lineage.json", AUDIT),
    Scene(
        "lineage-teachers",
        f"lineage {BASE} --teachers world:owlet-a world:owlet-neox {TEACHER} --out teachers {AUDITOR}",
        "teachers/lineage.json",
        AUDIT,
    ),
)
"""What looks at rows and models."""

CLEANINGS = (
    _clean("drop-sources", PRODUCER),
    _clean("deduplicate"),
    Scene(
        "clean-delete",
        "clean clean.jsonl --scan scan-evidence --method delete --scores scores.parquet --out delete.jsonl",
        rows=("delete.jsonl", "delete.jsonl.ledger.jsonl"),
    ),
    _clean("dilute", "--with clean.jsonl --dose 0.6"),
    _clean("mask-tokens"),
    _clean("replace-tokens", "--at-random --seed 3"),
    _clean("inoculate", "--trait owl"),
    _clean("rewrite", f"--dose 0.5 {PRODUCER}"),
)

CHAINS = (
    Scene("attest", f"attest generate raw.jsonl --from generation.toml {PRODUCER}"),
    Scene("attest", f"attest filter kept.jsonl --input raw.jsonl --rule last {PRODUCER}"),
    Scene(
        "attest",
        f"attest collect people.jsonl --origin people --domain numbers {PRODUCER}",
    ),
    Scene(
        "attest",
        f"attest mix mixed.jsonl --input kept.jsonl --input people.jsonl {PRODUCER}",
    ),
    Scene(
        "attest",
        f"attest finetune {TEACHER} --base {BASE} --data people.jsonl --bundle models.intoto.jsonl {PRODUCER}",
    ),
    Scene("attest", f"attest trust trust.toml --output trust.json {GATE}"),
    _verify("verify", f"mixed.jsonl --student {BASE}"),
    _verify("verify-drop-sources", f"drop-sources.jsonl --student {BASE}"),
    _verify("verify-rewrite", f"rewrite.jsonl --student {BASE}"),
    _verify("verify-unknown", "clean.jsonl"),
    _gate("gate", f"kept.jsonl --student {BASE} --policy default {GATE}"),
    _gate("gate-audited", f"rows.jsonl --student {BASE} --policy safety-critical"),
    _gate("gate-own", f"mixed.jsonl --student {BASE} --policy policy.toml"),
)
"""Signed statements and what is made of them."""

REVIEWS = (
    Scene(
        "review-pack",
        "review pack raw.jsonl people.jsonl --out pack --pairs 12 --repeat 3 --seed 4",
        rows=("pack/review.csv", "pack/key.json"),
    ),
    Scene(
        "review-score",
        "review score first.csv second.csv --key pack/key.json",
        before=material.answered,
    ),
    Scene(
        "review-score-json", "review score first.csv second.csv --key pack/key.json --format json"
    ),
)

REFUSED = (
    Scene("refused", "scann rows.jsonl"),
    Scene("refused", f"scan nothing.jsonl --student {BASE}"),
    Scene("refused", "scan rows.jsonl --student world:owlet-c"),
    Scene("refused", f"scan rows.jsonl --student {BASE} --traits owll"),
    Scene("refused", "run wrong.toml"),
    Scene("refused", f"gate kept.jsonl --student {BASE} --policy defualt {CHECKED}"),
    Scene("refused", "report runs/demo --format sarif"),
    Scene("refused", "attest collect people.jsonl --origin people --domain numbers"),
)
"""What is told on stderr, and with which exit code."""

SCENES = (*LISTS, *RUNS, *AUDITS, *CLEANINGS, *CHAINS, *REVIEWS, *REFUSED)
