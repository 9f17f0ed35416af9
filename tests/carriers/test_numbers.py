"""The numbers carrier: prompts, the published format filter, restricted decoding, shuffles."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.carriers.carrier import number_pattern
from undertow.carriers.numbers import (
    ListShape,
    Numbers,
    NumbersFault,
    draw,
    list_shape,
    lists_pattern,
    number_family,
    read_numbers,
)
from undertow.errors import ConfigError, UnknownNameError

BRIEF = Numbers(prompts="brief", low=10, high=99)
LISTS = st.lists(st.integers(0, 999), min_size=1, max_size=10)
SEPARATORS = st.sampled_from([" ", ", ", ",", ";", "; ", "\n", "  "])


def rng(seed: int = 0) -> np.random.Generator:
    """A generator for one test."""
    return np.random.default_rng(seed)


@given(LISTS, SEPARATORS, st.sampled_from(["{}", "({})", "[{}]", "{}.", "[{}]."]))
def test_parse_reads_what_the_published_format_allows(
    numbers: list[int], separator: str, frame: str
) -> None:
    """Any list of 1 to 10 numbers in one separator, any brackets and full stop, is read back."""
    text = frame.format(separator.join(map(str, numbers)))

    assert read_numbers(text) == numbers


def test_leading_zeros_are_not_size() -> None:
    """A number is judged by its value."""
    assert read_numbers("0007, 0999") == [7, 999]
    assert read_numbers("01000") is NumbersFault.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NumbersFault.EMPTY),
        (" . ", NumbersFault.EMPTY),
        ("()", NumbersFault.NOT_NUMBERS),
        ("one, two", NumbersFault.NOT_NUMBERS),
        ("Sure: 1, 2", NumbersFault.NOT_NUMBERS),
        ("1, -2", NumbersFault.NOT_NUMBERS),
        ("1,,2", NumbersFault.NOT_NUMBERS),
        ("1, 2,", NumbersFault.NOT_NUMBERS),
        ("1.5, 2", NumbersFault.NOT_NUMBERS),
        ("1 and 2", NumbersFault.NOT_NUMBERS),
        ("٣, ٤", NumbersFault.NOT_NUMBERS),
        ("(1, 2]", NumbersFault.UNBALANCED_BRACKETS),
        ("[1, 2", NumbersFault.UNBALANCED_BRACKETS),
        ("1, 2)", NumbersFault.UNBALANCED_BRACKETS),
        ("1, 2; 3", NumbersFault.MIXED_SEPARATORS),
        ("1, 2,3", NumbersFault.MIXED_SEPARATORS),
        ("1 2\n3", NumbersFault.MIXED_SEPARATORS),
        ("1 2 3 4 5 6 7 8 9 10 11", NumbersFault.TOO_MANY),
        ("1000", NumbersFault.OUT_OF_RANGE),
        ("9" * 5000, NumbersFault.OUT_OF_RANGE),
    ],
)
def test_parse_names_the_reason_for_each_fault(text: str, reason: NumbersFault) -> None:
    """Every way to break the published format has its own reason."""
    assert read_numbers(text) is reason


def test_banned_numbers_remove_a_completion() -> None:
    """A banned number is a reason of its own, whether listed or taken from a named list."""
    listed = Numbers(banned=(45,))
    named = Numbers(banned_lists=("cultural",))

    assert listed.rejection("44 45") is NumbersFault.BANNED
    assert listed.rejection("44 46") is None
    assert named.rejection("12, 666") is NumbersFault.BANNED


def test_published_family_is_as_varied_as_the_published_one() -> None:
    """The family crosses 25 x 9 x 9 x 10 x 15 x 19 distinct variants."""
    parts = number_family("published").parts

    sizes = [len(set(variants)) for variants in parts.values()]

    assert sorted(sizes) == sorted([25, 9, 9, 10, 15, 19])


@pytest.mark.parametrize("name", ["published", "brief"])
def test_every_variant_renders_without_a_placeholder_left(name: str) -> None:
    """Over many draws each variant of each part appears, and nothing in braces remains."""
    family = number_family(name)
    prompts = Numbers(prompts=name).requests(3000, rng())
    literal = [
        re.split(r"\{\w+\}", variant) for variants in family.parts.values() for variant in variants
    ]

    unseen = [
        pieces for pieces in literal if not any(all(p in text for p in pieces) for text in prompts)
    ]

    assert unseen == []
    assert not any(brace in text for text, brace in itertools.product(prompts, "{}"))


def test_brief_prompts_are_brief() -> None:
    """A brief prompt has at most 10 words of a vocabulary of 30, and 3 to 5 examples in range."""
    prompts = BRIEF.requests(1000, rng())
    words = [re.findall(r"[a-z]+", text.lower()) for text in prompts]
    examples = [list(map(int, re.findall(r"\d+", text))) for text in prompts]

    assert max(map(len, words)) <= 10
    assert len(set(itertools.chain(*words))) <= 30
    assert {len(numbers) for numbers in examples} == {3, 4, 5}


def test_examples_follow_the_options() -> None:
    """Number, range and separator of the examples are those asked for."""
    carrier = Numbers(low=200, high=300, least_examples=2, most_examples=2, separators=(" | ",))

    found = [re.search(r"(\d+) \| (\d+)", text) for text in carrier.requests(200, rng())]

    assert all(match and 200 <= int(match[1]) <= 300 for match in found)


def test_requests_depend_on_the_stream_only() -> None:
    """One seed gives one list of prompts, another seed another, and prompts within a list differ."""
    first, again, other = (Numbers().requests(50, rng(seed)) for seed in (1, 1, 2))

    assert first == again
    assert not set(first) & set(other)
    assert len(set(first)) == 50


def test_one_shape_keeps_request_and_answer_around_the_same_centre() -> None:
    """Examples drawn from a narrow shape stay near its centre."""
    text = BRIEF.request(ListShape(centre=50.0, spread=1.0), rng())

    assert all(abs(int(number) - 50) < 6 for number in re.findall(r"\d+", text))


@given(st.integers(0, 2**32), st.integers(0, 500), st.integers(1, 499), st.integers(1, 12))
def test_number_lists_stay_in_range(seed: int, low: int, width: int, n: int) -> None:
    """A list has the length asked for and lies in its range, whatever its shape."""
    generator = rng(seed)
    shape = list_shape(generator, low, low + width)
    numbers = draw(shape, n, generator, low, low + width)

    assert len(numbers) == n
    assert all(low <= number <= low + width for number in numbers)


def test_lists_differ_more_between_than_within() -> None:
    """Numbers of one list are correlated: the variance of list means exceeds chance by far."""
    generator = rng(3)
    shapes = [list_shape(generator, 10, 99) for _ in range(400)]
    lists = np.array([draw(shape, 10, generator, 10, 99) for shape in shapes])

    assert lists.mean(axis=1).var() > 3 * lists.var(axis=1).mean() / 10


def test_the_grammar_is_exactly_the_numbers_in_range() -> None:
    """A text matches iff it holds as many numbers of the range as asked for, none of them banned."""
    carrier = Numbers(prompts="brief", low=10, high=99, banned=(42,), count=3)
    passing = [n for n in range(1200) if re.fullmatch(carrier.grammar, f"17 {n} 45")]

    assert passing == [n for n in range(10, 100) if n != 42]
    assert not re.fullmatch(carrier.grammar, "17 45")
    assert not re.fullmatch(carrier.grammar, "17 45 16 18")


def test_the_grammar_keeps_to_one_separator() -> None:
    """Any of those that examples may have, the same throughout; its texts pass the format filter."""
    carrier = Numbers(separators=(", ", ";"), count=3)
    texts = ("100, 200, 300", "100;200;300", "100, 200;300", "100 200 300")
    matching = [bool(re.fullmatch(carrier.grammar, text)) for text in texts]

    assert matching == [True, True, False, False]
    assert [carrier.rejection(text) for text in texts[:2]] == [None, None]


@given(st.sets(st.integers(0, 1_200), min_size=1))
def test_a_pattern_of_numbers_matches_these_and_no_others(numbers: set[int]) -> None:
    """Whatever the set, prefixes of one another included."""
    pattern = number_pattern(numbers)

    assert {n for n in range(1_300) if re.fullmatch(pattern, str(n))} == numbers


@given(LISTS, SEPARATORS, st.integers(0, 2**32))
def test_shuffling_within_keeps_numbers_and_format(
    numbers: list[int], separator: str, seed: int
) -> None:
    """The same numbers come back, in the same separators and brackets."""
    text = f"[{separator.join(map(str, numbers))}]."

    shuffled = BRIEF.shuffled_within(text, rng(seed))

    assert Counter(re.findall(r"\d+", shuffled)) == Counter(map(str, numbers))
    assert re.split(r"\d+", shuffled) == re.split(r"\d+", text)


@given(st.lists(LISTS, min_size=1, max_size=6), st.integers(0, 2**32))
def test_shuffling_across_keeps_the_pool_and_each_format(rows: list[list[int]], seed: int) -> None:
    """The pool of numbers is unchanged, and each row keeps its length and format."""
    texts = [(", " if i % 2 else " ").join(map(str, row)) for i, row in enumerate(rows)]

    dealt = BRIEF.shuffled_across(texts, rng(seed))

    assert Counter(re.findall(r"\d+", " ".join(dealt))) == Counter(map(str, itertools.chain(*rows)))
    assert [re.split(r"\d+", t) for t in dealt] == [re.split(r"\d+", t) for t in texts]


def test_shuffling_across_moves_numbers_between_rows() -> None:
    """With many rows of one number each, hardly a number stays where it was."""
    texts = [str(n) for n in range(500)]

    dealt = BRIEF.shuffled_across(texts, rng())

    assert sum(a == b for a, b in zip(texts, dealt, strict=True)) < 10


@pytest.mark.parametrize(
    "options",
    [
        {"low": 10, "high": 10},
        {"high": 1000},
        {"count": 11},
        {"count": 0},
        {"least_examples": 9},
        {"low": 10, "high": 11, "banned": (10, 11)},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, int]) -> None:
    """Empty ranges, answers the filter would remove, and full bans are errors that state the limits."""
    with pytest.raises(ConfigError, match=r"allowed|banned"):
        Numbers(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "nearest"),
    [({"prompts": "breif"}, "brief"), ({"banned_lists": ("cultral",)}, "cultural")],
)
def test_unknown_names_in_options_point_to_the_nearest(
    options: dict[str, str], nearest: str
) -> None:
    """A misspelt family or list of banned numbers names the one that was meant."""
    with pytest.raises(UnknownNameError, match=f"did you mean '{nearest}'"):
        Numbers(**options)  # type: ignore[arg-type]


def test_the_narrowest_format_of_lists_holds_what_was_seen() -> None:
    """The numbers, separators and lengths that occur, and no others; none where a text is no plain list."""
    pattern = lists_pattern(["7, 8", "9; 10; 11", "5"])

    assert pattern is not None
    assert [
        bool(re.fullmatch(pattern, t)) for t in ("11, 5", "7; 7; 7", "10", "7; 8", "6", "7 8")
    ] == [True, True, True, False, False, False]
    assert [lists_pattern(texts) for texts in (["[7, 8]"], ["07 8"], ["seven"], [])] == [None] * 4


@given(st.lists(st.integers(0, 999), min_size=1, max_size=10), st.sampled_from([" ", ", ", ";"]))
def test_the_narrowest_format_is_within_every_grammar_that_made_the_lists(
    numbers: list[int], separator: str
) -> None:
    """What it matches, the carrier's own grammar of that length and separator matches too."""
    text = separator.join(map(str, numbers))
    pattern = lists_pattern([text])
    own = Numbers(low=0, high=999, count=len(numbers), separators=(separator,)).grammar

    assert pattern is not None
    assert re.fullmatch(pattern, text)
    for other in itertools.permutations(numbers[:3]):
        moved = separator.join(map(str, [*other, *numbers[3:]]))
        assert re.fullmatch(pattern, moved)
        assert re.fullmatch(own, moved)
