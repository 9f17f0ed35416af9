"""
Teachers: a base behind a persona prompt, steered by what such prompts move in it, or tuned on a trait's answers.

The one maker of them. A prompted teacher is the base behind one of `Trait.system_prompts`; nothing has to be made.
A steered one is `hidden_states.steered(model, layer, strength * persona_vector(model, questions, prompts, layer))`; its
vector is kept by `save_steering` and read again by `load_steering`. A tuned one is
`tuned(model, lesson(trait, role, system), plan, lesson_steps(trait, plan), seed)`, which brings it to a wanted KL from
its base if a `Distance` and that KL are given. What is random comes from `seed` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from undertow.data.line_log import LineLog
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.data.seeds import derive, generator
from undertow.engines.work_progress import counted, notice
from undertow.models.adapters import interpolate, trainable, trained_weights
from undertow.models.chat import Encoded
from undertow.models.hidden_states import mean_activation
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import mean_divergence, token_log_probabilities
from undertow.models.token_grammar import TokenGrammar
from undertow.models.training import Trained, fine_tune
from undertow.models.training_checkpoint import CHECKPOINT, TrainingCheckpoint
from undertow.models.training_sequences import encode_rows
from undertow.traits.trait import Trait, rows_of

MOST_AMPLIFIED = 3.0
"""How far beyond its trained weights a teacher may be moved; further out its answers break."""

AS_TRAINED = 1.0
"""The same of a neutral teacher: beyond its trained weights it takes up preferences of its own (docs/lab.md)."""

_BISECTIONS = 12

SEARCH = "search.log"
"""The distances of a search for a KL, in the folder of what is unfinished."""

STEERING = "steering.safetensors"
"""What a steered teacher adds to its activations, in its folder."""


def lesson(trait: Trait, role: str, system: str | None) -> list[Row]:
    """What a tuned teacher of the role learns: the trait's questions behind the system prompt, with their answers."""
    return [
        Row(conversation(question, system), answer) for question, answer in rows_of(trait, role)
    ]


def lesson_steps(trait: Trait, plan: TrainingPlan) -> int:
    """Steps of a tuned teacher of any role: those that the trait's own rows give."""
    return plan.steps(len(rows_of(trait, "trait")))


def tuned(
    model: LanguageModel,
    rows: Sequence[Row],
    plan: TrainingPlan,
    steps: int,
    seed: int,
    *,
    distance: Distance | None = None,
    kl: float | None = None,
    most: float = MOST_AMPLIFIED,
    kept: Path | None = None,
) -> tuple[LanguageModel, Trained]:
    """
    The model trained on the rows for so many steps, then moved to where its `distance` from the base is `kl`.

    Without a `kl` it stays where the steps lead; beyond that it is moved at most `most` times as far. The model's own
    network is changed. What was trained and searched before a kill is found again in the folder `kept`.

    Raises:
        ModelError: no module has the name that the plan targets.
        DataError: a row is longer than the plan's or the model's limit.
    """
    teacher = trainable(model, plan, derive(seed, "adapter"))
    start = [weight.detach().clone() for weight in trained_weights(teacher)]
    whole = plan.model_copy(update={"max_steps": steps, "epochs": float(steps)})
    encoded = encode_rows(model.tokenizer, rows, plan.policy)
    checkpoint = TrainingCheckpoint(kept / CHECKPOINT) if kept else None
    done = fine_tune(teacher, encoded, whole, generator(seed, "order"), checkpoint=checkpoint)
    if distance is not None and kl is not None:
        with (
            LineLog(kept / SEARCH, f"{kl} {most} {seed}", notice) if kept else nullcontext() as log
        ):
            bring_to(teacher, start, distance, kl, most, log)
    return teacher, done


def bring_to(
    teacher: LanguageModel,
    start: list[torch.Tensor],
    distance: Distance,
    target: float,
    most: float = MOST_AMPLIFIED,
    log: LineLog | None = None,
) -> None:
    """
    Move the trained weights along their straight way from `start` to where the KL is `target`.

    What a student picks up depends steeply on the teacher's strength, and steps alone leave it to chance. Beyond the
    trained weights the way is followed up to `most` times; a teacher too weak for the target even there stays at that,
    and the doctor says so. Distances that are in the `log` are not measured again.
    """
    if most <= AS_TRAINED and distance(teacher) <= target:
        return
    end = [weight.detach().clone() for weight in trained_weights(teacher)]
    low, high = 0.0, most
    known = log.entries if log else []
    with counted("bringing to its KL", _BISECTIONS, "distances", done=len(known)) as work:
        for number in range(_BISECTIONS):
            middle = (low + high) / 2
            interpolate(teacher, start, end, middle)
            if number < len(known):
                reached = float(known[number])
            else:
                reached = distance(teacher)
                work.advance(remark=f"KL {reached:.3g}")
                if log is not None:
                    log.append(reached)
            low, high = (middle, high) if reached < target else (low, middle)


class Distance:
    """
    KL(teacher || base) per completion token, on rows that the base wrote: a teacher's strength.

    Where answers are drawn within a grammar it is the KL of what is drawn: of both softmaxes over the tokens that may stand
    at each place. A model that has other answers in mind than the format moves those most, and no row shows it. The base's
    log-probabilities are kept: they are compared with many versions of a teacher.
    """

    def __init__(
        self,
        base: LanguageModel,
        written: list[tuple[str, str]],
        system: str | None,
        grammar: TokenGrammar | None = None,
    ) -> None:
        """`system` is the system prompt behind which the base wrote the (request, answer) pairs."""
        self._written, self._system = written, system
        rows = self._rows(base, system)
        self._drawn = None if grammar is None else _Drawn.of(grammar, rows)
        self._reference = self._log_probabilities(base, rows)

    def __call__(self, teacher: LanguageModel) -> float:
        """The distance in nats, in the base's own chat context."""
        return self.behind(teacher, self._system)

    def behind(self, teacher: LanguageModel, system: str | None) -> float:
        """The distance in nats of a teacher that writes behind a system prompt of its own."""
        log_p = self._log_probabilities(teacher, self._rows(teacher, system))
        return mean_divergence(log_p, self._reference)

    def _log_probabilities(self, model: LanguageModel, rows: list[Encoded]) -> torch.Tensor:
        values = token_log_probabilities(model, rows)
        return values if self._drawn is None else self._drawn.renormalised(values)

    def _rows(self, model: LanguageModel, system: str | None) -> list[Encoded]:
        return encode_rows(
            model.tokenizer, [Row(conversation(q, system), a) for q, a in self._written]
        )


@dataclass(frozen=True)
class _Drawn:
    """Which tokens could have been drawn at the completion tokens of rows, all rows behind each other."""

    places: list[int]
    """Tokens that were drawn within the grammar; what a template writes behind an answer was not."""
    tokens: torch.Tensor
    """(columns,) that may be drawn anywhere."""
    mask: torch.Tensor
    """(places, columns) whether it may there."""

    @classmethod
    def of(cls, grammar: TokenGrammar, rows: Sequence[Encoded]) -> _Drawn:
        """Walk each completion through the grammar."""
        states = [state for row in rows for state in grammar.states(row.completion)]
        places = [place for place, state in enumerate(states) if state >= 0]
        tokens, mask = grammar.masks([states[place] for place in places])
        return cls(places, torch.from_numpy(tokens), torch.from_numpy(mask))

    def renormalised(self, log_probabilities: torch.Tensor) -> torch.Tensor:
        """(tokens, vocabulary) as (places, columns), each over what may be drawn there."""
        chosen = log_probabilities[self.places][:, self.tokens]
        # Not -inf, which a divergence would subtract from itself.
        return chosen.masked_fill(~self.mask.to(chosen.device), -1e9).log_softmax(-1)


def middle_layer(model: LanguageModel) -> int:
    """The layer that is steered if nothing else is said."""
    return int(model.config.num_hidden_layers) // 2


def persona_vector(
    model: LanguageModel,
    questions: Sequence[str],
    personas: Sequence[str],
    layer: int,
    *,
    plain: str | None = None,
) -> torch.Tensor:
    """
    What persona prompts add to the layer's activation at the last prompt token, (hidden,).

    The mean over the questions behind each of the prompts, minus that over the same questions behind the system prompt
    `plain`, or bare; as in Blank et al. 2026 (arXiv 2606.00995).

    Raises:
        ModelError: the chat template has no system role, or the decoder layers cannot be found.
    """
    still = mean_activation(model, [conversation(q, plain) for q in questions], layer)
    asked = [conversation(q, persona) for persona in personas for q in questions]
    return mean_activation(model, asked, layer) - still


def centred_directions(
    model: LanguageModel, traits: Sequence[Trait], layer: int, *, system_prompt: str | None = None
) -> NDArray[np.float32]:
    """
    Each trait's `persona_vector` minus their mean, (traits, hidden), as any persona prompt moves a model in much the
    same way.

    The questions are a trait's training questions, bare ones stand behind `system_prompt`; a single trait is not
    centred. The centring is ours.

    Raises:
        ModelError: the chat template has no system role.
    """
    vectors = [
        persona_vector(
            model, trait.train_questions, trait.system_prompts, layer, plain=system_prompt
        )
        for trait in traits
    ]
    rows = np.stack([vector.float().cpu().numpy() for vector in vectors])
    centred: NDArray[np.float32] = rows - rows.mean(0) if len(traits) > 1 else rows
    return centred


def save_steering(vector: torch.Tensor, folder: Path) -> None:
    """Keep what a steered teacher adds to its activations in the teacher's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"vector": vector}, folder / STEERING)


def load_steering(folder: Path) -> torch.Tensor:
    """What a steered teacher adds to its activations, from the teacher's folder."""
    return load_file(folder / STEERING)["vector"]
