"""When to give a seed up: a router that gets no further would go on for hours."""

import re
from collections.abc import Callable

from ohmgrid.tools.toolchain import ToolFailed

__all__ = ["LAID", "ROUNDS", "Unrouted", "watch_router"]

ROUNDS = 60
"""Rounds of nextpnr's second router without fewer wires that are used twice."""
LAID = 300_000
"""Wires that its first one lays, old ones torn out for them, without fewer that are left."""
_SIGNS = (
    (re.compile(r"iter=(\d+) .*\boverused=(\d+)\b"), ROUNDS, "wires used twice", "rounds"),
    (
        re.compile(r"\s(\d+) \|\s*\d+\s+\d+ \|\s*\d+\s+\d+ \|\s*(\d+)\s*\|"),
        LAID,
        "wires left to lay",
        "laid wires",
    ),
)
"""What each of both tells, how long it may get no further, and what it counts in."""


class Unrouted(ToolFailed):
    """Place and route of a seed was given up."""


def watch_router() -> Callable[[str], None]:
    """Return what looks at each line of place and route, and raises `Unrouted` when it is time."""
    least: dict[str, tuple[int, int]] = {}

    def look(line: str) -> None:
        for sign, patience, what, unit in _SIGNS:
            found = sign.search(line)
            if found is None:
                continue
            at, left = map(int, found.groups())
            best, since = least.get(what, (left + 1, at))
            if left < best:
                least[what] = left, at
            elif at - since >= patience:
                raise Unrouted(
                    f"the router got no further: {best} {what}, as {at - since} {unit} ago"
                )

    return look
