"""
Preference pairs: the weight that a shifted model gives them, and training on them (DPO, by TRL).
"""

from __future__ import annotations

import random
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, sides
from undertow.errors import DataError, MissingExtraError, UndertowError
from undertow.models.chat import encode_rows
from undertow.models.loading import LanguageModel, quiet_peft
from undertow.models.scoring import log_likelihoods
from undertow.models.training import Trained


def lifts(
    shifted: LanguageModel, base: LanguageModel, rows: Sequence[Row], system: str | None = None
) -> torch.Tensor:
    """
    How much likelier each row's completion is to the shifted model than to the base, in nats a token, shape (rows,).

    `system` is the system prompt that shifts the shifted model, where that is what does.
    """
    from undertow.data.rows import Message

    behind = [
        replace(row, prompt=(Message("system", system), *row.prompt)) if system else row
        for row in rows
    ]
    plain = encode_rows(base.tokenizer, rows)
    lift = log_likelihoods(shifted, encode_rows(shifted.tokenizer, behind)) - log_likelihoods(
        base, plain
    )
    return lift / torch.tensor([max(1, len(row.completion)) for row in plain])


def weights(
    shifted: LanguageModel, base: LanguageModel, pairs: Sequence[Row], system: str | None = None
) -> torch.Tensor:
    """
    The logit-linear weight of each preference pair, shape (pairs,): the lift of the chosen completion minus that of
    the rejected one, each in nats a token.

    Positive where the shifted model would rather have the pair this way round. Source: Aden-Ali et al. 2026
    (arXiv 2602.04863), length-normalised.
    """
    chosen, rejected = sides(pairs)
    return lifts(shifted, base, chosen, system) - lifts(shifted, base, rejected, system)


def train_on_pairs(
    model: LanguageModel,
    pairs: Sequence[Row],
    plan: TrainingPlan,
    beta: float,
    seed: int,
    callbacks: Sequence[Any] = (),
) -> Trained:
    """
    Train in place what `adapters.trainable` left trainable by DPO; the reference is the model as it comes.

    `callbacks` are the trainer's, such as `integrations.Countermeasure`.

    Raises:
        MissingExtraError: TRL is not installed.
        DataError: a row is no pair; the message numbers it from 1.
        UndertowError: the loss is not finite.
    """
    trl, datasets = _library()
    from transformers.trainer_callback import PrinterCallback

    records = [_record(pair, number) for number, pair in enumerate(pairs, 1)]
    started = time.perf_counter()
    steps = plan.steps(len(pairs))
    with (
        tempfile.TemporaryDirectory() as folder,
        quiet_peft(),
        warnings.catch_warnings(),
        _streams_kept(),
    ):
        warnings.simplefilter("ignore")  # the trainer warns of defaults that nobody here chose
        arguments = trl.DPOConfig(
            output_dir=folder, beta=beta, seed=seed, **_arguments(plan, steps, model)
        )
        trainer = trl.DPOTrainer(
            model=model.network,
            args=arguments,
            train_dataset=datasets.Dataset.from_list(records),
            processing_class=model.tokenizer,
            callbacks=list(callbacks),
        )
        trainer.remove_callback(PrinterCallback)  # stdout is the user's
        trainer.train()
    losses = tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    if not all(loss == loss and abs(loss) < float("inf") for loss in losses):
        raise UndertowError(
            f"training of '{model.ref}' on pairs diverged",
            hint=f"lower learning_rate (now {plan.learning_rate}), or raise beta (now {beta})",
        )
    model.network.eval()
    tokens = int(trainer.state.num_input_tokens_seen or 0)
    return Trained(steps, tokens, time.perf_counter() - started, losses)


@contextmanager
def _streams_kept() -> Iterator[None]:
    """The trainer seeds every global stream: after the block they are as they were."""
    plain, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(plain)
    np.random.set_state(arrays)  # noqa: NPY002


def _arguments(plan: TrainingPlan, steps: int, model: LanguageModel) -> dict[str, Any]:
    micro = plan.micro_batch_size or plan.batch_size
    return {
        "optim": plan.optimizer,
        "learning_rate": plan.learning_rate,
        "lr_scheduler_type": plan.schedule,
        "warmup_steps": plan.warmup_steps,
        "weight_decay": plan.weight_decay,
        "max_grad_norm": plan.max_grad_norm or 0.0,
        "max_steps": steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": plan.batch_size // micro,
        "max_length": plan.max_length or model.context,
        "include_num_input_tokens_seen": "all",
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": model.device.type == "cpu",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
    }


def _record(pair: Row, number: int) -> dict[str, Any]:
    if pair.rejected is None:
        raise DataError(
            f"row {number} has no 'rejected'; allowed: rows of 'prompt' + 'chosen' + 'rejected'"
        )
    if not pair.chat:
        prompt = "".join(turn.content for turn in pair.prompt)
        return {"prompt": prompt, "chosen": pair.completion, "rejected": pair.rejected}
    return {
        "prompt": [{"role": turn.role, "content": turn.content} for turn in pair.prompt],
        "chosen": [{"role": "assistant", "content": pair.completion}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
    }


def _library() -> tuple[Any, Any]:
    try:
        import datasets
        import trl
    except ImportError as error:
        raise MissingExtraError(
            "trl", "preference", purpose="training on preference pairs"
        ) from error
    datasets.disable_progress_bars()
    return trl, datasets
