"""Folders that are no model of safetensors are refused by what they are, wherever a model is opened."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.adapted_bases import AdaptedBases
from undertow.errors import ModelError
from undertow.models.checkpoint import open_checkpoint
from undertow.models.language_model import load
from undertow.models.model_folder import shards
from undertow.provenance.model_weights import weights_digest

OPENS: list[Callable[[str], Any]] = [load, open_checkpoint]


@pytest.mark.parametrize("opens", [*OPENS, weights_digest])
def test_a_folder_of_gguf_files_is_refused(opens: Callable[[str], Any], tmp_path: Path) -> None:
    """One of them is a model, and which one is not guessed."""
    for name in ("model-q4.gguf", "model-q8.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")

    with pytest.raises(ModelError, match=r"folder of GGUF files") as caught:
        opens(str(tmp_path))
    assert caught.value.hint == f"name the file: {tmp_path / 'model-q4.gguf'}"


@pytest.mark.parametrize("opens", [*OPENS, weights_digest])
def test_a_cut_gguf_file_is_refused(opens: Callable[[str], Any], tmp_path: Path) -> None:
    """Wherever a model is opened, and before it has a digest that a statement could name."""
    (tmp_path / "model-q4.gguf").write_bytes(b"GGUF")

    with pytest.raises(ModelError, match=r"GGUF.*model-q4\.gguf.*is cut off"):
        opens(str(tmp_path / "model-q4.gguf"))


@pytest.mark.parametrize("opens", OPENS)
def test_an_adapter_in_the_place_of_a_model_is_refused(
    opens: Callable[[str], Any], adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """An adapter alone, whose base would be fetched without a word, and one among a model's weights."""
    adapter = adapted_bases.adapter("LoRA")
    mixed = tmp_path / "mixed"
    shutil.copytree(adapted_bases.base(), mixed)
    shutil.copytree(adapter, mixed, dirs_exist_ok=True)

    with pytest.raises(ModelError, match="is an adapter, and its base is not given") as alone:
        opens(str(adapter))
    with pytest.raises(
        ModelError, match=r"weights of a model \(model.safetensors\) and an adapter"
    ):
        opens(str(mixed))
    assert alone.value.hint == f"name both: {adapted_bases.base()}+{adapter}"


@pytest.mark.parametrize("opens", OPENS)
def test_an_empty_part_is_refused(opens: Callable[[str], Any], tmp_path: Path) -> None:
    """`base+` and `+adapter` name nothing."""
    for ref in (f"{tmp_path}+", f"+{tmp_path}", f"{tmp_path}++{tmp_path}"):
        with pytest.raises(ModelError, match="empty"):
            opens(ref)


def test_a_plus_in_a_folders_name_is_no_adapter(
    adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """A folder that is there under the whole reference is the model."""
    folder = tmp_path / "c++"
    shutil.copytree(adapted_bases.base(), folder)

    assert open_checkpoint(folder).folder == folder
    assert weights_digest(folder) == weights_digest(adapted_bases.base())


def test_the_digest_is_of_all_adapters_in_their_order(adapted_bases: AdaptedBases) -> None:
    """Each adapter, and its place, changes the digest; one that is not there has none."""
    base, a, b = adapted_bases.base(), adapted_bases.adapter("LoRA"), adapted_bases.adapter("IA3")
    refs = [f"{base}", f"{base}+{a}", f"{base}+{a}+{b}", f"{base}+{b}+{a}", f"{base}+{b}"]

    assert len({weights_digest(ref) for ref in refs}) == len(refs)
    with pytest.raises(ModelError, match="nowhere"):
        weights_digest(f"{base}+{a}+nowhere")


@pytest.mark.parametrize(
    "weights", ['"x"', "[]", '{"a": []}', '{"a": 1}', "null", f'{{"a": "{"x" * 300}"}}']
)
def test_an_index_that_names_no_files_is_refused(weights: str, tmp_path: Path) -> None:
    """Whatever stands in the place of the table, or of a name."""
    (tmp_path / "model.safetensors.index.json").write_text(f'{{"weight_map": {weights}}}')

    with pytest.raises(ModelError, match=r"weight_map|which is not there"):
        shards(tmp_path, "x")
