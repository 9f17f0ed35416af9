"""How templates are filled: nothing from the data acts, whatever a template forgets."""

from __future__ import annotations

import json

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from undertow.report.html import embedded, environment


def test_every_value_is_escaped_and_made_visible() -> None:
    """A template that asks for neither gets both."""
    template = environment(filters={}, names={}).from_string("{{ text }}")

    assert template.render(text="<b>\u202e\x1b") == "&lt;b&gt;‹U+202E›␛"


def test_own_markup_filters_and_names_are_used() -> None:
    """What the caller hands in is at hand in templates, and markup of ours stays markup."""
    made = environment(filters={"loud": str.upper}, names={"rule": Markup("<hr>")})

    assert made.from_string("{{ rule }}{{ 'a'|loud }}").render() == "<hr>A"


def test_what_is_not_given_is_an_error() -> None:
    """A misspelt name does not become an empty place."""
    with pytest.raises(UndefinedError):
        environment(filters={}, names={}).from_string("{{ nothing }}").render()


def test_an_embedded_document_cannot_end_its_element() -> None:
    """Neither a tag nor an entity is left, and the JSON reads as before."""
    text = json.dumps({"a": "</script><!-- & é"})

    assert not set("<>&é") & set(embedded(text))
    assert json.loads(embedded(text)) == json.loads(text)
