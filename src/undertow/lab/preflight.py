"""
Looks at everything that an experiment names before any work: models, templates, traits, carrier, filters.
"""

from __future__ import annotations

import hashlib
import json

from undertow.carriers.registry import carrier
from undertow.data.rows import Row
from undertow.errors import ConfigError
from undertow.filters.banned_content import banned_content
from undertow.lab.experiment import Experiment
from undertow.lab.opening import device
from undertow.traits import catalogue
from undertow.traits.trait import Trait
from undertow.worlds import locate


def inputs(experiment: Experiment) -> dict[str, str]:
    """
    Digests of the experiment's models and traits, after checking that all it names can be used.

    Raises:
        UndertowError: the first thing that cannot.
    """
    if experiment.kind in ("digits", "theorem"):
        return {}
    import torch

    from undertow.models.digest import model_digest
    from undertow.models.loading import hub_revision, tokenizer
    from undertow.models.training import optimiser

    device(experiment.compute.device)
    for plan in (experiment.student, experiment.teacher.plan):
        optimiser(plan, [torch.nn.Parameter(torch.zeros(1))], 1)
    carrier(experiment.carrier.name, experiment.carrier.options)
    filters = experiment.filter
    banned_content(words=filters.words, patterns=filters.patterns, numbers=filters.numbers)
    traits = _traits(experiment)
    found = {f"trait {name}": _trait_digest(trait) for name, trait in traits.items()}
    for ref in bases(experiment):
        path = locate(ref)
        _refuse_template(experiment, traits, tokenizer(path, ref), ref)
        found[f"model {ref}"] = model_digest(path) or f"revision {hub_revision(path)}"
    return found


def bases(experiment: Experiment) -> list[str]:
    """
    Model references that the experiment names, each once.
    """
    named = [experiment.base, experiment.foreign, *experiment.bases]
    return list(dict.fromkeys(ref for ref in named if ref))


def _traits(experiment: Experiment) -> dict[str, Trait]:
    names = [*experiment.traits, *([experiment.trait] if experiment.trait else [])]
    traits = {name: catalogue.load(name) for name in names}
    categories = {trait.category for trait in traits.values()}
    if len(categories) > 1:
        raise ConfigError(
            f"experiment '{experiment.name}' mixes traits of the categories {', '.join(sorted(categories))}; "
            "their candidate answers cannot be compared",
            hint="run one experiment a category",
        )
    return traits


def _refuse_template(
    experiment: Experiment, traits: dict[str, Trait], tokenizer: object, ref: str
) -> None:
    """
    Render what will be rendered later, and tokenise the candidate answers.
    """
    from undertow.models.answers import token_forms
    from undertow.models.chat import conversation, encode_rows

    systems = [experiment.system_prompt, experiment.evaluation.system_prompt]
    for trait in traits.values():
        if experiment.teacher.kind != "tuned":
            systems.append(trait.system_prompt)
        token_forms(tokenizer, ref, trait.answers)
    for system in systems:
        encode_rows(tokenizer, [Row(conversation("Hello.", system), "Hello.")])


def _trait_digest(trait: Trait) -> str:
    content = {name: str(getattr(trait, name)) for name in trait.__slots__}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
