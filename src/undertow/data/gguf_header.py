"""
The header of a GGUF file, and whether the file is as long as its header promises.

The package `gguf` reads a header too, in seconds where the vocabulary is large, and goes on for ever where a count was
made up; a file that somebody hands over is looked at here first. No weight is read.

Source of the format: ggml, docs/gguf.md (versions 2 and 3, little-endian).
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from undertow.errors import ModelError

SUFFIX = ".gguf"

VERSIONS = (2, 3)

CONVERSION = 1
"""Of our conversion to safetensors; a folder that an older one made is not used."""

# ggml's type ids: weights in a block, bytes of a block (ggml-common.h).
BLOCKS = {
    **{0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34)},
    **{9: (32, 40), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176)},
    **{14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50)},
    **{20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2)},
    **{26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54)},
    **{35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18)},
}

FLOAT32, FLOAT16 = 0, 1

_SPECIAL = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "pad_token": "padding_token_id",
    "unk_token": "unknown_token_id",
}

_STRING, _ARRAY = 8, 9
# The other kinds of value, as `struct` reads them.
_NUMBERS = {0: "B", 1: "b", 7: "?", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 10: "Q", 11: "q", 12: "d"}  # fmt: skip
_MOST_DIMENSIONS = 8
_LONGEST_KEY = 65_535
_ALIGNMENT = 32


@dataclass(frozen=True)
class GgufHeader:
    """What a file says of its network."""

    architecture: str
    """As llama.cpp names it, e.g. `llama`."""
    shapes: dict[str, tuple[int, ...]]
    """Of each tensor by name, the fastest dimension last as torch has it."""
    types: frozenset[int]
    """ggml's ids of the types that its tensors are in."""
    special_tokens: dict[str, int] = field(default_factory=dict)
    """Ids of the tokens that begin, end, fill and stand for what is not known, by transformers' names."""


class _Reader:
    """Goes through the bytes once; whatever lies beyond their end is a `struct.error`."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.at = content, 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from("<" + form, self.content, self.at)
        self.at += struct.calcsize("<" + form)
        return int(value)

    def skip(self, count: int) -> None:
        if self.at + count > len(self.content):
            raise struct.error("a value goes beyond the end of the file")
        self.at += count

    def text(self, longest: int | None = None) -> str:
        count = self.number("Q")
        if longest is not None and count > longest:
            raise ValueError(f"a name of {count:,} bytes")
        begins = self.at
        self.skip(count)
        return self.content[begins : self.at].decode("utf-8")

    def value(self, kind: int) -> int | str | None:
        """A number or a text; an array is passed over."""
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            raise ValueError(f"a value of the kind {kind}")
        inner, count = self.number("I"), self.number("Q")
        if inner in _NUMBERS:
            self.skip(count * struct.calcsize("<" + _NUMBERS[inner]))
        elif inner == _STRING:
            for _ in range(count):
                self.skip(self.number("Q"))
        else:
            raise ValueError(f"an array of the kind {inner}")
        return None


def read_header(path: Path, ref: str) -> GgufHeader:
    """
    What a GGUF file holds, after holding its length against what its header promises.

    Raises:
        ModelError: it is no GGUF file, of another version, cut off, one of several pieces, or an adapter.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if stream.read(4) != b"GGUF":
                raise ModelError(
                    f"model '{ref}' is no GGUF file: '{path.name}' does not begin with GGUF",
                    hint="download it again, or name a folder of safetensors",
                )
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                header, promised = _parsed(_Reader(content), ref)
    except OSError as error:
        raise ModelError(f"model '{ref}' cannot be read: {error.strerror or error}") from error
    except struct.error as error:
        raise _cut_off(ref, path, "in its header") from error
    except (ValueError, OverflowError) as error:
        raise ModelError(f"the header of the GGUF file of model '{ref}' holds {error}") from error
    if size < promised:
        raise _cut_off(ref, path, f"it has {size:,} bytes, and its header promises {promised:,}")
    return header


def _cut_off(ref: str, path: Path, how: str) -> ModelError:
    return ModelError(
        f"the GGUF file of model '{ref}' ('{path.name}') is cut off: {how}",
        hint="download it again; an interrupted download leaves files cut off",
    )


def _parsed(reader: _Reader, ref: str) -> tuple[GgufHeader, int]:
    reader.skip(4)
    version = reader.number("I")
    if version not in VERSIONS:
        raise ModelError(
            f"model '{ref}' is GGUF of version {version}, or written on a big-endian machine; read are little-endian "
            f"ones of version {' and '.join(map(str, VERSIONS))}",
            hint="convert it with a llama.cpp of today",
        )
    tensors, values = reader.number("Q"), reader.number("Q")
    metadata: dict[str, int | str | None] = {}
    for _ in range(values):
        key = reader.text(_LONGEST_KEY)
        metadata[key] = reader.value(reader.number("I"))
    _refuse_parts(metadata, ref)
    shapes, types, end = _table(reader, tensors)
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"the alignment {alignment!r}")
    begins = -(-reader.at // alignment) * alignment
    named = {name: metadata.get(f"tokenizer.ggml.{key}") for name, key in _SPECIAL.items()}
    tokens = {name: value for name, value in named.items() if isinstance(value, int)}
    architecture = str(metadata.get("general.architecture", ""))
    return GgufHeader(architecture, shapes, types, tokens), begins + end


def _refuse_parts(metadata: dict[str, int | str | None], ref: str) -> None:
    pieces = metadata.get("split.count", 1)
    if isinstance(pieces, int) and pieces > 1:
        raise ModelError(
            f"model '{ref}' is one of {pieces} pieces of a GGUF file",
            hint="join them: llama-gguf-split --merge FIRST_PIECE WHOLE.gguf",
        )
    if metadata.get("general.type", "model") != "model":
        raise ModelError(
            f"model '{ref}' is a GGUF file that holds no model but a thing of the type '{metadata['general.type']}'",
            hint="name the model's own file; adapters are read as peft saves them",
        )


def _table(reader: _Reader, count: int) -> tuple[dict[str, tuple[int, ...]], frozenset[int], int]:
    """Shapes and types of the tensors, and where the last one ends, counted from the first."""
    shapes: dict[str, tuple[int, ...]] = {}
    types: set[int] = set()
    end = 0
    for _ in range(count):
        name, dimensions = reader.text(_LONGEST_KEY), reader.number("I")
        if dimensions > _MOST_DIMENSIONS or name in shapes:
            raise ValueError(f"a tensor '{name}' of {dimensions} dimensions, or twice")
        shape = tuple(reader.number("Q") for _ in range(dimensions))[::-1]
        kind, offset = reader.number("I"), reader.number("Q")
        if kind not in BLOCKS:
            raise ValueError(f"the tensor '{name}' in the type {kind}, which is not known")
        block, size = BLOCKS[kind]
        end = max(end, offset + prod(shape) // block * size)
        shapes[name] = shape
        types.add(kind)
    return shapes, frozenset(types), end
