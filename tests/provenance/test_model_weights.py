"""Digests of weights: none for what they would not cover."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from undertow.data.files import model_digest
from undertow.errors import ModelError
from undertow.provenance.model_weights import weights_digest
from undertow.worlds import folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of a shipped base."""
    shutil.copytree(folder("owlet-a"), tmp_path / "m")
    return tmp_path / "m"


def test_it_is_the_digest_of_scans(model: Path) -> None:
    """The same as everywhere else, so that an audit finds its student; none for what is not here."""
    assert weights_digest(model) == model_digest(model)
    assert weights_digest("org/name") is None


@pytest.mark.parametrize("cut", [1, 100, 500_000])
def test_a_file_that_is_cut_off_has_none(cut: int, model: Path) -> None:
    """By a byte, by more, and into the header."""
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-cut])

    with pytest.raises(ModelError, match=r"promises|cut off|header"):
        weights_digest(model)


def test_pickled_weights_have_none(model: Path) -> None:
    """Beside safetensors, and instead of them."""
    (model / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"pytorch_model.bin"):
        weights_digest(model)
    (model / "model.safetensors").unlink()

    with pytest.raises(ModelError, match=r"holds no .safetensors"):
        weights_digest(model)


def test_bytes_behind_the_tensors_have_none(model: Path) -> None:
    """Nothing can hide behind what the header promises."""
    with (model / "model.safetensors").open("ab") as file:
        file.write(b"hidden")

    with pytest.raises(ModelError, match="promises"):
        weights_digest(model)


@pytest.mark.parametrize(
    "header", ["[" * 5000, '{"a": {"data_offsets": [0, 1e999]}}', '{"a": 1}', "[]"]
)
def test_a_header_that_is_none_has_no_digest(header: str, tmp_path: Path) -> None:
    """Nested without end, an offset without end, no tensor, no table."""
    content = header.encode()
    (tmp_path / "model.safetensors").write_bytes(len(content).to_bytes(8, "little") + content)

    with pytest.raises(ModelError, match="no readable safetensors header"):
        weights_digest(tmp_path)
