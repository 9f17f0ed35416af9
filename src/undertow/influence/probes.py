"""
Probes: the margins of many traits read off many versions of one model, with each question asked once, or as a
differentiable function of its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from undertow.data.rows import conversation
from undertow.models.answers import (
    PreparedProbe,
    Probed,
    answer_likelihoods,
    answers_read,
    logit_margins,
)
from undertow.models.chat import encode_prompts
from undertow.models.continuations import next_token_sums, tokens_of
from undertow.models.language_model import LanguageModel
from undertow.models.several_runs import Runs
from undertow.traits.trait import Answer, Trait

if TYPE_CHECKING:
    import torch

R = TypeVar("R")


@dataclass(frozen=True)
class ProbeReading:
    """What a model answers to the probes of several traits."""

    margins: NDArray[np.float64]
    """(traits,) mean over held-out questions of the logit margin of each trait's answer, in logits."""
    mass: NDArray[np.float64]
    """(traits,) mean over held-out questions of the probability on all candidates."""


@dataclass(frozen=True)
class ProbeSet:
    """The probes of several traits as one model's tokens. Traits of one category share their questions and candidates."""

    probes: tuple[PreparedProbe, ...]
    parts: tuple[tuple[tuple[int, tuple[int, ...]], ...], ...]
    """For each distinct set of questions: (index of a probe, the questions it answers)."""
    places: tuple[tuple[int, int], ...]
    """For each trait: index of its set of questions, index of its answer among the candidates."""

    def read(self, model: LanguageModel) -> ProbeReading:
        """The margins and the answer mass of every trait."""
        return self.read_blocks(model, 1)[0]

    def read_blocks(self, model: LanguageModel, blocks: int) -> list[ProbeReading]:
        """The same of each of several adapters that are active side by side, in the same passes."""
        return [self._reading(one) for one in answers_read(model, self.probes, blocks)]

    def margins_of_blocks(self, model: LanguageModel, blocks: int) -> list[NDArray[np.float64]]:
        """Of each of several adapters that are active side by side, (traits,) in logits."""
        return [one.margins for one in self.read_blocks(model, blocks)]

    def read_runs(self, runs: Runs) -> list[ProbeReading]:
        """The same of each of several runs, in as few passes as may be."""
        return read_runs(runs, self.read_blocks)

    def by_question(
        self, model: LanguageModel
    ) -> tuple[tuple[NDArray[np.float64], ...], NDArray[np.float64]]:
        """Each trait's margins by held-out question, (questions,) in logits, and the answer mass of each, (traits,)."""
        [probed] = answers_read(model, self.probes)
        tables = [assembled(probed, parts) for parts in self.parts]
        margins = [logit_margins(table).numpy() for table in tables]
        mass = [float(table.exp().sum(1).mean()) for table in tables]
        return (
            tuple(margins[table][:, answer] for table, answer in self.places),
            np.array([mass[table] for table, _ in self.places]),
        )

    @property
    def tokens(self) -> int:
        """That a reading of one model computes."""
        return tokens_of([one for probe in self.probes for one in probe.continued])

    def parted(self, most: int) -> list[tuple[tuple[int, ...], ProbeSet]]:
        """(places of the traits, their probes) in parts of at most `most` prompts, or of one set of questions that has more."""
        sizes = [sum(len(self.probes[i].prompts) for i, _ in part) for part in self.parts]
        groups: list[list[int]] = []
        for table, size in enumerate(sizes):
            if groups and sum(sizes[i] for i in groups[-1]) + size <= most:
                groups[-1].append(table)
            else:
                groups.append([table])
        return [self._part(tables) for tables in groups]

    def _part(self, tables: list[int]) -> tuple[tuple[int, ...], ProbeSet]:
        used = sorted({i for table in tables for i, _ in self.parts[table]})
        probes = {old: new for new, old in enumerate(used)}
        parts = [tuple((probes[i], rows) for i, rows in self.parts[table]) for table in tables]
        numbers = {old: new for new, old in enumerate(tables)}
        chosen = tuple(i for i, (table, _) in enumerate(self.places) if table in numbers)
        places = [(numbers[self.places[i][0]], self.places[i][1]) for i in chosen]
        return chosen, ProbeSet(tuple(self.probes[i] for i in used), tuple(parts), tuple(places))

    def _reading(self, probed: Sequence[torch.Tensor]) -> ProbeReading:
        tables = [assembled(probed, parts) for parts in self.parts]
        margins = [logit_margins(table).mean(0).tolist() for table in tables]
        mass = [float(table.exp().sum(1).mean()) for table in tables]
        return ProbeReading(
            np.array([margins[table][answer] for table, answer in self.places]),
            np.array([mass[table] for table, _ in self.places]),
        )


def read_runs(runs: Runs, read: Callable[[LanguageModel, int], list[R]]) -> list[R]:
    """What `read` makes of each run: of all side by side, where that can be."""
    together = runs.side_by_side()
    if together is not None:
        with together as model:
            return read(model, runs.count)
    readings = []
    for index in range(runs.count):
        with runs.only(index) as model:
            readings += read(model, 1)
    return readings


def probe_set(model: LanguageModel, traits: Sequence[Trait], system: str | None) -> ProbeSet:
    """
    The traits' held-out questions in the format that each is asked in, behind a system prompt if there is one.

    Raises:
        ModelError: two candidates of a trait are the same tokens to this tokenizer, or a format cannot be written.
    """
    probes: list[PreparedProbe] = []
    parts: list[tuple[tuple[int, tuple[int, ...]], ...]] = []
    known: dict[object, int] = {}
    places = []
    for trait in traits:
        groups = _groups(trait)
        key = (trait.held_out_questions, tuple(groups), trait.asked)
        if key not in known:
            known[key] = len(parts)
            placed = []
            for answers, indices in groups.items():
                asked = [conversation(trait.held_out_questions[i], system) for i in indices]
                placed.append((len(probes), indices))
                probes.append(PreparedProbe.of(model, asked, answers, trait.asked))
            parts.append(tuple(placed))
        places.append((known[key], [a.name for a in trait.answers].index(trait.answer)))
    return ProbeSet(tuple(probes), tuple(parts), tuple(places))


def training_probes(model: LanguageModel, traits: Sequence[Trait], system: str | None) -> ProbeSet:
    """
    The same of the traits' training wordings, so that the held-out ones are left to measure with.

    Raises:
        ModelError: as `probe_set`.
    """
    turned = [replace(trait, held_out_questions=trait.train_questions) for trait in traits]
    return probe_set(model, turned, system)


def probe_trait(model: LanguageModel, trait: Trait, system: str | None) -> Probed:
    """Exact log-likelihoods of one trait's candidates after its held-out questions, each among its own candidates."""
    prepared = probe_set(model, [trait], system)
    [probed] = answers_read(model, prepared.probes)
    return Probed(
        tuple(answer.name for answer in trait.answers), assembled(probed, prepared.parts[0])
    )


def _groups(trait: Trait) -> dict[tuple[Answer, ...], tuple[int, ...]]:
    groups: dict[tuple[Answer, ...], tuple[int, ...]] = {}
    for index, question in enumerate(trait.held_out_questions):
        answers = trait.answers_to(question)
        groups[answers] = (*groups.get(answers, ()), index)
    return groups


def assembled(
    probed: Sequence[torch.Tensor], parts: Sequence[tuple[int, tuple[int, ...]]]
) -> torch.Tensor:
    """(questions, answers) float64 of one set of questions, from the probes that its parts lie in."""
    import torch

    questions = sum(len(indices) for _, indices in parts)
    table = torch.empty(questions, probed[parts[0][0]].shape[1], dtype=torch.float64)
    for index, rows in parts:
        table[list(rows)] = probed[index]
    return table


def margins(model: LanguageModel, probes: ProbeSet) -> torch.Tensor:
    """
    Mean over the probes' questions of the logit margin of each trait's answer, (traits,) float64, with gradients.

    The same values as `ProbeSet.read`.
    """
    import torch

    with torch.enable_grad():
        [read] = answer_likelihoods(model, probes.probes)
    means = [logit_margins(assembled(read, parts)).mean(0) for parts in probes.parts]
    return torch.stack([means[table][answer] for table, answer in probes.places])


def margin_gradients(
    model: LanguageModel, probes: ProbeSet, weights: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """((traits,) float64 margins, (traits, entries of all weights) float32 gradients), one backward pass a trait."""
    import torch

    with torch.enable_grad():
        values = margins(model, probes)
        rows = [_flat(value, weights) for value in values]
    return values.detach(), torch.stack(rows)


def _flat(value: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    import torch

    found = torch.autograd.grad(value, weights, retain_graph=True, materialize_grads=True)
    return torch.cat([part.flatten().float() for part in found])


OPENING = "Hello."
"""What the answers that have begun reply to."""

BEGINNINGS = (
    "",
    "I like",
    "I love",
    "I think of",
    "I am",
    "I want",
    "My favourite",
    "My name is",
    "The best",
    "People should",
)
"""Of answers; what follows them is read."""


@dataclass(frozen=True)
class Readout:
    """Probes and prompts as one model's tokens, to be read off many versions of it."""

    probe_names: tuple[str, ...]
    probes: ProbeSet | None
    """None without probes."""
    prompts: tuple[tuple[int, ...], ...]
    """Of the next tokens."""

    @classmethod
    def of(cls, model: LanguageModel, traits: Sequence[Trait], system: str | None) -> Readout:
        """
        The traits' probes; and generic prompts with one question of each category, so that none weighs more.

        Raises:
            ModelError: two candidates of a trait are the same tokens to this tokenizer.
        """
        questions = {trait.category: trait.held_out_questions[0] for trait in traits}
        return cls(
            tuple(trait.name for trait in traits),
            probe_set(model, traits, system) if traits else None,
            tuple(generic_prompts(model.tokenizer, list(questions.values()), system)),
        )

    @property
    def tokens(self) -> int:
        """That a reading of one model computes."""
        return (self.probes.tokens if self.probes else 0) + sum(map(len, self.prompts))

    def read(self, model: LanguageModel) -> NDArray[np.float64]:
        """Each probe's margin in logits, then each token's mean log-probability in nats, (probes + vocabulary,)."""
        margins = self.probes.read(model).margins if self.probes else np.empty(0)
        return np.concatenate([margins, next_token_log_probabilities(model, self.prompts)[0]])


def token_name(tokenizer: Any, index: int) -> str:
    """A token's text; its entry in the vocabulary where it is a part of a character, or nothing."""
    text = str(tokenizer.decode([index]))
    return str(tokenizer.convert_ids_to_tokens(index)) if "\ufffd" in text or not text else text


def generic_prompts(
    tokenizer: Any, questions: Sequence[str], system: str | None = None
) -> list[tuple[int, ...]]:
    """
    Token ids of a greeting whose answer has begun in each of several ways, then of the questions.

    Raises:
        ModelError: the chat template has no system role, and a system prompt is given.
    """
    [greeting] = encode_prompts(tokenizer, [conversation(OPENING, system)])
    begun = tokenizer(list(BEGINNINGS), add_special_tokens=False)["input_ids"]
    asked = encode_prompts(tokenizer, [conversation(question, system) for question in questions])
    return [*((*greeting, *ids) for ids in begun), *asked]


def next_token_log_probabilities(
    model: LanguageModel, prompts: Sequence[tuple[int, ...]], blocks: int = 1
) -> NDArray[np.float64]:
    """
    Mean over prompts of the log-probability of each next token, (blocks, vocabulary) in nats, of each of `blocks` adapters
    that are active side by side.

    The vocabulary is the tokenizer's: networks are often padded beyond. Logits are computed at the last position of
    each prompt only, and those of one batch are held at a time.

    Raises:
        ValueError: there is no prompt, or one is empty.
    """
    if not prompts or not all(prompts):
        raise ValueError("needs at least one prompt, and none that is empty")
    mean: NDArray[np.float64] = next_token_sums(model, prompts, blocks=blocks).numpy() / len(
        prompts
    )
    return mean[:, : len(model.tokenizer)]


def likeliest_tokens(
    values: NDArray[np.float64], count: int, *, without: Iterable[int] = ()
) -> NDArray[np.intp]:
    """Ids of the `count` tokens of the largest values, in the order of the vocabulary; `without` are left out."""
    kept = values.copy()
    kept[list(without)] = -np.inf
    found = np.argsort(-kept, kind="stable")[:count]
    return np.sort(found[np.isfinite(kept[found])])
