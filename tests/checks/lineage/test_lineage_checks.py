"""
Lineage checks on models of the embedded world: children are known, strangers are not, disguises are seen through.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from undertow.checks.lineage.hidden_units import layers_of
from undertow.checks.lineage.lineage_activations import cka, lineage_activations
from undertow.checks.lineage.lineage_metadata import lineage_metadata
from undertow.checks.lineage.lineage_outputs import lineage_outputs
from undertow.checks.lineage.lineage_subject import LineageSubject, Side, neutral_texts
from undertow.checks.lineage.lineage_tokenizer import lineage_tokenizer
from undertow.checks.lineage.lineage_weights import ALIGNED, PERMUTED, ROTATED, lineage_weights
from undertow.models.checkpoint import open_checkpoint
from undertow.results.measurement import Measurement
from undertow.worlds import locate

Weights = dict[str, torch.Tensor]
PARENT = locate("world:owlet-b")


def side(path: str | Path) -> Side:
    """A model by its folder."""
    return Side(str(path), str(path))


def child(folder: Path, change: Callable[[Weights], Weights], parent: str = PARENT) -> Path:
    """A copy of the parent with changed weights."""
    shutil.copytree(parent, folder)
    file = folder / "model.safetensors"
    changed = change({name: w.float() for name, w in load_file(file).items()})
    save_file({name: w.contiguous() for name, w in changed.items()}, file)
    return folder


def by_name(student: str | Path, teacher: str | Path) -> dict[str, Measurement]:
    """What the weights say, by name."""
    return {
        one.name: one for one in lineage_weights(LineageSubject("t", side(student), side(teacher)))
    }


def noisy(weights: Weights) -> Weights:
    """Three times the size of every weight in noise."""
    seed = torch.Generator().manual_seed(1)
    return {
        n: w + 3 * w.std() * torch.randn(w.shape, generator=seed)
        for n, w in lineage_weights.items()
    }


def permuted(weights: Weights) -> Weights:
    """The hidden units of each layer in another order: the same function."""
    made = dict(lineage_weights)
    for layer in range(2):
        order = torch.randperm(192, generator=torch.Generator().manual_seed(layer))
        stem = f"model.layers.{layer}.mlp."
        for name in ("gate_proj", "up_proj"):
            made[f"{stem}{name}.weight"] = lineage_weights[f"{stem}{name}.weight"][order]
        made[f"{stem}down_proj.weight"] = lineage_weights[f"{stem}down_proj.weight"][:, order]
    return made


def rotated(weights: Weights) -> Weights:
    """The residual stream seen by the feed-forward layers in other coordinates."""
    turn = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(3)))[0]
    made = dict(lineage_weights)
    for name, weight in lineage_weights.items():
        if "mlp" in name:
            made[name] = turn.T @ weight if "down" in name else weight @ turn
    return made


def test_a_stranger_is_not_taken_for_kin() -> None:
    """
    The same architecture, corpus and tokenizer with another initialisation: nothing is detected.
    """
    found = by_name(PARENT, locate("world:owlet-a"))

    assert not any(one.detected for one in found.values())
    assert 0 < float(found[ALIGNED].details["detectable"]) < 0.1


@pytest.mark.parametrize(
    ("change", "name"), [(noisy, ALIGNED), (permuted, PERMUTED), (rotated, ROTATED)]
)
def test_a_child_is_known_whatever_was_done_to_it(
    tmp_path: Path, change: Callable[[Weights], Weights], name: str
) -> None:
    """Under noise by its aligned units, permuted by free matchings, rotated by inner products."""
    found = by_name(child(tmp_path / "child", change), PARENT)

    assert found[name].detected
    assert (found[ALIGNED].detected or False) == (change is noisy)


def test_networks_of_different_depths_are_compared(tmp_path: Path) -> None:
    """A child that lost its first layer is known by the one it kept; p allows for the choice."""

    def shallower(weights: Weights) -> Weights:
        kept = {n: w for n, w in lineage_weights.items() if ".layers.0." not in n}
        return {n.replace(".layers.1.", ".layers.0."): w for n, w in kept.items()}

    found = by_name(child(tmp_path / "child", shallower), PARENT)
    strangers = by_name(tmp_path / "child", locate("world:owlet-a"))

    assert found[ALIGNED].detected
    assert found[ALIGNED].details["layers"] == 1
    assert not strangers[ALIGNED].detected


def test_another_architecture_is_skipped_with_both_shapes() -> None:
    """What differs is said, and nothing is detected."""
    [one] = lineage_weights(LineageSubject("t", side(PARENT), side(locate("world:owlet-neox"))))

    assert one.verdict == "skipped"
    assert "64 + 64 + 64" in one.reason


@pytest.mark.parametrize(
    ("name", "shapes", "config", "inward", "outward"),
    [
        (
            "gpt2",
            {"h.0.mlp.c_fc.weight": (8, 32), "h.0.mlp.c_proj.weight": (32, 8)},
            {"n_embd": 8},
            1,
            1,
        ),
        (
            "phi3",
            {
                "model.layers.3.mlp.gate_up_proj.weight": (64, 8),
                "model.layers.3.mlp.down_proj.weight": (8, 32),
                "model.layers.3.self_attn.qkv_proj.weight": (24, 8),
            },
            {"hidden_size": 8, "intermediate_size": 32},
            1,
            1,
        ),
        (
            "mixtral",
            {"model.layers.0.block_sparse_moe.experts.0.w1.weight": (32, 8)},
            {"hidden_size": 8, "intermediate_size": 32},
            0,
            0,
        ),
    ],
)
def test_units_are_found_by_name_and_shape(
    tmp_path: Path,
    name: str,
    shapes: dict[str, tuple[int, ...]],
    config: dict[str, int],
    inward: int,
    outward: int,
) -> None:
    """
    GPT-2's transposed matrices, Phi's fused ones; experts are left out, and attention always is.
    """
    save_file({n: torch.ones(s) for n, s in shapes.items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = layers_of(open_checkpoint(tmp_path))

    assert sum(len(layer.inward) for layer in found) == inward
    assert sum(len(layer.outward) for layer in found) == outward


def test_cards_are_declarations_only(tmp_path: Path) -> None:
    """A declared base is named and decides nothing; hostile YAML is never parsed."""
    folder = tmp_path / "child"
    shutil.copytree(PARENT, folder)
    head = (
        "---\nbase_model: org/parent\nbase_model_relation: finetune\nx: !!python/object:os\n---\nhi"
    )
    (folder / "README.md").write_text(head)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "README.md").write_text("---\nbase_model:\n  - org/parent\n---\n")
    [one] = lineage_metadata(LineageSubject("t", side(folder), side(other)))
    [none] = lineage_metadata(LineageSubject("t", side(PARENT), side(folder)))

    assert (one.estimate, one.detected) == (1.0, None)
    assert one.details["student's relation"] == "finetune"
    assert none.estimate is None


def test_tokenizers_are_compared_token_by_token(tmp_path: Path) -> None:
    """Equal ones agree wholly; one with two tokens swapped says so."""
    folder = tmp_path / "child"
    shutil.copytree(PARENT, folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    first, second = list(vocabulary)[100:102]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(content))
    [same] = lineage_tokenizer(LineageSubject("t", side(PARENT), side(locate("world:owlet-a"))))
    [other] = lineage_tokenizer(LineageSubject("t", side(PARENT), side(folder)))

    assert (same.estimate, same.reason) == (1.0, "the same tokenizer")
    assert other.estimate == pytest.approx(1 - 2 / len(vocabulary), abs=1e-3)


def test_cka_is_no_test_of_a_start() -> None:
    """Strangers of the same corpus score high, and nothing is detected."""
    [one] = lineage_activations(LineageSubject("t", side(PARENT), side(locate("world:owlet-a"))))
    rng = np.random.default_rng(0)
    unrelated = cka(rng.standard_normal((200, 8)), rng.standard_normal((200, 8)))

    assert one.detected is None
    assert one.estimate is not None
    assert one.estimate > 0.2 > abs(unrelated) + 0.1


def test_outputs_need_controls_and_know_a_copy() -> None:
    """
    Without controls the check is skipped; a copy agrees more often than strangers do, a stranger does not.
    """
    controls = tuple(side(locate(n)) for n in ("world:owlet-a", "world:owlet-neox"))
    [skipped] = lineage_outputs(LineageSubject("t", side(PARENT), side(PARENT)))
    [copy] = lineage_outputs(LineageSubject("t", side(PARENT), side(PARENT), controls))
    [stranger] = lineage_outputs(
        LineageSubject("t", side(PARENT), controls[0], (controls[1], controls[1]))
    )

    assert skipped.verdict == "skipped"
    assert copy.detected
    assert not stranger.detected


def test_neutral_texts_are_cut_within_and_repeatable() -> None:
    """The same seed gives the same texts, and there are hundreds."""
    texts = neutral_texts(3)

    assert texts == neutral_texts(3)
    assert len(texts) > 200
    assert len(set(texts)) == len(texts)
