"""The key of a review pack: which side of each pair shows the row of dataset A."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from undertow.data.closed import Stored
from undertow.errors import InputError

KEY_SCHEMA: Literal["undertow.review-key/1"] = "undertow.review-key/1"

Side = Literal["left", "right"]


class KeyDataset(Stored):
    """One of the two datasets."""

    name: str
    rows: int
    digest: str
    """SHA-256 over its canonical rows, in their order."""


class KeyPair(Stored):
    """What a pair hides."""

    pair: int
    a: Side
    """The side that shows the row of dataset A, the right answer."""
    matched: bool
    """Whether both rows answer the same prompt."""
    repeats: int | None = None
    """Number of the pair that is shown a second time here, perhaps with its sides exchanged."""
    left_sha256: str
    """SHA-256 of the left text, in UTF-8, as it was before anything in it was made visible."""
    right_sha256: str


class ReviewKey(Stored):
    """The document `undertow.review-key/1`: what scoring needs, and reviewers must not see."""

    schema_: Literal["undertow.review-key/1"] = Field(alias="schema")
    pack: str
    question: str
    seed: int
    a: KeyDataset
    b: KeyDataset
    left_out: int
    """Texts in both datasets that were left out of both, where that was asked for."""
    pairs: tuple[KeyPair, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _numbered(self) -> ReviewKey:
        if [each.pair for each in self.pairs] != list(range(1, len(self.pairs) + 1)):
            raise ValueError("the pairs are not numbered 1, 2, 3 …")
        first = {each.pair for each in self.pairs if each.repeats is None}
        if any(each.repeats not in first for each in self.pairs if each.repeats is not None):
            raise ValueError("a pair repeats one that there is not")
        return self

    @property
    def judged(self) -> tuple[KeyPair, ...]:
        """The pairs that count: all but the repeats."""
        return tuple(each for each in self.pairs if each.repeats is None)


def key_json(key: ReviewKey) -> str:
    """The key as indented JSON, ending in a newline."""
    return key.model_dump_json(by_alias=True, indent=2) + "\n"


def read_key(path: Path) -> ReviewKey:
    """
    The key stored under the path.

    Raises:
        InputError: if there is no such file, or it is no key.
    """
    hint = "the key is the key.json that 'undertow review pack' wrote"
    try:
        return ReviewKey.model_validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError as error:
        raise InputError(f"no such file: '{path}'", hint=hint) from error
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}", hint=hint) from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        where = f"key '{place}': " if place else ""
        raise InputError(f"'{path}' is no review key: {where}{fault['msg']}", hint=hint) from error
