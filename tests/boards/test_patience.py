"""A router that gets no further is given up, any other one is not."""

import pytest

from ohmgrid.boards.patience import LAID, ROUNDS, Unrouted, watch_router


def second(number, left):
    """Return a line of the second router: a round."""
    return f"Info:     iter={number} wires=648316 overused={left} overuse={left} archfail=NA"


def first(number, left):
    """Return a line of the first router, which tells after each thousand."""
    laid = number * 1000
    return f"Info: {laid:9d} | {laid // 2:8d}   152096 | 479  521 | {left:9d}|  14.12  1336.55|"


ROUTERS = pytest.mark.parametrize(
    ("line", "patience", "what"),
    [(second, ROUNDS, "wires used twice"), (first, LAID // 1000, "wires left to lay")],
)


@ROUTERS
def test_a_router_that_gets_further_is_left_alone(line, patience, what):
    look = watch_router()
    for number in range(1, 8 * patience):
        look(line(number, 5000 - number // (patience // 2)))
        look("Info: something else | iter of nothing | of 3 |")
    look(line(8 * patience, 0))


@ROUTERS
def test_a_router_that_gets_no_further_is_given_up(line, patience, what):
    look = watch_router()
    for number in range(1, 11):
        look(line(number, 100 - number))
    for number in range(11, 10 + patience):
        look(line(number, 90 + number))
    with pytest.raises(Unrouted, match=f"the router got no further: 90 {what}"):
        look(line(10 + patience, 91))
