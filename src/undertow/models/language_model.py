"""A causal language model with its tokenizer, from disk or a hub; what is missing is said."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from undertow.data.files import model_parts
from undertow.data.gguf_header import SUFFIX
from undertow.errors import ModelError, first_line
from undertow.models.chat import in_template
from undertow.models.checkpoint import open_checkpoint, refuse_other_base
from undertow.models.gguf_model import folders_of, is_gguf
from undertow.models.hardware import AUTO, ComputeTable
from undertow.models.model_folder import refuse_other_formats
from undertow.models.placement import (
    compute_exactly,
    is_split,
    loading,
    quantisation,
    refuse_offloaded,
    text_config,
)
from undertow.models.saved_adapter import merge, put_on, saved_adapter

logger = logging.getLogger(__name__)
transformers_logging.disable_progress_bar()


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model with its tokenizer."""

    network: Any
    """A `PreTrainedModel` or its peft wrapper, in evaluation mode."""

    tokenizer: Any
    """A fast tokenizer with a chat template and a padding token."""

    ref: str
    """What the user called it."""

    records: bool = False
    """Whether an accelerator records its passes, where they can be recorded."""

    @property
    def device(self) -> torch.device:
        """Where the first parameter lives."""
        device: torch.device = next(self.network.parameters()).device
        return device

    @property
    def precision(self) -> str:
        """What its weights are held in, as a table names it: `float32`; packed ones are named too: `float32 nf4`."""
        plain = str(next(self.network.parameters()).dtype).removeprefix("torch.")
        return f"{plain} {quantisation(self.network)}".strip()

    @property
    def spread(self) -> str:
        """How weights lie that can be adapted, but not trained themselves: `in few bits`; empty for whole ones."""
        if quantisation(self.network):
            return "in few bits"
        split = any(is_split(weight) for weight in self.network.parameters())
        return "split over processes" if split else ""

    @property
    def end_ids(self) -> frozenset[int]:
        """Token ids that end an answer."""
        configured = getattr(self.network.generation_config, "eos_token_id", None)
        ids = configured if isinstance(configured, list) else [configured]
        return frozenset(i for i in [*ids, self.tokenizer.eos_token_id] if i is not None)

    def in_template(self, template: str) -> LanguageModel:
        """The same model, asked in this chat template; in its own if none is given."""
        return replace(self, tokenizer=in_template(self.tokenizer, template))

    @property
    def context(self) -> int | None:
        """Longest sequence the network was made for, in tokens."""
        return getattr(self.config, "max_position_embeddings", None)

    @property
    def config(self) -> Any:
        """The network's configuration; of one of more than text, its language model's."""
        return text_config(self.network.config)

    @property
    def window(self) -> int | None:
        """Columns back that each layer sees, at most: those of a window, or of a chunk. None where all are seen."""
        names = ("sliding_window", "attention_chunk_size", "window_size")
        widths = (getattr(self.config, name, None) for name in names)
        return min((width for width in widths if width is not None), default=None)


@lru_cache(maxsize=1)
def opened_once(opens: Callable[[], LanguageModel]) -> LanguageModel:
    """The model that it opens, which a process that is given work keeps for the next piece of it."""
    return opens()


def load(
    path: str | Path,
    *,
    ref: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    template: str = "",
    compute: ComputeTable = AUTO,
) -> LanguageModel:
    """
    Load `org/name`, a folder, a `.gguf` file, or `base+adapter`; adapters are merged by peft in the order they are given. `template` is
    the chat template of a tokenizer that has none; `compute` says whether weights are spread or packed, and passes recorded.

    Raises:
        ConfigError, MissingExtraError: the machine has not what that takes.
        ModelError: nothing there, not a causal language model, pickled weights only, or no chat template; an adapter
            that cannot be merged or is for another base.
    """
    name = ref or str(path)
    base, *adapters = folders_of(path, name)
    given = model_parts(name)[0]
    saved = [saved_adapter(Path(folder), given) for folder in adapters]
    spread = compute.shard != "none" or compute.quantise != "none"
    _refuse_merging(name, adapters, compute)
    how = loading(compute, _config_of(base, name), dtype) if spread else {}
    network_there = network(base, name, dtype, **how)
    refuse_offloaded(network_there, name)
    compute_exactly(network_there)
    network_there = (network_there if how else network_there.to(device)).eval()
    records = compute.launches == "recorded"
    model = LanguageModel(network_there, tokenizer(path, name, template), name, records)
    for adapter in saved[:1]:
        if Path(base).is_dir():
            refuse_other_base(open_checkpoint(base, given), adapter)
        else:
            adapter.say_other_name(given)
    if compute.quantise != "none" and saved:
        # Packed weights have no room for what an adapter adds: it stays beside them, as it was trained.
        return replace(model, network=put_on(model.network, saved[0], given))
    # Merged, so that the result is a base like any other: it can be trained, adapted and saved.
    for place, adapter in enumerate(saved, start=1):
        merged = merge(model.network, adapter, "+".join([given, *adapters[: place - 1]]))
        model = replace(model, network=merged)
    _refuse_unknown_tokens(model, adapters)
    return model


def _refuse_unknown_tokens(model: LanguageModel, adapters: list[str]) -> None:
    bringing = [folder for folder in adapters if _has_tokenizer(Path(folder))]
    rows = model.network.get_input_embeddings().weight.shape[0]
    if bringing and len(model.tokenizer) > rows:
        raise ModelError(
            f"the adapter's tokenizer in '{bringing[-1]}' has {len(model.tokenizer):,} tokens, and model '{model.ref}' has "
            f"{rows:,}: tokens were added for its training, and their embeddings are not in it",
            hint="save it again where it was trained: save_pretrained(FOLDER, save_embedding_layers=True)",
        )


def tokenizer(path: str | Path, name: str | None = None, template: str = "") -> Any:
    """
    Load a fast tokenizer; it must have a chat template, or is given this one. An adapter's own goes before its base's:
    tokens may be added.

    Raises:
        ModelError: no tokenizer there, or one without a chat template.
    """
    name = name or str(path)
    base, *adapters = folders_of(path, name)
    _refuse_missing(base, name)
    own = [folder for folder in adapters if _has_tokenizer(Path(folder))]
    loaded = _tokenizer([base, *own][-1], name)
    if own and not loaded.chat_template:
        loaded.chat_template = _tokenizer(base, name).chat_template
    if not loaded.chat_template:
        loaded.chat_template = template
    if not loaded.chat_template:
        raise ModelError(
            f"the tokenizer of model '{name}' has no chat template",
            hint="use an instruction-tuned model, put a chat_template.jinja beside its tokenizer.json, or give the plan a "
            "template",
        )
    if loaded.pad_token_id is None:
        loaded.pad_token = loaded.eos_token
    return loaded


def _has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file() and (folder / "tokenizer_config.json").is_file()


def _tokenizer(path: str, name: str) -> Any:
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"no usable tokenizer for model '{name}': {first_line(error)}", hint=_load_hint(path)
        ) from error


def hub_revision(path: str) -> str | None:
    """Commit of a model on the hub, as resolved now; none for a folder."""
    config = AutoConfig.from_pretrained(model_parts(path)[0], trust_remote_code=False)
    return getattr(config, "_commit_hash", None)


def with_adapter(model: LanguageModel, adapter: Path) -> LanguageModel:
    """
    The same model with a saved peft adapter injected.

    Raises:
        ModelError: the folder holds no adapter, one of a kind that changes no weights, or one for another base.
    """
    found = saved_adapter(adapter, model.ref)
    wrapped = put_on(model.network, found, model.ref)
    return replace(model, network=wrapped, ref=f"{model.ref}+{adapter}")


def _refuse_merging(name: str, adapters: list[str], compute: ComputeTable) -> None:
    if (compute.shard == "tensor" and adapters) or (
        compute.quantise != "none" and len(adapters) > 1
    ):
        raise ModelError(
            f"model '{name}' is a base with {len(adapters)} adapters, which are merged into whole weights of 16 or 32 bits "
            "only; allowed: a model without adapters, or in 4 bits with one",
            hint="merge them first, and name the merged folder; or leave --quantise and --shard out",
        )


def refuse_absent(path: str, name: str) -> None:
    """
    Refuse a model of which nothing is there, by its configuration and its adapters' headers: no weight is read, and a GGUF
    file is not converted.

    Raises:
        ModelError: no such folder, file or name on the hub; or an adapter on it is none.
    """
    base, *adapters = model_parts(path)
    if not is_gguf(base):
        _config_of(base, name)
    for folder in adapters:
        saved_adapter(Path(folder), model_parts(name)[0])


def looks_local(path: str) -> bool:
    """Whether a base's name is that of a folder or a file, and no `org/name` on the hub."""
    return path.count("/") != 1 or path.startswith((".", "/", "~")) or path.endswith(SUFFIX)


def _config_of(path: str, name: str) -> Any:
    _refuse_missing(path, name)
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"model '{name}' cannot be loaded: {first_line(error)}", hint=_load_hint(path)
        ) from error


def network(path: str, name: str, dtype: torch.dtype = torch.float32, **how: Any) -> Any:
    """
    The network in a folder or on the hub, from safetensors only; `how` goes to transformers.

    Raises:
        ModelError: nothing there, not a causal language model, or pickled weights only.
    """
    _refuse_missing(path, name)
    try:
        return AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, use_safetensors=True, trust_remote_code=False, **how
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(
            f"model '{name}' cannot be loaded: {first_line(error)}",
            hint=_load_hint(path),
        ) from error


def _refuse_missing(path: str, name: str) -> None:
    if Path(path).is_dir():
        refuse_other_formats(Path(path), name)
    is_file = Path(path).is_file()
    if (looks_local(path) or is_file) and not Path(path).is_dir():
        missing = f"no such {'file' if path.endswith(SUFFIX) else 'folder'}"
        raise ModelError(
            f"unknown model '{name}': {'a file that holds no model' if is_file else missing}",
            hint="name a folder, a .gguf file, org/name on the hub, or a model of `undertow worlds`",
        )


def _load_hint(path: str) -> str:
    if Path(path).is_dir():
        return "the folder must hold config.json, *.safetensors, tokenizer.json and tokenizer_config.json"
    return "check the name and the network, or download the model and name its folder"
