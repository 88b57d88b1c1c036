"""When to give a seed up: a router that gets no further would go on for hours."""

import re
from collections.abc import Callable

from ohmgrid.tools.toolchain import ToolFailed

__all__ = ["PATIENCE", "Unrouted", "watch_router"]

PATIENCE = 60
"""Rounds of router2 without fewer wires that are used twice."""
_ROUND = re.compile(r"iter=(\d+) .*\boverused=(\d+)\b")


class Unrouted(ToolFailed):
    """Place and route of a seed was given up."""


def watch_router() -> Callable[[str], None]:
    """Return what looks at each line of place and route, and raises `Unrouted` when it is time."""
    best = since = 0
    begun = False

    def look(line: str) -> None:
        nonlocal best, since, begun
        found = _ROUND.search(line)
        if found is None:
            return
        number, twice = map(int, found.groups())
        if not begun or twice < best:
            begun, best, since = True, twice, number
        elif number - since >= PATIENCE:
            raise Unrouted(
                f"the router got no further: {best} wires are used twice, as they were "
                f"{number - since} rounds ago"
            )

    return look
