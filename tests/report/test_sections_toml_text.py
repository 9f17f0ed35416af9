"""A configuration as TOML."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.report.sections import toml_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALAR = st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | TEXT
TABLE = st.dictionaries(
    TEXT,
    st.recursive(
        SCALAR,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@settings(max_examples=60)
@given(TABLE)
def test_the_text_is_toml_for_the_same_configuration(config: dict[str, Any]) -> None:
    """Parsing gives back the configuration, whatever its keys and strings hold."""
    assert tomllib.loads(toml_text(config)) == config


def test_a_setting_without_a_value_is_said() -> None:
    """TOML has no null: the key stays visible as a comment."""
    assert toml_text({"data": {"decoding": None}}) == "[data]\n# decoding is not set"
