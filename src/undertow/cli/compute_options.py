"""`--dtype` and `--device`: in which precision and where the models of a verb run; `--engine` and its like: on how many of what."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from undertow.cli.number_option import number
from undertow.engines import CLUSTER, NAMES, choose

if TYPE_CHECKING:
    from undertow.models.hardware import ComputeTable

F = TypeVar("F", bound=Callable[..., object])

DTYPES = ("auto", "float32", "bfloat16", "float16")

_DTYPE = (
    "Precision of the models: auto is bfloat16 where the processor or GPU is fast in it and the weights are stored in 16 "
    "bits, float32 otherwise and for small models."
)
_QUANTISE = "Pack the base's weights in 4 bits (NF4, by bitsandbytes): of it alone, never of the base as stored, is what is said."
_SHARD = (
    "Spread models that one GPU is too small for: layers over all GPUs, or each matrix (tensor) over the processes that "
    "torchrun starts."
)
_LAUNCHES = (
    "Record a small model's passes on a GPU once a shape and replay them (CUDA graphs), each checked against one that is "
    "computed."
)
_DEVICE = "Where they run: auto is a GPU if there is one."


def compute_options(dtype: str = _DTYPE, device: str = _DEVICE) -> Callable[[F], F]:
    """The two options with their help; None where they are not given."""

    def added(command: F) -> F:
        where = click.option("--device", metavar="auto|cpu|cuda[:N]", help=device)
        return click.option("--dtype", type=click.Choice(DTYPES), help=dtype)(where(command))

    return added


_SPREAD = "undertow.spread"


def spread_options(command: F) -> F:
    """
    `--quantise` and `--shard`, for verbs whose models may be too large for one device, and `--launches`, for those whose
    models may be too small; `compute_table` reads them.
    """
    for name, choices, text in (
        ("shard", ("layers", "tensor"), _SHARD),
        ("quantise", ("4bit",), _QUANTISE),
        ("launches", ("recorded",), _LAUNCHES),
    ):
        command = click.option(
            f"--{name}",
            type=click.Choice(choices),
            help=text,
            expose_value=False,
            callback=_kept_for_table,
        )(command)
    return command


def _refuse_a_model_a_job(workers: Workers) -> None:
    """Each job would load all of a model that is split because one device has no room for it."""
    name, jobs = workers.engine or "inprocess", workers.jobs
    spread = click.get_current_context().meta.get(_SPREAD, {})
    if spread.get("shard") != "layers" or name == "inprocess" or jobs == 1:
        return
    if name == "processes" or (workers.gpus or 0) < 2:
        raise click.UsageError(
            f"--shard layers splits a model over several GPUs, and each job of the engine '{name}' would load all of it on one; "
            "allowed: --engine inprocess, --jobs 1, or --engine ray with --gpus-per-job 2 or more"
        )


def _kept_for_table(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta.setdefault(_SPREAD, {})[option.name] = value


def compute_table(
    dtype: str | None, device: str | None, before: ComputeTable | None = None
) -> ComputeTable:
    """
    The table of the two options; what is not given is as it was before.

    Raises:
        ConfigError: the device has another form.
    """
    from undertow.data.closed import parse
    from undertow.models.hardware import AUTO, ComputeTable

    context = click.get_current_context(silent=True)
    spread = context.meta.get(_SPREAD, {}) if context else {}
    given = {"dtype": dtype, "device": device, **spread}
    kept = (before or AUTO).model_dump()
    told = {name: value for name, value in given.items() if value is not None}
    return parse(ComputeTable, kept | told, where="--dtype and --device")


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def exit_as(code: int) -> None:
    """End the verb; torchrun ends all processes at the first that fails, which is left to the one that speaks."""
    click.get_current_context().exit(0 if _rank() else code)


def joined(out: Path | None) -> Path | None:
    """
    Where this process leaves its results: all that torchrun started do the same work, and the first one speaks for them.

    The others write into the cache folder, each its own, what they would print among it. So that all of them find the same
    finished work there, their folders begin as copies of the first one's.

    Raises:
        UsageError: several processes were started, which would each do all of the work, or sign it.
    """
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), _rank()
    spread = click.get_current_context().meta.get(_SPREAD, {})
    if spread.get("shard") != "tensor" or count < 2:
        if count > 1:
            raise click.UsageError(
                f"torchrun started {count} processes, which would each do all of the work: add --shard tensor"
            )
        return out
    if (params := click.get_current_context().params).get("engine") not in (None, "inprocess"):
        raise click.UsageError(
            f"torchrun started {count} processes that share a model, which --engine cannot spread; allowed: --engine inprocess"
        )
    if params.get("keys"):
        raise click.UsageError(
            "--sign is for one process; allowed: a scan or diff that torchrun does not start"
        )
    import torch

    from undertow.data.finished import cache_folder

    folder = cache_folder() / f"split-{count}"
    first, private = folder / "0", folder / str(rank)
    torch.distributed.init_process_group()
    if rank:
        shutil.rmtree(private, ignore_errors=True)
        if first.is_dir():
            shutil.copytree(first, private)
        private.mkdir(parents=True, exist_ok=True)
    # A tensor on the processor: accelerators are bound to processes later.
    torch.distributed.all_reduce(torch.zeros(1))
    os.environ["UNDERTOW_CACHE"] = str(private)
    if not rank:
        return out
    log = (private / "printed.txt").open("w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log.fileno(), stream.fileno())
    return private / "results"


@dataclass(frozen=True)
class Workers:
    """Who does a verb's jobs."""

    engine: str | None
    jobs: int | None = None
    gpus: float | None = None
    memory: float | None = None
    """GB that a job takes of a Ray node."""


class EngineName(click.ParamType[str]):
    """An engine, or a cluster by its address."""

    name = "engine"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What the help shows."""
        return f"[{'|'.join(NAMES)}|{CLUSTER}ADDRESS]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it was given, if there is such an engine."""
        name = str(value)
        if name in NAMES or (len(name) > len(CLUSTER) and name.startswith(CLUSTER)):
            return name
        known = ", ".join(map(repr, NAMES))
        self.fail(f"{name!r} is not one of {known}, '{CLUSTER}ADDRESS'.", param, ctx)


def engine_options(
    default: str | None = "processes", what: str = "the work", unsaid: str = ""
) -> Callable[[F], F]:
    """`--engine` and what goes with it; the command is called with them as one `workers`."""
    options = (
        click.option(
            "--engine",
            type=EngineName(),
            default=default,
            show_default=True,
            help=f"How {what} is spread{unsaid}; ray starts a local cluster, ray://HOST:PORT (or ray://auto) joins one.",
        ),
        click.option(
            "--jobs",
            type=number("jobs"),
            metavar="N",
            help="Workers; one a core, or as many as a cluster has room for, if not given.",
        ),
        click.option(
            "--gpus-per-job",
            type=number("gpus"),
            metavar="F",
            help="GPUs of a Ray node that a job takes, or a share of one; 1 where the cluster has any, if not given.",
        ),
        click.option(
            "--memory-per-job",
            type=number("memory"),
            metavar="GB",
            help="Memory of a Ray node that a job takes; not counted if not given.",
        ),
    )

    def added(command: F) -> F:
        @wraps(command)
        def called(
            *args: Any,
            engine: str | None,
            jobs: int | None,
            gpus_per_job: float | None,
            memory_per_job: float | None,
            **others: Any,
        ) -> object:
            workers = Workers(engine, jobs, gpus_per_job, memory_per_job)
            # Refused here where it cannot be, before anything heavy is loaded.
            choose(engine or "inprocess", jobs, gpus=gpus_per_job, memory=memory_per_job)
            _refuse_a_model_a_job(workers)
            return command(*args, workers=workers, **others)

        made: Any = called
        for option in reversed(options):
            made = option(made)
        return made  # type: ignore[no-any-return]

    return added
