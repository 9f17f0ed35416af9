"""Opens the models that an experiment names, on its device and in its precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from undertow.errors import ConfigError
from undertow.lab.experiment import Experiment
from undertow.worlds import locate

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel


def open_model(experiment: Experiment, ref: str) -> LanguageModel:
    """
    The model of a reference, `world:NAME` included.

    Raises:
        ConfigError: the experiment's device is not there.
        ModelError: the model cannot be loaded.
    """
    import torch

    from undertow.models import loading

    table = experiment.compute
    return loading.load(
        locate(ref), ref=ref, dtype=getattr(torch, table.dtype), device=device(table.device)
    )


def device(wanted: str) -> str:
    """
    The device to compute on; `auto` is an accelerator if there is one.

    Raises:
        ConfigError: the wanted one is not there.
    """
    import torch

    there = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if there else "cpu"
    if wanted == "cuda" and not there:
        raise ConfigError(
            "compute.device is 'cuda', which this machine has not; here: cpu",
            hint='set device = "auto"',
        )
    return wanted
