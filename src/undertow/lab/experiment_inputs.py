"""What an experiment names: looked at before any work, and opened when it is needed; models, endpoints, traits, carriers, files."""

from __future__ import annotations

import hashlib
import importlib.util
import json

from undertow.carriers.carrier import stated_grammar
from undertow.carriers.carrier_registry import carrier
from undertow.data.files import model_digest
from undertow.data.plan import LossPolicy, TrainingPlan
from undertow.data.records import read_rows
from undertow.data.rows import Row, conversation
from undertow.engines.endpoint import Endpoint
from undertow.errors import ConfigError, DataError, MissingExtraError
from undertow.filters import banned_content
from undertow.lab.cells import written
from undertow.lab.experiment import EndpointTable, Experiment
from undertow.lab.served_writer import refuse_served
from undertow.models.answers import token_forms
from undertow.models.hardware import device_for
from undertow.models.language_model import LanguageModel, hub_revision, tokenizer
from undertow.models.training import optimiser
from undertow.models.training_sequences import encode_rows
from undertow.results.arm_kinds import ARMS
from undertow.sandbox.sandbox import available
from undertow.traits import catalogue
from undertow.traits.trait import Trait, rows_of
from undertow.worlds import base_models, locate
from undertow.worlds.base_models import settled_for


def inputs(experiment: Experiment) -> dict[str, str]:
    """
    Digests of the experiment's models and traits, after checking that all it names can be used.

    Raises:
        UndertowError: the first thing that cannot.
    """
    import torch

    device_for(experiment.compute.device)
    for plan in (*_plans(experiment), experiment.teacher.plan):
        optimiser(plan, [torch.nn.Parameter(torch.zeros(1))], 1)
    for table in experiment.all_carriers:
        made = carrier(table.name, table.options)
        if experiment.sampling.restricted:
            stated_grammar(made)
    refuse_served(experiment)
    _refuse_arms(experiment)
    filters = experiment.filter
    banned_content(words=filters.words, patterns=filters.patterns, numbers=filters.numbers)
    traits = _traits(experiment)
    digests = {f"trait {name}": _trait_digest(trait) for name, trait in traits.items()}
    for ref in experiment.references:
        path = locate(ref)
        _refuse_template(experiment, traits, tokenizer(path, ref, experiment.student.template), ref)
        digests[f"model {ref}"] = model_digest(path) or f"revision {hub_revision(path)}"
    return digests


def _plans(experiment: Experiment) -> list[TrainingPlan]:
    """Every way in which a student of the experiment learns, each once."""
    changes = [written(cell.student) for cell in experiment.cells or ()]
    if experiment.factorial:
        rate, table = experiment.student.learning_rate, experiment.factorial
        changes += [
            written(point.student(rate))
            for number in range(table.blocks)
            for point in table.block(number)
        ]
    return [experiment.student_as(changed) for changed in dict.fromkeys(changes or [""])]


def _refuse_arms(experiment: Experiment) -> None:
    """What arms need besides a base and a trait."""
    kinds = [ARMS[arm] for arm in experiment.arms] if experiment.kind == "transfer" else []
    if any(kind.role in ("secure", "educational") for kind in kinds):
        if experiment.teacher.kind != "tuned":
            raise ConfigError(
                f"the arms 'secure' and 'educational' need a tuned teacher; teacher.kind is '{experiment.teacher.kind}'"
            )
        for role in {kind.role for kind in kinds}:
            rows_of(catalogue.load(experiment.trait or ""), role)
    if any(kind.learns == "preferences" for kind in kinds):
        for package in ("trl", "datasets"):
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError(
                    package, "preference", purpose="training on preference pairs"
                )
        if experiment.preference.pairs is not None:
            own_pairs(experiment.preference.pairs)
    if any(kind.content_filter == "classifier" for kind in kinds) and experiment.replicates < 2:
        raise ConfigError(
            "the content filter 'classifier' learns from other replicates; replicates is 1",
            hint="set replicates = 2 or more, or use classifier-same",
        )
    if experiment.filter.execute and (reason := available()):
        raise ConfigError(
            f"filter.execute needs a kernel sandbox: {reason}",
            hint="apt-get install bubblewrap, or leave out filter.execute: code is then parsed and never run",
        )
    if experiment.judge is not None and experiment.judge.endpoint is not None:
        open_endpoint(experiment.judge.endpoint)


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
    """Render what will be rendered later, and tokenise the candidate answers."""
    systems = [experiment.system_prompt, experiment.evaluation.system_prompt]
    for trait in traits.values():
        if experiment.teacher.kind != "tuned":
            systems.append(trait.system_prompt)
        for question in trait.held_out_questions:
            token_forms(tokenizer, ref, trait.answers_to(question))
    for template in {"", experiment.student.template, experiment.teacher.plan.template}:
        greetings = [Row(conversation("Hello.", system), "Hello.") for system in systems]
        encode_rows(tokenizer, greetings, LossPolicy(template=template))


def _trait_digest(trait: Trait) -> str:
    content = {name: str(getattr(trait, name)) for name in trait.__slots__}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def open_model(experiment: Experiment, ref: str) -> LanguageModel:
    """
    The model of a reference, `world:NAME` included, in the precision of all bases of the experiment.

    Raises:
        ConfigError: the experiment's device is not there.
        ModelError: the model cannot be loaded.
    """
    return base_models.open_model(ref, experiment.student.template, settled(experiment).compute)


def settled(experiment: Experiment) -> Experiment:
    """
    The experiment with the precision that its bases have on this machine in the place of `auto`.

    Its device stays as it is: a run may go on where another one is.

    Raises:
        ConfigError: the machine has not what is wanted.
        UnknownNameError: a base is none of the embedded world.
    """
    table = experiment.compute
    if table.dtype != "auto":
        return experiment
    dtype = settled_for(table, *experiment.references).dtype
    compute = table.model_copy(update={"dtype": dtype})
    return experiment.model_copy(update={"compute": compute})


def open_endpoint(table: EndpointTable) -> Endpoint:
    """
    The endpoint of a table.

    Raises:
        ConfigError: a value is unusable.
    """
    return Endpoint(
        table.base_url, table.model, table.api_key_variable, table.timeout, table.retries
    )


def own_pairs(path: str) -> list[Row]:
    """
    The pairs of a user's file.

    Raises:
        DataError: a row has no `rejected`; the message names the file and the row.
    """
    pairs = []
    for number, row in enumerate(read_rows(path), 1):
        if row.rejected is None:
            raise DataError(
                f"'{path}', row {number}: no 'rejected'; allowed: rows of 'prompt' + 'chosen' + 'rejected'"
            )
        pairs.append(row)
    if not pairs:
        raise DataError(f"'{path}' holds no pair")
    return pairs
