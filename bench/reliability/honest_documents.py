"""Honest documents of every kind that undertow reads, for the fuzzers to damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.figures import BENCH

ROOT = BENCH.parent
SEEDS = ROOT / "tests" / "golden"


def files_of(*patterns: str, largest: int = 6000) -> list[bytes]:
    """The files of the repository under these patterns, but for large ones."""
    paths = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    return [path.read_bytes() for path in paths if path.stat().st_size <= largest]


def results() -> list[bytes]:
    """Results of the verbs, small."""
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


def trl_arguments() -> list[bytes]:
    """TRL's arguments."""
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


def axolotl_configs() -> list[bytes]:
    """Axolotl's configurations."""
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


def llamafactory_configs() -> list[bytes]:
    """LLaMA-Factory's configurations."""
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


def statements() -> list[bytes]:
    """Statements of every kind."""
    return [made.payload() for made, _ in _scene().statements.values()]


def bundles() -> list[bytes]:
    """Bundles of them."""
    from tests.provenance.scene import raw_line

    lines = [raw_line(payload, ["stranger"]) for payload in statements()]
    return [b"\n".join(lines), lines[0]]


def ledgers() -> list[bytes]:
    """The first lines of a ledger."""
    content = (_scene().folder / "rows.jsonl.ledger.jsonl").read_bytes()
    return [b"".join(content.splitlines(keepends=True)[:6])]


def policies() -> list[bytes]:
    """The policies that come with undertow."""
    return files_of("src/undertow/policy/starters/*.toml", "examples/policy.toml")


def trust_files() -> list[bytes]:
    """A table of who is trusted."""
    return [_scene().trust_file().read_bytes()]


def safetensors() -> list[bytes]:
    """Two small files of weights."""
    from safetensors.numpy import save

    tensors = {
        "model.embed_tokens.weight": np.zeros((4, 2), np.float32),
        "lm_head.weight": np.ones((2, 3), np.float16),
    }
    return [save(tensors, {"format": "pt"}), save({"a": np.zeros(1, np.int8)})]


def gguf() -> list[bytes]:
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


def adapter_configs() -> list[bytes]:
    """Configurations of peft."""
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


def weight_indices() -> list[bytes]:
    """The index of weights in two files."""
    weights = {
        "a.weight": "model-00001-of-00002.safetensors",
        "b": "model-00002-of-00002.safetensors",
    }
    return [json.dumps({"metadata": {"total_size": 8}, "weight_map": weights}).encode()]


def inspect_logs() -> list[bytes]:
    """A log of one sample."""
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


def review_keys() -> list[bytes]:
    """The key of a review of two pairs."""
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


def review_answers() -> list[bytes]:
    """Its answers."""
    return [b'pack,pair,left,right,answer\r\n"p","1","x","y, z","left"\r\n"p","2","","",""\r\n']


def pipeline_parts() -> list[bytes]:
    """What a task of a pipeline leaves, with two rows."""
    about = {"seed": 0, "size": 8, "rows": 5, "counts": [["fault", "shape", 2]], "of": 2}
    rows = [{"name": f"a/{i}", "row": json.dumps({"prompt": "p", "completion": "c"})} for i in "12"]
    return [b"\n".join(json.dumps(line).encode() for line in [about, *rows])]


def row_scores() -> list[bytes]:
    """The scores of thirty rows."""
    from tests.data.packings import table

    rows: list[dict[str, object]] = [
        {"row": i, "id": f"{i:064x}", "source": "a", "tokens": 4, "log_likelihood": -i / 3}
        for i in range(30)
    ]
    return [table(rows)]


def own_problems() -> list[bytes]:
    """Two problems, one in GSM8K's shape."""
    return [
        b'{"question": "How many?", "answer": "so\\n#### 1,042"}\n{"question": "a", "answer": 3}'
    ]


def texts_to_reword() -> list[bytes]:
    """Two texts, and a blank line."""
    return [b'{"text": "It rained on 3 May."}\n\n{"text": "So it did."}']


def packed_rows(file: str) -> list[bytes]:
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
