"""What a host writes by its number: registers of the core, registers and tables of devices."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.core.jobs import REGISTERS, TRAINER_WRITE
from ohmgrid.hdl.device.ports import REGISTERS as DEVICE_REGISTERS
from ohmgrid.hdl.device.ports import TABLE_WRITE
from ohmgrid.host.protocol import SET_BIT, TABLE_DATA_BITS
from ohmgrid.periphery import SLOTS
from ohmgrid.registers.map import CORE, DEVICE, OF_KIND, TABLES, TRAINER

__all__ = ["Settings"]


class Settings(wiring.Component):
    """Registers of `ohmgrid.registers.map`, and writes of its tables on their way.

    Parameters
    ----------
    sets : int
        Kinds of arrays that there are registers for, 1 or 2.

    Members
    -------
    write, number, data : In
        Strobe: write a register or an entry of a table, as of `ohmgrid.host.protocol.Op.SET`. The
        others stay for another cycle.
    unknown : Out(1)
        Strobe, two cycles later: there is no such number.
    device_set, planned_set : In(1)
        The kind of the array at work, and of the one that is planned:
    registers, planned : Out(REGISTERS), device : Out(DEVICE_REGISTERS)
        of either.
    one_chunk : Out(1)
        No train of any is longer than a chunk.
    table_write : Out(TABLE_WRITE)
        Out of a register: it goes to every device unit.
    trainer_write : Out(TRAINER_WRITE)
    """

    def __init__(self, sets: int):
        self._sets = sets
        super().__init__(
            {
                "write": In(1),
                "number": In(8),
                "data": In(64),
                "unknown": Out(1),
                "registers": Out(REGISTERS),
                "planned": Out(REGISTERS),
                "one_chunk": Out(1),
                "device_set": In(1),
                "planned_set": In(1),
                "device": Out(DEVICE_REGISTERS),
                "table_write": Out(TABLE_WRITE),
                "trainer_write": Out(TRAINER_WRITE),
            }
        )

    def elaborate(self, platform):
        m = Module()
        kinds = range(self._sets)
        devices = [Signal(DEVICE_REGISTERS, name=f"device{k}") for k in kinds]
        # The first kind's are those of all; the second has some of its own.
        first = Signal(REGISTERS)
        own = {name: Signal(CORE[name].bits, name=f"own_{name}") for name in OF_KIND}
        second = self.data[SET_BIT]
        table, trainer = self.table_write, self.trainer_write
        # A cycle after the strobe, for it reaches every register.
        writes = Signal()
        m.d.sync += [writes.eq(self.write), table.en.eq(0), trainer.en.eq(0), self.unknown.eq(0)]
        with m.If(writes), m.Switch(self.number):
            for name, register in CORE.items():
                with m.Case(register.number):
                    with m.If(~second | (self._sets == 1) | (name not in OF_KIND)):
                        m.d.sync += first[name].eq(self.data)
                    if self._sets > 1 and name in OF_KIND:
                        with m.If(second):
                            m.d.sync += own[name].eq(self.data)
            for name, register in DEVICE.items():
                with m.Case(register.number):
                    for k, device in enumerate(devices):
                        with m.If((second == k) | (self._sets == 1)):
                            m.d.sync += device[name].eq(self.data)
            with m.Case(*TABLES.values()):
                m.d.sync += [
                    table.en.eq(1),
                    table.set.eq(second),
                    table.table.eq(self.number),
                    table.address.eq(self.data[TABLE_DATA_BITS:SET_BIT]),
                    table.data.eq(self.data),
                ]
            with m.Case(*TRAINER.values()):
                m.d.sync += [
                    trainer.en.eq(1),
                    trainer.table.eq(self.number),
                    trainer.address.eq(self.data[TABLE_DATA_BITS:SET_BIT]),
                    trainer.data.eq(self.data),
                ]
            with m.Default():
                m.d.sync += self.unknown.eq(1)
        m.d.comb += [
            self.device.eq(devices[0]),
            self.registers.eq(first),
            self.planned.eq(first),
            self.one_chunk.eq(first.desired_bl <= SLOTS),
        ]
        if self._sets > 1:
            m.d.comb += [
                self.device.eq(Mux(self.device_set, devices[1].as_value(), devices[0].as_value())),
                self.one_chunk.eq((first.desired_bl <= SLOTS) & (own["desired_bl"] <= SLOTS)),
            ]
            for name in sorted(OF_KIND):
                m.d.comb += [
                    self.registers[name].eq(Mux(self.device_set, own[name], first[name])),
                    self.planned[name].eq(Mux(self.planned_set, own[name], first[name])),
                ]
        return m
