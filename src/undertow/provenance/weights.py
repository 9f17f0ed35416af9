"""
The digest of a model's weights, after a look at whether it is whole and holds all that is loaded.
"""

from __future__ import annotations

import json
from pathlib import Path

from undertow.errors import ModelError
from undertow.models.digest import model_digest

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
_LONGEST_HEADER = 100_000_000
"""Bytes, the limit of the format's own readers."""


def weights_digest(path: str | Path) -> str | None:
    """
    SHA-256 in hex as `models.digest` makes it; None for a model that is not here.

    Raises:
        ModelError: a folder without safetensors, with pickled weights beside them, or with a file that is cut off.
    """
    base, plus, adapter = str(path).partition("+")
    if not Path(base).is_dir():
        return None
    for folder in [Path(base), Path(adapter)] if plus else [Path(base)]:
        _refuse_partial(folder)
    return model_digest(path)


def _refuse_partial(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"'{folder}' holds no .safetensors, so its weights have no digest")
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    if pickled:
        raise ModelError(
            f"'{folder}' holds '{pickled[0]}' beside its .safetensors, which a digest of these does not cover",
            hint="remove the weights that are not safetensors",
        )
    for file in files:
        _refuse_cut_off(file)


def _refuse_cut_off(file: Path) -> None:
    """
    Compare a file's size with what its header promises.

    Source of the format: safetensors, "Format": 8 bytes of length, a JSON header, then the tensors without gaps.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            raise ModelError(f"'{file}' is no safetensors file, or is cut off in its header")
        try:
            header = json.loads(stream.read(length))
            ends = [
                tensor["data_offsets"][1]
                for name, tensor in header.items()
                if name != "__metadata__"
            ]
            promised = 8 + length + max(map(int, ends), default=0)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ModelError(f"'{file}' has no readable safetensors header") from error
    if promised != size:
        raise ModelError(f"'{file}' has {size} bytes; its header promises {promised}")
