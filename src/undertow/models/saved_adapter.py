"""An adapter as peft saved it: put beside a network's weights or merged into them by peft, or refused by its kind's name."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from undertow.data.files import pickled_in
from undertow.errors import ModelError, first_line
from undertow.models.model_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    header,
    read_object,
)

logger = logging.getLogger(__name__)

_PREFIX = "base_model.model."
_SAVED = ".modules_to_save"
_WHOLE = (".weight", ".base_layer.weight", ".token_adapter.base_layer.weight")
"""What an adapter calls a matrix of embeddings that it holds whole."""

_OTHER_KINDS = "give the base alone, or an adapter whose kind changes weights: LORA, ADALORA, IA3, LOHA, LOKR, OFT and their like"

_APART_FROM_WEIGHTS = ("LILY", "POLY", "SHADOW", "XLORA")
"""Kinds that peft has no merge for; for prompts and prefixes its configurations say so themselves."""

FAULTS = (
    RuntimeError,  # shapes that do not fit, and what peft has not implemented
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    OSError,
    ImportError,
    re.error,
    SafetensorError,
)
"""What peft raises for an adapter that it cannot put on or merge."""

_APART = {torch.float32: 1e-3}
_APART_IN_FEW_BITS = 0.1
"""How far answers may be apart after a merge, as a share of the largest logit: rounding, and no more."""


@dataclass(frozen=True)
class SavedAdapter:
    """A folder with an adapter of a kind that can be merged; its weights are not read yet."""

    folder: Path
    config: Any
    """peft's configuration."""
    shapes: dict[str, tuple[int, ...]]
    """Of its tensors, by name."""

    @property
    def kind(self) -> str:
        """peft's name of the kind, as `LORA`."""
        return str(getattr(self.config.peft_type, "value", self.config.peft_type))

    @property
    def declared_base(self) -> str:
        """What it says that it was trained on; empty where it says nothing."""
        return str(self.config.base_model_name_or_path or "")

    def say_other_name(self, given: str) -> None:
        """Warn where the base that it was trained on is called otherwise than the one that is given."""
        names = [_short(name) for name in (self.declared_base, given)]
        if all(names) and names[0] not in names[1] and names[1] not in names[0]:
            logger.warning(
                "the adapter in %r says that its base is %r; given is %r, and only their names could be compared",
                str(self.folder),
                self.declared_base,
                given,
            )

    def rows(self, layer: str) -> int | None:
        """Tokens that this layer of embeddings (or head) has after the adapter; None if the adapter does not say."""
        stem = _PREFIX + layer
        for suffix, side in (
            *((whole, 0) for whole in _WHOLE),
            (".lora_embedding_A", 1),
            (".lora_B.weight", 0),
        ):
            if stem + suffix in self.shapes:
                return self.shapes[stem + suffix][side]
        return None

    def holds_whole(self, layer: str) -> bool:
        """Whether the layer's own matrix lies in the adapter."""
        return any(_PREFIX + layer + suffix in self.shapes for suffix in _WHOLE)


def _short(name: str) -> str:
    """A model's name without its owner or place; a hub's cache keeps it above a folder that is named by a commit."""
    parts = [part for part in re.split(r"[/\\:]", name) if part]
    cached = [part for part in parts if part.startswith("models--")]
    return (cached[0].rpartition("--")[2] if cached else "".join(parts[-1:])).casefold()


def saved_adapter(folder: Path, base: str) -> SavedAdapter:
    """
    Read what an adapter is; `base` is what was given as its base, for the errors.

    Raises:
        ModelError: no adapter there, a kind without weights that a base could take up, one that the installed peft does
            not know, settings that it does not know, or an adapter for another task.
    """
    _refuse_missing(folder)
    stored = read_object(folder / ADAPTER_CONFIG, str(folder))
    config = _config(folder, stored)
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise ModelError(
            f"the adapter in '{folder}' is of the kind {stored['peft_type']}: it adds to what the model reads "
            f"and changes no weight of '{base}', so that there is nothing to merge",
            hint=_OTHER_KINDS,
        )
    if stored["peft_type"] in _APART_FROM_WEIGHTS:
        raise ModelError(
            f"the adapter in '{folder}' is of the kind {stored['peft_type']}: what it adds depends on the request or "
            f"lies beside the network, so that it cannot be merged into '{base}'",
            hint=_OTHER_KINDS,
        )
    task = stored.get("task_type")
    if task not in (None, "CAUSAL_LM"):
        raise ModelError(
            f"the adapter in '{folder}' is for the task {task}; allowed: CAUSAL_LM",
            hint="give an adapter of a language model",
        )
    return SavedAdapter(folder, config, dict(header(folder / ADAPTER_WEIGHTS, str(folder))))


def _refuse_missing(folder: Path) -> None:
    if (folder / ADAPTER_CONFIG).is_file() and (folder / ADAPTER_WEIGHTS).is_file():
        return
    pickled = [name for name in pickled_in(folder) if name.startswith("adapter")]
    if pickled:
        raise ModelError(
            f"the adapter in '{folder}' is pickled ({pickled[0]}), which undertow never opens",
            hint="convert it where you trust it: PeftModel.from_pretrained(base, FOLDER).save_pretrained(OUT)",
        )
    if any(folder.glob("*.gguf")):
        raise ModelError(
            f"the adapter in '{folder}' is a GGUF file, in the layout of llama.cpp; undertow reads adapters as peft "
            "saves them",
            hint="give the folder that it was made from: adapter_config.json and adapter_model.safetensors",
        )
    if not folder.is_dir():
        said = "no such folder"
        hint = f"name a folder; from a hub: hf download {folder} --local-dir ADAPTER"
    else:
        names = (ADAPTER_WEIGHTS, ADAPTER_CONFIG)
        said = f"{next(name for name in names if not (folder / name).is_file())} is missing"
        hint = "save adapters with peft's save_pretrained (safetensors)"
    raise ModelError(f"no adapter in '{folder}': {said}", hint=hint)


def _config(folder: Path, stored: dict[str, Any]) -> Any:
    import peft
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    known = {kind.value: made for kind, made in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    made = known.get(str(stored.get("peft_type")))
    if made is None:
        raise ModelError(
            f"the adapter in '{folder}' is of the kind {stored.get('peft_type')!r}, which peft {peft.__version__} "
            f"does not know; it knows {', '.join(sorted(known))}",
            hint="pip install --upgrade peft",
        )
    if stored.get("megatron_config"):
        # peft would import whatever module the file names.
        raise ModelError(
            f"the adapter in '{folder}' is for Megatron's layers ('megatron_config'), which undertow does not load",
            hint="save it from a network of transformers",
        )
    fields = {*made.__dataclass_fields__, "peft_version", "auto_mapping"}
    # peft would pass over them with a warning, and merge another change than was trained.
    unknown = sorted(name for name, value in stored.items() if value and name not in fields)
    if unknown:
        raise ModelError(
            f"{ADAPTER_CONFIG} in '{folder}' sets '{unknown[0]}' to {stored[unknown[0]]!r}, which peft {peft.__version__} "
            f"does not know for {stored['peft_type']}",
            hint="pip install --upgrade peft",
        )
    try:
        with quiet_peft():
            return made.from_pretrained(str(folder))
    except FAULTS as error:
        raise ModelError(
            f"{ADAPTER_CONFIG} in '{folder}' cannot be used: {first_line(error)}"
        ) from error


def put_on(network: Any, adapter: SavedAdapter, base: str, *, hollow: bool = False) -> Any:
    """
    The network with the adapter beside its weights, in evaluation mode; its vocabulary grows to the adapter's.

    `hollow`: the network's own weights have no memory behind them and must not be written to.

    Raises:
        ModelError: the adapter does not fit, in part or at all, or lacks the embeddings of tokens that it adds.
    """
    import peft

    wrap = peft.PeftModelForCausalLM if adapter.config.task_type else peft.PeftModel
    where = str(next(network.parameters()).device)
    try:
        # peft draws starting values that the saved ones replace; nothing else is disturbed by it.
        with torch.random.fork_rng(devices=[]), quiet_peft():
            if not hollow:
                _grow(network, adapter, base)
            wrapped = wrap(network, adapter.config)
            loaded = wrapped.load_adapter(
                str(adapter.folder), "default", torch_device=where, low_cpu_mem_usage=hollow
            )
    except FAULTS as error:
        raise _misfit(adapter, base, first_line(error)) from error
    # What peft saves twice, or keeps for all layers in one place, is there under its other name.
    missing = [name for name in loaded.missing_keys if "vblora_vector_bank" not in name]
    extra = [
        name
        for name in loaded.unexpected_keys
        if _SAVED not in name or name.replace(_SAVED, "") not in adapter.shapes
    ]
    if missing:
        raise _misfit(adapter, base, f"it has no '{missing[0]}' ({len(missing)} such weights)")
    if extra:
        raise _misfit(adapter, base, f"the model has no place for '{extra[0]}' ({len(extra)} such)")
    return wrapped.eval()


def merge(network: Any, adapter: SavedAdapter, base: str) -> Any:
    """
    The network with the adapter merged into its weights by peft, in evaluation mode.

    Raises:
        ModelError: as `put_on`; the kind cannot be merged; or the merged network answers otherwise than the adapted one.
    """
    wrapped = put_on(network, adapter, base)
    ids = _some_tokens(wrapped)
    try:
        before = _logits(wrapped, ids)
        _untie(wrapped.get_base_model())
        with quiet_peft():
            merged = wrapped.merge_and_unload().eval()
    except FAULTS as error:
        raise ModelError(
            f"the adapter in '{adapter.folder}' is of the kind {adapter.kind}, which peft cannot run or merge on "
            f"'{base}': {first_line(error)}",
            hint=_OTHER_KINDS,
        ) from error
    apart = float((_logits(merged, ids) - before).abs().max() / before.abs().max().clamp(min=1e-30))
    if not apart <= _APART.get(network.dtype, _APART_IN_FEW_BITS):
        raise ModelError(
            f"the adapter in '{adapter.folder}' ({adapter.kind}) answers otherwise after peft merged it into '{base}': "
            f"its logits are off by {apart:.1%} of the largest",
            hint="merge it with the library that made it, and give the merged folder",
        )
    return merged


@torch.no_grad()
def _logits(network: Any, ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = network(input_ids=ids).logits
    return logits.float()


def _some_tokens(network: Any) -> torch.Tensor:
    rows = network.get_base_model().get_input_embeddings().weight.shape[0]
    device = next(network.parameters()).device
    return torch.linspace(0, rows - 1, 16, device=device).long()[None]


def adapted_embeddings(network: Any) -> bool:
    """Whether peft changes the network's embeddings or its head beside their matrix."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    layers = (network.get_input_embeddings(), network.get_output_embeddings())
    return any(isinstance(layer, BaseTunerLayer | AuxiliaryTrainingWrapper) for layer in layers)


def _untie(network: Any) -> None:
    """
    Give the head a matrix of its own where it shares the embeddings' and the adapter is on one of them.

    A merge would change both; the adapted network uses the changed one in one place only.
    """
    first, head = map(_own, (network.get_input_embeddings(), network.get_output_embeddings()))
    if adapted_embeddings(network) and head is not None and first.weight is head.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        network.config.tie_word_embeddings = False


def _own(layer: Any) -> Any:
    """The layer that peft has wrapped."""
    layer = getattr(layer, "original_module", layer)
    return getattr(layer, "base_layer", layer)


def _grow(network: Any, adapter: SavedAdapter, base: str) -> None:
    rows = needed_rows(network, adapter, base)
    if rows != network.get_input_embeddings().weight.shape[0]:
        network.resize_token_embeddings(rows, mean_resizing=False)


def needed_rows(network: Any, adapter: SavedAdapter, base: str) -> int:
    """
    Tokens that the network has with the adapter: more than without it if some were added for the training.

    Raises:
        ModelError: the adapter does not hold the rows of other tokens.
    """
    layers = embedding_names(network)
    now: int = network.get_input_embeddings().weight.shape[0]
    rows = next((n for n in map(adapter.rows, layers) if n is not None), now)
    alone = layers[:1] if network.config.get_text_config().tie_word_embeddings else layers
    lacking = [layer for layer in alone if not adapter.holds_whole(layer)]
    if rows != now and lacking:
        raise ModelError(
            f"the adapter in '{adapter.folder}' was trained with {rows:,} tokens, '{base}' has {now:,}, and the "
            f"adapter does not hold the new rows of '{lacking[0]}'",
            hint="save it again where it was trained: save_pretrained(FOLDER, save_embedding_layers=True)",
        )
    return rows


def embedding_names(network: Any) -> list[str]:
    """Names of the layer of embeddings and of the head, as the network's modules are called."""
    layers = [network.get_input_embeddings(), network.get_output_embeddings()]
    return [name for layer in layers for name, part in network.named_modules() if part is layer]


def _misfit(adapter: SavedAdapter, base: str, why: str) -> ModelError:
    declared = adapter.declared_base
    said = f"; it says that its base is '{declared}'" if declared else ""
    return ModelError(
        f"the adapter in '{adapter.folder}' ({adapter.kind}) does not fit '{base}': {why}{said}",
        hint=f"give the base that it was trained on: {declared or 'BASE'}+{adapter.folder}",
    )


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Hide warnings that no user can act on: of renamed attributes, and of what is checked here after it was loaded."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="peft")
        yield
