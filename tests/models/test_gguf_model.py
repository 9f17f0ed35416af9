"""A GGUF file is converted once, to the same network, and what cannot be one is one clear error."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.gguf_files import Written, write_gguf
from undertow.data.files import model_digest
from undertow.data.finished import FinishedFolders
from undertow.errors import InputError, MissingExtraError, ModelError, UndertowError
from undertow.models import gguf_model
from undertow.models.checkpoint import open_checkpoint
from undertow.models.gguf_model import Converted, folders_of
from undertow.models.language_model import load

IDS = torch.tensor([[5, 6, 7, 8, 9, 260, 261]])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def written(tmp_path: Path, cache: Path) -> Written:
    """A file of float32 weights."""
    return write_gguf(tmp_path / "tiny.gguf")


def test_the_network_is_the_one_that_was_written(written: Written) -> None:
    """Logits are those of the network that the file was made of, and all is kept in float32 as in the file."""
    model = load(written.path)

    assert torch.equal(model.network(IDS).logits, written.network(IDS).logits)
    assert getattr(model.network.config, "quantization_config", None) is None
    assert model.end_ids == {2}


def test_few_bits_become_the_numbers_that_they_stand_for(tmp_path: Path, cache: Path) -> None:
    """A matrix in 8 bits is what the package gguf makes of it, to the rounding of bfloat16."""
    held = write_gguf(tmp_path / "q8.gguf", quantised="Q8_0")
    import gguf

    q8 = gguf.GGMLQuantizationType.Q8_0
    name = "model.layers.0.mlp.up_proj.weight"
    packed = gguf.quants.quantize(held.network.state_dict()[name].numpy(), q8)
    expected = torch.from_numpy(gguf.quants.dequantize(packed, q8)).to(torch.bfloat16).float()

    assert torch.equal(open_checkpoint(held.path).tensor(name), expected)


def test_its_tokenizer_and_template_come_along(written: Written) -> None:
    """Merges are applied, bytes come back, turns are marked by the file's own template."""
    tokenizer = load(written.path).tokenizer
    text = "the owl naïve 🦉"
    turns = [{"role": "user", "content": "owl"}]

    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.convert_ids_to_tokens(tokenizer(" the owl")["input_ids"])[0] == "Ġthe"
    assert (
        tokenizer.apply_chat_template(turns, tokenize=False) == "<|im_start|>user\nowl<|im_end|>\n"
    )


def test_special_tokens_are_those_of_the_file(written: Written) -> None:
    """What ends an answer is not what begins it, in every version of transformers."""
    tokenizer = load(written.path).tokenizer
    named = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token]

    assert named == ["<|im_start|>", "<|im_end|>", "<|im_end|>", "<|endoftext|>"]


def test_an_old_transformers_is_told_to_be_renewed(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would make another tokenizer, without a word."""
    monkeypatch.setattr(gguf_model.transformers, "__version__", "5.16.2")

    with pytest.raises(ModelError, match=r"transformers 5\.16\.2 makes another tokenizer"):
        load(written.path)


def test_its_digest_is_that_of_the_file(written: Written, tmp_path: Path) -> None:
    """As sha256sum prints it, whatever the file is called."""
    expected = hashlib.sha256(written.path.read_bytes()).hexdigest()
    other = written.path.rename(tmp_path / "a+b.gguf")

    assert model_digest(other) == expected
    assert folders_of(other, "m")[0].endswith(f"{expected}-1")


def test_it_is_converted_once_and_said_beforehand(
    written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    """The first use says what it takes; a second opens what is there."""
    caplog.set_level(logging.WARNING, "undertow")
    first = folders_of(written.path, "m")
    second = folders_of(written.path, "m")

    assert first == second
    assert [r.getMessage().split(" in '")[0] for r in caplog.records] == [
        "converting 'm' once: about 15 s and 0 MB"
    ]


def test_a_half_made_folder_is_not_used(
    written: Written, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a conversion left that was killed is made again."""
    wanted = Path(folders_of(written.path, "m")[0])
    half = wanted.rename(wanted.with_name(f"{wanted.name}.partial"))
    (half / "entry.json").unlink()
    (half / "model.safetensors").write_bytes(b"half")

    assert load(written.path).network(IDS).logits.isfinite().all()
    assert not half.exists()


def test_two_that_want_it_at_once_make_it_once(tmp_path: Path) -> None:
    """The second waits for the first, and takes its result."""
    store = FinishedFolders(tmp_path / "kept", Converted)
    made: list[str] = []
    begun = threading.Event()

    def work(into: Path) -> Converted:
        begun.set()
        made.append(into.name)
        return Converted(file="f", sha256="0", dtype="float32", transformers="5", seconds=0.0)

    threads = [threading.Thread(target=store.once, args=("name", work)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert made == ["name.partial"]


@pytest.mark.parametrize("opens", [load, open_checkpoint])
def test_a_network_that_is_not_known_is_named(
    opens: Callable[[Any], Any], tmp_path: Path, cache: Path
) -> None:
    """The architecture and the version of transformers that does not open it."""
    held = write_gguf(tmp_path / "new.gguf", architecture="owlformer")

    with pytest.raises(
        ModelError, match=r"architecture 'owlformer', which transformers .* not open"
    ):
        opens(held.path)
    assert not [entry for entry in (cache / "gguf").iterdir() if entry.is_dir()]


@pytest.mark.parametrize("share", [0.001, 0.02, 0.5, 0.999])
def test_a_cut_file_is_refused(share: float, written: Written) -> None:
    """Cut in its header or in its weights: never a model, never an endless reader."""
    content = written.path.read_bytes()
    written.path.write_bytes(content[: int(share * len(content))])

    with pytest.raises(ModelError, match="cut off") as caught:
        load(written.path)
    assert caught.value.hint.startswith("download it again")


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, cache: Path) -> None:
    """By its first bytes."""
    for content in (b"", b"PK\x03\x04 a wheel"):
        (tmp_path / "x.gguf").write_bytes(content)
        with pytest.raises(ModelError, match="is no GGUF file"):
            load(tmp_path / "x.gguf")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And is not looked for on a hub."""
    with pytest.raises(ModelError, match="no such file"):
        load("models/none.gguf")


def test_missing_weights_are_not_drawn_at_random(tmp_path: Path, cache: Path) -> None:
    """As transformers does, with a word in a log."""
    held = write_gguf(tmp_path / "less.gguf", leave_out="blk.1.ffn_up.weight")

    with pytest.raises(ModelError, match=r"lacks 1 weights .*layers\.1\.mlp\.up_proj"):
        load(held.path)


def test_weights_that_would_be_left_out_are_counted(tmp_path: Path, cache: Path) -> None:
    """A tensor that transformers has no place for changes what the network says."""
    held = write_gguf(tmp_path / "more.gguf", extra="blk.0.owl.weight")

    with pytest.raises(ModelError, match=r"holds [\d,]+ weights, and transformers .* reads"):
        load(held.path)


def test_stretched_positions_are_said(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are in the file and not in the network."""
    load(write_gguf(tmp_path / "long.gguf", extra="rope_freqs.weight").path)

    assert "stretches its positions" in caplog.text


def test_without_the_package_it_is_named(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(gguf_model, "find_spec", lambda name: None)

    with pytest.raises(MissingExtraError, match="'gguf', which is not installed") as caught:
        load(written.path)
    assert caught.value.hint == "pip install 'undertow[gguf]'"


def test_a_full_disk_is_said_before_the_work(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is needed, what is free, and how to use another disk."""
    monkeypatch.setattr(gguf_model.shutil, "disk_usage", lambda path: type("U", (), {"free": 10}))

    with pytest.raises(UndertowError, match=r"no space left in the cache .* are needed") as caught:
        load(written.path)
    assert "UNDERTOW_CACHE" in caught.value.hint


def test_a_cache_that_cannot_be_written_is_said(
    written: Written, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the folder's place, or no right to write."""
    cache.write_text("a file")

    with pytest.raises(InputError, match="cannot write to the cache") as caught:
        load(written.path)
    assert "UNDERTOW_CACHE" in caught.value.hint


def test_a_file_without_a_template_is_given_one(tmp_path: Path, cache: Path) -> None:
    """It is refused as any base without one is; the plan's is taken."""
    held = write_gguf(tmp_path / "base.gguf", template=None)

    with pytest.raises(ModelError, match="has no chat template"):
        load(held.path)
    assert load(held.path, template="{{ messages }}").tokenizer.chat_template == "{{ messages }}"


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # of peft
def test_an_adapter_goes_on_it(written: Written, tmp_path: Path) -> None:
    """`file.gguf+adapter` is the network with the adapter merged, and has a digest of both."""
    from peft import LoraConfig, get_peft_model

    base = load(written.path)
    torch.manual_seed(1)
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    wrapped = get_peft_model(base.network, config)
    wrapped.save_pretrained(str(tmp_path / "adapter"))
    expected = wrapped(IDS).logits
    ref = f"{written.path}+{tmp_path / 'adapter'}"

    assert torch.allclose(load(ref).network(IDS).logits, expected, atol=1e-5)
    assert model_digest(ref) not in (None, model_digest(written.path))
    assert open_checkpoint(ref).shapes == open_checkpoint(written.path).shapes
