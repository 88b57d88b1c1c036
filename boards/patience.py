"""When to give a seed up: a router that gets no further would go on for hours."""

import re
from collections.abc import Callable

from ohmgrid.tools.toolchain import ToolFailed

__all__ = ["PATIENCE", "Unrouted", "watch_router"]

PATIENCE = 300_000
"""Wires laid, old ones torn out for them, without fewer that are left to lay."""
_LEFT = re.compile(r"\s(\d+) \|\s*\d+\s+\d+ \|\s*\d+\s+\d+ \|\s*(\d+)\s*\|")
"""What nextpnr's first router tells after each thousand: how many, and how many are left."""


class Unrouted(ToolFailed):
    """Place and route of a seed was given up."""


def watch_router() -> Callable[[str], None]:
    """Return what looks at each line of place and route, and raises `Unrouted` when it is time."""
    least = since = 0
    begun = False

    def look(line: str) -> None:
        nonlocal least, since, begun
        found = _LEFT.search(line)
        if found is None:
            return
        laid, left = map(int, found.groups())
        if not begun or left < least:
            begun, least, since = True, left, laid
        elif laid - since >= PATIENCE:
            raise Unrouted(
                f"the router got no further: {least} wires were left, and still are after "
                f"{laid - since} others"
            )

    return look
