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

LIMITS = (
    "One base, one carrier and one kind of trait: the size of the effect here says nothing about another base.",
    "A null arm bounds the hidden channel of this design only; ordinary text and preference pairs carry traits "
    "between unrelated bases too.",
    "The teacher's strength was set; a weaker teacher transfers less, a stronger one can break the student.",
)


def document(
    experiment: Experiment,
    made: Made,
    digests: dict[str, str],
    seconds: float,
    surroundings: Environment,
) -> RunDocument:
    """
    The document of a `transfer`, `traits` or `matrix` experiment.
    """
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
        config=experiment.model_dump(mode="json", exclude_none=True, exclude_defaults=False),
        config_digest=experiment.digest,
        inputs=digests,
        seed=experiment.seed,
        arms=(*made.bases, *made.students),
        comparisons=found.comparisons,
        teachers=made.teachers,
        datasets=made.datasets,
        matrices=found.matrices,
        notes=examine(experiment, made),
        limits=experiment.limits or LIMITS,
        wall_seconds=seconds,
        command=f"undertow run {experiment.name}",
        **surroundings.fields,
    )
