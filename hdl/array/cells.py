"""Access to single cells of an array, in the order of `ohmgrid.model.array.sweep.memory_order`."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.array.bundles import array_layout
from ohmgrid.hdl.base.pipeline import delayed, strobe_after

__all__ = ["CellAccess", "place_of_cell", "range_layout"]

SHIFT = 3
"""Cycles from a shift's strobe until the chain has moved on."""


def range_layout(config) -> data.StructLayout:
    """Return the layout of what restricts a visit; all are 0 for a visit of a whole array.

    ``block``: one block is visited, ``offset`` words and ``before`` lane lines behind the first.
    ``column``: of each block, the serial line (or both devices of a pair) ``line`` alone.
    ``by_line``: lane line after lane line, not row of words after row of words; without the words.
    With ``block`` of one lane alone, ``lane``. ``waits``: what comes back is written.
    """
    build = config.build
    return data.StructLayout(
        {
            **{"block": 1, "offset": range(build.words), "before": range(build.lines)},
            **{"column": 1, "line": range(build.lines)},
            **{"by_line": 1, "lane": range(max(2, build.lanes)), "waits": 1},
        }
    )


def place_of_cell(config) -> data.StructLayout:
    """Return the layout of where a visited cell is: lines count from an array's first."""
    build = config.build
    return data.StructLayout(
        {
            "lane": range(max(2, build.lanes)),
            "address": range(build.words),
            "lane_line": range(build.lines),
            "line": range(build.lines),
            "minus": 1,
        }
    )


def _doubled(config, array):
    """Return whether a cell has two words."""
    return array.paired | (array.significance != 0) if config.build.significance else array.paired


class _Walk:
    """A cell's place, and how to go from one to the next."""

    def __init__(self, m, name, config, array, region, first, visits):
        self._m, self._lanes = m, config.build.lanes
        self._array, self._region, self._first = array, region, first
        self.place = Signal(place_of_cell(config), name=f"{name}_place")
        # Lane lines from this block on, and what follows from them: a comparison would be too much
        # on the way to the memories' write enable.
        self._left = Signal.like(array.lane_lines, name=f"{name}_left")
        self._last_block = Signal(name=f"{name}_last_block")
        self._final_line = Signal.like(array.serial, name=f"{name}_final_line")
        self._jump = Signal.like(self.place.address, name=f"{name}_jump")
        # No block but the first.
        self._single = Signal(name=f"{name}_single")
        # Words of a cell that are met; of two that visits do not meet, the second is passed over.
        doubled = _doubled(config, array)
        self._second, self._passes = Signal(), Signal()
        m.d.comb += self._second.eq(array.paired | (doubled & ~visits))
        m.d.comb += self._passes.eq(doubled & ~self._second)
        m.d.sync += [
            self._single.eq(array.lane_lines <= self._lanes + Mux(region.block, region.before, 0)),
            self._final_line.eq(Mux(region.column, region.line, array.serial - 1)),
            # From the last word of a block's part to the first of the next block's.
            self._jump.eq(
                Mux(region.column, (array.serial << doubled) - self._second, 1 + self._passes)
            ),
        ]
        self.ends_lanes = (self.place.lane == self._lanes - 1) | (
            self._last_block & (self.place.lane + 1 == self._left)
        )
        last_line = self.place.line == self._final_line
        self.ends_words = last_line & (self.place.minus == self._second)
        self.ends_blocks = self._last_block | region.block

    def start(self):
        """Go to the first cell."""
        array, region = self._array, self._region
        return [
            self.place.lane.eq(Mux(region.by_line & region.block, region.lane, 0)),
            self.place.address.eq(self._first),
            self.place.lane_line.eq(
                Mux(region.block, region.before, 0)
                + Mux(region.by_line & region.block, region.lane, 0)
            ),
            self.place.line.eq(Mux(region.column, region.line, 0)),
            self.place.minus.eq(0),
            self._left.eq(array.lane_lines - Mux(region.block, region.before, 0)),
            self._last_block.eq(self._single),
        ]

    def next_lane(self):
        """Go to the next lane."""
        place = self.place
        self._m.d.sync += [place.lane.eq(place.lane + 1), place.lane_line.eq(place.lane_line + 1)]

    def next_word(self):
        """Go to the next word of the same lane; behind a block's last one, see `next_block`."""
        place, second = self.place, self._second
        self._m.d.sync += [
            place.address.eq(place.address + 1 + self._passes),
            place.minus.eq(second & ~place.minus),
            place.line.eq(place.line + (~second | place.minus)),
        ]

    def first_word(self):
        """Go back to the plus device's word of a single line."""
        place, array = self.place, self._array
        self._m.d.sync += [
            place.address.eq(place.address - array.paired),
            place.minus.eq(0),
        ]

    def first_lane(self):
        """Go back to the first lane of the block."""
        place = self.place
        self._m.d.sync += [place.lane.eq(0), place.lane_line.eq(place.lane_line - place.lane)]

    def next_block(self):
        """From a block's last cell, go to the next block's first."""
        place, region = self.place, self._region
        self._m.d.sync += [
            place.lane.eq(0),
            place.lane_line.eq(place.lane_line + 1),
            place.address.eq(place.address + self._jump),
            place.minus.eq(0),
            place.line.eq(Mux(region.column, region.line, 0)),
            self._left.eq(self._left - self._lanes),
            self._last_block.eq(self._left <= 2 * self._lanes),
        ]


class CellAccess(wiring.Component):
    """All cells of an array, one by one: to or from a stream, or to be changed.

    A visit brings the words of all lanes at an address, one a cycle, to whoever changes them, and
    waits for what comes back before it goes to the next address; of a cell's two words that are no
    pair it meets the first alone. A visit by lines goes from cell to
    cell in each cycle, without the words.

    Parameters
    ----------
    config : Config
    stages : int
        Cycles from the address of a read until the words are in the chain, >= 4.
    turn : int
        Cycles from `visiting` until what becomes of that cell is there, >= 1.

    Members
    -------
    start_read, start_write, start_visit : In(1), strobes
    array : In(array_layout), region : In(range_layout)
        Constant from three cycles before the start until `busy` falls.
    busy : Out(1)
    active : Out(1)
        From the cycle after the start on: words are addressed from here.
    at : Out(place_of_cell)
        The cell at work, or the one that is visited: its word is the chain's head in the next
        cycle.
    back : Out(place_of_cell)
        The cell that a visit gives back.
    write : Out(1)
        Writes ``i.payload`` at ``at``.
    fetch : Out(1)
        Brings the words of all lanes at the address of ``at`` into the chain in ``stages`` cycles.
    shift : Out(1)
        Moves the chain on by one lane, `SHIFT` cycles later; in visits it moves in each cycle.
    word : In
        The chain's head.
    visiting, returning : Out(1)
        The cell at ``at`` is visited; what became of that at ``back`` is there.
    i, o : streams of conductances
    """

    def __init__(self, config, stages, turn):
        word = signed(config.formats.weight_bits)
        self.config, self.stages, self.turn = config, stages, turn
        super().__init__(
            {
                "start_read": In(1),
                "start_write": In(1),
                "start_visit": In(1),
                "array": In(array_layout(config)),
                "region": In(range_layout(config)),
                "busy": Out(1),
                "active": Out(1),
                "at": Out(place_of_cell(config)),
                "back": Out(place_of_cell(config)),
                "write": Out(1),
                "fetch": Out(1),
                "shift": Out(1),
                "word": In(word),
                "visiting": Out(1),
                "returning": Out(1),
                "i": In(stream.Signature(word)),
                "o": Out(stream.Signature(word)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Settings come from far away; what they decide here is short of time.
        array, region = delayed(m, self.array, "array"), delayed(m, self.region, "region")
        doubled = _doubled(self.config, array)
        base, part, first = (Signal(range(self.config.build.words)) for _ in range(3))
        m.d.sync += [
            base.eq(array.origin + (array.serial_line << doubled)),
            part.eq(
                Mux(region.block, region.offset, 0)
                + (Mux(region.column, region.line, 0) << doubled)
            ),
            first.eq(base + part),
        ]
        visits, visiting = Signal(), Signal()
        at = _Walk(m, "at", self.config, array, region, first, visits)
        back = _Walk(m, "back", self.config, array, region, first, visits)
        returning = strobe_after(m, visiting, self.turn, "returning")
        wait = Signal(range(self.stages))
        # Visits that have not come back.
        out = Signal(range(self.turn + 2))
        m.d.sync += [out.eq(out + visiting - returning), self.shift.eq(visits)]
        m.d.comb += [
            self.busy.eq(1),
            self.o.payload.eq(self.word),
            self.at.eq(at.place),
            self.back.eq(back.place),
            self.visiting.eq(visiting),
            self.returning.eq(returning),
        ]

        def next_cell(walk, done=None):
            """Go to the next cell by rows of words; call ``done`` behind the last one of a word."""
            with m.If(~walk.ends_lanes):
                walk.next_lane()
            with m.Else():
                with m.If(walk.ends_words):
                    walk.next_block()
                with m.Else():
                    walk.first_lane()
                    walk.next_word()
                if done:
                    done()

        def next_cell_by_line(walk):
            """Go to the next cell lane by lane."""
            with m.If(~walk.ends_words):
                walk.next_word()
            with m.Elif(walk.ends_lanes):
                walk.next_block()
            with m.Else():
                walk.first_word()
                walk.next_lane()

        with m.If(returning & region.by_line):
            next_cell_by_line(back)
        with m.Elif(returning):
            next_cell(back)

        def ends(state):
            """Go to ``state``, behind the last word to the end."""
            m.next = state
            with m.If(at.ends_words & at.ends_blocks):
                m.d.sync += self.active.eq(0)
                m.next = "IDLE"

        with m.FSM():
            with m.State("IDLE"):
                starts = self.start_read | self.start_write | self.start_visit
                m.d.comb += self.busy.eq(starts)
                m.d.sync += [*at.start(), *back.start()]
                m.d.sync += [self.active.eq(starts), visits.eq(self.start_visit)]
                with m.If(self.start_read | self.start_visit):
                    m.next = "FETCH"
                    with m.If(region.by_line):
                        m.next = "LINES"
                with m.Elif(self.start_write):
                    m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [self.i.ready.eq(1), self.write.eq(self.i.valid)]
                with m.If(self.i.valid):
                    m.next = "WRITTEN"
            # Apart from the stream's strobes, which come from far away.
            with m.State("WRITTEN"):
                m.next = "WRITE"
                next_cell(at, lambda: ends("WRITE"))
            with m.State("FETCH"):
                m.d.comb += self.fetch.eq(1)
                # A visited cell's word is there a cycle after the visit.
                m.d.sync += wait.eq(Mux(visits, self.stages - 2, self.stages - 1))
                m.next = "CHAIN"
            with m.State("CHAIN"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 1):
                    m.next = "READ"
                    with m.If(visits):
                        m.next = "VISIT"
            with m.State("READ"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [self.shift.eq(1), wait.eq(SHIFT)]
                    m.next = "SHIFT"
            with m.State("SHIFT"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 1):
                    m.next = "READ"
                with m.If(wait == SHIFT):
                    next_cell(at, lambda: ends("FETCH"))
            with m.State("VISIT"):
                m.d.comb += visiting.eq(1)

                def visited():
                    # What is read alone need not come back before the next words are fetched.
                    m.next = "FETCH"
                    with m.If(region.waits | (at.ends_words & at.ends_blocks)):
                        m.next = "RETURN"

                last = Signal(name="was_last")
                m.d.sync += last.eq(at.ends_words & at.ends_blocks)
                next_cell(at, visited)
            with m.State("RETURN"), m.If(out == 1), m.If(returning):
                m.next = "FETCH"
                with m.If(last):
                    m.d.sync += self.active.eq(0)
                    m.next = "IDLE"
            with m.State("LINES"):
                m.d.comb += visiting.eq(1)
                next_cell_by_line(at)
                with m.If(at.ends_words & (at.ends_lanes | region.block)):
                    with m.If(at.ends_blocks):
                        m.d.sync += last.eq(1)
                        m.next = "RETURN"
        return m
