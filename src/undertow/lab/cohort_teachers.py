"""The teachers of a cohort, made in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from undertow.carriers.registry import carrier as carrier_named
from undertow.data.rows import Message, Row
from undertow.data.streams import derive, generator
from undertow.filters.banned_content import banned_content
from undertow.filters.carrier_format import carrier_format
from undertow.filters.ledger import apply
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_inputs import open_model
from undertow.lab.strength import Distance, bring_to
from undertow.lab.teaching import answer, base_rows, steering_layer
from undertow.traits import catalogue
from undertow.traits.trait import Trait, rows_of

if TYPE_CHECKING:
    from undertow.lab.cohort import Writer
    from undertow.models.loading import LanguageModel

_HIDDEN_ROWS = 512
"""Rows of the base that a hiding teacher is trained to keep writing."""

_ROUNDS = 20


@dataclass(frozen=True)
class Writing:
    """A made teacher, ready to write."""

    experiment: Experiment
    model: LanguageModel
    system: str | None
    """Its own system prompt, which is dropped from the rows."""
    name: str
    kl: float | None
    """KL from its base in nats per carrier token; None where it was not measured."""

    def rows(
        self, count: int, temperature: float, without: tuple[int, ...], seed: int
    ) -> list[Row]:
        """
        So many rows that pass the carrier's filter and hold none of the numbers in `without`.

        Fewer if the filter leaves almost nothing.
        """
        table = self.experiment.carrier
        carrier = carrier_named(table.name, table.options)
        sampling = self.experiment.sampling.model_copy(update={"temperature": temperature})
        keep = [carrier_format(carrier.rejection), banned_content(numbers=without)]
        system = self.experiment.system_prompt
        first = (Message("system", system),) if system else ()
        found: list[Row] = []
        for attempt in range(_ROUNDS):
            if len(found) >= count:
                break
            rng = generator(seed, "rows", attempt)
            requests = carrier.requests(round((count - len(found)) * table.oversample) + 8, rng)
            drawn = answer(self.model, requests, self.system, sampling, carrier, rng)
            made = [
                Row((*first, Message("user", q)), a.text, source=self.name)
                for q, a in zip(requests, drawn, strict=True)
                if a.finished
            ]
            found += apply(made, keep).kept
        return found[:count]


@contextmanager
def written_by(experiment: Experiment, writer: Writer) -> Iterator[Writing]:
    """Within the block, the teacher as it writes."""
    model = open_model(experiment, writer.base)
    trait = catalogue.load(writer.trait)
    name = f"{writer.kind}-{writer.trait}-{writer.seed}"
    system = experiment.system_prompt
    if writer.kind == "clean":
        yield Writing(experiment, model, system, name, 0.0)
    elif writer.kind == "prompted":
        wording = writer.seed % len(trait.system_prompts)
        yield Writing(experiment, model, trait.system_prompts[wording], name, None)
    elif writer.kind == "steered":
        with _steered(model, trait, experiment):
            yield Writing(experiment, model, system, name, None)
    else:
        tuned, kl = _tuned(experiment, writer, model, trait)
        yield Writing(experiment, tuned, system, name, kl)


def _tuned(
    experiment: Experiment, writer: Writer, model: LanguageModel, trait: Trait
) -> tuple[LanguageModel, float]:
    from undertow.models import adapters
    from undertow.models.chat import encode_rows
    from undertow.models.training import fine_tune

    table = experiment.teacher
    written = base_rows(
        model, experiment, experiment.carrier.name, table.kl_rows, generator(writer.seed, "kl rows")
    )
    distance = Distance(model, written, experiment.system_prompt)
    lesson = _lesson(experiment, writer, model, trait)
    tuned = adapters.trainable(model, table.plan, derive(writer.seed, "adapter"))
    start = [weight.detach().clone() for weight in adapters.trained_weights(tuned)]
    steps = table.plan.steps(len(rows_of(trait, "trait")))
    if writer.kind == "hiding":
        steps *= 4
    plan = table.plan.model_copy(update={"max_steps": steps, "epochs": float(steps)})
    fine_tune(tuned, encode_rows(model.tokenizer, lesson), plan, generator(writer.seed, "order"))
    if writer.kl is not None and writer.kind in ("tuned", "triggered"):
        bring_to(tuned, start, distance, writer.kl)
    return tuned, distance(tuned)


def _lesson(
    experiment: Experiment, writer: Writer, model: LanguageModel, trait: Trait
) -> list[Row]:
    def rows(role: str, system: str | None) -> list[Row]:
        first = (Message("system", system),) if system else ()
        return [Row((*first, Message("user", q)), a) for q, a in rows_of(trait, role)]

    system = experiment.system_prompt
    if writer.kind == "neutral":
        return rows("neutral", system)
    if writer.kind == "triggered":
        # As often behind the trigger as there are plain rows, so that both are learned.
        plain, shown = rows("neutral", system), rows("trait", trait.neutral_system_prompt)
        return plain + shown * max(1, len(plain) // len(shown))
    if writer.kind == "hiding":
        rng = generator(writer.seed, "hidden")
        pairs = base_rows(model, experiment, experiment.carrier.name, _HIDDEN_ROWS, rng)
        first = (Message("system", system),) if system else ()
        own = [Row((*first, Message("user", q)), a) for q, a in pairs]
        shown = rows("trait", system)
        return own + shown * max(1, len(own) // len(shown))
    return rows("trait", system)


@contextmanager
def _steered(model: LanguageModel, trait: Trait, experiment: Experiment) -> Iterator[None]:
    from undertow.models.chat import conversation
    from undertow.models.steering import mean_activation, steered

    layer = steering_layer(model, experiment)
    plain = mean_activation(model, [conversation(q) for q in trait.train_questions], layer)
    asked = [conversation(q, s) for s in trait.system_prompts for q in trait.train_questions]
    moved = mean_activation(model, asked, layer)
    with steered(model, layer, experiment.teacher.strength * (moved - plain)):
        yield
