"""A router that gets no further is given up, any other one is not."""

import pytest

from ohmgrid.boards.patience import PATIENCE, Unrouted, watch_router


def line(number, twice):
    return f"Info:     iter={number} wires=648316 overused={twice} overuse={twice} archfail=NA"


def test_a_router_that_gets_further_is_left_alone():
    look = watch_router()
    for number in range(1, 400):
        look(line(number, 500 - number // (PATIENCE // 2)))
        look("Info: something else, iter of nothing")
    look(line(400, 0))


def test_a_router_that_gets_no_further_is_given_up():
    look = watch_router()
    for number in range(1, 11):
        look(line(number, 100 - number))
    for number in range(11, 10 + PATIENCE):
        look(line(number, 90 + number))
    with pytest.raises(Unrouted, match=f"90 wires are used twice, as they were {PATIENCE} rounds"):
        look(line(10 + PATIENCE, 91))
