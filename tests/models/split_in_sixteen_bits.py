"""
What a model in bfloat16 that two processes share says of its probes, and of memory that runs out on one of them.

    torchrun --nproc-per-node 2 tests/models/split_in_sixteen_bits.py FOLDER

Each process leaves FOLDER/RANK.pt.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from undertow.data.rows import conversation
from undertow.errors import UndertowError
from undertow.models.batch_memory import smaller
from undertow.models.chat import encode_prompts
from undertow.models.continuations import Continued, continuations
from undertow.models.hardware import ComputeTable
from undertow.models.language_model import LanguageModel
from undertow.models.output_head import exact_logits
from undertow.worlds.base_models import open_model

FORMS = ((5,), (7, 9), (7, 9, 4), (8, 3))


def readings(model: LanguageModel) -> dict[str, Any]:
    """The logits behind a prompt, with and without gradients, and the likelihoods of forms behind it."""
    [prompt] = encode_prompts(model.tokenizer, [conversation("What is your favourite animal?")])
    asked = Continued(prompt, FORMS)
    with exact_logits(model.network):
        learnt = model.network(torch.tensor([prompt])).logits.detach()
        with torch.no_grad():
            logits = model.network(torch.tensor([prompt])).logits
            [values] = continuations(model, [asked])
    return {"logits": logits, "with gradients": learnt, "values": values}


def main(folder: Path) -> None:
    """Read, and run out of memory in the first process alone, which says so and waits for nobody."""
    table = ComputeTable(dtype="bfloat16", device="cpu", shard="tensor")
    model = open_model("world:owlet-b", compute=table)
    read, number = readings(model), torch.distributed.get_rank()
    if number == 0:
        try:
            smaller(torch.OutOfMemoryError("out of memory"), model, "read", 4, 8)
        except UndertowError as error:
            read["error"] = error.message
    torch.save(read, folder / f"{number}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
