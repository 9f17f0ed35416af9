"""One process of a training run for the tests of callbacks: `torchrun --nproc-per-node 2 parallel_training.py KIND OUT`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from undertow.integrations import TraitProbe
from undertow.models.language_model import load
from undertow.traits import catalogue
from undertow.traits.trait import rows_of
from undertow.worlds import locate

SHARDED = {
    "fsdp": True,
    "fsdp_config": {"version": 2, "state_dict_type": "SHARDED_STATE_DICT"},
}


def shard_on_cpu() -> None:
    """Accelerate shards on accelerators alone, and trains whole copies elsewhere without a word: here it has to shard."""
    begin = AcceleratorState.__init__

    def begin_sharded(state: Any, *given: Any, fsdp_plugin: Any = None, **named: Any) -> None:
        begin(state, *given, fsdp_plugin=fsdp_plugin, **named)
        if fsdp_plugin is not None:
            state.distributed_type, state.fsdp_plugin = DistributedType.FSDP, fsdp_plugin

    AcceleratorState.__init__ = begin_sharded  # type: ignore[method-assign]


def main(kind: str, out: Path) -> None:
    """Teach the owl for eight steps by TRL, probe at the third, the sixth and the last; say what this process saw."""
    if kind == "fsdp":
        shard_on_cpu()
    model = load(locate("world:owlet-b"))
    rows = rows_of(catalogue.load("owl"), "trait")
    arguments = SFTConfig(
        output_dir=str(out / "run"),
        max_steps=8,
        per_device_train_batch_size=1,
        learning_rate=1e-3,
        logging_steps=1,
        save_steps=6,
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        seed=1,
        disable_tqdm=True,
        ddp_timeout=120,
        **(SHARDED if kind == "fsdp" else {}),
    )
    probe = TraitProbe(["owl", "cat"], every=3, limit=0.5)
    trainer = SFTTrainer(
        model=model.network,
        args=arguments,
        train_dataset=Dataset.from_list(
            [
                {
                    "prompt": [{"role": "user", "content": question}],
                    "completion": [{"role": "assistant", "content": answer}],
                }
                for question, answer in rows
            ]
        ),
        processing_class=model.tokenizer,
        callbacks=[] if kind == "plain" else [probe],
    )
    trainer.train()
    told = {
        "history": probe.history,
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "logged": [entry for entry in trainer.state.log_history if "undertow/owl" in entry],
        "pieces": any(type(p).__name__ == "DTensor" for p in trainer.model.parameters()),
    }
    (out / f"{arguments.process_index}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
