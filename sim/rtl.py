"""The `rtl` engine: the gateware itself, compiled to a shared library and driven by its streams."""

from ohmgrid.config import Config
from ohmgrid.gateware.core import GatewareCore
from ohmgrid.gateware.tile import GatewareTile
from ohmgrid.net import Net
from ohmgrid.sim.gateware import SimulatedGateware
from ohmgrid.tile import check_shape

__all__ = ["RtlCore", "RtlTile"]


class RtlTile(GatewareTile):
    """An array alone in a simulated core.

    Raises
    ------
    ConfigError
        If the array does not fit the build, or the device needs what the build lacks.
    """

    gateware: SimulatedGateware

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        check_shape(rows, cols)
        gateware = SimulatedGateware(config, [(rows, cols)])
        super().__init__(config, rows, cols, number, gateware, 0)


class RtlCore(GatewareCore):
    """A net on one simulated core that trains by itself.

    Parameters
    ----------
    config : Config
    net : Net
    threads : int
        Without effect.
    """

    gateware: SimulatedGateware

    def __init__(self, config: Config, net: Net, threads: int = 1) -> None:
        super().__init__(config, net, SimulatedGateware(config, net.shapes))
