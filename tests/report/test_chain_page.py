"""Decisions and verifications in every format: complete, the same bytes again, and unmoved by hostile text."""

from __future__ import annotations

import json
import re

import pytest

from tests.golden.test_golden import KEPT
from tests.report.chain_documents import HOSTILE, A, B, C, D, decision
from tests.report.test_html import Page
from undertow.errors import UnknownNameError
from undertow.report import CHAIN_FORMATS, page_of, render
from undertow.report.chain_words import chain_figure
from undertow.results.store import read_result


@pytest.mark.parametrize("form", CHAIN_FORMATS)
def test_a_document_always_gives_the_same_bytes(form: str) -> None:
    """Rendering is pure, for a decision and for the verification it rests on."""
    for document in (decision(), decision().verification):
        assert render(document, form) == render(document, form) != ""


@pytest.mark.parametrize("form", CHAIN_FORMATS)
def test_hostile_text_stays_text(form: str) -> None:
    """No escape reaches a terminal, no direction changes, and no markup is made."""
    shown = render(decision(HOSTILE), form)
    if form == "json":
        shown = json.dumps(json.loads(shown))  # its reader's escapes

    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert form != "html" or "<script>alert" not in shown


def test_the_page_says_everything_and_runs_nothing() -> None:
    """Each rule with its reason, the chain drawn, no script but the data."""
    page = render(decision("some text"), "html")

    assert re.findall(r"<script[^>]*>", page) == ['<script type="application/json" id="decision">']
    assert page.count('<rect x="') == 5
    for words in ("refuses", "holds", "does not apply", "To do: some text", "expected"):
        assert words in page


def test_the_text_fits_its_width() -> None:
    """The verdict first, no line wider than the terminal."""
    lines = render(decision("some text " * 30), "text").splitlines()

    assert lines[0].startswith(" REFUSED ") or lines[0].startswith("REFUSED ")
    assert max(map(len, lines)) <= 100


def test_sarif_has_a_result_for_each_refusal() -> None:
    """The rule that refuses is an error; links and rules that never matched are notes; the others are left out."""
    (run,) = json.loads(render(decision(), "sarif"))["runs"]
    found = [(result["ruleId"], result["level"]) for result in run["results"]]

    assert found == [
        ("a", "error"),
        ("c", "note"),
        ("chain/no-provenance", "note"),
        ("chain/unreadable", "note"),
    ]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [rule for rule, _ in found]


def test_the_chain_is_drawn_from_sources_to_the_data() -> None:
    """Every box stands right of what it was made of, and says what it rests on."""
    figure = chain_figure(decision().verification)
    at = {box.title.split()[-1]: box for box in figure.boxes}

    assert at[D].x < at[C].x < at[B].x < at[A].x
    assert (at[D].style, at[C].style, at["e" * 64].style) == ("trusted", "attested", "missing")
    assert (at[C].round, at[B].round) == (True, False)


def test_a_cyclic_chain_is_drawn_all_the_same() -> None:
    """Refused documents are shown too, and drawing ends."""
    checked = decision().verification
    back = checked.links[2].model_copy(
        update={"inputs": (checked.links[0].inputs[0].model_copy(update={"digest": A}),)}
    )
    figure = chain_figure(checked.model_copy(update={"links": (*checked.links[:2], back)}))

    assert len(figure.boxes) >= 3


def test_views_for_others_hold_the_digests() -> None:
    """Croissant, CycloneDX and the card name the data by its digest and its makers by theirs."""
    croissant = json.loads(render(decision(), "croissant"))
    bill = json.loads(render(decision(), "cyclonedx"))
    card = render(decision(), "hf-card")

    assert croissant["@id"] == f"urn:sha256:{A}"
    assert croissant["prov:wasGeneratedBy"][0]["prov:used"][0]["@id"] == f"urn:sha256:{B}"
    assert {each["bom-ref"]: each["type"] for each in bill["components"]} == {
        B: "data",
        C: "machine-learning-model",
        D: "machine-learning-model",
        "e" * 64: "data",
    }
    assert f"sha256:{A}" in card


def test_the_cards_front_matter_is_yaml_whatever_it_holds() -> None:
    """Hostile names stay one value of their key."""
    yaml = pytest.importorskip("yaml")
    _, front, _ = render(decision(HOSTILE), "hf-card").split("---\n", 2)
    table = yaml.safe_load(front)

    assert len(table["tags"]) == 2
    assert set(table) >= {"pretty_name", "provenance", "generated_by"}


def test_another_format_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(UnknownNameError, match="croissant"):
        render(decision(), "pdf")


def test_the_words_below_a_card_are_no_markup() -> None:
    """What a hub shows below the front matter is escaped as Markdown is."""
    below = render(decision(HOSTILE), "hf-card").split("---\n", 2)[-1]

    assert "<script" not in below.replace("\\<", "")


def test_what_to_do_is_typed_with_the_names_of_the_decision() -> None:
    """Where the first rule that refuses ends with a command, it is the command beside what to do."""
    made = decision("my rows.csv")
    rule = made.rules[0].model_copy(
        update={"outcome": "refused", "todo": "see which link: undertow verify DATA --trust FILE"}
    )
    point = page_of(made.model_copy(update={"rules": (rule,)})).point

    assert point is not None
    assert point.todo == "See which link, then decide again."
    assert point.command == "undertow verify 'my rows.csv' --trust 'my rows.csv'"


@pytest.mark.parametrize(
    ("name", "seen"), [("gate", {"rules"}), ("gate-own", {"rules"}), ("verify", set[str]())]
)
def test_evidence_is_folded(name: str, seen: set[str]) -> None:
    """Chain, problems and facts wait until they are asked for; the rules that decided do not."""
    page = Page(render(read_result(KEPT / f"{name}.json"), "html"))

    assert page.named("details")
    assert page.at_once == {"point", "headline", *seen}


def test_remarks_are_no_failures() -> None:
    """Where nothing blocks, no section says that something does not hold; nothing that models wrote is no share of 0 %."""
    refused = decision()
    walk = refused.verification
    aside = tuple(problem.model_copy(update={"blocks": False}) for problem in walk.problems)
    facts = walk.facts.model_copy(update={"model_written": 0.0})
    walk = walk.model_copy(update={"problems": aside, "facts": facts})
    allowed = render(refused.model_copy(update={"verification": walk}), "html")

    assert "What does not hold" in render(refused, "html")
    assert "What does not hold" not in allowed
    assert "at most 0 %" not in allowed
