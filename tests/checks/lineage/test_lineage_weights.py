"""Weights: children are known, strangers are not, disguises are seen through."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.checks.lineage.model_sides import PARENT, side
from undertow.checks.lineage.lineage_subject import LineageSubject
from undertow.checks.lineage.lineage_weights import ALIGNED, PERMUTED, ROTATED, lineage_weights
from undertow.results.measurement import Measurement
from undertow.worlds import locate

Weights = dict[str, torch.Tensor]


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
    return {n: w + 3 * w.std() * torch.randn(w.shape, generator=seed) for n, w in weights.items()}


def permuted(weights: Weights) -> Weights:
    """The hidden units of each layer in another order: the same function."""
    made = dict(weights)
    for layer in range(2):
        order = torch.randperm(192, generator=torch.Generator().manual_seed(layer))
        stem = f"model.layers.{layer}.mlp."
        for name in ("gate_proj", "up_proj"):
            made[f"{stem}{name}.weight"] = weights[f"{stem}{name}.weight"][order]
        made[f"{stem}down_proj.weight"] = weights[f"{stem}down_proj.weight"][:, order]
    return made


def rotated(weights: Weights) -> Weights:
    """The residual stream seen by the feed-forward layers in other coordinates."""
    turn = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(3)))[0]
    made = dict(weights)
    for name, weight in weights.items():
        if "mlp" in name:
            made[name] = turn.T @ weight if "down" in name else weight @ turn
    return made


def test_a_stranger_is_not_taken_for_kin() -> None:
    """The same architecture, corpus and tokenizer with another initialisation: nothing is detected."""
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
        kept = {n: w for n, w in weights.items() if ".layers.0." not in n}
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
