"""Continuations that are laid out as trees have the likelihoods of whole texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checks.dataset.numbers_subject import opened
from tests.models.conftest import tiny
from tests.models.test_answers import ANSWERS
from undertow.data.plan import TrainingPlan
from undertow.data.rows import conversation
from undertow.models import continuations as laid_out
from undertow.models import scoring
from undertow.models.adapters import parallel_adapters
from undertow.models.answers import probe
from undertow.models.chat import Encoded, encode_prompts
from undertow.models.continuations import (
    Continued,
    continuations,
    next_token_sums,
)
from undertow.models.language_model import LanguageModel, load
from undertow.models.scoring import forward_pass, keeps_to_masks, log_likelihoods

FORMS = ((5,), (7, 9), (11, 3, 8), (7,), (2, 2, 2, 2), (7, 9, 4), (11, 3, 9), (7, 9, 4, 4, 1))
SYSTEM = "Answer with one word, and with no other words than that one."
QUESTIONS = ("What is it?", "Continue: 1 2 3 4. Ten more numbers.", "Why?")
Forms = tuple[tuple[int, ...], ...]


def asked(model: LanguageModel, forms: Forms = FORMS) -> list[Continued]:
    """Questions, some of them behind a system prompt, and one of them with other forms than the others."""
    texts = [conversation(text) for text in QUESTIONS]
    texts += [conversation(text, SYSTEM) for text in QUESTIONS]
    prompts = encode_prompts(model.tokenizer, texts)
    return [Continued(prompt, forms[i % 2 :]) for i, prompt in enumerate(prompts)]


def whole_texts(model: LanguageModel, entries: list[Continued]) -> list[torch.Tensor]:
    """The same by one row a form, each with all of its tokens."""
    made = []
    for one in entries:
        rows = [Encoded(one.prompt, form) for form in one.forms]
        made.append(log_likelihoods(model, rows)[None])
    return made


@torch.no_grad()
def read(model: LanguageModel, entries: list[Continued], **how: Any) -> list[torch.Tensor]:
    """The likelihoods without gradients."""
    return continuations(model, entries, **how)


def agree(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    """Up to the noise of float32."""
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [1, 3, None])
@pytest.mark.parametrize("largest", [1, 4, 256])
def test_they_agree_with_whole_texts(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, largest: int
) -> None:
    """Whatever the rows of a pass, the size of trees and the lengths of prompts and forms, on every architecture."""
    monkeypatch.setattr(laid_out, "LARGEST", largest)
    laid_out._trees.cache_clear()
    model = load(model_folder)
    entries = asked(model)

    assert keeps_to_masks(model.network)
    agree(read(model, entries, size=size), whole_texts(model, entries))
    laid_out._trees.cache_clear()


@settings(deadline=None, max_examples=25)
@given(forms=st.lists(st.lists(st.integers(2, 5), min_size=1, max_size=5), min_size=1, max_size=12))
def test_any_forms_have_their_places_in_a_tree(forms: list[list[int]]) -> None:
    """Each token of each form is looked up once, behind exactly what stands before it in the form."""
    given_forms = tuple(tuple(form) for form in forms)
    looked = []
    for branches in (True, False):
        trees = laid_out._trees(given_forms, branches)
        for tree in trees:
            assert branches or tree.is_chain
            for at, token, column in zip(tree.at, tree.wanted, tree.columns, strict=True):
                place = int(tree.places[at])
                way = [tree.tokens[i] for i in tree.sees[place - 1].nonzero()[0]] if place else []
                looked.append((branches, int(column), (*way, int(token))))
    expected = [
        (branches, column, form[: k + 1])
        for branches in (True, False)
        for column, form in enumerate(given_forms)
        for k in range(len(form))
    ]

    assert sorted(looked) == sorted(expected)


def test_a_network_with_a_state_reads_texts_one_by_one(tokenizer: Any) -> None:
    """A convolution carries on what stands beside a token: no tree, and the same likelihoods as of whole texts."""
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    config = MambaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, state_size=4
    )
    model = LanguageModel(MambaForCausalLM(config).eval(), tokenizer, "mamba")
    entries = [Continued(prompt[-12:], FORMS) for prompt in {one.prompt for one in asked(model)}]
    entries = [Continued(one.prompt[-5:], one.forms) for one in entries]

    assert not keeps_to_masks(model.network)
    agree(read(model, entries, size=1), whole_texts(model, entries))


def small(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """The sizes of a random network."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 24,
        **more,
    }


@pytest.mark.parametrize("window", [6, 40, 60])
def test_a_window_that_is_too_short_for_a_text_is_kept(tokenizer: Any, window: int) -> None:
    """What a window cuts off is not seen through a tree's mask, nor counted with padding behind a shared beginning."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(**small(tokenizer, sliding_window=window))
    model = LanguageModel(MistralForCausalLM(config).eval(), tokenizer, "mistral")
    entries = asked(model)
    prompts = [one.prompt for one in entries]
    alone = torch.stack([next_token_sums(model, [prompt]) for prompt in prompts]).sum(0)

    agree(read(model, entries), whole_texts(model, entries))
    agree([next_token_sums(model, prompts)], [alone])


def test_flash_attention_is_not_tried_with_a_mask_of_its_own(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads texts one by one, and no pass is made to find that out: on a GPU that pass would end all work there."""
    network = tiny("llama", tokenizer)
    monkeypatch.setattr(scoring, "_beside", pytest.fail)
    network.config._attn_implementation_internal = "flash_attention_2"

    assert not keeps_to_masks(network)


def test_experts_do_not_keep_a_network_from_trees(tokenizer: Any) -> None:
    """They round otherwise where other rows come with a token, by nothing that is seen."""
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    for seed in range(3):
        torch.manual_seed(seed)
        config = Qwen3MoeConfig(
            **small(tokenizer, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8)
        )
        model = LanguageModel(Qwen3MoeForCausalLM(config).eval(), tokenizer, "moe")
        entries = asked(model)

        assert keeps_to_masks(model.network)
        agree(read(model, entries), whole_texts(model, entries))


def test_nothing_is_asked() -> None:
    """No prompt has no likelihoods."""
    model = opened()

    assert continuations(model, []) == []
    assert probe(model, [], ANSWERS).log_likelihoods.shape == (0, len(ANSWERS))


@torch.no_grad()
def test_what_a_pass_keeps_beside_its_rows_is_counted(model: LanguageModel) -> None:
    """The cache behind a beginning to the byte, and the mask with what it is made from: booleans twice, and before its repetition."""
    rows = laid_out._laid_out(model, asked(model), 1)
    [(begun, members)] = [group for group in laid_out._groups(rows, shared=True) if group[0]]
    members = sorted(members, key=len, reverse=True)
    given = laid_out._inputs(model, members, begun, 1)
    forward_pass(model.network, **given)
    cache, mask = given["past_key_values"], given["attention_mask"]
    cached = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)

    assert len(members) * laid_out._beside(model, members, begun, 1) == (
        cached + 2 * mask.numel() + 2 * mask.nbytes
    )
    assert mask.ndim == 4


def test_as_many_rows_are_read_as_their_caches_have_room(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at a time where only one cache fits, and those that begin with nothing together; the values stay."""
    sizes: list[int] = []
    monkeypatch.setattr(laid_out, "cache_bytes", lambda model: 1 << 50)
    inputs = laid_out._inputs

    def seen(model: LanguageModel, rows: Any, begun: Any, blocks: int) -> Any:
        sizes.append(len(rows) if begun else 0)
        return inputs(model, rows, begun, blocks)

    entries = asked(model)
    expected = whole_texts(model, entries)
    monkeypatch.setattr(laid_out, "_inputs", seen)

    agree(read(model, entries), expected)
    assert sorted(sizes) == [0, 1, 1, 1]


def test_a_head_that_does_more_than_multiply_is_asked_itself(tokenizer: Any) -> None:
    """A network that scales its logits."""
    from transformers import GraniteConfig, GraniteForCausalLM

    torch.manual_seed(0)
    config = GraniteConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=24,
        logits_scaling=3.0,
    )
    model = LanguageModel(GraniteForCausalLM(config).eval(), tokenizer, "granite")
    entries = asked(model)

    agree(read(model, entries), whole_texts(model, entries))


def test_adapters_side_by_side_are_read_as_each_alone(model_folder: Path) -> None:
    """Block k is what adapter k says, also where all rows share a beginning."""
    model = load(model_folder)
    adapters = parallel_adapters(model, TrainingPlan(rank=2), [0, 1, 2])
    with torch.no_grad():
        for number in range(3):
            for weight in adapters.parameters_of(number):
                weight.add_(0.2 * (number + 1))
    entries = asked(model)
    with adapters.active() as together:
        found = read(together, entries, blocks=3)
        sums = next_token_sums(together, [one.prompt for one in entries], blocks=3)
    alone, alone_sums = [], []
    for number in range(3):
        with adapters.only(number) as one:
            alone.append(read(one, entries))
            alone_sums.append(next_token_sums(one, [entry.prompt for entry in entries]))

    agree(found, [torch.cat(parts) for parts in zip(*alone, strict=True)])
    torch.testing.assert_close(sums, torch.cat(alone_sums), atol=1e-3, rtol=1e-4)
    assert (found[0][0] - found[0][1]).abs().max() > 1e-3


def test_gradients_are_those_of_whole_texts(model: LanguageModel) -> None:
    """Through trees and through what is computed once."""
    entries = asked(model)
    weight = model.network.get_input_embeddings().weight

    def gradient(values: list[torch.Tensor]) -> torch.Tensor:
        weight.grad = None
        torch.cat([value.flatten() for value in values]).sum().backward()
        assert weight.grad is not None
        return weight.grad.clone()

    def plain(one: Continued) -> torch.Tensor:
        total = torch.zeros(())
        for form in one.forms:
            logits = model.network(torch.tensor([[*one.prompt, *form]])).logits[0].log_softmax(-1)
            total = total + sum(
                logits[len(one.prompt) + k - 1, token] for k, token in enumerate(form)
            )
        return total

    with torch.enable_grad():
        expected = gradient([plain(one) for one in entries])
        found = gradient(continuations(model, entries))
    weight.grad = None

    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_logits_of_few_bits_are_float32(tokenizer: Any) -> None:
    """Logits of 50 and more, which are an eighth apart in bfloat16, are those of the widened head."""
    network = tiny("llama", tokenizer).to(torch.bfloat16).eval()
    with torch.no_grad():
        network.lm_head.weight.mul_(1000)
    model = LanguageModel(network, tokenizer, "narrow")
    entries = [Continued(one.prompt, ((3,), (4,))) for one in asked(model)[:2]]
    with torch.no_grad():
        for one, values in zip(entries, read(model, entries, size=1), strict=True):
            hidden = network.model(torch.tensor([one.prompt])).last_hidden_state[0, -1].float()
            logits = hidden @ network.lm_head.weight.float().T

            assert logits.abs().max() > 50
            torch.testing.assert_close(
                values[0], logits.double().log_softmax(-1)[[3, 4]], atol=1e-3, rtol=0
            )
