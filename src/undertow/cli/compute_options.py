"""`--dtype` and `--device`: in which precision and where the models of a verb run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from undertow.models.hardware import ComputeTable

F = TypeVar("F", bound=Callable[..., object])

DTYPES = ("auto", "float32", "bfloat16", "float16")

_DTYPE = (
    "Precision of the models: auto is bfloat16 where the processor or GPU is fast in it and the weights are stored in 16 "
    "bits, float32 otherwise and for small models."
)
_DEVICE = "Where they run: auto is a GPU if there is one."


def compute_options(dtype: str = _DTYPE, device: str = _DEVICE) -> Callable[[F], F]:
    """The two options with their help; None where they are not given."""

    def added(command: F) -> F:
        where = click.option("--device", metavar="auto|cpu|cuda[:N]", help=device)
        return click.option("--dtype", type=click.Choice(DTYPES), help=dtype)(where(command))

    return added


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

    given = {"dtype": dtype, "device": device}
    kept = (before or AUTO).model_dump()
    told = {name: value for name, value in given.items() if value is not None}
    return parse(ComputeTable, kept | told, where="--dtype and --device")
