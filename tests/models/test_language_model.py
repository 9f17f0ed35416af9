"""What cannot be loaded is refused with its name and the next step; nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from undertow.data.files import model_digest
from undertow.errors import ModelError
from undertow.models.language_model import load, with_adapter


def test_a_folder_loads(model_folder: Path) -> None:
    """A model in the ordinary format needs nothing else."""
    model = load(model_folder, ref="mine")

    assert model.ref == "mine"
    assert not model.network.training


def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    """A path that is not there is no hub name."""
    with pytest.raises(ModelError, match=r"unknown model '\./nowhere'"):
        load("./nowhere")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["rows.jsonl", "data/rows.jsonl"])
def test_a_file_of_something_else_is_no_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, so nobody says that it is not, and no hub is asked for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
    with pytest.raises(ModelError, match=f"unknown model '{name}': a file that holds no model"):
        load(name)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    """A checkpoint that would have to be unpickled is never opened; the conversion is named."""
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pickled weights \(pytorch_model.bin\)") as caught:
        load(tmp_path)

    assert "save_pretrained" in caught.value.hint


def test_a_template_is_required(model_folder: Path, tmp_path: Path, tokenizer: Any) -> None:
    """Without a chat template the chat context would be a guess; a plan's fills the place, and replaces none."""
    for file in model_folder.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())

    with pytest.raises(ModelError, match="has no chat template"):
        load(tmp_path)
    assert load(tmp_path, template="{{ 1 }}").tokenizer.chat_template == "{{ 1 }}"
    assert load(model_folder, template="{{ 1 }}").tokenizer.chat_template == tokenizer.chat_template


def test_a_missing_adapter_is_named(model_folder: Path, tmp_path: Path) -> None:
    """A folder without an adapter is refused before peft looks for a hub."""
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors is missing"):
        with_adapter(load(model_folder), tmp_path)


def test_the_digest_sees_every_weight(model_folder: Path, tmp_path: Path) -> None:
    """A copy has the same digest; one changed byte of the weights changes it."""
    for file in model_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    same = model_digest(tmp_path)
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    assert same == model_digest(model_folder)
    assert model_digest(tmp_path) != same
    assert model_digest("org/name") is None
