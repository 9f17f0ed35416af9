"""What a request names is found, or the nearest name is suggested."""

from __future__ import annotations

import pytest

from undertow.audit.requests import named_traits
from undertow.errors import UnknownNameError


def test_a_trait_a_category_and_probes_are_named_alike() -> None:
    """A trait is itself, a category all of its traits, a category of probes all of its probes."""
    named = named_traits("owl", "animal", "colour")

    assert named[0].name == "owl"
    assert {"owl", "cat"} <= {trait.name for trait in named[1:]}
    assert "colour:red" in {trait.name for trait in named}


@pytest.mark.parametrize(("name", "nearest"), [("owll", "owl"), ("animals", "animal")])
def test_the_nearest_trait_or_category_is_suggested(name: str, nearest: str) -> None:
    """A slip of the pen is answered with the name that was meant, of a trait or of a category."""
    with pytest.raises(UnknownNameError, match=f"did you mean '{nearest}'"):
        named_traits(name)
