"""A regular expression over texts as an automaton over one tokenizer's tokens: which may come next, and when to end."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from undertow.errors import MissingExtraError, ModelError
from undertow.models.language_model import LanguageModel

MOST_EDGES = 300_000
"""Transitions above which a format is nearly free text, and decoding is not restricted to it."""

MOST_PAIRS = 2_000_000
"""Pairs of tokens looked at, seconds' work, above which a grammar keeps all ways to split its texts."""

Ids = NDArray[np.int64]
Edges = dict[int, dict[int, int]]
"""Next state by state and token."""

_NONE: Ids = np.empty(0, dtype=np.int64)

_Made = dict[tuple[str, tuple[int, ...], int], "TokenGrammar"]


@dataclass(frozen=True)
class TokenGrammar:
    """
    States, the tokens that may be drawn in each, and the state behind each of them.

    An answer may end where its text matches the pattern in full, and only there.
    """

    pattern: str
    tokens: tuple[Ids, ...]
    """By state, in rising order; those that end an answer among them."""
    behind: tuple[Ids, ...]
    """State behind each of these tokens; -1 behind an end."""
    shortest: int
    """Tokens of the shortest answer, its end not counted."""

    _steps: dict[int, dict[int, int]] = field(default_factory=dict, init=False, repr=False)

    def over(self, state: int) -> bool:
        """Whether an answer in this state can only end."""
        return not self._step(state)

    def after(self, state: int, token: int) -> int:
        """The state behind a token; -1 behind an end, and behind a token that must not stand here."""
        return self._step(state).get(token, -1)

    def states(self, tokens: Iterable[int]) -> Iterator[int]:
        """The state in front of each token of an answer; -1 behind its end, and once one must not stand where it does."""
        state = 0
        for token in tokens:
            yield state
            state = self.after(state, token)

    def spells(self, tokens: Sequence[int]) -> bool:
        """Whether each of an answer's tokens may stand where it does."""
        places = zip(self.states(tokens), tokens, strict=True)
        return all(state >= 0 and token in self.tokens[state] for state, token in places)

    def _step(self, state: int) -> dict[int, int]:
        if state not in self._steps:
            there = self.behind[state] >= 0 if state >= 0 else slice(0)
            tokens, behind = self.tokens[state][there], self.behind[state][there]
            self._steps[state] = dict(zip(tokens.tolist(), behind.tolist(), strict=True))
        return self._steps[state]

    def masks(self, states: Sequence[int]) -> tuple[Ids, NDArray[np.bool_]]:
        """
        The tokens that may be drawn in any of the states, and for each state which of them may, (states, tokens).

        In state -1 all may: nobody reads what is drawn there.
        """
        distinct, where = np.unique(np.asarray(states), return_inverse=True)
        sets = [self.tokens[state] if state >= 0 else _NONE for state in distinct]
        tokens = np.concatenate(sets)
        union = np.unique(tokens)
        mask = np.zeros((len(sets), len(union)), dtype=bool)
        mask[np.repeat(np.arange(len(sets)), [*map(len, sets)]), union.searchsorted(tokens)] = True
        mask[distinct < 0] = True
        return union, mask[where]


def token_grammar(model: LanguageModel, pattern: str) -> TokenGrammar:
    """
    The automaton of a regular expression for a model's tokenizer; state 0 begins.

    Of the ways to split a text into tokens only the tokenizer's own is left, as rows are split that way again where they
    are trained on and judged. Grammars of more than `MOST_PAIRS` pairs of tokens keep all ways, and so do tokenizers that split a
    text otherwise when it begins another.

    Raises:
        ModelError: no sequence of the tokenizer's tokens spells a text of this format; the expression is none, is one of an
            empty text, or leaves nearly everything open.
        MissingExtraError: outlines-core is not installed.
    """
    ends = tuple(sorted(model.end_ids))
    width = len(model.network.get_output_embeddings().weight)
    made = _MADE.setdefault(model.tokenizer, {})
    key = (pattern, ends, width)
    if key not in made:
        # A head may know fewer tokens than were added to the vocabulary.
        texts = token_texts(model.tokenizer)[:width]
        for end in ends:
            texts[end] = ""
        made[key] = _compiled(model.tokenizer, texts, pattern, ends)
    return made[key]


_MADE: WeakKeyDictionary[Any, _Made] = WeakKeyDictionary()


def token_texts(tokenizer: Any) -> list[str]:
    """The text that each token adds behind another; empty for special tokens, and for those that are no whole characters."""
    texts = texts_behind(tokenizer, [(i,) for i in range(len(tokenizer))])
    special = set(tokenizer.all_special_ids)
    return ["" if i in special or "\ufffd" in text else text for i, text in enumerate(texts)]


def texts_behind(tokenizer: Any, sequences: Sequence[Sequence[int]]) -> list[str]:
    """The text that each sequence of tokens adds behind another token: some tokenizers drop the blank that a text begins with."""
    [first] = tokenizer("a", add_special_tokens=False)["input_ids"][-1:]
    begun = len(_decoded(tokenizer, [[first]])[0])
    return [text[begun:] for text in _decoded(tokenizer, [[first, *ids] for ids in sequences])]


def matching(tokenizer: Any, pattern: re.Pattern[str]) -> torch.Tensor:
    """(vocabulary,) bool: the tokens whose decoded text matches the pattern in full; never a special one."""
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    special = set(tokenizer.all_special_ids)
    found = (i not in special and bool(pattern.fullmatch(text)) for i, text in enumerate(texts))
    return torch.tensor(list(found))


def _decoded(tokenizer: Any, tokens: list[list[int]]) -> list[str]:
    texts: list[str] = tokenizer.batch_decode(tokens, clean_up_tokenization_spaces=False)
    return texts


def _compiled(
    tokenizer: Any, texts: Sequence[str], pattern: str, ends: tuple[int, ...]
) -> TokenGrammar:
    start, edges, finals = _index(texts, pattern, ends[0])
    first = _Node(start)
    splits = _OwnSplits(tokenizer, texts, edges)
    nodes = splits.nodes(start)
    last = {node for node in nodes if node.state in finals and splits.ends(node)}
    nodes = _alive(nodes, last)
    if first not in nodes:
        nodes = {
            _Node(state): {token: _Node(to) for token, to in out.items()}
            for state, out in edges.items()
        }
        last = {_Node(state) for state in finals}
        nodes = _alive(nodes, last)
    if first not in nodes:
        raise _cannot_spell(pattern)
    return _numbered(pattern, first, nodes, last, ends)


def _cannot_spell(pattern: str) -> ModelError:
    return ModelError(
        f"no sequence of this tokenizer's tokens spells the format '{_shown(pattern)}', so decoding cannot be restricted to it",
        hint="set `restricted = false`: rows are then sampled freely and filtered",
    )


def _shown(pattern: str) -> str:
    return pattern if len(pattern) <= 60 else f"{pattern[:60]}..."


def _index(texts: Sequence[str], pattern: str, end: int) -> tuple[int, Edges, set[int]]:
    """First state, transitions and last states, as outlines-core makes them; without its transitions by the end."""
    try:
        from outlines_core import Index, Vocabulary
    except ImportError as error:
        raise MissingExtraError("outlines-core", "models", purpose="restricted decoding") from error
    ids: dict[bytes, list[int]] = defaultdict(list)
    for i, text in enumerate(texts):
        if text:
            ids[text.encode()].append(i)
    try:
        # With the end spelled out: otherwise outlines-core 0.2.14 drops transitions out of states in which a text may end,
        # and takes the first of two alternatives of which one begins the other.
        index = Index(rf"(?:{pattern})\z", Vocabulary(end, dict(ids)))
    except ValueError as error:
        if "vocabulary" in str(error):
            raise _cannot_spell(pattern) from error
        if "universal start" in str(error):
            raise ModelError(
                f"an empty text has the format '{_shown(pattern)}', and an empty answer is no row",
                hint="let the expression begin with something that must stand there",
            ) from error
        raise ModelError(
            f"'{_shown(pattern)}' is no regular expression that can restrict decoding: {error}",
            hint="outlines-core knows no look-around and no references to groups",
        ) from error
    transitions = index.get_transitions()
    if (count := sum(map(len, transitions.values()))) > MOST_EDGES:
        raise ModelError(
            f"the format '{_shown(pattern)}' leaves nearly everything open ({count:,} transitions over this tokenizer's tokens; "
            f"at most {MOST_EDGES:,})",
            hint="set `restricted = false`: rows are then sampled freely and filtered",
        )
    edges = {
        state: {token: to for token, to in out.items() if token != end}
        for state, out in transitions.items()
    }
    return index.get_initial_state(), edges, set(index.get_final_states())


@dataclass(frozen=True, slots=True)
class _Node:
    """A state of the expression's automaton, and the tokens since the last border that the tokenizer is sure to draw."""

    state: int
    pending: tuple[int, ...] = ()


class _OwnSplits:
    """The automaton of the token sequences that are their text's own split."""

    def __init__(self, tokenizer: Any, texts: Sequence[str], edges: Edges) -> None:
        backend = tokenizer.backend_tokenizer
        model = json.loads(backend.to_str())["model"]
        self._tokenizer = tokenizer
        self._normalizer = backend.normalizer
        self._pieces = backend.pre_tokenizer
        # Without merges a piece is one token, or is spelled as a whole in others: then all of it must be looked at.
        self._whole_pieces = model.get("type") != "Unigram" and not model.get("merges")
        self._texts = texts
        self._edges = edges
        self._shapes = {state: _by_shape(texts, out) for state, out in edges.items()}
        self._beginnings = _beginnings(texts)
        self._own: dict[tuple[int, ...], bool] = {}
        self._pairs = 0
        self._borders: dict[tuple[str, str], bool | None] = {}

    def nodes(self, start: int) -> dict[_Node, dict[int, _Node]]:
        """Nodes that can be reached, with the node behind each token; none where there are too many."""
        reached: dict[_Node, dict[int, _Node]] = {}
        waiting = [_Node(start)]
        # A border that is new costs as much as many pairs that are known.
        while waiting and self._pairs + 50 * len(self._borders) <= MOST_PAIRS:
            node = waiting.pop()
            if node not in reached:
                reached[node] = self._out(node)
                waiting.extend(reached[node].values())
        return {} if waiting else reached

    def ends(self, node: _Node) -> bool:
        """Whether the text may end here, as far as its split is concerned."""
        return not node.pending or self._is_own(node.pending)

    def _out(self, node: _Node) -> dict[int, _Node]:
        out = self._edges.get(node.state, {})
        behind: dict[int, _Node] = {}
        for shape, tokens in self._shapes.get(node.state, {}).items():
            for token in tokens:
                apart = self._apart(node.pending, shape, token)
                if apart is None or (apart and not self.ends(node)):
                    continue
                pending = (token,) if apart else (*node.pending, token)
                to = out[token]
                if self._goes_on(pending, to):
                    behind[token] = _Node(to, pending)
                elif self._is_own(pending):
                    behind[token] = _Node(to)
        return behind

    def _goes_on(self, pending: tuple[int, ...], state: int) -> bool:
        """Whether some token that may come next could belong to what is pending."""
        return any(
            self._apart(pending, shape, token) is False
            for shape, tokens in self._shapes.get(state, {}).items()
            for token in (tokens if not self._whole_pieces else tokens[:1])
        )

    def _apart(self, pending: tuple[int, ...], shape: str, token: int) -> bool | None:
        """Whether a border is sure to stand before the token; None where the token cannot stand there."""
        self._pairs += 1
        if not pending:
            return True
        before = "".join(self._texts[i] for i in pending)
        apart = self._border(_shape(before), shape)
        if apart is False and not self._whole_pieces:
            # A merge across the border would make a token that begins with an end of what stands before it.
            letter = self._texts[token][0]
            return not any(before[i:] + letter in self._beginnings for i in range(len(before)))
        return apart

    def _border(self, before: str, behind: str) -> bool | None:
        """Whether the tokenizer's first step cuts between two texts, and nowhere else; None where it does elsewhere."""
        if (before, behind) not in self._borders:
            cuts = self._cuts(before + behind)
            whole = not cuts - {len(before)}
            self._borders[before, behind] = (len(before) in cuts) if whole else None
        return self._borders[before, behind]

    def _cuts(self, text: str) -> set[int]:
        if self._pieces is None:
            return set()
        if self._normalizer is not None:
            normal = self._normalizer.normalize_str(text)
            if len(normal) != len(text):
                return set()
            text = normal
        return {start for _, (start, _) in self._pieces.pre_tokenize_str(text)} - {0}

    def _is_own(self, tokens: tuple[int, ...]) -> bool:
        if tokens not in self._own:
            text = "".join(self._texts[i] for i in tokens)
            split = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            self._own[tokens] = tuple(split) == tokens
        return self._own[tokens]


def _shape(text: str) -> str:
    """Digits are alike to what cuts texts into pieces."""
    return re.sub("[0-9]", "0", text)


def _by_shape(texts: Sequence[str], tokens: Iterable[int]) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = defaultdict(list)
    for token in tokens:
        shapes[_shape(texts[token])].append(token)
    return dict(shapes)


def _beginnings(texts: Sequence[str]) -> set[str]:
    return {text[:i] for text in texts for i in range(2, len(text) + 1)}


def _alive(
    nodes: Mapping[_Node, Mapping[int, _Node]], last: set[_Node]
) -> dict[_Node, dict[int, _Node]]:
    """Only the nodes from which an answer can end, and the transitions between them."""
    before: dict[_Node, list[_Node]] = defaultdict(list)
    for node, out in nodes.items():
        for to in out.values():
            before[to].append(node)
    waiting = [node for node in nodes if node in last]
    alive = set(waiting)
    while waiting:
        for node in before[waiting.pop()]:
            if node not in alive:
                alive.add(node)
                waiting.append(node)
    return {
        node: {token: to for token, to in nodes[node].items() if to in alive}
        for node in nodes
        if node in alive
    }


def _numbered(
    pattern: str,
    start: _Node,
    nodes: Mapping[_Node, Mapping[int, _Node]],
    last: set[_Node],
    ends: tuple[int, ...],
) -> TokenGrammar:
    depth, order = {start: 0}, [start]
    for node in order:
        for to in nodes[node].values():
            if to not in depth:
                depth[to] = depth[node] + 1
                order.append(to)
    number = {node: i for i, node in enumerate(order)}
    tokens, behind = [], []
    for node in order:
        out = {token: number[to] for token, to in nodes[node].items()}
        if node in last:
            out |= dict.fromkeys(ends, -1)
        ids = np.array(sorted(out), dtype=np.int64)
        tokens.append(ids)
        behind.append(np.array([out[token] for token in ids.tolist()], dtype=np.int64))
    shortest = min(depth[node] for node in order if node in last)
    return TokenGrammar(pattern, tuple(tokens), tuple(behind), shortest)
