"""Calls as the reference simulator prints them, read without running anything.

``LinearStepDevice(dw_min=0.002, mult_noise=False)`` becomes a `Call`. The text is parsed by
Python's own grammar (`ast`) and walked: names of classes, keywords, numbers, flags, texts, lists,
members of enumerations and arithmetic of numbers (``1 / (2**7 - 2)``) are known, all else refused.
"""

import ast
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ohmgrid.doors.checks import ConfigError, shown

__all__ = ["Call", "parse_call"]

MOST_CHARACTERS = 200_000
"""Longest text: a hundred times a printed configuration."""
MOST_EXPONENT = 64.0

_CLASS = re.compile(r"<class '([\w.]+)'>")
_MEMBER = re.compile(r"<(\w+\.\w+): '[^'<>]*'>")

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True)
class Call:
    """A class and the keywords it was printed with."""

    name: str
    """Without modules in front of it."""
    keywords: dict[str, Any] = field(default_factory=dict)
    """Numbers, flags, texts, None, lists, further calls; members of enumerations as texts
    (``PulseType.MEAN_COUNT``)."""


def parse_call(text: str) -> Call:
    """Return the one call of a text; raise `ConfigError` where it holds anything else.

    The call may be assigned to a name (``rpu_config = SingleRPUConfig(...)``) and stand below
    imports; in the form of ``repr`` classes and members of enumerations are in angle brackets.
    """
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(
            "content", f"expected at most {MOST_CHARACTERS} characters, got {len(text)}"
        )
    text = _MEMBER.sub(r"\1", _CLASS.sub(r"'\1'", text))
    try:
        statements = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # Python's parser says by all of these that a text is none of its own.
        line = getattr(error, "lineno", None)
        where = f" (line {line})" if line else ""
        raise ConfigError(
            "content",
            f"expected a printed configuration such as SingleRPUConfig(device=...){where}",
        ) from None
    calls = [
        statement.value
        for statement in statements
        if isinstance(statement, ast.Expr | ast.Assign) and isinstance(statement.value, ast.Call)
    ]
    imports = sum(isinstance(statement, ast.Import | ast.ImportFrom) for statement in statements)
    if len(calls) != 1 or len(statements) != imports + 1:
        raise ConfigError(
            "content",
            "expected one printed configuration such as SingleRPUConfig(device=...), "
            f"got {len(statements) - imports} statements",
        )
    try:
        return _call(calls[0])
    except RecursionError:
        raise ConfigError("content", "nested too deep") from None


def _refused(node: ast.AST, expected: str) -> ConfigError:
    line = getattr(node, "lineno", 0)
    return ConfigError(f"line {line}", f"expected {expected}, got {shown(ast.unparse(node))}")


def _dotted(node: ast.expr) -> str:
    """Return ``a.b`` of a name or an attribute."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise _refused(node, "a name")


def _call(node: ast.Call) -> Call:
    name = _dotted(node.func).rpartition(".")[2]
    keywords: dict[str, Any] = {}
    if node.args:
        raise _refused(node.args[0], f"keywords such as {name}(keyword=value)")
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in keywords:
            raise _refused(keyword.value, f"each keyword of {name} by its name, once")
        keywords[keyword.arg] = _value(keyword.value)
    return Call(name, keywords)


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        return _call(node)
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str | None):
        return node.value
    if isinstance(node, ast.Attribute):
        return ".".join(_dotted(node).split(".")[-2:])
    if isinstance(node, ast.UnaryOp | ast.BinOp):
        return _number(node)
    raise _refused(node, "a number, a flag, a text, a list or a class with keywords")


def _number(node: ast.expr) -> int | float:
    """Return the value of arithmetic with numbers."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _number(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = _number(node.left), _number(node.right)
        if not (isinstance(node.op, ast.Pow) and abs(right) > MOST_EXPONENT):
            try:
                value = _ARITHMETIC[type(node.op)](left, right)
                if not isinstance(value, complex) and math.isfinite(float(value)):
                    return value
            except (ArithmeticError, ValueError):
                pass
    raise _refused(node, "a number")
