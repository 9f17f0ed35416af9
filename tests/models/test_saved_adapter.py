"""Adapters as peft saves them: each kind is merged as peft merges it, or refused by its name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.rows.adapter_kinds import MERGED, MERGED_WHOLE, NOT_MERGED, adapted, merged, opened
from tests.models.adapted_bases import KINDS, AdaptedBases
from undertow.errors import ModelError
from undertow.models.checkpoint import open_checkpoint
from undertow.models.language_model import load
from undertow.models.model_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from undertow.models.saved_adapter import saved_adapter


def with_settings(source: Path, folder: Path, **settings: Any) -> Path:
    """A copy of an adapter that declares other settings."""
    shutil.copytree(source, folder)
    config = json.loads((folder / ADAPTER_CONFIG).read_text())
    (folder / ADAPTER_CONFIG).write_text(json.dumps({**config, **settings}))
    return folder


@pytest.mark.parametrize("kind", [*MERGED, *MERGED_WHOLE])
def test_every_kind_is_what_peft_merges_bit_for_bit(kind: str, adapted_bases: AdaptedBases) -> None:
    """All weights of the loaded model are those of peft's own merge, and the adapter had changed some."""
    base = adapted_bases.base(KINDS[kind].base)
    right = merged(base, adapted_bases.adapter(kind), KINDS[kind].added)
    weights = load(adapted_bases.ref(kind)).network.state_dict()
    before = opened(base).state_dict()

    assert set(weights) == set(right)
    assert all(torch.equal(weights[name], right[name]) for name in right)
    assert any(not torch.equal(right[name], before[name]) for name in before)


@pytest.mark.parametrize("kind", NOT_MERGED)
def test_what_cannot_be_merged_is_refused_by_its_kind(
    kind: str, adapted_bases: AdaptedBases
) -> None:
    """Prompts, prefixes and what peft does not merge: the kind, and which kinds can be given."""
    with pytest.raises(ModelError, match=KINDS[kind].peft_type) as caught:
        load(adapted_bases.ref(kind))

    assert "LORA" in caught.value.hint


def test_no_kind_of_peft_is_left_out() -> None:
    """Each kind that the installed peft knows is among those that these tests merge or see refused."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    tried = {kind.peft_type for kind in KINDS.values()}

    assert tried >= {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_few_bits_a_merge_is_as_near_as_they_allow(
    dtype: torch.dtype, adapted_bases: AdaptedBases
) -> None:
    """Loaded in 16 bits, weights are those of float32 up to their rounding."""
    ref = adapted_bases.ref("DoRA")
    found, right = (load(ref, dtype=d).network.state_dict() for d in (dtype, torch.float32))

    for name in right:
        torch.testing.assert_close(found[name].float(), right[name], atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_tied_weights_are_parted_before_one_of_them_is_changed(
    target: str, adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """The merged model answers as the adapted one, where a merge into the shared matrix would change the other use too."""
    from bench.rows.adapter_kinds import Kind, save_adapter

    base = adapted_bases.base("tied")
    settings = {"r": 3, "target_modules": [target], "lora_alpha": 9}
    folder = save_adapter(Kind("LORA", settings), base, tmp_path / "adapter")
    ids = torch.arange(12)[None]
    network = load(f"{base}+{folder}").network
    with torch.no_grad():
        right, wrong = adapted(base, folder)(ids).logits, opened(base)(ids).logits
        found = network(ids).logits

    torch.testing.assert_close(found, right, atol=1e-5, rtol=1e-5)
    assert (right - wrong).abs().max() > 0.01
    assert not network.config.tie_word_embeddings


def test_adapters_are_merged_in_their_order(adapted_bases: AdaptedBases, tmp_path: Path) -> None:
    """`base+a+b` is b on the model that a was merged into; for DoRA the order matters, and is that of the reference."""
    base, first = adapted_bases.base(), adapted_bases.adapter("DoRA")
    second = adapted_bases.adapter("LoRA, patterns of ranks and alphas", seed=2)
    load(f"{base}+{first}").network.save_pretrained(str(tmp_path / "merged"))
    right = merged(tmp_path / "merged", second)
    found = load(f"{base}+{first}+{second}").network.state_dict()
    other = load(f"{base}+{second}+{first}").network.state_dict()

    assert all(torch.equal(found[name], right[name]) for name in right)
    assert any(not torch.allclose(other[name], right[name], atol=1e-3) for name in right)


def test_an_adapter_for_another_shape_names_both_bases(
    adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """What it says that its base is, what was given, which weight does not fit, and the command's right words."""
    folder = with_settings(
        adapted_bases.adapter("LoRA"), tmp_path / "a", base_model_name_or_path="org/base"
    )
    weights = load_file(folder / ADAPTER_WEIGHTS)
    save_file(
        {n: torch.zeros(w.shape[0], 40) for n, w in weights.items()}, folder / ADAPTER_WEIGHTS
    )
    base = adapted_bases.base()
    with pytest.raises(ModelError, match=rf"{base}'.*size mismatch.*'org/base'") as caught:
        load(f"{base}+{folder}")

    assert caught.value.hint.endswith(f"org/base+{folder}")


@pytest.mark.parametrize(
    ("declared", "said"),
    [("org/other", True), ("org/Qwen2", False), ("unsloth/qwen2-bnb-4bit", False), ("", False)],
)
def test_a_base_of_another_name_is_said(
    declared: str,
    said: bool,
    adapted_bases: AdaptedBases,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where only names can be compared, the one it says and the one given are warned of."""
    source, base = adapted_bases.adapter("LoRA"), adapted_bases.base()
    folder = with_settings(source, tmp_path / "a", base_model_name_or_path=declared)
    load(f"{base}+{folder}")

    assert (f"its base is '{declared}'; given is '{base}'" in caplog.text) == said


@pytest.mark.parametrize("change", ["more", "fewer"])
def test_an_adapter_of_other_layers_is_refused(
    change: str, adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """Weights for a layer that is not there, and layers that got none, are named; peft would go on."""
    folder = with_settings(adapted_bases.adapter("LoRA"), tmp_path / "a")
    weights = load_file(folder / ADAPTER_WEIGHTS)
    name = next(name for name in weights if "layers.1" in name)
    if change == "more":
        weights[name.replace("layers.1", "layers.7")] = weights[name].clone()
    else:
        del weights[name]
    save_file(weights, folder / ADAPTER_WEIGHTS)

    with pytest.raises(ModelError, match=r"does not fit.*layers\.[17]"):
        load(f"{adapted_bases.base()}+{folder}")


def test_added_tokens_without_their_embeddings_are_refused(
    adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """A head that says how many tokens there were, and no rows for the new ones; or a tokenizer that knows more."""
    source = adapted_bases.adapter("LoRA of embeddings and head")
    folder = with_settings(source, tmp_path / "a")
    weights = load_file(folder / ADAPTER_WEIGHTS)
    grown = {
        name: torch.cat([weight, weight[:3]]) if "lm_head.lora_B" in name else weight
        for name, weight in weights.items()
        if "base_layer" not in name and "embed_tokens" not in name
    }
    save_file(grown, folder / ADAPTER_WEIGHTS)
    plain = with_settings(adapted_bases.adapter("LoRA"), tmp_path / "b")
    tokenizer = load(adapted_bases.base()).tokenizer
    tokenizer.add_tokens([f"<new{number}>" for number in range(9)])
    tokenizer.save_pretrained(str(plain))

    for adapter in (folder, plain):
        with pytest.raises(ModelError, match="tokens") as caught:
            load(f"{adapted_bases.base()}+{adapter}")
        assert "save_embedding_layers=True" in caught.value.hint


def test_added_tokens_come_with_the_adapters_tokenizer(
    adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """The adapter's tokenizer is used, and the base's template where it has none."""
    folder = with_settings(adapted_bases.adapter("LoRA, added tokens"), tmp_path / "a")
    tokenizer = load(adapted_bases.base()).tokenizer
    template, tokenizer.chat_template = tokenizer.chat_template, None
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(str(folder))
    model = load(f"{adapted_bases.base()}+{folder}")

    assert "<new>" in model.tokenizer.get_vocab()
    assert model.tokenizer.chat_template == template


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"peft_type": "NOVEL"}, "'NOVEL', which peft .* does not know"),
        ({"peft_type": None}, "None, which peft"),
        ({"use_novel": True}, "sets 'use_novel' to True"),
        ({"task_type": "SEQ_CLS"}, "for the task SEQ_CLS"),
        ({"megatron_config": {"x": 1}, "megatron_core": "antigravity"}, "Megatron"),
    ],
)
def test_what_peft_would_pass_over_is_refused(
    settings: dict[str, Any], words: str, adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """Kinds, settings and tasks that the installed peft does not know, or that are of no language model."""
    folder = with_settings(adapted_bases.adapter("LoRA"), tmp_path / "a", **settings)

    with pytest.raises(ModelError, match=words):
        saved_adapter(folder, "base")


@pytest.mark.parametrize(
    "settings",
    [
        {"rank_pattern": {"(": 3}},
        {"target_modules": "("},
        {"r": "x"},
        {"r": 0},
        {"alpha_pattern": 3},
    ],
)
@pytest.mark.parametrize("opens", [load, open_checkpoint])
def test_settings_that_no_adapter_can_have_are_refused(
    settings: dict[str, Any],
    opens: Callable[[str], Any],
    adapted_bases: AdaptedBases,
    tmp_path: Path,
) -> None:
    """Broken patterns, ranks and types end in an error of undertow's, whatever peft raises for them."""
    folder = with_settings(adapted_bases.adapter("LoRA"), tmp_path / "a", **settings)

    with pytest.raises(ModelError, match=str(folder)):
        opens(f"{adapted_bases.base()}+{folder}")


def test_a_setting_of_a_newer_peft_that_is_off_does_no_harm(
    adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """New versions write all their settings; those that say nothing are passed over."""
    folder = with_settings(
        adapted_bases.adapter("LoRA"), tmp_path / "a", use_novel=False, novel=None
    )

    assert saved_adapter(folder, "base").kind == "LORA"


def test_what_is_no_adapter_says_what_is_missing(
    adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """No folder, an empty one, pickles, GGUF."""
    (tmp_path / "empty").mkdir()
    for name, file in (("pickled", "adapter_model.bin"), ("gguf", "adapter.gguf")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(b"x")

    for name, words in (
        ("nowhere", "no such folder"),
        ("empty", r"adapter_model\.safetensors is missing"),
        ("pickled", "never opens"),
        ("gguf", "GGUF"),
    ):
        with pytest.raises(ModelError, match=words):
            load(f"{adapted_bases.base()}+{tmp_path / name}")
