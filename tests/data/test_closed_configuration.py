"""Closed TOML configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from undertow.data.closed import decoded_yaml, parse, read_toml
from undertow.errors import ConfigError, nearest


class Closed(BaseModel):
    """A model that takes no unknown keys."""

    model_config = ConfigDict(extra="forbid")


class Adapter(Closed):
    """Inner table."""

    rank: int = 8


class Plan(Closed):
    """Outer table, with inner ones in every position."""

    rate: float = Field(gt=0)
    adapter: Adapter | None = None
    named: dict[str, Adapter] = {}
    listed: tuple[Adapter, ...] = ()
    schema_: str = Field(default="", alias="schema")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"rate": 1, "rat": 2}, "plan.toml: unknown key 'rat'; allowed: .*; did you mean 'rate'?"),
        ({"rat": 2}, "unknown key 'rat'"),
        ({"rate": 1, "zzz": 2}, "allowed: adapter, listed, named, rate, schema$"),
        ({"rate": 1, "adapter": {"rnk": 1}}, "key 'adapter.rnk'; allowed: rank; did you mean"),
        ({"rate": 1, "named": {"a": {"rnk": 1}}}, "key 'named.a.rnk'; allowed: rank; did you"),
        ({"rate": 1, "listed": [{}, {"rnk": 1}]}, "key 'listed.1.rnk'; allowed: rank; did you"),
        ({}, "plan.toml: the key 'rate' is missing"),
        ({"rate": 0}, "key 'rate' has the value 0: Input should be greater than 0"),
        ({"rate": "x" * 200}, "key 'rate' has the value 'x+\\.\\.\\.: "),
    ],
)
def test_a_fault_names_file_key_value_and_what_is_allowed(
    tables: dict[str, object], message: str
) -> None:
    """One line for the first fault; an unknown key comes before the missing one that it explains."""
    with pytest.raises(ConfigError, match=message) as caught:
        parse(Plan, tables, where="plan.toml")

    assert "\n" not in caught.value.message


def test_good_tables_become_the_model() -> None:
    """Nothing is lost on the way."""
    assert parse(Plan, {"rate": 1, "adapter": {"rank": 2}}, where="x") == Plan(
        rate=1, adapter=Adapter(rank=2)
    )


def test_nearest_is_silent_where_nothing_is_near() -> None:
    """No guess is better than a wild one."""
    assert nearest("adaptor", ["adapter", "rate"]) == "; did you mean 'adapter'?"
    assert nearest("zzz", ["adapter", "rate"]) == ""


def test_unreadable_files_are_one_line(tmp_path: Path) -> None:
    """Missing, a folder, no name of a file, not UTF-8, not TOML, nested without end, a number without end."""
    (tmp_path / "a.toml").write_bytes(b"\xff")
    (tmp_path / "b.toml").write_text("a = ")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 3000)
    (tmp_path / "long.toml").write_text("a = " + "9" * 5000)
    faults = {".": "no such file", "none": "no such file", "a.toml": "UTF-8", "b.toml": "TOML"}
    faults |= {"deep.toml": "not valid TOML", "long.toml": "not valid TOML", "a\0": "null byte"}

    for name, fault in faults.items():
        with pytest.raises(ConfigError, match=fault):
            read_toml(tmp_path / name)


def test_yaml_of_many_levels_is_refused_before_it_is_followed() -> None:
    """The library looks ahead from each level, which takes seconds for a few thousand."""
    with pytest.raises(ConfigError, match="nested more than 64 levels"):
        decoded_yaml("[" * 100_000, "p.yaml", purpose="a plan", extra="models")
    assert decoded_yaml("[" * 60 + "]" * 60, "p.yaml", purpose="a plan", extra="models")
