"""Custom rules in CEL, through Google's evaluator: only what is exactly true passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from undertow.errors import ConfigError, MissingExtraError
from undertow.policy.rules import Custom
from undertow.results.provenance import Facts

Decide = Callable[[Facts], tuple[bool, str]]
"""Whether it is exactly true, and what it was otherwise."""


def compiled(rule: Custom, where: str) -> Decide:
    """
    A custom rule, ready to be asked.

    Raises:
        ConfigError: the expression is no CEL, or cannot be a truth value.
        MissingExtraError: the evaluator is not installed.
    """
    cel = _cel()
    # `facts` is the one name that an expression can see.
    env = cel.NewEnv(variables={"facts": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})
    try:
        expression = env.compile(rule.expression)
    except RuntimeError as error:
        told = _short(error)
        raise ConfigError(
            f"{where}, rule '{rule.id}': the expression is not valid CEL: {told}"
        ) from error
    if expression.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        raise ConfigError(
            f"{where}, rule '{rule.id}': the expression gives {expression.return_type()}; allowed: BOOL"
        )

    def decide(facts: Facts) -> tuple[bool, str]:
        try:
            value = expression.eval(data={"facts": facts.model_dump(mode="json")})
            plain = value.plain_value() if value.type() == cel.Type.BOOL else None
        except (RuntimeError, TypeError, ValueError) as error:
            return False, f"it could not be evaluated: {_short(error)}"
        if plain is True:
            return True, "true"
        if plain is False:
            return False, "it is false"
        return False, f"it gives {value.type()} and no truth value ({_short(value.value())})"

    return decide


def _cel() -> Any:
    try:
        from cel_expr_python import cel
    except ImportError as error:
        raise MissingExtraError("cel-expr-python", "cel", purpose="a rule in CEL") from error
    return cel


def _short(told: object) -> str:
    text = " ".join(str(told).split())
    return text if len(text) <= 240 else text[:237] + "..."
