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
    """
    The same as everywhere else, so that an audit finds its student; none for what is not here.
    """
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
