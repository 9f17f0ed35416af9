"""What a training is for, beside its rows' cross-entropy: preference pairs by DPO, or a teacher's probabilities."""

from __future__ import annotations

import random
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch.nn import functional

from undertow.data.plan import AUTO, LAST_TURN, LossPolicy, TrainingPlan
from undertow.data.row_records import to_record
from undertow.data.rows import Row, sides, system_turn
from undertow.errors import DataError, MissingExtraError, ModelError, UndertowError
from undertow.models.chat import IGNORED, Batch, Encoded, in_template, pad
from undertow.models.language_model import LanguageModel
from undertow.models.saved_adapter import quiet_peft
from undertow.models.scoring import completion_logits, log_likelihoods
from undertow.models.training import Trained
from undertow.models.training_checkpoint import KeptTrainer, TrainingCheckpoint, training_subject
from undertow.models.training_sequences import encode_rows, pair_sequences, wrapped_row


class Sized(Protocol):
    """A row: what batches of similar length are made of."""

    def __len__(self) -> int:
        """Tokens."""


R = TypeVar("R", bound=Sized, contravariant=True)


class Objective(Protocol[R]):
    """How rows become sequences, and their likelihoods a loss."""

    def sequences(self, rows: Sequence[R]) -> list[Encoded]:
        """The sequences of one run's rows, the same number for as many rows."""

    def weight(self, rows: Sequence[R]) -> int:
        """What a run's loss over the rows is a mean over."""

    def losses(self, likelihoods: torch.Tensor, rows: Sequence[Sequence[R]]) -> torch.Tensor:
        """(runs,) summed loss of (runs, sequences, kept) token log-likelihoods, in nats, with each run's rows."""


@dataclass(frozen=True)
class Completions:
    """Cross-entropy of completions."""

    def sequences(self, rows: Sequence[Encoded]) -> list[Encoded]:
        """The rows themselves."""
        return list(rows)

    def weight(self, rows: Sequence[Encoded]) -> int:
        """Tokens with a loss."""
        return sum(row.learnt for row in rows)

    def losses(self, likelihoods: torch.Tensor, rows: Sequence[Sequence[Encoded]]) -> torch.Tensor:
        """Minus the log-likelihood of all tokens."""
        return -likelihoods.flatten(1).sum(1)


COMPLETIONS = Completions()


@dataclass(frozen=True)
class EncodedPair:
    """A preference pair as token ids."""

    chosen: Encoded
    rejected: Encoded
    reference: float
    """By how much the base prefers the chosen one, log-likelihood minus log-likelihood in nats."""

    def __len__(self) -> int:
        return max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True)
class Preferences:
    """
    DPO's loss, -log sigmoid(beta (h - reference)), h by how much the run prefers the chosen completion (Rafailov et al.
    2023, arXiv 2305.18290); the reference is the base.
    """

    beta: float
    """Positive."""

    def sequences(self, rows: Sequence[EncodedPair]) -> list[Encoded]:
        """All chosen ones, then all rejected ones."""
        return [row.chosen for row in rows] + [row.rejected for row in rows]

    def weight(self, rows: Sequence[EncodedPair]) -> int:
        """Pairs."""
        return len(rows)

    def losses(
        self, likelihoods: torch.Tensor, rows: Sequence[Sequence[EncodedPair]]
    ) -> torch.Tensor:
        """Summed over each run's pairs."""
        chosen, rejected = likelihoods.sum(2).chunk(2, dim=1)
        reference = torch.tensor([[row.reference for row in pairs] for pairs in rows])
        lifted = chosen - rejected - reference.to(likelihoods)
        return -functional.logsigmoid(self.beta * lifted).sum(1)


def encode_pairs(
    base: LanguageModel, pairs: Sequence[Row], longest: int | None, policy: LossPolicy = AUTO
) -> list[EncodedPair]:
    """
    The pairs of which both completions have at most `longest` tokens with their prompt, with the base's own preference.

    Raises:
        ModelError: the chat template refuses a row.
    """
    fit = [
        (a, b)
        for a, b in pair_sequences(base.tokenizer, pairs, policy)
        if longest is None or max(len(a), len(b)) <= longest
    ]
    if not fit:
        return []
    likelihoods = [log_likelihoods(base, list(side)) for side in zip(*fit, strict=True)]
    preferred = (likelihoods[0] - likelihoods[1]).tolist()
    return [
        EncodedPair(a, b, preference) for (a, b), preference in zip(fit, preferred, strict=True)
    ]


def lifts(
    shifted: LanguageModel, base: LanguageModel, rows: Sequence[Row], system: str | None = None
) -> torch.Tensor:
    """
    How much likelier each row's completion is to the shifted model than to the base, in nats a token, shape (rows,).

    `system` is the system prompt that shifts the shifted model, where that is what does.
    """
    prompted = [replace(row, prompt=(*system_turn(system), *row.prompt)) for row in rows]
    plain = encode_rows(base.tokenizer, rows, LAST_TURN)
    moved = encode_rows(shifted.tokenizer, prompted, LAST_TURN)
    lift = log_likelihoods(shifted, moved) - log_likelihoods(base, plain)
    return lift / torch.tensor([max(1, len(row.completion)) for row in plain])


def preference_weights(
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
    checkpoint: TrainingCheckpoint | None = None,
) -> Trained:
    """
    Train in place what `adapters.trainable` left trainable by DPO; the reference is the model as it comes.

    `callbacks` are the trainer's, such as `integrations.countermeasure.Countermeasure`. With a `checkpoint` the training
    goes on where it was killed.

    Raises:
        MissingExtraError: TRL is not installed.
        DataError: a row is no pair; the message numbers it from 1.
        UndertowError: the loss is not finite.
    """
    trl, datasets = _library()
    from transformers.trainer_callback import PrinterCallback

    written = [wrapped_row(pair, plan.policy) for pair in pairs]
    records = [_record(pair, number) for number, pair in enumerate(written, 1)]
    steps = plan.steps(len(pairs))
    subject = training_subject([pairs], plan, [np.random.default_rng(seed)], steps)
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
            processing_class=in_template(model.tokenizer, plan.template),
            callbacks=list(callbacks),
        )
        trainer.remove_callback(PrinterCallback)  # stdout is the user's
        kept = KeptTrainer(trainer, checkpoint, subject, steps)
        kept.train()
    losses = tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    if not all(loss == loss and abs(loss) < float("inf") for loss in losses):
        raise UndertowError(
            f"training of '{model.ref}' on pairs diverged",
            hint=f"lower learning_rate (now {plan.learning_rate}), or raise beta (now {beta})",
        )
    model.network.eval()
    tokens = int(trainer.state.num_input_tokens_seen or 0)
    return Trained(steps, tokens, kept.seconds, losses)


@contextmanager
def _streams_kept() -> Iterator[None]:
    """The trainer seeds every global stream: after the block they are as they were."""
    plain, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(plain)
    np.random.set_state(arrays)  # noqa: NPY002


def _arguments(plan: TrainingPlan, steps: int, model: LanguageModel) -> dict[str, Any]:
    micro = plan.rows_a_pass
    return {
        "optim": plan.optimizer,
        "learning_rate": plan.learning_rate,
        "lr_scheduler_type": plan.schedule,
        "lr_scheduler_kwargs": dict(plan.schedule_arguments),
        "warmup_steps": plan.warmup(steps),
        "weight_decay": plan.weight_decay,
        "adam_beta1": plan.adam_beta1,
        "adam_beta2": plan.adam_beta2,
        "adam_epsilon": plan.adam_epsilon,
        "disable_dropout": plan.dropout == 0,
        "max_grad_norm": plan.max_grad_norm or 0.0,
        "max_steps": steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": plan.rows_a_step // micro,
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


def _record(pair: Row, number: int) -> dict[str, object]:
    if pair.rejected is None:
        raise DataError(
            f"row {number} has no 'rejected'; allowed: rows of 'prompt' + 'chosen' + 'rejected'"
        )
    return to_record(replace(pair, source=None))


def _library() -> tuple[Any, Any]:
    try:
        import datasets
        import trl
        from huggingface_hub import constants
    except ImportError as error:
        raise MissingExtraError(
            "trl", "preference", purpose="training on preference pairs"
        ) from error
    datasets.disable_progress_bars()
    # TRL tells its makers of each trainer, over the network; what is trained here is nobody else's business.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    return trl, datasets


@dataclass(frozen=True)
class Distillation:
    """
    The loss of a batch: KL(teacher || student) in nats, summed over the completion's tokens.

    Restricted to some tokens of the vocabulary, both distributions are renormalised over them, and positions whose own
    token is not among them count 0: what the teacher gives to any other token is never seen.
    Source: Hinton et al. 2015 (arXiv 1503.02531), at temperature 1; the restriction is ours.
    """

    teacher: LanguageModel
    rows: Sequence[Encoded]
    """The student's rows as the teacher sees them, behind its own system prompt; the same completions."""
    tokens: torch.Tensor | None = None
    """(vocabulary,) bool: what may be seen; None for everything."""

    def __call__(self, network: Any, batch: Batch) -> torch.Tensor:
        """The loss of the student `network` on a batch of the rows."""
        seen = pad(
            [self.rows[i] for i in batch.rows], self.teacher.tokenizer.pad_token_id, batch.rows
        )
        with torch.no_grad():
            wanted = completion_logits(self.teacher.network, seen.to(self.teacher.device))
        given = completion_logits(network, batch)
        counted = batch.labels != IGNORED
        if self.tokens is not None:
            counted &= self.tokens[batch.labels.clamp_min(0)]
        p, q = (self._log_probabilities(logits[counted]) for logits in (wanted, given))
        return (p.exp() * (p - q)).sum()

    def _log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        # A head may be wider than the vocabulary (padded to a multiple of 64), or know fewer tokens than were added.
        width = min(logits.shape[-1], len(self.teacher.tokenizer))
        seen = logits[:, :width]
        return (
            (seen if self.tokens is None else seen[:, self.tokens[:width]]).float().log_softmax(-1)
        )


def refuse_other_vocabulary(teacher: LanguageModel, student: LanguageModel) -> None:
    """
    Logits of two vocabularies cannot be compared.

    Raises:
        ModelError: the two models' tokenizers differ.
    """
    if teacher.tokenizer.get_vocab() != student.tokenizer.get_vocab():
        raise ModelError(
            f"the logits of '{teacher.ref}' cannot be distilled into '{student.ref}': their vocabularies differ",
            hint="use bases with one tokenizer, or an arm that is trained on rows",
        )
