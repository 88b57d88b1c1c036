"""Single cells of an array from outside: words in and out, and what time does to them."""

from amaranth.hdl import Array, Module, Mux, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.array.bundles import array_layout, cell_layout
from ohmgrid.hdl.array.cells import CellAccess, place_of_cell, range_layout
from ohmgrid.hdl.array.group import split_lane
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.device.aging import AGING_REGISTERS, CODE_BITS, Aging
from ohmgrid.hdl.device.ports import REGISTERS, TABLE_WRITE
from ohmgrid.hdl.periphery.values import line_cycles, values_layout

__all__ = ["CellPort", "job_layout", "return_layout"]


def job_layout(config) -> data.StructLayout:
    """Return the layout of what is done to cells.

    Strobes ``read`` (to `CellPort.o`), ``write`` (from `CellPort.i`; to ``references``), ``visit``.
    A visit does ``change`` (`ohmgrid.hdl.device.aging.Change`) to the cells of ``region``; with
    ``keep`` in the cycle in which one comes back, it takes on its new weight, if it is not stuck.
    All but the strobes and ``keep`` are constant from three cycles before a strobe on.
    """
    return data.StructLayout(
        {
            "read": 1,
            "write": 1,
            "references": 1,
            "visit": 1,
            "change": 2,
            "keep": 1,
            "region": range_layout(config),
        }
    )


def return_layout(config) -> data.StructLayout:
    """Return the layout of what a visit says: ``visiting`` the cell at ``at``, ``returning`` that
    at ``back``, of which the ADC read ``code``."""
    return data.StructLayout(
        {
            "visiting": 1,
            "at": place_of_cell(config),
            "returning": 1,
            "back": place_of_cell(config),
            "code": signed(CODE_BITS),
        }
    )


class CellPort(wiring.Component):
    """Reads, writes and visits cells, one at a time.

    Parameters
    ----------
    config : Config
    stages : int
        Cycles from the fetch of an address until the words are in the chain.

    Members
    -------
    job : In(job_layout)
    array : In(array_layout)
    busy : Out(1), active : Out(1)
        ``active``, from the cycle after a strobe on: the lines' memories and the lanes are
        addressed from here.
    at : Out(place_of_cell)
        The cell at work.
    fetch, shift, word : as of `CellAccess`
    rows, columns : In(values_layout)
        Values of the lines of the cell that was visited `line_cycles` cycles before.
    bias : In(1)
        The cell at work is in the always-on column.
    references : In
        Of each group, the reference of the cell that was visited in the cycle before.
    cell : Out(cell_layout)
        What is written to a cell of ``group``, a cycle later:
    group : Out
    device, device_set, registers, table_write : In
        Device parameters, and which set of tables belongs to them.
    seen : Out(return_layout)
    i, o : streams of conductances
    """

    def __init__(self, config, stages):
        build, word = config.build, signed(config.formats.weight_bits)
        self.config = config
        self._lane_bits = max(1, (min(build.share, build.lanes) - 1).bit_length())
        self._aging = Aging(config.formats.weight_bits, build.device_sets, build.lut_delays)
        self.turn = line_cycles(config) + self._aging.latency
        self._access = CellAccess(config, stages, self.turn)
        super().__init__(
            {
                "job": In(job_layout(config)),
                "array": In(array_layout(config)),
                "busy": Out(1),
                "active": Out(1),
                "at": Out(place_of_cell(config)),
                "fetch": Out(1),
                "shift": Out(1),
                "word": In(word),
                "rows": In(values_layout(config)),
                "columns": In(values_layout(config)),
                "bias": In(1),
                "references": In(data.ArrayLayout(word, build.units)),
                "cell": Out(cell_layout(config, self._lane_bits)),
                "group": Out(range(max(2, build.units))),
                "device": In(REGISTERS),
                "device_set": In(1),
                "registers": In(AGING_REGISTERS),
                "table_write": In(TABLE_WRITE),
                "seen": Out(return_layout(config)),
                "i": In(stream.Signature(word)),
                "o": Out(stream.Signature(word)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.access = access = self._access
        job = self.job
        m.d.comb += [
            access.start_read.eq(job.read),
            access.start_write.eq(job.write),
            access.start_visit.eq(job.visit),
            access.array.eq(self.array),
            access.region.eq(job.region),
            access.word.eq(self.word),
            self.busy.eq(access.busy),
            self.active.eq(access.active),
            self.at.eq(access.at),
            self.fetch.eq(access.fetch),
            self.shift.eq(access.shift),
            access.i.payload.eq(self.i.payload),
            access.i.valid.eq(self.i.valid),
            self.i.ready.eq(access.i.ready),
            self.o.payload.eq(access.o.payload),
            self.o.valid.eq(access.o.valid),
            access.o.ready.eq(self.o.ready),
            *(self.seen[name].eq(getattr(access, name)) for name in ("visiting", "at")),
            *(self.seen[name].eq(getattr(access, name)) for name in ("returning", "back")),
        ]
        value, write = self.i.payload, access.write & ~job.references
        place = Mux(access.write, access.at, access.back) if self.config.build.time else access.at
        place = data.View(place_of_cell(self.config), place)
        if self.config.build.time:
            self._age(m)
            value = Mux(access.returning, self._aging.o, value)
            write = write | (access.returning & job.keep & ~self._aging.stuck)
        number, within = split_lane(m, place.lane, self.config.build)
        cell = self.cell
        m.d.sync += [
            cell.word.eq(write),
            cell.reference.eq(access.write & job.references),
            cell.lane.eq(within),
            cell.address.eq(place.address),
            cell.data.eq(value),
            self.group.eq(number),
        ]
        return m

    def _age(self, m):
        """Bring visited cells to what changes them: `line_cycles` later their keys are there."""
        access, config = self._access, self.config
        m.submodules.aging = aging = self._aging
        cycles = line_cycles(config)
        group, _ = split_lane(m, access.at.lane, config.build)
        # Word and reference come a cycle after the visit.
        word = delayed(m, self.word, "visited_word", cycles - 1)
        reference = Array(self.references[k] for k in range(config.build.units))[
            delayed(m, group, "visited_group")
        ]
        m.d.comb += [
            aging.valid.eq(strobe_after(m, access.visiting, cycles, "visited")),
            aging.weight.eq(word),
            aging.reference.eq(delayed(m, reference, "visited_reference", cycles - 1)),
            aging.row_static.eq(self.rows.static),
            aging.col_static.eq(self.columns.static),
            aging.row_cycle.eq(self.rows.cycle),
            aging.col_cycle.eq(self.columns.cycle),
            aging.bias.eq(delayed(m, self.bias, "visited_bias", cycles)),
            aging.change.eq(self.job.change),
            aging.device.eq(self.device),
            aging.device_set.eq(self.device_set),
            aging.registers.eq(self.registers),
            aging.table_write.eq(self.table_write),
            self.seen.code.eq(aging.code),
        ]
