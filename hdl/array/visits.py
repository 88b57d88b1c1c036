"""Visits to the cells of an array by the unit that changes them with time."""

from amaranth.hdl import Array, Mux

from ohmgrid.hdl.array.group import split_lane
from ohmgrid.hdl.base.pipeline import delayed, strobe_after

__all__ = ["Visits"]


class Visits:
    """What a visit connects, mixed into `ohmgrid.hdl.array.array.LaneArray`."""

    def _visits(self, m, groups):
        """Connect the unit that changes visited cells; return what is written to a cell."""
        cells = self._cells
        m.submodules.aging = aging = self._aging
        group, within = split_lane(m, cells.visit_lane, self.config.build)
        group_f = delayed(m, group, "visited_group")
        column = cells.visit_column
        with m.If(cells.active):
            m.d.comb += [
                self.row_address.eq(cells.visit_row),
                self.column_address.eq(column),
            ]
        for each in groups:
            m.d.comb += [
                each.visited.active.eq(cells.active),
                each.visited.lane.eq(within),
                each.visited.address.eq(cells.visit_address),
            ]
        m.d.comb += [
            cells.start_visit.eq(self.cells_visit),
            cells.single.eq(self.cells_single),
            cells.only.eq(self.cells_only),
            cells.only_lane.eq(self.cells_only_lane),
            self.cells_visiting.eq(cells.visiting),
            self.cells_visit_row.eq(cells.visit_row),
            cells.block_address.eq(self.cells_block_address),
            cells.block_column.eq(self.cells_block_column),
            self.cells_returning.eq(cells.returning),
            self.cells_row.eq(cells.return_row),
            self.cells_column.eq(cells.return_column),
            self.cells_lane.eq(cells.lane),
            self.cells_code.eq(aging.code),
            aging.valid.eq(strobe_after(m, cells.visiting, 1, "visited")),
            aging.weight.eq(cells.word),
            aging.reference.eq(Array(each.reference for each in groups)[group_f]),
            aging.row_static.eq(self.row_static),
            aging.col_static.eq(self.column_static),
            aging.row_cycle.eq(self.row_cycle),
            aging.col_cycle.eq(self.column_cycle),
            aging.bias.eq(delayed(m, column == self.cols - 1, "visited_bias")),
            aging.change.eq(self.cells_change),
            aging.device.eq(self.registers),
            aging.registers.eq(self.aging),
            aging.table_write.eq(self.table_write),
        ]
        return Mux(cells.returning, aging.o, self.cells_i.payload)
