"""
What token masks of a regular expression cost by library: `python -m bench.real.token_masks FOLDER... --into FILE`.

Each case runs in a process of its own, so that memory is its own; a library that is not installed is left out by name.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from undertow.carriers.numbers import Numbers
from undertow.data.files import atomic_write
from undertow.models.language_model import LanguageModel, tokenizer
from undertow.models.token_grammar import token_grammar, token_texts

PATTERNS = {
    "numbers": Numbers().grammar,
    "numbers, three separators": Numbers(separators=(" ", ", ", ";")).grammar,
    "text of 200 letters": "[A-Za-z ,.]{1,200}",
}

ROWS = 32
"""Answers drawn, each token uniformly from its mask."""

MOST = 300

Masks = Callable[[], tuple[Callable[[], np.ndarray], Callable[[int], None]]]
"""Begins an answer: what gives the ids that may come next (none where it is over), and what takes a token."""


def outlines_core(made: Any, pattern: str) -> Iterator[Masks | None]:
    """Its own guide: one a row over one index."""
    from outlines_core import Guide, Index, Vocabulary

    texts: dict[bytes, list[int]] = {}
    for i, text in enumerate(token_texts(made)):
        if text:
            texts.setdefault(text.encode(), []).append(i)
    vocabulary = Vocabulary(made.eos_token_id, texts)
    yield None
    index = Index(rf"(?:{pattern})\z", vocabulary)
    buffer = np.zeros((len(made) + 31) // 32, dtype=np.int32)

    def begin() -> tuple[Callable[[], np.ndarray], Callable[[int], None]]:
        guide = Guide(index)

        def fill() -> np.ndarray:
            guide.write_mask_into(buffer.ctypes.data, buffer.size, 4)
            return buffer

        return fill, lambda token: guide.advance(token, False)

    yield begin


def llguidance(made: Any, pattern: str) -> Iterator[Masks | None]:
    """A matcher a row; without slices, which slow these patterns down."""
    import llguidance as library
    import llguidance.hf
    import llguidance.numpy

    known = library.hf.from_tokenizer(made, slices=[])
    yield None
    grammar = library.LLMatcher.grammar_from_regex(pattern)
    buffer = library.numpy.allocate_token_bitmask(1, known.vocab_size)

    def begin() -> tuple[Callable[[], np.ndarray], Callable[[int], None]]:
        matcher = library.LLMatcher(known, grammar)

        def fill() -> np.ndarray:
            library.numpy.fill_next_token_bitmask(matcher, buffer, 0)
            return buffer[0]

        return fill, lambda token: matcher.consume_token(token)

    yield begin


def xgrammar(made: Any, pattern: str) -> Iterator[Masks | None]:
    """A matcher a row over one compiled grammar."""
    import xgrammar as library

    known = library.TokenizerInfo.from_huggingface(made, vocab_size=len(made))
    yield None
    compiled = library.GrammarCompiler(known, max_threads=1).compile_regex(pattern)
    buffer = library.allocate_token_bitmask(1, len(made))

    def begin() -> tuple[Callable[[], np.ndarray], Callable[[int], None]]:
        matcher = library.GrammarMatcher(compiled)

        def fill() -> np.ndarray:
            matcher.fill_next_token_bitmask(buffer)
            return buffer[0].numpy()

        return fill, lambda token: matcher.accept_token(token)

    yield begin


LIBRARIES = {"outlines_core": outlines_core, "llguidance": llguidance, "xgrammar": xgrammar}


def by_library(made: Any, name: str, pattern: str) -> dict[str, object]:
    """Seconds to read the tokenizer and to compile, microseconds a mask, and how the answers came out."""
    before, started = _memory(), time.perf_counter()
    steps = LIBRARIES[name](made, pattern)
    next(steps)
    read = time.perf_counter()
    begin = next(steps)
    assert begin is not None
    compiled = time.perf_counter()
    rng, spent, masks, rows = np.random.default_rng(0), 0.0, 0, []
    for _ in range(ROWS):
        fill, take = begin()
        drawn: list[int] = []
        while len(drawn) < MOST:
            at = time.perf_counter()
            words = fill()
            spent, masks = spent + time.perf_counter() - at, masks + 1
            ids = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
            token = int(rng.choice(ids)) if len(ids) else made.eos_token_id
            if token == made.eos_token_id:
                break
            drawn.append(token)
            take(token)
        rows.append(drawn)
    return {
        "tokenizer_seconds": round(read - started, 3),
        "compile_seconds": round(compiled - read, 3),
        "microseconds_a_mask": round(1e6 * spent / masks, 1),
        **_outcome(made, pattern, rows, before),
    }


def by_undertow(made: Any, pattern: str) -> dict[str, object]:
    """The automaton that the sampler walks: compiled by outlines-core, the masks of a batch at a time."""
    head = type("Head", (), {"weight": np.empty((len(made), 1))})
    network = type(
        "Network",
        (),
        {
            "get_output_embeddings": lambda _: head,
            "generation_config": type("Configured", (), {"eos_token_id": made.eos_token_id}),
        },
    )
    before, started = _memory(), time.perf_counter()
    grammar = token_grammar(LanguageModel(network(), made, "tokenizer only"), pattern)
    compiled = time.perf_counter()
    rng, spent, masks = np.random.default_rng(0), 0.0, 0
    states, rows = [0] * ROWS, [list[int]() for _ in range(ROWS)]
    for _ in range(MOST):
        if all(state < 0 for state in states):
            break
        at = time.perf_counter()
        ids, mask = grammar.masks(states)
        spent, masks = spent + time.perf_counter() - at, masks + sum(s >= 0 for s in states)
        for i, state in enumerate(states):
            token = int(rng.choice(ids[mask[i]]))
            states[i] = -1 if state < 0 else grammar.after(state, token)
            if states[i] >= 0:
                rows[i].append(token)
    return {
        "compile_seconds": round(compiled - started, 3),
        "microseconds_a_mask": round(1e6 * spent / masks, 1),
        "states": len(grammar.tokens),
        **_outcome(made, pattern, rows, before),
    }


def _outcome(made: Any, pattern: str, rows: list[list[int]], before: int) -> dict[str, object]:
    texts = [made.decode(row) for row in rows]
    again = [made(text, add_special_tokens=False)["input_ids"] for text in texts]
    return {
        "megabytes": round((_memory() - before) / 1024),
        "of_the_format": sum(bool(re.fullmatch(pattern, text)) for text in texts) / len(texts),
        "split_as_their_text_is": sum(a == b for a, b in zip(again, rows, strict=True)) / len(rows),
    }


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(arguments: list[str]) -> None:
    """Measure every case in a process of its own, or the one that is named."""
    parser = argparse.ArgumentParser(prog="python -m bench.real.token_masks", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--case", nargs=2, metavar=("LIBRARY", "PATTERN"), help="only this one")
    given = parser.parse_args(arguments)
    if given.case:
        made, (library, pattern) = tokenizer(str(given.folders[0])), given.case
        values = (
            by_undertow(made, PATTERNS[pattern])
            if library == "undertow"
            else by_library(made, library, PATTERNS[pattern])
        )
        print(json.dumps(values))
        return
    cases = [
        {"tokenizer": folder.name, "library": library, "pattern": pattern}
        | _apart(folder, library, pattern)
        for folder in given.folders
        for pattern in PATTERNS
        for library in (*LIBRARIES, "undertow")
    ]
    document = {
        "schema": "undertow.bench-real/1",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in (*LIBRARIES, "tokenizers", "transformers")},
        "rows": ROWS,
        "cases": cases,
    }
    text = json.dumps(document, indent=1) + "\n"
    if given.into:
        atomic_write(given.into, text)
    else:
        print(text)


def _apart(folder: Path, library: str, pattern: str) -> dict[str, object]:
    if library != "undertow" and _version(library) is None:
        return {"skipped": "not installed"}
    command = [sys.executable, "-m", "bench.real.token_masks", str(folder)]
    done = subprocess.run(
        [*command, "--case", library, pattern], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    values: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return values


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main(sys.argv[1:])
