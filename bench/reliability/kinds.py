"""
Every kind of document that undertow reads, with honest ones to damage and the function that reads it.

What a reader gives back is nothing, or how many things were in the document and how many were read or told.
"""

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

import numpy as np

from bench.figures import BENCH
from bench.reliability.mutation import as_json, as_toml, changed_bytes, changed_value
from undertow.errors import UndertowError

ROOT = BENCH.parent
SEEDS = ROOT / "tests" / "golden"
Read = Callable[[Path], object]


class DroppedError(AssertionError):
    """Something that was in a document is neither read nor told."""


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
        (folder / name).write_bytes(_safetensors()[0])
    return folder / KINDS[kind].file


def _files(*patterns: str, largest: int = 6000) -> list[bytes]:
    paths = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    return [path.read_bytes() for path in paths if path.stat().st_size <= largest]


def _documents() -> list[bytes]:
    names = ("diff", "lineage", "gate", "verify", "scan-pairs", "digits", "demo")
    made = [(SEEDS / "kept" / f"{name}.json").read_bytes() for name in names]
    return [json.dumps(_thinned(json.loads(document))).encode() for document in made]


def _thinned(value: Any) -> Any:
    """
    The same with at most two entries of each list of tables or lists: small documents are read quicker, and lose no key. What
    is read as so many values, a row that was removed and why, keeps them all.
    """
    if isinstance(value, dict):
        return {key: _thinned(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    most = 2 if all(isinstance(inner, dict | list) for inner in value) else len(value)
    return [_thinned(inner) for inner in value[:most]]


def _trl() -> list[bytes]:
    lora = {"output_dir": "x", "learning_rate": 1e-4, "per_device_train_batch_size": 8}
    more = {
        "num_train_epochs": 3.0,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.1,
        "bf16": True,
    }
    peft = {"lora_r": 16, "lora_alpha": 32, "lora_target_modules": ["q_proj"], "use_peft": True}
    dpo = {"beta": 0.1, "loss_type": "sigmoid", "max_length": 512, "packing": False}
    tables: list[dict[str, Any]] = [lora, lora | more, lora | more | peft, lora | peft | dpo]
    return [json.dumps(table).encode() for table in tables]


def _axolotl() -> list[bytes]:
    table: dict[str, Any] = {
        **{"base_model": "org/model", "adapter": "lora", "lora_r": 8, "lora_alpha": 16},
        **{"lora_target_modules": ["q_proj", "v_proj"], "micro_batch_size": 2, "num_epochs": 2},
        **{"gradient_accumulation_steps": 4, "learning_rate": 2e-4, "optimizer": "adamw_torch"},
        **{"datasets": [{"path": "rows.jsonl", "type": "chat_template", "train_on_eos": "turn"}]},
        **{
            "chat_template": "chatml",
            "warmup_steps": 10,
            "sequence_len": 512,
            "load_in_4bit": True,
        },
    }
    return [json.dumps(table).encode(), json.dumps(table | {"rl": "dpo", "dpo_beta": 0.1}).encode()]


def _llamafactory() -> list[bytes]:
    table: dict[str, Any] = {
        **{"model_name_or_path": "org/model", "stage": "sft", "do_train": True, "dataset": "x"},
        **{"finetuning_type": "lora", "lora_rank": 8, "lora_target": "all", "template": "qwen"},
        **{"cutoff_len": 1024, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
        **{
            "learning_rate": 1e-4,
            "num_train_epochs": 3.0,
            "lr_scheduler_type": "cosine",
            "bf16": True,
        },
    }
    return [
        json.dumps(table).encode(),
        json.dumps(table | {"stage": "dpo", "pref_beta": 0.1}).encode(),
    ]


@cache
def _scene() -> Any:
    """Honest statements, signed: what the attacks of the tests on provenance begin with."""
    from tempfile import mkdtemp

    from tests.provenance.scene import Scene

    scene = Scene(Path(mkdtemp(prefix="undertow-fuzz-")))
    scene.ask()
    return scene


def _statements() -> list[bytes]:
    return [made.payload() for made, _ in _scene().statements.values()]


def _bundles() -> list[bytes]:
    from tests.provenance.scene import raw_line

    lines = [raw_line(payload, ["stranger"]) for payload in _statements()]
    return [b"\n".join(lines), lines[0]]


def _ledgers() -> list[bytes]:
    content = (_scene().folder / "rows.jsonl.ledger.jsonl").read_bytes()
    return [b"".join(content.splitlines(keepends=True)[:6])]


def _policies() -> list[bytes]:
    return _files("src/undertow/policy/starters/*.toml", "examples/policy.toml")


def _trusts() -> list[bytes]:
    return [_scene().trust_file().read_bytes()]


def _safetensors() -> list[bytes]:
    from safetensors.numpy import save

    tensors = {
        "model.embed_tokens.weight": np.zeros((4, 2), np.float32),
        "lm_head.weight": np.ones((2, 3), np.float16),
    }
    return [save(tensors, {"format": "pt"}), save({"a": np.zeros(1, np.int8)})]


def _gguf() -> list[bytes]:
    """A header by hand: two values, an array of texts, and two tensors."""

    def text(value: str) -> bytes:
        return len(value).to_bytes(8, "little") + value.encode()

    def number(value: int, size: int = 4) -> bytes:
        return value.to_bytes(size, "little")

    values = [
        text("general.architecture") + number(8) + text("llama"),
        text("general.alignment") + number(4) + number(32),
        text("tokenizer.ggml.tokens")
        + number(9)
        + number(8)
        + number(2, 8)
        + text("a")
        + text("b"),
        text("tokenizer.ggml.scores") + number(9) + number(6) + number(2, 8) + bytes(8),
    ]
    tensors = [
        text(name) + number(2) + number(32, 8) + number(2, 8) + number(kind) + number(offset, 8)
        for name, kind, offset in (("token_embd.weight", 0, 0), ("output.weight", 8, 256))
    ]
    head = b"GGUF" + number(3) + number(len(tensors), 8) + number(len(values), 8)
    whole = head + b"".join(values) + b"".join(tensors)
    return [whole + bytes(-len(whole) % 32) + bytes(324)]


def _adapters() -> list[bytes]:
    lora: dict[str, Any] = {
        **{"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "org/base"},
        **{
            "r": 4,
            "lora_alpha": 8,
            "lora_dropout": 0.0,
            "target_modules": ["q_proj"],
            "bias": "none",
        },
        **{"use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": None},
    }
    ia3 = {"peft_type": "IA3", "task_type": "CAUSAL_LM", "target_modules": ["k_proj"]}
    return [json.dumps(lora).encode(), json.dumps(ia3 | {"feedforward_modules": []}).encode()]


def _indices() -> list[bytes]:
    weights = {
        "a.weight": "model-00001-of-00002.safetensors",
        "b": "model-00002-of-00002.safetensors",
    }
    return [json.dumps({"metadata": {"total_size": 8}, "weight_map": weights}).encode()]


def _inspect() -> list[bytes]:
    sample = {
        **{"id": 1, "epoch": 1, "input": "q", "target": "a", "messages": []},
        **{"output": {"model": "m", "choices": [], "completion": "a"}, "metadata": {}, "store": {}},
        **{"scores": {"match": {"value": "C", "answer": "a"}}, "events": [], "attachments": {}},
    }
    spec = {
        **{"created": "2026-11-25T08:00:00+00:00", "task": "t", "task_id": "i", "run_id": "r"},
        **{"dataset": {"name": "d", "samples": 1}, "model": "m", "config": {}, "task_version": 0},
    }
    log = {"version": 2, "status": "success", "eval": spec, "samples": [sample]}
    return [json.dumps(log).encode()]


def _key() -> list[bytes]:
    pair = {
        **{"pair": 1, "a": "left", "matched": True, "repeats": None},
        **{"left_sha256": "0" * 64, "right_sha256": "1" * 64},
    }
    data = [{"name": name, "rows": 3, "digest": "2" * 64} for name in "ab"]
    key = {"pack": "p", "seed": 0, "question": "?", "a": data[0], "b": data[1], "left_out": 0}
    return [
        json.dumps(
            key | {"schema": "undertow.review-key/1", "pairs": [pair, pair | {"pair": 2}]}
        ).encode()
    ]


def _answers() -> list[bytes]:
    return [b'pack,pair,left,right,answer\r\n"p","1","x","y, z","left"\r\n"p","2","","",""\r\n']


def _read_plan(path: Path) -> None:
    from undertow.data.plan_files import load_plan

    load_plan(path)


def _read_traits(path: Path) -> None:
    from undertow.traits.catalogue import load_category

    load_category(str(path))


def _read_experiment(path: Path) -> None:
    from undertow.studies.experiments import load_experiment

    load_experiment(str(path))


def _read_draft(path: Path) -> None:
    from undertow.provenance.drafts import read_draft

    read_draft(path)


def _read_policy(path: Path) -> None:
    from undertow.policy.gate import compiled_rules
    from undertow.policy.rules import load_policy

    compiled_rules(load_policy(str(path)))


def _read_statement(path: Path) -> None:
    from tests.provenance.scene import raw_line
    from undertow.provenance.bundle import read_line

    read_line(raw_line(path.read_bytes(), ["stranger"]), "x, line 1")


def _read_bundle(path: Path) -> None:
    """Every line that is not blank is a statement, one that was there, or a problem."""
    from undertow.provenance.bundle import read_bundles

    read, problems = read_bundles([path])
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    if not read and len(problems) != len(lines):
        raise DroppedError(f"{len(lines)} lines, {len(problems)} problems and no statement")
    if len(read) + len(problems) > len(lines) or (lines and not read and not problems):
        raise DroppedError(f"{len(lines)} lines, {len(read)} statements, {len(problems)} problems")


def _read_ledger(path: Path) -> None:
    from undertow.provenance.ledger import read_leaf_ledger

    read_leaf_ledger(path)


def _read_trust(path: Path) -> None:
    from tests.provenance.scene import NOW
    from undertow.provenance.trust import read_trust

    read_trust(path, now=NOW)


def _read_result(path: Path) -> None:
    """Read, and drawn in every format that the document has."""
    from undertow.report import render
    from undertow.results.store import read_result

    document = read_result(path)
    for form in ("html", "text", "markdown"):
        render(document, form)


def _read_weights(path: Path) -> None:
    """By all that look at a file of safetensors."""
    from undertow.models.model_folder import header
    from undertow.provenance.model_weights import weights_digest

    _all_of(lambda: weights_digest(path.parent), lambda: list(header(path, "x")))


def _read_gguf(path: Path) -> None:
    from undertow.data.gguf_header import read_header

    read_header(path, "x")


def _read_adapter(path: Path) -> None:
    from undertow.models.saved_adapter import saved_adapter

    saved_adapter(path.parent, "org/base")


def _read_index(path: Path) -> None:
    from undertow.models.model_folder import shards

    shards(path.parent, "x")


def _read_inspect(path: Path) -> None:
    from undertow.audit.eval_logs import read_log

    read_log(path)


def _read_review_key(path: Path) -> None:
    from undertow.review.review_pack import read_key

    read_key(path)


def _read_review_answers(path: Path) -> None:
    from undertow.review.review_pack import ReviewKey, read_answers

    read_answers(path, ReviewKey.model_validate_json(_key()[0]))


def _read_packed_rows(path: Path) -> None:
    """By all that read rows."""
    from undertow.data.file_sample import screen_file
    from undertow.data.part_leaves import dataset_root
    from undertow.data.records import read_rows

    _all_of(
        lambda: screen_file(path, max_rows=8, seed=0),
        lambda: list(read_rows(path)),
        lambda: dataset_root(path),
    )


def _all_of(*reads: Callable[[], object]) -> None:
    """Each of them, whatever the others refuse; the last refusal is raised."""
    refused: UndertowError | None = None
    for read in reads:
        try:
            read()
        except UndertowError as error:
            refused = error
    if refused is not None:
        raise refused


def _packed(file: str) -> list[bytes]:
    """Honest rows in a form that is one whole."""
    from tests.data.packings import RECORDS, arrow, comma_separated, table, zstd

    made: dict[str, Callable[[], bytes]] = {
        "rows.parquet": lambda: table(RECORDS),
        "rows.arrow": lambda: arrow(RECORDS, stream=True),
        "rows.csv": lambda: comma_separated(RECORDS),
        "rows.json": lambda: json.dumps(RECORDS).encode(),
        "rows.jsonl.zst": lambda: zstd(b"".join(json.dumps(r).encode() + b"\n" for r in RECORDS)),
    }
    return [made[file]()]


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
        Kind("plan", "p.toml", partial(_files, "tests/golden/given/plan.toml"), _read_plan, "toml", modules=_PLANS),
        Kind("trl", "p.json", _trl, _read_plan, modules=("undertow.data",)),
        Kind("axolotl", "p.yaml", _axolotl, _read_plan, modules=("undertow.data",)),
        Kind("llamafactory", "p.yaml", _llamafactory, _read_plan, modules=("undertow.data",)),
        Kind("traits", "t.toml", partial(_files, *_TRAITS), _read_traits, "toml", modules=("undertow.traits",)),
        Kind("experiment", "e.toml", partial(_files, *_EXPERIMENTS), _read_experiment, "toml", heavy=True, modules=("undertow.lab.experiment",)),
        Kind("generation", "g.toml", partial(_files, *_DRAFTS), _read_draft, "toml", modules=_SIGNED),
        Kind("policy", "p.toml", _policies, _read_policy, "toml", modules=("undertow.policy",)),
        Kind("policy-yaml", "p.yaml", lambda: [json.dumps(tomllib.loads(p.decode())).encode() for p in _policies()], _read_policy, modules=("undertow.policy",)),
        Kind("statement", "s.json", _statements, _read_statement, modules=_SIGNED),
        Kind("bundle", "b.intoto.jsonl", _bundles, _read_bundle, "lines", modules=_SIGNED),
        Kind("ledger", "l.jsonl", _ledgers, _read_ledger, "lines", modules=_SIGNED),
        Kind("trust", "t.toml", _trusts, _read_trust, "toml", modules=_SIGNED),
        Kind("result", "r.json", _documents, _read_result, modules=("undertow.results", "undertow.report")),
        Kind("safetensors", "model.safetensors", _safetensors, _read_weights, "headed", heavy=True, modules=_SIGNED),
        Kind("gguf", "m.gguf", _gguf, _read_gguf, "bytes", modules=("undertow.data.gguf_header",)),
        Kind("adapter", "adapter_config.json", _adapters, _read_adapter, heavy=True, beside=("adapter_model.safetensors",), modules=("undertow.models.saved_adapter", "undertow.models.model_folder")),
        Kind("index", "model.safetensors.index.json", _indices, _read_index, heavy=True, beside=("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"), modules=("undertow.models.model_folder",)),
        Kind("inspect", "log.json", _inspect, _read_inspect, heavy=True, needs="inspect_ai", modules=("undertow.audit.eval_logs",)),
        Kind("review-key", "key.json", _key, _read_review_key, modules=("undertow.review",)),
        Kind("review-answers", "a.csv", _answers, _read_review_answers, "bytes", modules=("undertow.review",)),
        *(
            Kind(f"rows-{name.partition('.')[2]}", name, partial(_packed, name), _read_packed_rows, "bytes", modules=("undertow.data",))
            for name in ("rows.parquet", "rows.arrow", "rows.csv", "rows.json", "rows.jsonl.zst")
        ),
    )
}  # fmt: skip
"""By name."""


def names(chosen: Sequence[str]) -> list[str]:
    """The kinds that are named, or all."""
    return [name for name in KINDS if not chosen or name in chosen]
