"""A dynamics unit behind a line of bytes: link and unit, in the place of a core."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, ResetInserter
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.stations import PairStation, Station
from ohmgrid.hdl.dynamics.unit import Unit
from ohmgrid.hdl.link.endpoint import LINE_ERRORS, Endpoint
from ohmgrid.hdl.link.packer import Packer
from ohmgrid.hdl.link.unpacker import Unpacker
from ohmgrid.host.protocol import COMMAND_BITS

__all__ = ["LinkedUnit", "unit_of"]


def unit_of(config: Config) -> Unit:
    """Return the dynamics unit of a build."""
    build = config.build
    return Unit(build.dynamics, build.ring, build.lanes, config.formats.edge_bits)


class LinkedUnit(wiring.Component):
    """A dynamics unit that a host drives by bytes alone; words and examples it drops.

    Parameters
    ----------
    config : Config
    identity : sequence of int
        Bytes that say what this is (`ohmgrid.host.identity`).
    clock_hz : int
        Of the board: as of `ohmgrid.hdl.link.linked_core.LinkedCore`, of which nothing depends
        here.

    Members
    -------
    rx : In(stream.Signature(8)), tx : Out(stream.Signature(8))
    line : In(LINE_ERRORS)
    busy : Out(1)
        As there.
    """

    def __init__(self, config: Config, identity: Sequence[int], clock_hz: int = 0):
        self._endpoint = Endpoint(identity, config.build.link)
        self._unit = unit_of(config)
        byte = stream.Signature(8)
        super().__init__({"rx": In(byte), "tx": Out(byte), "line": In(LINE_ERRORS), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.endpoint = endpoint = self._endpoint
        # All but the endpoint begins anew with a session.
        anew = ResetInserter(endpoint.restart)
        unit, unpacker, packer = self._unit, Unpacker(2), Packer()
        bytes_station, commands = PairStation(8), Station(COMMAND_BITS)
        results = Station(unit.o.payload.shape())
        parts = {
            "unit": unit,
            "unpacker": unpacker,
            "packer": packer,
            "bytes_station": bytes_station,
            "command_station": commands,
            "result_station": results,
        }
        for name, part in parts.items():
            m.submodules[name] = anew(part)
        for one, other in (
            (wiring.flipped(self.rx), endpoint.rx),
            (endpoint.tx, wiring.flipped(self.tx)),
            (endpoint.o, bytes_station.i),
            (bytes_station.o, unpacker.i),
            (unpacker.cmd, commands.i),
            (commands.o, unit.cmd),
            (unit.o, results.i),
            (results.o, packer.o),
            (packer.w, endpoint.i),
        ):
            wiring.connect(m, one, other)
        m.d.comb += [
            # An answer goes behind the results before it.
            packer.r.payload.eq(unit.r.payload),
            packer.r.valid.eq(unit.r.valid & ~results.o.valid),
            unit.r.ready.eq(packer.r.ready & ~results.o.valid),
            *(part.ready.eq(1) for part in (unpacker.words, unpacker.examples, unpacker.order)),
            endpoint.fault.eq(unpacker.fault),
            endpoint.line.eq(self.line),
            endpoint.state.busy.eq(unit.busy | commands.o.valid),
            endpoint.state.errors.eq(unit.errors),
            self.busy.eq(
                Cat(
                    *(part.busy for part in (endpoint, unit, unpacker, packer)),
                    *(endpoint.o.valid, bytes_station.o.valid, commands.o.valid, results.o.valid),
                ).any()
            ),
        ]
        return m
