"""What a host writes by its number: registers of the core, registers and tables of devices."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.core.jobs import REGISTERS, TRAINER_WRITE
from ohmgrid.hdl.device.ports import REGISTERS as DEVICE_REGISTERS
from ohmgrid.hdl.device.ports import TABLE_WRITE
from ohmgrid.host.protocol import SET_BIT, TABLE_DATA_BITS
from ohmgrid.registers.map import CORE, DEVICE, TABLES, TRAINER

__all__ = ["Settings"]


class Settings(wiring.Component):
    """Registers of `ohmgrid.registers.map`, and writes of its tables on their way.

    Parameters
    ----------
    sets : int
        Kinds of devices that there are registers for, 1 or 2.

    Members
    -------
    write, number, data : In
        Strobe: write a register or an entry of a table, as of `ohmgrid.host.protocol.Op.SET`. The
        others stay for another cycle.
    unknown : Out(1)
        Strobe, two cycles later: there is no such number.
    registers : Out(REGISTERS)
    device_set : In(1)
        The kind of devices at work:
    device : Out(DEVICE_REGISTERS)
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
                "device_set": In(1),
                "device": Out(DEVICE_REGISTERS),
                "table_write": Out(TABLE_WRITE),
                "trainer_write": Out(TRAINER_WRITE),
            }
        )

    def elaborate(self, platform):
        m = Module()
        devices = [Signal(DEVICE_REGISTERS, name=f"device{k}") for k in range(self._sets)]
        second = self.data[SET_BIT]
        table, trainer = self.table_write, self.trainer_write
        # A cycle after the strobe, for it reaches every register.
        writes = Signal()
        m.d.sync += [writes.eq(self.write), table.en.eq(0), trainer.en.eq(0), self.unknown.eq(0)]
        with m.If(writes), m.Switch(self.number):
            for name, register in CORE.items():
                with m.Case(register.number):
                    m.d.sync += self.registers[name].eq(self.data)
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
        m.d.comb += self.device.eq(devices[0])
        if self._sets > 1:
            m.d.comb += self.device.eq(
                Mux(self.device_set, devices[1].as_value(), devices[0].as_value())
            )
        return m
