"""Netlists as place and route see them."""

import copy
import json

from ohmgrid.boards.netlist import close_carries, close_carries_in


def carry(cin, cout, s0, s1):
    ways = {"CIN": "input", "A0": "input", "COUT": "output", "S0": "output", "S1": "output"}
    bits = {"CIN": [cin], "A0": [2], "COUT": [cout], "S0": [s0], "S1": [s1]}
    return {"type": "CCU2C", "port_directions": ways, "connections": bits}


def netlist():
    """Two chains: the end of the first one is unused, that of the second is a port's."""
    flipflop = {
        "type": "TRELLIS_FF",
        "port_directions": {"DI": "input", "Q": "output"},
        "connections": {"DI": [21], "Q": [2]},
    }
    cells = {
        "low": carry("0", 10, 20, 21),
        "high": carry(10, 11, 22, 23),
        "other": carry("0", 12, 24, 25),
        "register": flipflop,
    }
    ports = {"o": {"direction": "output", "bits": [12, 22, 23]}}
    return {"creator": "yosys", "modules": {"top": {"ports": ports, "cells": cells}}}


def test_carries_that_nothing_reads_are_closed(tmp_path):
    given = netlist()
    found = copy.deepcopy(given)
    assert close_carries(found) == 1
    wanted = netlist()
    wanted["modules"]["top"]["cells"]["high"]["connections"]["COUT"] = ["x"]
    assert found == wanted
    path = tmp_path / "top.json"
    path.write_text(json.dumps(given))
    assert close_carries_in(path) == 1
    assert json.loads(path.read_text()) == wanted
