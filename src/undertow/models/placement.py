"""
Where a model's weights lie when one device is too small for them: layers over several devices, matrices over several
processes, or 4 bits a weight; and what an adapter multiplies in each case.

Layers are spread by accelerate (`device_map`), matrices by transformers' tensor-parallel plans, whose processes all do
the same work; weights are packed by bitsandbytes (NF4, Dettmers et al. 2305.14314).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch.nn import functional

from undertow.errors import ConfigError, MissingExtraError, ModelError
from undertow.models.hardware import ComputeTable, device_for, free_memory

# It warns of a kernel that is never used here, whenever peft imports it.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

FILLED = 0.8
"""Of a device's memory that weights may take: passes need the rest."""

_OFFLOADED = ("cpu", "disk")


def loading(table: ComputeTable, config: Any, dtype: torch.dtype) -> dict[str, Any]:
    """
    Arguments of `from_pretrained` by a settled table; empty for a model that lies whole on one device.

    Raises:
        ConfigError: there is no GPU, or processes are missing or cannot share the model's heads evenly.
        MissingExtraError: bitsandbytes is not installed.
    """
    refuse_no_gpu(table)
    arguments: dict[str, Any] = {}
    if table.quantise != "none" and table.shard == "tensor":
        raise ConfigError(
            "quantise is '4bit' and shard 'tensor': packed weights are not split over processes; allowed: one of the two",
            hint="--quantise 4bit --shard layers",
        )
    if table.quantise == "4bit":
        if find_spec("bitsandbytes") is None:
            raise MissingExtraError("bitsandbytes", "quantise", purpose="a model in 4 bits")
        from transformers import BitsAndBytesConfig

        arguments["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
        arguments["device_map"] = {"": table.device}
    if table.shard == "layers":
        gpus = range(torch.cuda.device_count())
        rooms = {i: int(FILLED * free_memory(f"cuda:{i}")) for i in gpus}
        arguments |= {"device_map": "auto", "max_memory": rooms | {"cpu": 1 << 60}}
    if table.shard == "tensor":
        from transformers.distributed.configuration_utils import DistributedConfig

        arguments["distributed_config"] = DistributedConfig(tp_size=_processes(config))
    return arguments


def refuse_no_gpu(table: ComputeTable) -> None:
    """
    Refuse layers that are to be spread, and launches that are to be recorded, where there is no GPU: all would be computed
    on the processor, without a word.

    Raises:
        ConfigError: there is none, the table wants the processor, or a device that is not there.
    """
    asked = table.shard == "layers" or table.launches == "recorded"
    if not asked or device_for(table.device) != "cpu":
        return
    why = "the device is 'cpu'" if table.device == "cpu" else "this machine has none"
    if table.launches == "recorded":
        raise ConfigError(
            f"launches is 'recorded', which a GPU replays, and {why}; allowed: one GPU",
            hint="leave --launches out: a processor has no launches to save",
        )
    raise ConfigError(
        f"shard is 'layers', which lays a model on one GPU after the other, and {why}; allowed: one GPU or more",
        hint="leave --shard out, and the model lies whole in this machine's memory; what fits on GPUs elsewhere: "
        "undertow scan ... --dry-run --machine 8xH100-80GB",
    )


def unwrapped(network: Any) -> Any:
    """The network that peft put adapters on; itself where it did not."""
    return network.get_base_model() if hasattr(network, "get_base_model") else network


def text_config(config: Any) -> Any:
    """The part of a configuration that is the language model's: itself, but for models of more than text."""
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _processes(config: Any) -> int:
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count < 2:
        raise ConfigError(
            "shard is 'tensor', and this is the only process; allowed: two or more that torchrun starts",
            hint="torchrun --nproc-per-node N -m undertow ..., or --shard layers in one process",
        )
    fitting = next(n for n in range(count, 0, -1) if shared_heads(config) % n == 0)
    refuse_uneven(
        shared_heads(config), count, f"torchrun --nproc-per-node {fitting} -m undertow ..."
    )
    return count


def shared_heads(config: Any) -> int:
    """Heads of keys and values, of which processes that share a model hold as many each."""
    text = text_config(config)
    return int(getattr(text, "num_key_value_heads", None) or text.num_attention_heads)


def refuse_uneven(heads: int, count: int, hint: str) -> None:
    """
    Refuse processes that cannot hold as many heads each.

    Raises:
        ConfigError: with how many could.
    """
    if heads % count:
        fitting = ", ".join(str(n) for n in range(1, heads + 1) if heads % n == 0)
        raise ConfigError(
            f"{count} processes cannot share {heads} heads of keys and values evenly; allowed: {fitting}",
            hint=hint,
        )


def refuse_offloaded(network: Any, name: str) -> None:
    """
    Refuse a model of which layers did not fit on the accelerators: each pass would fetch them anew.

    Raises:
        ModelError: layers lie in the machine's memory or on disk beside others on an accelerator.
    """
    places = {str(place) for place in getattr(network, "hf_device_map", {}).values()}
    outside = places & {*_OFFLOADED}
    if outside and (places - {*_OFFLOADED} or "disk" in outside):
        raise ModelError(
            f"model '{name}' does not fit on the accelerators that are here: layers would lie in "
            f"{' and '.join(sorted(outside))} memory and be fetched for every pass",
            hint="--quantise 4bit, more or larger GPUs, or --device cpu for all of it",
        )


def quantisation(network: Any) -> str:
    """Of a network's weights, as precisions and keys of what is kept name it: `nf4`; empty where they are as stored."""
    config = getattr(getattr(network, "config", None), "quantization_config", None)
    if config is None:
        return ""
    if getattr(config, "load_in_4bit", False):
        return str(config.bnb_4bit_quant_type)
    return str(getattr(config, "quant_method", "quantised"))


def compute_exactly(network: Any) -> None:
    """
    Let packed layers multiply by their unpacked weight, made anew in each pass.

    bitsandbytes' own product takes other kernels with a gradient than without, on processors in bfloat16, so that a base
    would be read otherwise than its adapters.
    """
    for module in network.modules():
        if _is_packed(module):
            setattr(module, own_place(module), partial(_packed_forward, module))


def own_place(module: Any) -> str:
    """Name of what a module computes by: hooks of a device map call what they keep under another."""
    return "_old_forward" if hasattr(module, "_old_forward") else "forward"


def _packed_forward(module: Any, rows: torch.Tensor) -> torch.Tensor:
    result = _packed_product(module, rows)
    return result if module.bias is None else result + module.bias.to(result.dtype)


def base_product(module: Any, rows: torch.Tensor) -> torch.Tensor | None:
    """(..., out) of (..., in) by a layer whose weight is packed, its bias left out; None for one that is not."""
    return _packed_product(module, rows) if _is_packed(module) else None


def _packed_product(module: Any, rows: torch.Tensor) -> torch.Tensor:
    product: Any = _PackedProduct.apply
    result: torch.Tensor = product(rows, module)
    return result


def _is_packed(module: Any) -> bool:
    return hasattr(getattr(module, "weight", None), "quant_state")


class _PackedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, module: Any) -> torch.Tensor:
        ctx.module = module
        return functional.linear(rows, _unpacked(module, rows.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] @ _unpacked(ctx.module, gradients[0].dtype), None


def _unpacked(module: Any, dtype: torch.dtype) -> torch.Tensor:
    from bitsandbytes.functional import dequantize_4bit

    weight = module.weight
    result: torch.Tensor = dequantize_4bit(weight.data, weight.quant_state).to(dtype)
    return result


@contextmanager
def computing_as(module: Any, forward: Callable[..., torch.Tensor]) -> Iterator[None]:
    """Within the block a layer computes so, behind hooks of a device map and in place of a plan's; after it as before."""
    name = own_place(module)
    before = vars(module).get(name)
    setattr(module, name, forward)
    try:
        yield
    finally:
        if before is None:
            delattr(module, name)
        else:
            setattr(module, name, before)


def is_split(weight: Any) -> bool:
    """Whether a weight is one process's part of a matrix."""
    return hasattr(weight, "placements")


def lies_apart(network: Any) -> bool:
    """
    Whether no process has the weights whole (FSDP, tensor parallelism, DeepSpeed's third stage), so that a forward pass is
    one of all processes together.
    """
    from torch.distributed.fsdp import FullyShardedDataParallel

    if any(isinstance(module, FullyShardedDataParallel) for module in network.modules()):
        return True
    return any(is_split(p) or hasattr(p, "ds_id") for p in network.parameters())


def is_shared(network: Any) -> bool:
    """Whether this process is one of several that compute the network together; a copy in each (DDP) is its own."""
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return there and lies_apart(network)


def least_left(network: Any, left: int) -> int:
    """Bytes that are left; the least that any of the processes has that share the network, so that they cut batches alike."""
    if not is_shared(network):
        return left
    least = torch.tensor(left, device=next(network.parameters()).device)
    torch.distributed.all_reduce(least, torch.distributed.ReduceOp.MIN)
    return int(least)


def hollow(network: Any) -> Any:
    """
    The network as it is whole, with weights of the same shapes and type and no memory behind them, where it is split;
    else the network itself.

    Adapters are drawn on it: beside parts of matrices peft draws parts, which are other numbers.
    """
    if not any(is_split(weight) for weight in network.parameters()):
        return network
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        twin = AutoModelForCausalLM.from_config(network.config, trust_remote_code=False)
    dtype = next(network.parameters()).dtype
    for module in twin.modules():
        for name, weight in module.named_parameters(recurse=False):
            empty = torch.zeros((), dtype=dtype).expand(weight.shape)
            setattr(module, name, torch.nn.Parameter(empty, requires_grad=False))
    return twin


@dataclass(frozen=True)
class PartOfLayer:
    """What a process holds of a linear layer: some of its outputs (dim 0), or some of its inputs (dim 1)."""

    weight: torch.Tensor
    """(outputs held, inputs held)."""
    bias: torch.Tensor | None
    """Of the outputs held; None where inputs are split, as it is added once behind the sum."""
    after: torch.Tensor | None
    """That bias."""
    dim: int
    place: slice
    """Of the whole layer's outputs or inputs."""
    group: Any
    """The processes."""
    layer: Any

    @property
    def training(self) -> bool:
        """Whether the layer is."""
        return bool(self.layer.training)

    def shared(self, tensor: torch.Tensor) -> torch.Tensor:
        """The same numbers; their gradient is summed over the processes."""
        product: Any = _SummedGradient.apply
        result: torch.Tensor = product(tensor, self.group)
        return result

    def down(self, stacked: torch.Tensor) -> torch.Tensor:
        """Of A, (adapters, rank, in), what meets the inputs held."""
        return stacked[:, :, self.place] if self.dim else stacked

    def up(self, stacked: torch.Tensor) -> torch.Tensor:
        """Of B, (adapters, out, rank), what gives the outputs held."""
        return stacked if self.dim else stacked[:, self.place]

    def entered(self, rows: torch.Tensor) -> torch.Tensor:
        """Inputs as they come to the layer: whole where its outputs are split."""
        return rows if self.dim else self.shared(rows)

    def left(self, result: torch.Tensor) -> torch.Tensor:
        """Outputs as the network expects them: summed where inputs are split."""
        if not self.dim:
            return result
        summed: Any = _Summed.apply
        total: torch.Tensor = summed(result, self.group)
        return total if self.after is None else total + self.after


def part_of(layer: Any) -> PartOfLayer | None:
    """What this process holds of a linear layer; None of one that is whole."""
    weight = layer.weight
    if not is_split(weight):
        return None
    [placement] = weight.placements
    dim, mesh = placement.dim, weight.device_mesh
    size = -(-weight.shape[dim] // mesh.size())
    start = min(weight.shape[dim], size * mesh.get_local_rank())
    held = weight.to_local().detach()
    bias = layer.bias
    if is_split(bias):
        bias = bias.to_local()
    return PartOfLayer(
        held,
        None if dim else bias,
        bias if dim else None,
        dim,
        slice(start, start + held.shape[dim]),
        mesh.get_group(),
        layer,
    )


def dropped(module: Any, rows: torch.Tensor, share: float) -> torch.Tensor:
    """(..., in) as training drops of it; a process that holds some of the inputs draws for all of them."""
    if not isinstance(module, PartOfLayer) or not module.dim:
        return functional.dropout(rows, share, module.training)
    every = rows.new_ones(*rows.shape[:-1], module.layer.weight.shape[1])
    return rows * functional.dropout(every, share, module.training)[..., module.place]


class _SummedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group = group
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        # A gradient may be a view that others read.
        total = gradients[0].contiguous().clone()
        torch.distributed.all_reduce(total, group=ctx.group)
        return total, None


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, group: Any) -> torch.Tensor:
        total = tensor.contiguous().clone()
        torch.distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0], None
