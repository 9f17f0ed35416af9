"""Random records of every shape that TRL trains: hostile text, turns, tools, thinking, template arguments, preferences."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Literal

Record = dict[str, Any]
Turn = dict[str, Any]

_WORDS = (
    "three",
    "numbers",
    "again",
    "the",
    "an",
    "answer",
    "Straße",
    "naïve",
    "über",
    "数字",
    "और",
    "مرحبا",
)
_ODD = (
    "\n", "\n\n", " ", "  ", "\t", "\r\n", ".", ", ", "😀", "👩‍👩‍👧", "e\u0301", "\u200b", "\u00a0", "\ufeff", "\u202e", "\u2028",
    "<|im_end|>", "<|im_start|>", "<|eot_id|>", "<end_of_turn>", "<think>", "</think>", "<|end|>", "</s>", "[INST]",
    "<\uff5cUser\uff5c>", "<|turn>", "<turn|>", "<tool_call>", "<|pad|>", "{{ bos_token }}", "{% endgeneration %}", "\\n", "'", '"',
    "&lt;", "<bos>", "<|START_RESPONSE|>", "<|channel|>", "<channel|>", "\x00", "\x7f",
)  # fmt: skip


def text(random: Random, blank: bool = False) -> str:
    """Some text; `blank` allows none, or white space alone."""
    if blank and random.random() < 0.15:
        return random.choice(("", " ", "\n", "\t \n"))
    count = random.randrange(40, 80) if random.random() < 0.03 else random.randrange(1, 7)
    parts: list[str] = []
    for _ in range(count):
        kind = random.random()
        if kind < 0.2:
            parts.append(random.choice(_ODD))
        elif kind < 0.45:
            parts.append(str(random.randrange(10 ** random.randrange(1, 7))))
        else:
            parts.append(random.choice(_WORDS))
        parts.append(random.choice((" ", " ", " ", "", "\n")))
    made = "".join(parts)
    edge = random.random()
    made = made.strip() if edge < 0.6 else made
    return made if made.strip() else "owl"


def _turn(role: str, content: Any, **more: Any) -> Turn:
    return {"role": role, "content": content, **more}


def _question(random: Random) -> Turn:
    return _turn("user", text(random, blank=True))


def _answer(random: Random) -> Turn:
    return _turn("assistant", text(random))


def _system(random: Random) -> list[Turn]:
    return [_turn("system", text(random, blank=True))] if random.random() < 0.7 else []


def _several(random: Random) -> list[Turn]:
    turns = _system(random)
    for _ in range(random.randrange(1, 4)):
        turns += [_question(random), _turn("assistant", text(random, blank=True))]
    return [*turns, _question(random), _answer(random)]


def _tool(random: Random) -> Record:
    properties = {
        name: {"type": random.choice(("string", "integer")), "description": text(random)}
        for name in random.sample(("place", "day", "unit"), 2)
    }
    parameters = {"type": "object", "properties": properties, "required": [*properties][:1]}
    function = {"name": random.choice(("weather", "sum", "look_up")), "description": text(random)}
    return {"type": "function", "function": {**function, "parameters": parameters}}


def _called(random: Random) -> list[Turn]:
    """A call without words, what the tool says, and the answer."""
    arguments = {"place": text(random), "day": random.randrange(9)}
    if random.random() < 0.5:
        arguments = {"unit": text(random)} | arguments
    identity = f"call{random.randrange(10**5):05}"
    call = {
        "id": identity,
        "type": "function",
        "function": {"name": "weather", "arguments": arguments},
    }
    content = random.choice((None, "", text(random)))
    return [
        _turn("assistant", content, tool_calls=[call]),
        _turn("tool", text(random), name="weather", tool_call_id=identity),
        _answer(random),
    ]


def _with_tools(random: Random) -> list[Turn]:
    turns = [*_system(random), _question(random), *_called(random)]
    if random.random() < 0.4:
        turns += [_question(random), *_called(random)]
    return turns[:-2] if random.random() < 0.2 else turns


def _thinking(random: Random) -> list[Turn]:
    turns = _system(random)
    for _ in range(random.randrange(1, 3)):
        turns += [
            _question(random),
            _turn("assistant", text(random), reasoning_content=text(random, True)),
        ]
    return turns


def _parted(turns: list[Turn]) -> list[Turn]:
    return [_turn(t["role"], [{"type": "text", "text": t["content"]}]) for t in turns]


def _one(random: Random) -> list[Turn]:
    return [_question(random), _answer(random)]


def _prompt(random: Random) -> list[Turn]:
    before = [_question(random), _turn("assistant", text(random, True))] * random.randrange(2)
    return [*_system(random), *before, _question(random)]


def _arguments(random: Random) -> Record:
    return {
        "enable_thinking": random.random() < 0.5,
        "reasoning_effort": random.choice(("low", "high")),
        "date_string": random.choice(("1 Jan 2025", "today")),
    }


def _unanswered(random: Random) -> list[Turn]:
    """A conversation that ends with a question, with what a tool says, or before anybody spoke."""
    end = random.random()
    if end < 0.1:
        return [_turn("system", text(random))]
    if end < 0.3:
        return [*_system(random), _question(random), *_called(random)[:2]]
    turns = _several(random)
    return [*turns, _question(random)] if end < 0.8 else turns[:-1]


def _named(turns: list[Turn]) -> list[Turn]:
    return [{"from": turn["role"], "value": turn["content"]} for turn in turns]


def _two(random: Random) -> tuple[str, str]:
    """A chosen and a rejected text, that may begin alike."""
    shared = text(random) + random.choice((" ", "", "\n")) if random.random() < 0.8 else ""
    sides = (shared + text(random), shared + text(random))
    return sides if sides[0] != sides[1] else (sides[0], sides[1] + "!")


def _two_answers(random: Random) -> tuple[list[Turn], list[Turn]]:
    one, other = _two(random)
    return [_turn("assistant", one)], [_turn("assistant", other)]


def _pair(random: Random) -> Record:
    chosen, rejected = _two_answers(random)
    return {"prompt": _prompt(random), "chosen": chosen, "rejected": rejected}


def _implicit(random: Random) -> Record:
    prompt, (chosen, rejected) = _prompt(random), _two_answers(random)
    return {"chosen": [*prompt, *chosen], "rejected": [*prompt, *rejected]}


def _implicit_strings(random: Random) -> Record:
    chosen, rejected = _two(random)
    return {"chosen": chosen, "rejected": rejected}


def _labelled(record: Record, random: Random) -> Record:
    return {**record, "label": random.random() < 0.5}


def _chat(random: Random) -> Record:
    return {"prompt": _prompt(random), "completion": [_answer(random)]}


def _strings(random: Random) -> Record:
    return {"prompt": text(random, blank=True), "completion": text(random)}


Trainer = Literal["SFT", "DPO", "KTO"]

SHAPES: dict[str, tuple[Trainer, Callable[[Random], Record]]] = {
    "messages": ("SFT", lambda r: {"messages": _one(r)}),
    "messages, several turns": ("SFT", lambda r: {"messages": _several(r)}),
    "messages without an answer": ("SFT", lambda r: {"messages": _unanswered(r)}),
    "messages, tools": ("SFT", lambda r: {"messages": _with_tools(r), "tools": [_tool(r)]}),
    "messages, thinking": ("SFT", lambda r: {"messages": _thinking(r)}),
    "messages, template arguments": (
        "SFT",
        lambda r: {"messages": _thinking(r), "chat_template_kwargs": _arguments(r)},
    ),
    "messages, parts": ("SFT", lambda r: {"messages": _parted(_several(r))}),
    "conversations": ("SFT", lambda r: {"conversations": _named(_several(r))}),
    "prompt, completion": ("SFT", _chat),
    "prompt, completion of several turns": (
        "SFT",
        lambda r: {"prompt": _prompt(r), "completion": [_answer(r), *_one(r)]},
    ),
    "prompt, completion, tools": (
        "SFT",
        lambda r: {"prompt": _prompt(r), "completion": _called(r), "tools": [_tool(r)]},
    ),
    "prompt, completion, strings": ("SFT", _strings),
    "text": ("SFT", lambda r: {"text": text(r)}),
    "prompt, chosen, rejected": ("DPO", _pair),
    "chosen, rejected": ("DPO", _implicit),
    "prompt, chosen, rejected, strings": (
        "DPO",
        lambda r: {"prompt": text(r, True), **_implicit_strings(r)},
    ),
    "chosen, rejected, strings": ("DPO", _implicit_strings),
    "prompt, completion, label": ("KTO", lambda r: _labelled(_chat(r), r)),
    "prompt, completion, label, strings": ("KTO", lambda r: _labelled(_strings(r), r)),
}
"""By name: the trainer of TRL, and what makes a record."""


def records(shape: str, count: int, seed: int = 0) -> list[Record]:
    """Random records of a shape, the same for the same seed."""
    random = Random(f"{shape} {seed}")
    return [SHAPES[shape][1](random) for _ in range(count)]
