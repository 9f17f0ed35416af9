"""A causal language model with its tokenizer, from disk or a hub; what is missing is said."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from undertow.errors import ModelError

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

    @property
    def device(self) -> torch.device:
        """Where the first parameter lives."""
        device: torch.device = next(self.network.parameters()).device
        return device

    @property
    def end_ids(self) -> frozenset[int]:
        """Token ids that end an answer."""
        configured = getattr(self.network.generation_config, "eos_token_id", None)
        ids = configured if isinstance(configured, list) else [configured]
        return frozenset(i for i in [*ids, self.tokenizer.eos_token_id] if i is not None)

    @property
    def context(self) -> int | None:
        """Longest sequence the network was made for, in tokens."""
        return getattr(self.network.config, "max_position_embeddings", None)


def load(
    path: str | Path,
    *,
    ref: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> LanguageModel:
    """
    Load `org/name`, a folder, or `folder+adapter` (a peft adapter on a base).

    Raises:
        ModelError: nothing there, not a causal language model, pickled weights only, or no chat template.
    """
    base, _, adapter = str(path).partition("+")
    name = ref or str(path)
    model = LanguageModel(network(base, name, dtype).to(device).eval(), tokenizer(base, name), name)
    if not adapter:
        return model
    # Merged, so that the result is a base like any other: it can be trained, adapted and saved.
    merged = with_adapter(model, Path(adapter)).network.merge_and_unload()
    return replace(model, network=merged.eval())


def tokenizer(path: str | Path, name: str | None = None) -> Any:
    """
    Load a fast tokenizer; it must have a chat template.

    Raises:
        ModelError: no tokenizer there, or one without a chat template.
    """
    name = name or str(path)
    _refuse_missing(str(path).partition("+")[0], name)
    try:
        loaded = AutoTokenizer.from_pretrained(str(path).partition("+")[0], trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"no usable tokenizer for model '{name}': {_first_line(error)}",
            hint=_load_hint(str(path)),
        ) from error
    if not loaded.chat_template:
        raise ModelError(
            f"the tokenizer of model '{name}' has no chat template",
            hint="use an instruction-tuned model, or put a chat_template.jinja beside its tokenizer.json",
        )
    if loaded.pad_token_id is None:
        loaded.pad_token = loaded.eos_token
    return loaded


def hub_revision(path: str) -> str | None:
    """Commit of a model on the hub, as resolved now; none for a folder."""
    base = path.partition("+")[0]
    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    return getattr(config, "_commit_hash", None)


def with_adapter(model: LanguageModel, adapter: Path) -> LanguageModel:
    """
    The same model with a saved peft adapter injected.

    Raises:
        ModelError: the folder holds no adapter, or one for other layers.
    """
    from peft import PeftModel

    if not (adapter / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"no adapter in '{adapter}': adapter_model.safetensors is missing",
            hint="save adapters with peft's save_pretrained (safetensors)",
        )
    try:
        with quiet_peft():
            wrapped = PeftModel.from_pretrained(model.network, str(adapter))
    except (RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"the adapter in '{adapter}' does not fit model '{model.ref}': {_first_line(error)}",
            hint="give the base that the adapter was trained on",
        ) from error
    return replace(model, network=wrapped.eval(), ref=f"{model.ref}+{adapter}")


@contextmanager
def quiet_peft() -> Iterator[None]:
    """
    Hide a warning that no user can act on: peft reads an attribute that transformers has renamed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        yield


def network(path: str, name: str, dtype: torch.dtype = torch.float32) -> Any:
    """
    The network in a folder or on the hub, from safetensors only.

    Raises:
        ModelError: nothing there, not a causal language model, or pickled weights only.
    """
    _refuse_missing(path, name)
    if Path(path).is_dir():
        _refuse_pickles(Path(path), name)
    try:
        return AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(
            f"model '{name}' cannot be loaded: {_first_line(error)}",
            hint=_load_hint(path),
        ) from error


def _refuse_missing(path: str, name: str) -> None:
    looks_local = path.count("/") != 1 or path.startswith((".", "/", "~"))
    if looks_local and not Path(path).is_dir():
        raise ModelError(
            f"unknown model '{name}': no such folder",
            hint="name a folder, org/name on the hub, or a model of `undertow worlds`",
        )


def _load_hint(path: str) -> str:
    if Path(path).is_dir():
        return "the folder must hold config.json, *.safetensors, tokenizer.json and tokenizer_config.json"
    return "check the name and the network, or download the model and name its folder"


def _refuse_pickles(folder: Path, name: str) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth") for p in folder.glob(pattern))
    if pickled:
        raise ModelError(
            f"model '{name}' has only pickled weights ({pickled[0]}), which undertow never opens",
            hint="convert it to safetensors: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)",
        )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
