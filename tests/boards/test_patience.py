"""A router that gets no further is given up, any other one is not."""

import pytest

from ohmgrid.boards.patience import PATIENCE, Unrouted, watch_router

ROUND = 1000
ROUNDS = PATIENCE // ROUND


def line(number, left):
    laid = number * ROUND
    return f"Info:  {laid:9d} | {laid // 2:8d}   152096 | 479  521 | {left:9d}|  14.12  1336.55|"


def test_a_router_that_gets_further_is_left_alone():
    look = watch_router()
    for number in range(1, 8 * ROUNDS):
        look(line(number, 50_000 - number // (ROUNDS // 2)))
        look("Info: | something else | of 3 |")
    look(line(8 * ROUNDS, 0))


def test_a_router_that_gets_no_further_is_given_up():
    look = watch_router()
    for number in range(1, 11):
        look(line(number, 100 - number))
    for number in range(11, 10 + ROUNDS):
        look(line(number, 90 + number))
    with pytest.raises(Unrouted, match=f"90 wires were left, and still are after {PATIENCE} oth"):
        look(line(10 + ROUNDS, 91))
