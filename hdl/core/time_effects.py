"""When cells leak, diffuse and are refreshed: states of the tile's sequencer.

The twin is `ohmgrid.model.core.time_effects`. A refresh goes from block to block: it reads all
pairs of the block and keeps which are due and their differences; then, for each column with one, it
resets what is due and pulses the differences back, with the states of an update in that block
alone.
"""

from amaranth.hdl import Cat, Const, Mux, Signal

from ohmgrid.hdl.array.due_pairs import DuePairs
from ohmgrid.hdl.core.operations import COLUMN, ROW, goes
from ohmgrid.hdl.device.aging import Change
from ohmgrid.registers.noise import Verb

__all__ = ["TimeEffects"]


class TimeEffects:
    """States of leak, diffusion and refresh, mixed into `ohmgrid.hdl.core.tile.Tile`.

    Signals
    -------
    timing
        High from the end of an update until all that is due has happened.
    refreshing
        High while a column is refreshed.
    due_time, due_refresh
        What is still to happen.
    """

    def _time_signals(self):
        build = self.config.build
        self.timing, self.refreshing = Signal(), Signal()
        self.due_time, self.due_refresh = Signal(), Signal()
        self._column, self._count = (Signal(range(build.max_cols)) for _ in range(2))
        self._lane = Signal(range(max(2, build.lanes)))
        self._block_address = Signal(range(self.array.depth))
        self._block_column = Signal.like(self._column)
        self._pairs = DuePairs(build, self.array.turn)
        # The keys of the refresh are no longer in the line memories.
        self._stale = Signal()
        if not build.time:
            self.timing = self.refreshing = Const(0, 1)

    def _connect_time(self, m):
        """Connect what finds the pairs that are due, and what it writes to the edge buffers."""
        if not self.config.build.time:
            return
        regs, array, lines, lanes = self.regs, self.array, self.lines, self.config.build.lanes
        m.submodules.pairs = pairs = self._pairs
        # 1.0 may be one LSB beyond the edge.
        edge_one = Signal.like(self.x_one)
        m.d.sync += edge_one.eq(self.x_one - self.x_one[-1])
        left = Signal(range(self.config.build.max_cols + 1))
        m.d.sync += left.eq(regs["cols"] - self._block_column)
        m.d.comb += [
            array.single.eq(self.refreshing),
            array.block_columns.eq(Mux(left > lanes, lanes, left)),
            pairs.valid.eq(array.cells_returning & (array.cells_change == Change.READ)),
            pairs.row.eq(array.cells_row),
            pairs.lane.eq(array.cells_lane),
            pairs.code.eq(array.cells_code),
            pairs.upper.eq(regs["refresh_upper"]),
            pairs.lower.eq(regs["refresh_lower"]),
            pairs.column.eq(self._lane),
            pairs.visiting.eq(array.cells_visiting & self.refreshing),
            pairs.visit_row.eq(array.cells_visit_row),
        ]
        with m.If(self.timing):
            m.d.comb += [
                array.cells_block_address.eq(self._block_address),
                array.cells_block_column.eq(self._block_column),
            ]
        with m.If(self.refreshing):
            m.d.comb += lines.value.eq(
                Mux(pairs.take, pairs.value, Mux(self._count == self._column, edge_one, 0))
            )
            with m.If(pairs.take):
                m.d.comb += lines.take.eq(1)

    def _count_down(self, m, done):
        """Count an update and go to ``done``, past what is due; or go on with a refresh."""
        regs = self.regs
        m.next = done
        if not self.config.build.time:
            return
        for name, due in (("time", self.due_time), ("refresh", self.due_refresh)):
            every, left = regs[f"{name}_every"], regs[f"{name}_left"]
            with m.If(self.updates & ~self.refreshing & (every != 0)):
                m.d.sync += left.eq(left - 1)
                with m.If(left == 1):
                    m.d.sync += [left.eq(every), due.eq(1), self.timing.eq(1)]
                    m.next = "DUE"
        with m.If(self.refreshing):
            m.next = "NEXT_COLUMN"

    def _visit(self, m, name, following, change, **settings):
        """Add the states of a visit of cells."""
        array = self.array

        def settle():
            m.d.comb += [self.busy.eq(1), array.cells_change.eq(change)]
            m.d.comb += [getattr(array, key).eq(value) for key, value in settings.items()]
            # The differences of a column go to the rows' edge buffer.
            m.d.comb += [self.lines.side.eq(ROW), self.lines.count.eq(self.device_rows)]

        with m.State(name):
            settle()
            m.d.comb += array.cells_visit.eq(1)
            m.next = f"{name}_WAIT"
        with m.State(f"{name}_WAIT"):
            settle()
            with m.If(~array.cells_busy):
                following()

    def _keys(self, m, name, following, verb):
        """Add the states that make the keys of an operation, and those of all lines."""
        self._key(m, name, goes(m, f"{name}_ROWS"), verb, self.regs["update_step"])
        self._pass(m, f"{name}_ROWS", goes(m, f"{name}_COLS"), ROW, cycle_keys=1)
        self._pass(m, f"{name}_COLS", following, COLUMN, cycle_keys=1)

    def _time(self, m):
        """Add all states of leak, diffusion and refresh."""
        if not self.config.build.time:
            return
        with m.State("DUE"):
            m.d.comb += self.busy.eq(1)
            m.d.sync += [
                *(self.slot.eq(0), self._lane.eq(0), self._column.eq(0)),
                *(self._block_column.eq(0), self._block_address.eq(0)),
            ]
            with m.If(self.due_time):
                m.d.sync += self.due_time.eq(0)
                m.next = "TIME"
            with m.Elif(self.due_refresh):
                m.d.sync += self.due_refresh.eq(0)
                m.next = "REFRESH"
            with m.Else():
                m.d.sync += self.timing.eq(0)
                m.next = "DONE"
        # The registers that follow `timing` are right again when the answer is given.
        with m.State("DONE"):
            m.d.comb += self.busy.eq(1)
            m.next = "ANSWER"
        self._keys(m, "TIME", goes(m, "AGE"), Verb.TIME)
        self._visit(m, "AGE", goes(m, "DUE"), Change.AGE, cells_keep=1)
        self._refresh(m)
        self._column_back(m)

    def _refresh(self, m):
        """Add the states that go through blocks and their columns."""
        pairs, lanes, lines = self._pairs, self.config.build.lanes, self.lines

        def reset_column():
            m.d.comb += [lines.side.eq(ROW), lines.clear.eq(1)]
            m.next = "RESET"

        def keyed():
            m.d.sync += self._stale.eq(0)
            m.next = "SCAN"
            with m.If(self.refreshing):
                reset_column()

        self._keys(m, "REFRESH", keyed, Verb.REFRESH)
        self._visit(m, "SCAN", goes(m, "SEEK"), Change.READ, cells_single=1)
        with m.State("SEEK"):
            m.d.comb += self.busy.eq(1)
            m.next = "FOUND"
            with m.If(~pairs.any):
                m.next = "NEXT_BLOCK"
        with m.State("FOUND"):
            m.d.comb += self.busy.eq(1)
            m.next = "NEXT_COLUMN"
            with m.If(pairs.column_due):
                m.d.sync += self.refreshing.eq(1)
                m.next = "REFRESH"
                with m.If(~self._stale):
                    reset_column()
        self._visit(
            m,
            "RESET",
            goes(m, "ONE_COLUMN"),
            Change.RESET,
            cells_keep=pairs.keep,
            cells_only=1,
            cells_only_lane=self._lane,
        )
        with m.State("NEXT_COLUMN"):
            m.d.comb += self.busy.eq(1)
            m.d.sync += [
                *(self.slot.eq(0), self.refreshing.eq(0)),
                *(self._column.eq(self._column + 1), self._lane.eq(self._lane + 1)),
            ]
            m.next = "SEEK"
            with m.If((self._column + 1 == self.regs["cols"]) | (self._lane == lanes - 1)):
                m.next = "NEXT_BLOCK"
        with m.State("NEXT_BLOCK"):
            following = self._block_column + lanes
            m.d.comb += [self.busy.eq(1), pairs.clear.eq(1)]
            m.d.sync += [
                *(self._block_column.eq(following), self._column.eq(following), self._lane.eq(0)),
                self._block_address.eq(self._block_address + self.device_rows),
            ]
            m.next = "SCAN"
            with m.If(self._stale):
                m.next = "REFRESH"
            with m.If(following >= self.regs["cols"]):
                m.d.sync += self._stale.eq(0)
                m.next = "DUE"

    def _column_back(self, m):
        """Write activations to the edge buffer, 1.0 for the column at work and else 0; update."""
        lines = self.lines

        def settle():
            m.d.comb += [
                self.busy.eq(1),
                lines.side.eq(COLUMN),
                lines.count.eq(self.regs["cols"]),
            ]

        with m.State("ONE_COLUMN"):
            settle()
            m.d.comb += lines.clear.eq(1)
            m.d.sync += [self._count.eq(0), self._stale.eq(1)]
            m.next = "ONE_COLUMN_TAKE"
        with m.State("ONE_COLUMN_TAKE"):
            settle()
            m.d.comb += lines.take.eq(1)
            m.d.sync += self._count.eq(self._count + 1)
            with m.If(lines.taken):
                m.next = "ONE_COLUMN_END"
        # Two cycles until the maximum is there.
        with m.State("ONE_COLUMN_END"):
            settle()
            m.next = "UPDATE"

    def _of_update(self, name):
        """Return a register of an update, or that of a refresh."""
        return Mux(self.refreshing, self.regs[f"refresh_{name}"], self.regs[name])

    def _update_key(self):
        """Return verb and step of the key of an update's pulses."""
        step = self.regs["update_step"]
        column = Cat(step[:32], self._column)
        return Mux(self.refreshing, Verb.REWRITE, Verb.UPDATE), Mux(self.refreshing, column, step)
