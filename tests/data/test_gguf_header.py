"""The header of a GGUF file is read to its end or refused, whatever counts it makes up."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from undertow.data.gguf_header import BLOCKS, read_header
from undertow.errors import ModelError

HUGE = 1 << 60


def text(content: str) -> bytes:
    """A string of the format: its length, then its bytes."""
    encoded = content.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def named(key: str, value: str | int) -> bytes:
    """A key with a text or an unsigned number of 32 bits."""
    kind = struct.pack("<I", 8) + text(value) if isinstance(value, str) else None
    return text(key) + (kind or struct.pack("<II", 4, int(value)))


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    """An entry of the table, its fastest dimension first."""
    dimensions = struct.pack(f"<{len(shape)}Q", *shape)
    return (
        text(name) + struct.pack("<I", len(shape)) + dimensions + struct.pack("<IQ", kind, offset)
    )


def header(values: list[bytes], tensors: list[bytes], version: int = 3) -> bytes:
    """What stands before the weights, unpadded."""
    counts = struct.pack("<IQQ", version, len(tensors), len(values))
    return b"GGUF" + counts + b"".join(values) + b"".join(tensors)


def padded(content: bytes, alignment: int = 32) -> bytes:
    """Up to where the weights begin."""
    return content + bytes(-len(content) % alignment)


def write(folder: Path, content: bytes) -> Path:
    """The file of some bytes."""
    path = folder / "m.gguf"
    path.write_bytes(content)
    return path


def test_shapes_and_architecture_are_read(tmp_path: Path) -> None:
    """The fastest dimension comes last, as in torch; arrays are passed over."""
    array = text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    numbers = text("types") + struct.pack("<IIQ", 9, 5, 2) + struct.pack("<ii", 1, 3)
    values = [array, numbers, named("general.architecture", "llama")]
    content = padded(header(values, [tensor("t", (64, 3), 8, 0)]))
    read = read_header(write(tmp_path, content + bytes(3 * 2 * 34)), "m")

    assert (read.architecture, read.shapes, read.types) == ("llama", {"t": (3, 64)}, {8})


def test_one_byte_less_than_promised_is_cut_off(tmp_path: Path) -> None:
    """The last tensor decides, by its type's size and the file's own alignment."""
    values = [named("general.alignment", 64)]
    tensors = [tensor("a", (4,), 0, 0), tensor("b", (32,), 2, 64)]
    whole = padded(header(values, tensors), 64) + bytes(64 + 18)
    read_header(write(tmp_path, whole), "m")

    with pytest.raises(ModelError, match=f"has {len(whole) - 1} bytes.*promises {len(whole)}"):
        read_header(write(tmp_path, whole[:-1]), "m")


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<4sIQQ", b"GGUF", 3, HUGE, 0),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, HUGE),
        header([text("k") + struct.pack("<IIQ", 9, 4, HUGE)], []),
        header([text("k") + struct.pack("<IIQ", 9, 8, HUGE)], []),
        header([struct.pack("<Q", HUGE)], []),
        header([], [text("t") + struct.pack("<I", 1 << 30)]),
        header([], [tensor("t", (HUGE, HUGE), 0, 0)]),
        header([], [tensor("t", (4,), 77, 0)]),
        header([named("general.alignment", 0)], []),
        header([text("k") + struct.pack("<I", 99)], []),
    ],
)
def test_made_up_counts_end_at_once(content: bytes, tmp_path: Path) -> None:
    """No count is taken at its word: the file's end is the end."""
    with pytest.raises(ModelError, match=r"is cut off|the header of the GGUF file"):
        read_header(write(tmp_path, content), "m")


def test_other_versions_pieces_and_adapters_are_named(tmp_path: Path) -> None:
    """What cannot be read by itself says what it is."""
    for content, match in (
        (header([], [], version=1), "version 1"),
        (struct.pack(">4sIQQ", b"GGUF", 3, 0, 0), "big-endian"),
        (header([named("split.count", 3)], []), "one of 3 pieces"),
        (header([named("general.type", "adapter")], []), "of the type 'adapter'"),
    ):
        with pytest.raises(ModelError, match=match):
            read_header(write(tmp_path, padded(content)), "m")


def test_the_sizes_of_types_are_those_of_the_package() -> None:
    """Types that both know have the same blocks."""
    gguf = pytest.importorskip("gguf", reason="the independent table is the package gguf's")
    theirs = {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()}

    assert {kind: theirs[kind] for kind in BLOCKS if kind in theirs} == {
        kind: size for kind, size in BLOCKS.items() if kind in theirs
    }
    assert len(set(BLOCKS) & set(theirs)) > 25
