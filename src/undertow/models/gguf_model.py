"""
A GGUF file as a folder of safetensors: converted once, and kept in the cache under the file's digest.

transformers reads the file and turns its few bits into numbers; all other code of undertow sees the folder.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import io
import logging
import os
import shutil
import time
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import torch
import transformers
from packaging.version import Version
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from undertow.data.files import file_digest, model_parts
from undertow.data.finished import FinishedFolders, cache_folder
from undertow.data.gguf_header import CONVERSION, FLOAT16, FLOAT32, SUFFIX, GgufHeader, read_header
from undertow.errors import InputError, MissingExtraError, ModelError, UndertowError

logger = logging.getLogger(__name__)
transformers_logging.disable_progress_bar()

_OLDEST = "5.17"
"""Of transformers; others put a token before every text, whatever the file says."""

SCALES = "rope_freqs.weight"
"""A tensor that stretches positions, and that transformers passes over."""

_OF_TRANSFORMERS = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    RuntimeError,
    ImportError,
)
"""What it raises of a file that it cannot make a network or a tokenizer of."""

_SECONDS_A_GIGABYTE = 40.0
"""Of safetensors written, on one thread."""
_OPENING = 15.0
"""Seconds that a conversion takes whatever the size."""


class Converted(BaseModel):
    """What a folder was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str
    dtype: str
    transformers: str
    seconds: float


def folders_of(path: str | Path, ref: str) -> list[str]:
    """
    The base of a reference and its adapters, as folders or names on a hub: a GGUF file is converted first.

    Raises:
        ModelError: an empty part; a file that is no GGUF, is cut off, or holds a network that is not known.
        MissingExtraError: a GGUF file is named, and the package `gguf` is not installed.
        UndertowError: the cache cannot hold the folder.
    """
    base, *adapters = model_parts(path)
    return [_converted_once(base, ref) if is_gguf(base) else base, *adapters]


def is_gguf(path: str | Path) -> bool:
    """Whether a path names a GGUF file that is there."""
    return str(path).endswith(SUFFIX) and Path(path).is_file()


def _converted_once(path: str, ref: str) -> str:
    header = read_header(Path(path), ref)
    folder = cache_folder() / "gguf"
    name = f"{_digest(path, *_identity(path))}-{CONVERSION}"
    store = FinishedFolders(folder, Converted)

    def work(into: Path) -> Converted:
        size = written_bytes(header)
        logger.warning(
            "converting '%s' once: about %.0f s and %.0f MB in '%s'",
            ref,
            conversion_seconds(size),
            size / 1e6,
            folder,
        )
        return convert(Path(path), into, ref)

    with said_of_cache(folder):
        store.once(name, work)
    return str(folder / name)


def _identity(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache
def _digest(path: str, inode: int, size: int, changed: int) -> str:
    """One model is opened several times in a run, and reading gigabytes takes seconds."""
    return file_digest(path)


def written_bytes(header: GgufHeader) -> int:
    """Size of the safetensors that a file is converted to."""
    return sum(map(prod, header.shapes.values())) * _stored_as(header).itemsize


def conversion_seconds(size: int) -> float:
    """About how long a conversion to so many bytes takes."""
    return _OPENING + _SECONDS_A_GIGABYTE * size / 1e9


def _stored_as(header: GgufHeader) -> torch.dtype:
    """The file's own numbers where all are of one kind; what was in few bits fits 16 of any."""
    if header.types <= {FLOAT32}:
        return torch.float32
    return torch.float16 if header.types <= {FLOAT32, FLOAT16} else torch.bfloat16


@contextlib.contextmanager
def said_of_cache(folder: Path) -> Iterator[None]:
    """
    Within the block, what the system refuses about the cache is one error that says what to do.

    Raises:
        UndertowError: no space is left.
        InputError: the folder cannot be written to.
    """
    try:
        yield
    except SafetensorError as error:
        raise UndertowError(
            f"cannot write the model to the cache '{folder}': {error}", hint=_OTHER_CACHE
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(folder, "") from error
        raise InputError(
            f"cannot write to the cache '{folder}': {error.strerror or error}", hint=_OTHER_CACHE
        ) from error


_OTHER_CACHE = "name another folder: export UNDERTOW_CACHE=FOLDER"


def _full(folder: Path, more: str) -> UndertowError:
    return UndertowError(
        f"no space left in the cache '{folder}'{more}",
        hint="free some space, or name another folder: export UNDERTOW_CACHE=FOLDER",
    )


def refuse_full(folder: Path, size: int) -> None:
    """
    Look whether so many bytes fit, before the work and not at its end.

    Raises:
        UndertowError: they do not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise _full(folder, f": {size / 1e6:,.0f} MB are needed, and {free / 1e6:,.0f} are free")


def refuse_without_gguf(what: str) -> None:
    """
    Look whether a GGUF file could be converted.

    Raises:
        MissingExtraError: the package that transformers reads it with is not installed.
        ModelError: transformers is too old.
    """
    if find_spec("gguf") is None:
        raise MissingExtraError("gguf", "gguf", purpose=f"reading the GGUF file of {what}")
    if Version(transformers.__version__) < Version(_OLDEST):
        raise ModelError(
            f"transformers {transformers.__version__} makes another tokenizer of the GGUF file of {what}; needed is "
            f"{_OLDEST} or later",
            hint="pip install 'undertow[gguf]'",
        )


def convert(gguf: Path, folder: Path, ref: str, template: str = "") -> Converted:
    """
    Write the network of a GGUF file to a folder as safetensors, with its tokenizer; `template` is the chat template of
    a file that has none.

    Raises:
        ModelError: the file is not whole, its network is not known, or weights are missing or would be left out.
        MissingExtraError: the package `gguf` is not installed.
        UndertowError: no space is left.
    """
    started = time.perf_counter()
    header = read_header(gguf, ref)
    refuse_without_gguf(f"'{ref}'")
    refuse_full(folder, written_bytes(header))
    dtype = _stored_as(header)
    try:
        with _quiet():
            pair: Any = AutoModelForCausalLM.from_pretrained(
                str(gguf.parent),
                gguf_file=gguf.name,
                dtype=dtype,
                output_loading_info=True,
                trust_remote_code=False,
            )
            tokenizer = AutoTokenizer.from_pretrained(
                str(gguf.parent), gguf_file=gguf.name, trust_remote_code=False
            )
    except _OF_TRANSFORMERS as error:
        raise _not_opened(header, ref, error) from error
    network, loading = pair
    _refuse_incomplete(network, header, sorted(loading["missing_keys"]), ref)
    _plain(network, dtype).save_pretrained(str(folder))
    # transformers before 5.23 takes the token that begins a text for the one that ends it.
    for kind, number in header.special_tokens.items():
        setattr(tokenizer, kind, tokenizer.convert_ids_to_tokens(number))
    tokenizer.chat_template = tokenizer.chat_template or template or None
    tokenizer.save_pretrained(str(folder))
    return Converted(
        file=gguf.name,
        sha256=file_digest(gguf),
        dtype=str(dtype).removeprefix("torch."),
        transformers=transformers.__version__,
        seconds=time.perf_counter() - started,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without a bar that cannot be turned off otherwise, and a remark on kernels that are not used."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        transformers_logging.set_verbosity(level)


def _not_opened(header: GgufHeader, ref: str, error: Exception) -> ModelError:
    why = (str(error) or type(error).__name__).splitlines()[0]
    return ModelError(
        f"model '{ref}' is a GGUF file of the architecture '{header.architecture}', which transformers "
        f"{transformers.__version__} does not open: {why}",
        hint="give the folder of safetensors that it was made from, or pip install --upgrade transformers",
    )


def _refuse_incomplete(network: Any, header: GgufHeader, missing: list[str], ref: str) -> None:
    # transformers draws what is missing at random and leaves out what it does not know, with a word in a log.
    if missing:
        raise ModelError(
            f"the GGUF file of model '{ref}' lacks {len(missing)} weights of its network, '{missing[0]}' among them",
            hint="download it again, or give the folder of safetensors that it was made from",
        )
    held = sum(prod(shape) for name, shape in header.shapes.items() if name != SCALES)
    read = sum(weight.numel() for weight in network.parameters())
    if held != read:
        raise ModelError(
            f"the GGUF file of model '{ref}' holds {held:,} weights, and transformers {transformers.__version__} reads "
            f"{read:,} of its architecture '{header.architecture}'",
            hint="give the folder of safetensors that it was made from",
        )
    if SCALES in header.shapes:
        logger.warning(
            "model '%s' stretches its positions (%s), which transformers does not read from GGUF: texts longer than it "
            "was first trained for are scored otherwise",
            ref,
            SCALES,
        )


def _plain(network: Any, dtype: torch.dtype) -> Any:
    """The same weights in a network that does not say that it is quantised, which nothing could train or save."""
    config = copy.deepcopy(network.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = dtype
    # The name that the file's maker gave it, which is no place where the model lies.
    for name in ("_name_or_path", "_model_name_or_path"):
        config.__dict__.pop(name, None)
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    plain.load_state_dict(network.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = network.generation_config
    return plain
