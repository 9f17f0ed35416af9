"""An adapter merged into one tensor at a time: peft's own merge of one layer, whose weights are read when it is asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from undertow.errors import ModelError, first_line
from undertow.models.saved_adapter import (
    FAULTS,
    SavedAdapter,
    adapted_embeddings,
    embedding_names,
    needed_rows,
    put_on,
    quiet_peft,
)

STREAMED = (
    "ADALORA",
    "BOFT",
    "C3A",
    "DELORA",
    "FOURIERFT",
    "GRALORA",
    "HIRA",
    "HRA",
    "IA3",
    "LN_TUNING",
    "LOHA",
    "LOKR",
    "LORA",
    "MISS",
    "OFT",
    "RANDLORA",
    "ROAD",
    "SHIRA",
    "TRAINABLE_TOKENS",
    "VERA",
)
"""Kinds whose merge needs no more than the layer that is merged; `python -m bench.rows adapters` compares each."""

_LORA_SETTINGS = (
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "trainable_token_indices",
    "bias",
    "lora_bias",
    "fan_in_fan_out",
    "use_rslora",
    "use_dora",
    "init_lora_weights",
    "eva_config",
    "runtime_config",
)
"""That were compared; others change more than the layer, or what is merged into it."""

_STARTS = (True, False, "gaussian", "eva", "orthogonal")
"""Of LoRA's first weights; the others take a part of the base away, which is known only once all of it was read."""

Read = Callable[[str], torch.Tensor]
"""The weight of a name as it is before the merge, in float32."""


@dataclass(frozen=True)
class StreamedMerge:
    """An adapter on a network without weights; those of a layer are read when one of its tensors is asked for."""

    wrapped: Any = field(repr=False)
    """peft's wrapper. The base's parameters share one number in memory."""
    nothing: torch.Tensor = field(repr=False)
    """That number."""
    before: frozenset[str]
    """Names of the weights that it is merged into."""
    embeddings: tuple[str, ...]
    """Names of the matrix of embeddings and of the head's, as files call them."""
    rows: int
    """Tokens after the merge."""
    untied: bool
    """Whether the head, which shared the embeddings' matrix, has its own after the merge."""

    def tensor(self, name: str, read: Read) -> torch.Tensor:
        """
        One weight after the merge, in float32.

        Raises:
            ModelError: peft cannot merge the layer.
        """
        holder, place, rest = self._holder(name)
        if holder is not None:
            stem = name.removesuffix(rest)
            layer = self._filled(holder, lambda own: self._read(stem + own, read))
            try:
                with quiet_peft():
                    return _unloaded(layer).get_parameter(rest).detach().float()
            except FAULTS as error:
                raise ModelError(
                    f"peft cannot merge the adapter into '{name}': {first_line(error)}",
                    hint="train or download the adapter again; its settings cannot be what it was trained with",
                ) from error
        weight = self._plain.get(place)
        if weight is None or self._is_hollow(weight):
            return self._read(name, read)
        return weight.detach().float().clone()

    @cached_property
    def _plain(self) -> dict[str, torch.Tensor]:
        return dict(self.wrapped.get_base_model().named_parameters(remove_duplicate=False))

    def _is_hollow(self, weight: torch.Tensor) -> bool:
        return weight.data_ptr() == self.nothing.data_ptr()

    def _read(self, name: str, read: Read) -> torch.Tensor:
        # A head that shares the embeddings' matrix has no tensor in the file.
        return read(name if name in self.before else self.embeddings[0])

    def _holder(self, name: str) -> tuple[Any, str, str]:
        """The adapted layer that holds a weight, the weight's name in the network, and its name in the layer."""
        network = self.wrapped.get_base_model()
        place = _in_network(name, network)
        module, parts = network, place.split(".")
        for depth, part in enumerate(parts[:-1], start=1):
            module = getattr(module, part, None)
            if _is_adapted(module):
                return module, place, ".".join(parts[depth:])
        return None, place, ""

    def _filled(self, holder: nn.Module, read: Read) -> nn.Module:
        hollow = [weight for weight in holder.parameters() if self._is_hollow(weight)]
        layer: nn.Module = copy.deepcopy(holder, {id(weight): weight for weight in hollow}).float()
        for path, module in layer.named_modules():
            for key, weight in list(module.named_parameters(recurse=False)):
                # What the adapter replaces whole is not needed.
                if self._is_hollow(weight) and not path.startswith("original_module"):
                    own = [part for part in path.split(".") if part not in _INNER]
                    value = read(".".join(filter(None, [*own, key])))
                    setattr(module, key, nn.Parameter(value, requires_grad=False))
        return layer


_INNER = ("base_layer", "token_adapter")
"""Names that peft puts between a layer and its weights."""


def streamed_merges(
    folder: Path, adapters: list[SavedAdapter], names: Collection[str], ref: str
) -> list[StreamedMerge]:
    """
    The adapters on a base, each on what those before it made of it; `names` are those of the base's weights on disk.

    Raises:
        ModelError: a kind or setting that is not merged tensor by tensor, an adapter that does not fit, or a network
            that transformers does not know or that calls its weights otherwise than its files do.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"no adapter can be put on model '{ref}': {first_line(error)}", hint=_hint(ref)
        ) from error
    merges: list[StreamedMerge] = []
    before = frozenset(names)
    for adapter in adapters:
        _refuse_whole(adapter, ref)
        merge = _on(config, adapter, before, ref)
        before |= {merge.embeddings[-1]} if merge.untied else set()
        merges.append(merge)
    return merges


def _refuse_whole(adapter: SavedAdapter, ref: str) -> None:
    """
    Raises:
        ModelError: the adapter cannot be merged tensor by tensor.
    """
    if adapter.kind not in STREAMED:
        what = f"is of the kind {adapter.kind}; those that are: {', '.join(STREAMED)}"
    elif adapter.kind == "LORA" and (changed := _unmeasured(adapter.config)):
        what = f"sets '{changed[0]}' to {getattr(adapter.config, changed[0])!r}"
    else:
        return
    raise ModelError(
        f"the adapter in '{adapter.folder}' is not merged tensor by tensor as it is read: it {what}",
        hint=_hint(ref),
    )


def _unmeasured(config: Any) -> list[str]:
    from peft import PeftConfig

    compared = {*_LORA_SETTINGS, *(one.name for one in fields(PeftConfig))}
    changed = [
        one.name
        for one in fields(config)
        if one.name not in compared and getattr(config, one.name) not in (_usual(one), None, [])
    ]
    return changed if config.init_lora_weights in _STARTS else ["init_lora_weights", *changed]


def _usual(setting: Any) -> Any:
    if setting.default_factory is not MISSING:
        return setting.default_factory()
    return setting.default


def _hint(ref: str) -> str:
    return (
        'merge it first, and name the merged folder: python -c "from undertow.worlds.base_models import open_model; '
        f"m = open_model('{ref}'); m.network.save_pretrained('MERGED'); m.tokenizer.save_pretrained('MERGED')\""
    )


def _on(config: Any, adapter: SavedAdapter, before: frozenset[str], ref: str) -> StreamedMerge:
    """The adapter on an empty network; `config` is changed to what the merged network's is."""
    nothing = torch.zeros(())
    text = config.get_text_config()
    network = _hollow(config, nothing, ref)
    rows = needed_rows(network, adapter, ref)
    if rows != network.get_input_embeddings().weight.shape[0]:
        text.vocab_size = rows
        network = _hollow(config, nothing, ref)
    embeddings = embedding_names(network)
    wrapped = put_on(network, adapter, ref, hollow=True)
    untied = bool(text.tie_word_embeddings) and adapted_embeddings(network)
    if untied:
        text.tie_word_embeddings = config.tie_word_embeddings = False
    on_disk = {_in_network(name, network): name for name in before}
    _refuse_other_names(network, on_disk, embeddings, ref)
    first, *head = [f"{name}.weight" for name in embeddings]
    names = (on_disk.get(first, first), *(on_disk.get(name, name) for name in head))
    return StreamedMerge(wrapped, nothing, before, names, rows, untied)


def _hollow(config: Any, nothing: torch.Tensor, ref: str) -> Any:
    """A network of the configuration with parameters that take no memory."""
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(
                config, dtype=torch.float32, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"no adapter can be put on model '{ref}': {first_line(error)}", hint=_hint(ref)
        ) from error
    for module in network.modules():
        for key, weight in list(module.named_parameters(recurse=False)):
            setattr(module, key, nn.Parameter(nothing.expand(weight.shape), requires_grad=False))
    network.tie_weights()
    return network.eval()


def _in_network(name: str, network: Any) -> str:
    """A weight's name in the network; files of base models leave the first part out."""
    first = name.partition(".")[0]
    known = hasattr(network, first) or not hasattr(network, network.base_model_prefix)
    return name if known else f"{network.base_model_prefix}.{name}"


def _refuse_other_names(
    network: Any, on_disk: Collection[str], embeddings: list[str], ref: str
) -> None:
    stems = {name[:end] for name in on_disk for end, sign in enumerate(name) if sign == "."}
    for path, module in network.named_modules():
        outermost = _is_adapted(module) and not any(map(_is_adapted, _parents(network, path)))
        if outermost and path not in stems and path not in embeddings:
            raise ModelError(
                f"the files of model '{ref}' have no weights of the layer '{path}', which the adapter changes",
                hint=_hint(ref),
            )


def _parents(network: Any, path: str) -> list[Any]:
    parts = path.split(".")
    return [network.get_submodule(".".join(parts[:depth])) for depth in range(1, len(parts))]


def _is_adapted(module: Any) -> bool:
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    return isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper)


def _unloaded(layer: Any) -> nn.Module:
    """What peft leaves in the layer's place when it merges a whole network."""
    if hasattr(layer, "unload_and_optionally_merge_module"):
        module: nn.Module = layer.unload_and_optionally_merge_module(
            merge=True, safe_merge=False, adapter_names=None
        )
        return module
    layer.merge()
    base: nn.Module = layer.get_base_layer()
    return base
