"""Policies: starters, files in two formats, and every fault named."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertow.errors import InputError
from undertow.policy.gate import compiled_rules
from undertow.policy.rules import KINDS, STARTERS, Custom, load_policy

RULE = '[[rules]]\nid = "a"\n'
HEAD = 'title = "T"\n'


@pytest.mark.parametrize("name", STARTERS)
def test_starters_load(name: str) -> None:
    """Each has a title and rules, and no custom ones, which would need an extra."""
    policy = load_policy(name).policy

    assert policy.title
    assert not any(isinstance(rule, Custom) for rule in policy.rules)


def test_yaml_and_toml_say_the_same(tmp_path: Path) -> None:
    """One policy in both formats."""
    toml, yaml = tmp_path / "p.toml", tmp_path / "p.yaml"
    toml.write_text(HEAD + RULE + 'kind = "largest-dose"\nshare = 0.5\n')
    yaml.write_text("title: T\nrules:\n- {id: a, kind: largest-dose, share: 0.5}\n")

    assert load_policy(str(toml)).policy == load_policy(str(yaml)).policy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEAD + RULE + 'kind = "requires-audit"',
            "unknown rule 'requires-audit' .*rule 1; allowed: .*did you mean 'require-audit'",
        ),
        (HEAD + RULE, "rule 1: the key 'kind' is missing"),
        (HEAD + RULE + 'kind = "largest-dose"', "share.* is missing"),
        (HEAD + RULE + 'kind = "largest-dose"\nshare = true', "share"),
        (HEAD + RULE + 'kind = "largest-dose"\nshare = 1.5', "share"),
        (HEAD + RULE + 'kind = "largest-age"\ndays = nan', "days"),
        (HEAD + RULE + 'kind = "largest-age"\ndays = 3\nsince = 1', "unknown key .*since"),
        (HEAD + RULE + 'kind = "require-audit"\nwhen = "never"', "when"),
        (HEAD + RULE + 'kind = "require-audit"\nat_most_logits = 1', "give both"),
        (HEAD + RULE + 'kind = "require-audit"\naccept_within = "yes"', "accept_within"),
        (
            HEAD + RULE + 'kind = "require-audit"\naccept_within = true\nleast_power = 0.8',
            "give accept_within or least_power",
        ),
        (HEAD + "rules = []", "rules"),
        (HEAD, "'rules' is missing"),
        (HEAD + (RULE + 'kind = "no-failed-audit"\n') * 2, "listed twice"),
        (HEAD + "x = ", "not valid TOML"),
        (HEAD + "d = 2026-01-01\n" + RULE + 'kind = "no-failed-audit"', "not JSON serializable"),
    ],
)
def test_faults_of_a_file_are_named(text: str, message: str, tmp_path: Path) -> None:
    """An unknown rule with the nearest, a missing or unknown key, a value of another kind."""
    path = tmp_path / "p.toml"
    path.write_text(text)

    with pytest.raises(InputError, match=message):
        load_policy(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: T\ntitle: U\nrules: []", "the key 'title' twice"),
        (
            "title: T\nrules: &a\n- {id: a, kind: no-failed-audit}\nmore: *a",
            "another part of itself",
        ),
        ("- title", "holds no table"),
        ("title: [", "not valid YAML"),
        ("!!python/object/apply:os.system [ls]", "not valid YAML"),
        ("title: T\nrules:\n- {id: a, kind: largest-dose, share: yes}", "share"),
        ("1: T", "no string"),
    ],
)
def test_yaml_is_read_strictly(text: str, message: str, tmp_path: Path) -> None:
    """No key twice, no references, no objects, no other types."""
    path = tmp_path / "p.yaml"
    path.write_text(text)

    with pytest.raises(InputError, match=message):
        load_policy(str(path))


def test_unknown_names_and_files(tmp_path: Path) -> None:
    """A starter that is not there with the nearest, a file that is not there, one that is too large."""
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (1 << 21))
    for name, message in (
        ("saftey-critical", "did you mean 'safety-critical'"),
        (str(tmp_path / "no.toml"), "no such policy"),
        (str(large), "at most"),
    ):
        with pytest.raises(InputError, match=message):
            load_policy(name)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("facts.rows >", "not valid CEL"),
        ("rows > 1", "undeclared reference"),
        ("1 + 1", "allowed: BOOL"),
    ],
)
def test_expressions_are_compiled_before_any_data(
    expression: str, message: str, tmp_path: Path
) -> None:
    """What is no CEL, sees another name, or is no truth value, is an error of the policy."""
    pytest.importorskip("cel_expr_python", reason="the extra 'cel' is not installed")
    path = tmp_path / "p.toml"
    path.write_text(HEAD + RULE + f'kind = "cel"\nexpression = "{expression}"')

    with pytest.raises(InputError, match=message):
        compiled_rules(load_policy(str(path)))


def test_every_kind_is_one_of_the_listed() -> None:
    """The names in messages are the kinds there are."""
    from undertow.policy import rules

    models = rules.Rule.__origin__.__args__  # type: ignore[attr-defined]

    assert [model.model_fields["kind"].annotation.__args__[0] for model in models] == list(KINDS)
