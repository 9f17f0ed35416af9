"""
Chat templates that a plan gives: as text, in a file beside it, or by a name that axolotl or LLaMA-Factory has for one.

A template is a program by whoever wrote it. Here it is text whose syntax is looked at; it runs in the sandbox of
transformers and nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from undertow.data.closed import read_text
from undertow.errors import ConfigError

LARGEST = 1 << 18
"""Bytes of a template, at most."""

SUFFIXES = (".jinja", ".jinja2", ".j2")
"""Of files that hold a template."""

_SHIPPED = Path(__file__).parent / "templates"

_MARKS = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""Which transformers adds to Jinja."""

_SLOT = re.compile(r"\{\{(content|bos_token|eos_token)\}\}")


def refuse_no_template(text: str) -> None:
    """
    Look at the syntax of a template; nothing of it is run.

    Raises:
        ValueError: it is no template.
    """
    from jinja2 import Environment, TemplateSyntaxError

    if "{" not in text:
        raise ValueError(
            f"it is neither a template's text nor a file of it ({', '.join(SUFFIXES)})"
        )
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        raise ValueError(f"a template has {LARGEST} bytes at most")
    try:
        # Unlike in transformers nothing is compiled, so that the marks may go.
        Environment(extensions=["jinja2.ext.loopcontrols"]).parse(_MARKS.sub("", text))
    except TemplateSyntaxError as error:
        raise ValueError(f"it is no template: line {error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise ValueError("it is no template: its blocks are nested too deeply") from error


def written_template(value: str, folder: Path | None, place: str) -> str:
    """
    The template that a value of a plan is, or that lies in the file which it names: beside the plan, or from where
    the command runs.

    Raises:
        ConfigError: there is no such file, or it cannot be read; `place` names the key.
    """
    if "{" in value:
        return value
    if not value.endswith(SUFFIXES):
        raise ConfigError(
            f"{place} has the value {value!r:.80}, which is neither a template's text nor a file of it; allowed: Jinja, "
            f"or a file that ends in {', '.join(SUFFIXES)}",
            hint="save the template as chat_template.jinja beside the plan, and name that: undertow explain plans#chat-templates",
        )
    beside = None if folder is None else folder / value
    path = beside if beside is not None and beside.is_file() else Path(value)
    if not path.is_file():
        raise ConfigError(
            f"{place}: no such file: '{beside or path}'",
            hint="put the template beside the plan, or write its text into it: undertow explain plans#chat-templates",
        )
    return read_text(path, LARGEST)


def with_template(
    plan: Mapping[str, Any], folder: Path | None, file: str, key: str = "template"
) -> dict[str, Any]:
    """
    A plan's own keys, with the text of the chat template where they name a file of it.

    Raises:
        ConfigError: there is no such file, or it cannot be read; `file` and `key` say where that stands.
    """
    value = plan.get("template")
    if not isinstance(value, str) or not value:
        return dict(plan)
    return {**plan, "template": written_template(value, folder, f"{file}: key '{key}'")}


@cache
def alpaca_template() -> str:
    """The template of `wrap = "alpaca"`: rows as axolotl's type `alpaca` frames them."""
    return (_SHIPPED / "axolotl_type_alpaca.jinja").read_text(encoding="utf-8")


@cache
def axolotl_templates() -> dict[str, str]:
    """The templates that axolotl ships, by their names."""
    files = sorted((_SHIPPED / "axolotl").glob("*.jinja"))
    return {file.stem: file.read_text(encoding="utf-8") for file in files}


@dataclass(frozen=True)
class Slots:
    """The parts of a template of LLaMA-Factory, with `{{content}}`, `{{bos_token}}` and `{{eos_token}}` in them."""

    names: tuple[str, ...]
    user: str
    answer: str
    system: str = ""
    prefix: str = ""
    default_system: str = ""
    """In the place of a system turn that is not there."""
    ends_once: bool = False
    """Whether an end token stands behind the conversation alone, and not behind each answer."""
    system_in_first_turn: bool = False
    """Whether the system turn stands in the first user's turn, and not before it."""
    thoughts: tuple[str, str] | None = None
    """What begins and ends thoughts, of a template that thinks."""
    no_thoughts: str = ""
    """Written where an answer has no thoughts."""

    def jinja(self, *, thinking: bool | None, last: bool, system: str | None = None) -> str:
        """
        The same as a chat template that marks what is learnt.

        Args:
            thinking: `enable_thinking` of LLaMA-Factory.
            last: whether the last answer alone is learnt, and earlier ones lose their thoughts.
            system: in the place of `default_system`.
        """
        return "".join(
            self._jinja(thinking, last, self.default_system if system is None else system)
        )

    def _jinja(self, thinking: bool | None, last: bool, system: str) -> Iterator[str]:
        yield _refused(
            "tools", "LLaMA-Factory writes tools in forms of its own, which are not read here"
        )
        yield f"{{%- set system = {_quoted(system)} -%}}{{%- set turns = messages -%}}"
        yield '{%- if messages and messages[0].role == "system" -%}'
        yield "{%- set system = messages[0].content or system -%}{%- set turns = messages[1:] -%}"
        yield "{%- endif -%}"
        yield _written(self.prefix)
        if not self.system_in_first_turn:
            yield f"{{%- if system -%}}{_written(self.system, 'system')}{{%- endif -%}}"
        yield "{%- for turn in turns -%}{%- set content = turn.content -%}"
        yield _refused(
            'turn.role != ("user", "assistant")[loop.index0 % 2] or turn.tool_calls or content is not string',
            "LLaMA-Factory takes text of user and assistant in turns",
        )
        yield '{%- if turn.role == "user" -%}'
        if self.system_in_first_turn:
            joined = f"{_expression(self.system, 'system')} ~ content"
            yield f"{{%- if loop.first and system -%}}{{%- set content = {joined} -%}}{{%- endif -%}}"
        yield f"{_written(self.user)}{{%- else -%}}"
        yield from self._answer(thinking, last)
        yield "{%- endif -%}{%- endfor -%}"
        if self.ends_once:
            end = f"{{%- generation -%}}{_written('{{eos_token}}')}{{%- endgeneration -%}}"
            yield f'{{%- if turns and turns[-1].role == "assistant" -%}}{end}{{%- endif -%}}'
        if self.thoughts and not thinking:
            none = _written(self.no_thoughts)
            yield f"{{%- if add_generation_prompt -%}}{none}{{%- endif -%}}"

    def _answer(self, thinking: bool | None, last: bool) -> Iterator[str]:
        none = ""
        if self.thoughts:
            begin, end = map(_quoted, self.thoughts)
            if thinking is False or last:
                condition = "true" if thinking is False else "not loop.last"
                yield f"{{%- if {condition} -%}}{{%- if {begin} in content and {end} in content -%}}"
                yield f"{{%- set content = content.split({begin})[0] ~ content.split({end})[-1] -%}}"
                yield '{%- endif -%}{%- set content = content.lstrip("\\n") -%}{%- endif -%}'
            marks = " and ".join(
                f"{_quoted(mark.strip())} not in content" for mark in self.thoughts
            )
            where = f"{marks} and loop.last" if last else marks
            none = f"{{%- if {where} -%}}{_written(self.no_thoughts)}{{%- endif -%}}"
        learnt = f"{none}{{%- generation -%}}" if not thinking else f"{{%- generation -%}}{none}"
        yield f"{learnt}{_written(self.answer)}{{%- endgeneration -%}}"


@cache
def llamafactory_templates() -> dict[str, Slots]:
    """The templates that LLaMA-Factory has, by their names."""
    lines = (_SHIPPED / "llamafactory.jsonl").read_text(encoding="utf-8").splitlines()
    made = [Slots(**_tuples(json.loads(line))) for line in lines]
    return {name: slots for slots in made for name in slots.names}


def _tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _expression(slots: str, content: str = "content") -> str:
    """The text of a part as an expression of Jinja, whose own rules for white space then leave it alone."""
    parts = _SLOT.split(slots)
    terms = [
        (content if part == "content" else part) if place % 2 else _quoted(part)
        for place, part in enumerate(parts)
        if part
    ]
    return " ~ ".join(terms) or '""'


def _written(slots: str, content: str = "content") -> str:
    return f"{{{{- {_expression(slots, content)} -}}}}" if slots else ""


def _refused(condition: str, why: str) -> str:
    return f"{{%- if {condition} -%}}{{{{- raise_exception({_quoted(why)}) -}}}}{{%- endif -%}}"
