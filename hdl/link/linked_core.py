"""The complete gateware behind a line of bytes: link, example store and core."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.own_register import reset_nearby
from ohmgrid.hdl.base.sdram import SDRAM_PINS, Sdram
from ohmgrid.hdl.base.stations import PairStation, Station
from ohmgrid.hdl.core.core import Core
from ohmgrid.hdl.core.example_decoder import BYTE
from ohmgrid.hdl.core.example_store import ExampleStore
from ohmgrid.hdl.link.endpoint import LINE_ERRORS, Endpoint
from ohmgrid.hdl.link.packer import Packer
from ohmgrid.hdl.link.unpacker import Unpacker
from ohmgrid.host.protocol import COMMAND_BITS
from ohmgrid.registers.examples import most_kept
from ohmgrid.registers.sdram import ULX3S_SDRAM

__all__ = ["LinkedCore"]

RESTART = 6
"""Cycles for which a core is reset with a new session."""


class LinkedCore(wiring.Component):
    """A core that a host drives by bytes alone; any line will do.

    Parameters
    ----------
    config : Config
    identity : sequence of int
        Bytes that say what this is (`ohmgrid.host.identity`).
    clock_hz : int
        Of the board; an SDRAM's times are made of it.

    Members
    -------
    rx : In(stream.Signature(8)), tx : Out(stream.Signature(8))
        The line; the first one is always ready.
    line : In(LINE_ERRORS)
        What the line has counted.
    busy : Out(1)
        Something is at work: without a byte from the line it may go on.
    sdram : Out(SDRAM_PINS)
        Where examples are kept in one.
    """

    def __init__(self, config: Config, identity: Sequence[int], clock_hz: int = 0):
        build = config.build
        self._endpoint = Endpoint(identity, build.link)
        self._core = Core(config)
        self._store = ExampleStore(build.store, most_kept(build), build.sdram)
        # A session that begins leaves the chip to its refreshes.
        self._sdram = Sdram(ULX3S_SDRAM, clock_hz) if build.sdram else None
        self._unpacker = Unpacker(len(self._core.i.payload))
        self._packer = Packer()
        byte = stream.Signature(8)
        super().__init__(
            {
                **{"rx": In(byte), "tx": Out(byte), "line": In(LINE_ERRORS), "busy": Out(1)},
                **({"sdram": Out(SDRAM_PINS)} if build.sdram else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.endpoint = endpoint = self._endpoint
        core, store, unpacker, packer = self._core, self._store, self._unpacker, self._packer
        # All but the endpoint begins anew with a session: the core, which is large, a little later
        # and for as long as something may be on its way between registers that no reset reaches.
        # Nothing comes from what is beside the endpoint until then.
        held, again, anew = Signal(RESTART), Signal(), Signal()
        m.d.sync += [
            held.eq(Cat(endpoint.restart, held)),
            again.eq(endpoint.restart | held.any()),
        ]
        m.d.comb += anew.eq(endpoint.restart | again)
        m.submodules.core = reset_nearby(m, again, platform)(core)
        restarted = {"store": store, "unpacker": unpacker, "packer": packer}
        at_once = ResetInserter(anew)
        if self._sdram is not None:
            m.submodules.sdram = sdram = self._sdram
            wiring.connect(m, store.sdram, sdram.user)
            wiring.connect(m, sdram.pins, wiring.flipped(self.sdram))
        for name, part in restarted.items():
            m.submodules[name] = at_once(part)
        # Stations on all ways: the core lies far from the link, and bytes come late in a cycle, out
        # of a block RAM.
        values = PairStation(core.i.payload.shape())
        stations = {
            "bytes_station": (endpoint.o, PairStation(8), unpacker.i),
            "command_station": (unpacker.cmd, Station(COMMAND_BITS), core.cmd),
            "example_station": (unpacker.examples, PairStation(BYTE), store.i),
            "result_station": (core.o, Station(core.o.payload.shape()), packer.o),
            "answer_station": (core.r, Station(len(core.r.payload)), packer.r),
        }
        for name, (_, station, _) in stations.items():
            m.submodules[name] = at_once(station)
        m.submodules.value_station = at_once(values)
        on_the_way = [part.o.valid for part in (values, *(way[1] for way in stations.values()))]
        for one, other in (
            (wiring.flipped(self.rx), endpoint.rx),
            (endpoint.tx, wiring.flipped(self.tx)),
            (packer.w, endpoint.i),
            (unpacker.order, store.order),
            (values.o, core.i),
            *((source, station.i) for source, station, _ in stations.values()),
            *((station.o, sink) for _, station, sink in stations.values()),
        ):
            wiring.connect(m, one, other)
        words, examples = unpacker.words, store.o
        m.d.comb += [
            values.i.payload.eq(words.payload),
            values.i.valid.eq(words.valid | examples.valid),
            words.ready.eq(values.i.ready),
            examples.ready.eq(values.i.ready),
            store.kept.eq(unpacker.kept),
            store.forget.eq(unpacker.forget),
            store.form.eq(unpacker.form),
            store.table.eq(unpacker.table),
            unpacker.store_busy.eq(store.busy | stations["example_station"][1].o.valid),
            endpoint.fault.eq(unpacker.fault),
            endpoint.line.eq(self.line),
            endpoint.state.busy.eq(core.busy | stations["command_station"][1].o.valid),
            endpoint.state.errors.eq(core.errors),
            endpoint.state.example_errors.eq(store.errors),
            self.busy.eq(
                Cat(
                    *(endpoint.o.valid, *on_the_way),
                    *(part.busy for part in (endpoint, core, *restarted.values())),
                ).any()
            ),
        ]
        # Words are given while no example is on its way, and examples then.
        with m.If(examples.valid):
            m.d.comb += values.i.payload.eq(examples.payload)
        return m
