"""What place and route should not see of a netlist.

nextpnr-ecp5 brings the last carry of each chain out to the fabric if it is connected, and yosys
connects it whether anybody listens or not: a slice a chain, 2 to 3 % of a core's.
"""

import json
from pathlib import Path
from typing import Any

from ohmgrid.storage.files import write_whole

__all__ = ["close_carries", "close_carries_in"]

CARRY, OUT = "CCU2C", "COUT"
UNDRIVEN = "x"


def close_carries(netlist: dict[str, Any]) -> int:
    """Disconnect the carries that nothing reads; return how many there were.

    Parameters
    ----------
    netlist : dict
        As yosys' ``write_json`` has it, flattened.
    """
    closed = 0
    for module in netlist["modules"].values():
        read = {bit for port in module["ports"].values() for bit in port["bits"]}
        for cell in module["cells"].values():
            ways = cell["port_directions"]
            for port, bits in cell["connections"].items():
                if ways[port] != "output":
                    read.update(bits)
        for cell in module["cells"].values():
            if cell["type"] == CARRY and not read.intersection(cell["connections"][OUT]):
                cell["connections"][OUT] = [UNDRIVEN]
                closed += 1
    return closed


def close_carries_in(path: Path) -> int:
    """Do so in a file; return how many there were."""
    netlist = json.loads(path.read_bytes())
    closed = close_carries(netlist)
    text = json.dumps(netlist).encode()
    write_whole(path, lambda file: file.write(text))
    return closed
