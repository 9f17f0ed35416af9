"""Token ids and loss masks as TRL's own trainers make them, of records: the oracle of what undertow reads."""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.rows.generated_records import Record, Trainer


@dataclass(frozen=True)
class Trained:
    """One sequence as a trainer takes it."""

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]
    """Of each token from the second on: nothing predicts the first."""


def as_dataset(records: Sequence[Record], arrow: bool = False) -> Any:
    """
    The records as `datasets.load_dataset` gives them from JSONL; `arrow` as from Parquet, where every field that any
    turn has is a null in the others.
    """
    from datasets import Dataset

    return Dataset.from_list(list(records), on_mixed_types=None if arrow else "use_json")


def trained_sequences(
    trainer: Trainer, tokenizer: Any, dataset: Any, template: str = "", **arguments: Any
) -> list[tuple[Trained, ...]]:
    """
    What the trainer's own dataset holds once it is made: one sequence a record, of preferences two. A template is given
    as TRL takes it: in the file of `chat_template_path`, where the trainer has that.

    Raises:
        Exception: whatever the trainer refuses the records with.
    """
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        tokenizer = copy.copy(tokenizer)  # the trainer writes into it
        if template and trainer == "SFT":
            (Path(folder) / "given.jinja").write_text(template, encoding="utf-8", newline="")
            arguments["chat_template_path"] = f"{folder}/given.jinja"
        elif template:
            tokenizer.chat_template = template
        made = _trainer(trainer, tokenizer, dataset, folder, arguments).train_dataset
        columns = {name: made[name] for name in made.column_names if name in _COLUMNS}
    if trainer == "SFT":
        pairs = zip(columns["input_ids"], columns["labels"], strict=True)
        return [(_sequence(ids, [label != -100 for label in labels]),) for ids, labels in pairs]
    sides = ("chosen_ids", "rejected_ids") if trainer == "DPO" else ("completion_ids",)
    prompts = list(columns["prompt_ids"])
    return [
        tuple(_split(prompt, side) for side in answers)
        for prompt, answers in zip(
            prompts, zip(*(columns[s] for s in sides), strict=True), strict=True
        )
    ]


_COLUMNS = ("input_ids", "labels", "prompt_ids", "chosen_ids", "rejected_ids", "completion_ids")


def _split(prompt: Sequence[int], answer: Sequence[int]) -> Trained:
    mask = [False] * len(prompt) + [True] * len(answer)
    return _sequence([*prompt, *answer], mask)


def _sequence(ids: Sequence[int], learnt: Sequence[bool]) -> Trained:
    return Trained(tuple(ids), tuple(learnt[1:]))


def _trainer(
    name: Trainer, tokenizer: Any, dataset: Any, folder: str, arguments: dict[str, Any]
) -> Any:
    quiet()
    import trl

    common = {
        "output_dir": folder,
        "max_length": None,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "bf16": False,
        **arguments,
    }
    config, kind = getattr(trl, f"{name}Config"), getattr(trl, f"{name}Trainer")
    more = {} if name == "SFT" else {"ref_model": _network(len(tokenizer), "reference")}
    return kind(
        model=_network(len(tokenizer)),
        **more,
        args=config(**common),
        train_dataset=dataset,
        processing_class=tokenizer,
    )


@cache
def quiet() -> None:
    """Keep the libraries' bars and warnings out of a long run."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    datasets.disable_caching()
    transformers.logging.set_verbosity_error()
    for name in ("trl", "datasets", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)


@cache
def _network(vocabulary: int, name: str = "model") -> Any:
    """A network for a trainer that never trains; `name` sets two apart."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=vocabulary,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            intermediate_size=8,
        )
    )
