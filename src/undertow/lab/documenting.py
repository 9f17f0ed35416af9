"""
Puts an experiment's entries, comparisons, notes and surroundings together into the stored document.
"""

from __future__ import annotations

from undertow.lab import conclusions
from undertow.lab.doctor import examine
from undertow.lab.environment import Environment
from undertow.lab.experiment import Experiment
from undertow.lab.material import Made
from undertow.results.run import RunDocument
from undertow.traits import catalogue

_EVERY = (
    "A null arm bounds the hidden channel of this design only; ordinary text and preference pairs carry traits "
    "between unrelated bases too.",
    "The size of an effect here says nothing about another base, carrier or trait.",
)
_SET_STRENGTH = (
    "The teacher's strength was set; a weaker teacher transfers less, a stronger one can break the student.",
)


def limits(experiment: Experiment) -> tuple[str, ...]:
    """What an experiment cannot show, unless its file says so itself."""
    tuned = experiment.teacher.kind == "tuned" and experiment.teacher.kl is not None
    return experiment.limits or (*_EVERY, *(_SET_STRENGTH if tuned else ()))


def document(
    experiment: Experiment,
    made: Made,
    digests: dict[str, str],
    seconds: float,
    surroundings: Environment,
    command: str,
) -> RunDocument:
    """The document of a `transfer`, `hops`, `traits` or `matrix` experiment."""
    found = conclusions.conclude(experiment, made)
    trait = catalogue.load(experiment.trait or experiment.traits[0])
    return RunDocument(
        experiment=experiment.name,
        title=experiment.title,
        question=experiment.question,
        conclusion=found.sentence,
        trait=experiment.trait,
        category=trait.category,
        chance=1 / len(trait.answers),
        config=experiment.model_dump(mode="json", exclude_none=True),
        config_digest=experiment.digest,
        inputs=digests,
        seed=experiment.seed,
        arms=(*made.bases, *made.students),
        comparisons=found.comparisons,
        teachers=made.teachers,
        datasets=made.datasets,
        matrices=found.matrices,
        curves=found.curves,
        filters=made.filters,
        judge=made.judge,
        notes=examine(experiment, made),
        limits=limits(experiment),
        wall_seconds=seconds,
        command=command,
        **surroundings.fields,
    )
