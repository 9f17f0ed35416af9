"""Every kind of document that undertow reads, with honest ones to damage and the function that reads it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

from bench.reliability import document_readers as read
from bench.reliability import honest_documents as honest
from bench.reliability.mutation import as_json, as_toml, changed_bytes, changed_value

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Kind:
    """One kind of document."""

    name: str
    file: str
    """Name of the file that it lies in, which says its form."""
    seeds: Callable[[], list[bytes]]
    """Honest ones."""
    read: Read
    form: str = "json"
    """`json`, `lines` (of JSON), `toml`, `headed` (a JSON header behind its length) or `bytes`."""
    heavy: bool = False
    """Whether torch and its kin are loaded, so that memory is counted on top of theirs."""
    modules: tuple[str, ...] = ()
    """Whose branches guide the coverage-guided fuzzer."""
    beside: tuple[str, ...] = ()
    """Files of weights in its folder."""
    needs: str = ""
    """A library of an extra that its reader needs."""


@cache
def _trees(kind: str) -> list[Any]:
    """The seeds of a kind as values; those that are none are only damaged as bytes."""
    return [] if KINDS[kind].form == "bytes" else [_tree(kind, seed) for seed in _seeds(kind)]


def _tree(kind: str, content: bytes) -> Any:
    """A document as values; a ValueError where it is none."""
    form = KINDS[kind].form
    if form == "toml":
        return json.loads(json.dumps(tomllib.loads(content.decode()), default=str))
    if form == "lines":
        return [json.loads(line) for line in content.splitlines() if line]
    if form == "headed":
        return json.loads(content[8 : _head(content)])
    return json.loads(content)


def _head(content: bytes) -> int:
    """Where the header of a document ends that begins with its length."""
    return 8 + int.from_bytes(content[:8], "little")


@cache
def _seeds(kind: str) -> list[bytes]:
    return KINDS[kind].seeds()


def damaged(kind: str, lot: Random) -> bytes:
    """A document of the kind, damaged: four in ten in its bytes, the others in its values."""
    seeds = _seeds(kind)
    if KINDS[kind].form == "bytes" or lot.random() < 0.4:
        return changed_bytes(lot.choice(seeds), lot)
    at = lot.randrange(len(seeds))
    return _changed(kind, _trees(kind)[at], seeds[at], lot)


def damaged_further(kind: str, content: bytes, lot: Random) -> bytes:
    """The same of a document that may be damaged already."""
    if KINDS[kind].form != "bytes" and lot.random() < 0.6:
        with suppress(ValueError, RecursionError):
            return _changed(kind, _tree(kind, content), content, lot)
    return changed_bytes(content, lot)


def _changed(kind: str, tree: Any, whole: bytes, lot: Random) -> bytes:
    form, tree = KINDS[kind].form, changed_value(tree, lot)
    if form == "toml":
        return as_toml(tree)
    if form == "lines":
        lines = tree if isinstance(tree, list) else [tree]
        return b"\n".join(as_json(line, lot) for line in lines)
    content = as_json(tree, lot)
    if form == "headed":
        return len(content).to_bytes(8, "little") + content + whole[_head(whole) :]
    return content


def laid_out(kind: str, folder: Path) -> Path:
    """Where documents of the kind are written to be read, with what lies beside them."""
    for name in KINDS[kind].beside:
        (folder / name).write_bytes(honest.safetensors()[0])
    return folder / KINDS[kind].file


_PLANS = ("undertow.data.plan_files", "undertow.data.closed", "undertow.data.plan")
_SIGNED = ("undertow.provenance", "undertow.data.strict_json")
_TRAITS = (
    "src/undertow/traits/catalogue/*.toml",
    "src/undertow/traits/probes/b*.toml",
    "examples/heron.toml",
)
_EXPERIMENTS = ("src/undertow/lab/experiments/o*.toml", "examples/steered-owl.toml")
_DRAFTS = ("examples/generation.toml",)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("plan", "p.toml", partial(honest.files_of, "tests/golden/given/plan.toml"), read.read_plan, "toml", modules=_PLANS),
        Kind("trl", "p.json", honest.trl_arguments, read.read_plan, modules=("undertow.data",)),
        Kind("axolotl", "p.yaml", honest.axolotl_configs, read.read_plan, modules=("undertow.data",)),
        Kind("llamafactory", "p.yaml", honest.llamafactory_configs, read.read_plan, modules=("undertow.data",)),
        Kind("traits", "t.toml", partial(honest.files_of, *_TRAITS), read.read_traits, "toml", modules=("undertow.traits",)),
        Kind("experiment", "e.toml", partial(honest.files_of, *_EXPERIMENTS), read.read_experiment, "toml", heavy=True, modules=("undertow.lab.experiment",)),
        Kind("generation", "g.toml", partial(honest.files_of, *_DRAFTS), read.read_draft, "toml", modules=_SIGNED),
        Kind("policy", "p.toml", honest.policies, read.read_policy, "toml", modules=("undertow.policy",)),
        Kind("policy-yaml", "p.yaml", lambda: [json.dumps(tomllib.loads(p.decode())).encode() for p in honest.policies()], read.read_policy, modules=("undertow.policy",)),
        Kind("statement", "s.json", honest.statements, read.read_statement, modules=_SIGNED),
        Kind("bundle", "b.intoto.jsonl", honest.bundles, read.read_bundle, "lines", modules=_SIGNED),
        Kind("ledger", "l.jsonl", honest.ledgers, read.read_ledger, "lines", modules=_SIGNED),
        Kind("trust", "t.toml", honest.trust_files, read.read_trust, "toml", modules=_SIGNED),
        Kind("result", "r.json", honest.results, read.read_result, modules=("undertow.results", "undertow.report")),
        Kind("safetensors", "model.safetensors", honest.safetensors, read.read_weights, "headed", heavy=True, modules=_SIGNED),
        Kind("gguf", "m.gguf", honest.gguf, read.read_gguf, "bytes", modules=("undertow.data.gguf_header",)),
        Kind("adapter", "adapter_config.json", honest.adapter_configs, read.read_adapter, heavy=True, beside=("adapter_model.safetensors",), modules=("undertow.models.saved_adapter", "undertow.models.model_folder")),
        Kind("index", "model.safetensors.index.json", honest.weight_indices, read.read_index, heavy=True, beside=("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"), modules=("undertow.models.model_folder",)),
        Kind("inspect", "log.json", honest.inspect_logs, read.read_inspect, heavy=True, needs="inspect_ai", modules=("undertow.audit.eval_logs",)),
        Kind("family", "f.toml", partial(honest.files_of, "src/undertow/influence/families/*.toml"), read.read_family, "toml", modules=("undertow.influence.reference_family",)),
        Kind("problems", "p.jsonl", honest.own_problems, read.read_problems, "lines", modules=("undertow.carriers",)),
        Kind("texts", "t.jsonl", honest.texts_to_reword, read.read_texts, "lines", modules=("undertow.carriers",)),
        Kind("part", "p.part.jsonl", honest.pipeline_parts, read.read_part, "lines", modules=("undertow.integrations",)),
        Kind("scores", "s.parquet", honest.row_scores, read.read_scores, "bytes", modules=("undertow.mitigate",)),
        Kind("review-key", "key.json", honest.review_keys, read.read_review_key, modules=("undertow.review",)),
        Kind("review-answers", "a.csv", honest.review_answers, read.read_review_answers, "bytes", modules=("undertow.review",)),
        *(
            Kind(f"rows-{name.partition('.')[2]}", name, partial(honest.packed_rows, name), read.read_packed_rows, "bytes", modules=("undertow.data",))
            for name in ("rows.parquet", "rows.arrow", "rows.csv", "rows.json", "rows.jsonl.zst")
        ),
    )
}  # fmt: skip
"""By name."""


def names(chosen: Sequence[str]) -> list[str]:
    """The kinds that are named, or all."""
    return [name for name in KINDS if not chosen or name in chosen]
