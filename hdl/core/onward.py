"""Results on their way to the edge: what one array gives becomes what the next one takes.

An example's answer comes from here, too: its prediction and its loss.
"""

from amaranth.hdl import Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.arith import beyond, saturate
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.core.jobs import ROW, Work, entry_layout, over_lines
from ohmgrid.hdl.core.taker import LABEL_BITS
from ohmgrid.hdl.periphery.activation import table_layout
from ohmgrid.hdl.periphery.edge import LOOK, SIZED, edge_depths, vector_layout
from ohmgrid.hdl.periphery.functions import Functions
from ohmgrid.hdl.periphery.passes import pass_layout
from ohmgrid.host.protocol import OUT_BITS
from ohmgrid.registers.layers import LINEAR, LOSS_BITS, MOST_CLASSES, SCALE_BITS, SHARE_BITS
from ohmgrid.registers.steps import ARRAY_BITS, Func

__all__ = ["Onward", "onward_layout"]

SETTLE = SIZED
"""Cycles from a vector's last value until its largest magnitude is there."""


def onward_layout(config: Config) -> data.StructLayout:
    """Return the layout of where results go; constant while they are on their way.

    ``stores``: to the edge, to lines of ``side`` from the ``first`` one on, as a vector of array
    ``target``; ``turns``: with the other sign; all else as of
    `ohmgrid.hdl.periphery.functions.function_layout`.
    """
    return data.StructLayout(
        {
            **{"stores": 1, "side": 1, "turns": 1, "first": range(config.build.lines)},
            "target": ARRAY_BITS,
            **{"func": Shape.cast(Func), "kind": range(LINEAR + 1)},
            **{"mantissa": SCALE_BITS, "shift": 6},
        }
    )


class Onward(wiring.Component):
    """Takes the results of an operation of the array at work to the edge.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe: results come, or come once more: those before are void, and none of them is on its
        way. All settings are constant from some cycles before until `done`.
    done : Out(1)
        Strobe: their vector is at the edge.
    job : In(onward_layout), entry : In(entry_layout), backward : In(1)
    x_frac, d_frac, d_one : In
        Fraction bits at the edge, and 1.0 of an error.
    label : In(LABEL_BITS)
    i_valid, i : In
        A result.
    lines : Out(pass_layout) ; lines_busy : In(1)
    number, shared_valid, shared : In ; share : Out
    vector : Out(vector_layout) ; value : Out
    look : Out ; looked : In ; column_base : In
        As of `ohmgrid.hdl.periphery.lines.Lines`.
    hit : Out(1), word : Out(LOSS_BITS)
        Of the example, once its last results and its errors are there (`ohmgrid.net.Answer`).
    activations, errors : Out
        How many of the vector were clipped.
    table_write : In(table_layout)
    """

    def __init__(self, config: Config):
        build, edge = config.build, config.formats.edge_bits
        self.config = config
        self._functions = Functions(config)
        columns, _ = edge_depths(config)
        count = range(build.lines + 1)
        super().__init__(
            {
                "start": In(1),
                "done": Out(1),
                "job": In(onward_layout(config)),
                "entry": In(entry_layout(config)),
                "backward": In(1),
                "x_frac": In(4),
                "d_frac": In(4),
                "d_one": In(edge),
                "label": In(LABEL_BITS),
                "i_valid": In(1),
                "i": In(signed(OUT_BITS)),
                "lines": Out(pass_layout(config)),
                "lines_busy": In(1),
                "number": In(count),
                "shared_valid": In(1),
                "shared": In(signed(18)),
                "share": Out(SHARE_BITS),
                "vector": Out(vector_layout(config)),
                "value": Out(signed(edge)),
                "look": Out(range(columns)),
                "looked": In(signed(edge)),
                "column_base": In(range(columns)),
                "hit": Out(1),
                "word": Out(LOSS_BITS),
                "activations": Out(count),
                "errors": Out(count),
                "table_write": In(table_layout(edge)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.functions = functions = self._functions
        job, entry, vector = self.job, self.entry, self.vector
        edge = self.config.formats.edge_bits
        count = Signal(range(self.config.build.lines + 1))
        share, active = Signal(), Signal()
        shares = Memory(shape=unsigned(SHARE_BITS), depth=MOST_CLASSES + 1, init=[])
        m.submodules.shares = shares
        write, read = shares.write_port(), shares.read_port()
        # Results and what was made of them; of a softmax, what was divided.
        come, made, divided = (Signal.like(count, name=n) for n in ("come", "made", "divided"))
        results = Signal.like(count)
        kept = Signal.like(count)
        m.d.sync += [
            share.eq(job.func == Func.SHARE),
            results.eq(Mux(self.backward, entry.cols, entry.rows)),
            # Nothing of the always-on input goes back.
            kept.eq(Mux(self.backward, entry.cols - 1, entry.rows)),
        ]
        m.d.comb += [
            *(functions.job[name].eq(job[name]) for name in ("func", "kind", "mantissa", "shift")),
            functions.job.x_frac.eq(self.x_frac),
            functions.job.d_frac.eq(self.d_frac),
            functions.start.eq(self.start),
            functions.i_valid.eq(self.i_valid),
            functions.i.eq(self.i),
            functions.label.eq(come == self.label),
            functions.activation.eq(self.looked),
            functions.table_write.eq(self.table_write),
            write.en.eq(functions.o_valid & share),
            write.addr.eq(made),
            write.data.eq(functions.o),
            read.addr.eq(self.number),
            self.share.eq(read.data),
        ]
        with m.If(self.start):
            m.d.sync += [come.eq(0), made.eq(0), self.look.eq(self.column_base + entry.input_line)]
        with m.Else():
            looks = strobe_after(m, self.i_valid, functions.activation_time - LOOK, "looks")
            m.d.sync += [
                come.eq(come + self.i_valid),
                made.eq(made + functions.o_valid),
                self.look.eq(self.look + looks),
            ]

        # An error of a softmax: the share less what it should be, two cycles after it came.
        came, aim = delayed(m, self.shared, "came"), Signal(signed(18))
        here, fresh, labelled = Signal(), Signal(), Signal()
        error, over = Signal(signed(edge)), Signal()
        m.d.comb += aim.eq(came - Mux(labelled, self.d_one, 0))
        m.d.sync += [
            here.eq(self.shared_valid),
            labelled.eq(divided == self.label),
            fresh.eq(here),
            error.eq(saturate(aim, edge)),
            over.eq(beyond(aim, edge)),
        ]
        with m.If(self.shared_valid):
            m.d.sync += divided.eq(divided + 1)
        with m.If(here & labelled):
            m.d.sync += self.word.eq(came)
        more = Signal()
        m.d.sync += more.eq(made + functions.o_valid < kept)
        stores = job.stores & ~share & functions.o_valid & more
        # Others bring vectors, too: while none comes from here, nothing is said.
        with m.If(active):
            m.d.comb += [
                vector.side.eq(job.side),
                vector.first.eq(job.first),
                vector.count.eq(kept),
                vector.biased.eq(~job.side),
                vector.take.eq(stores | fresh),
            ]
        made_value = functions.o[:edge].as_signed()
        if self.config.build.transfers:
            made_value = Mux(job.turns, -made_value, made_value)
        m.d.comb += self.value.eq(Mux(share, error, made_value))
        with m.If(self.start):
            m.d.sync += [self.activations.eq(0), self.errors.eq(0), divided.eq(0)]
        with m.Elif(vector.take):
            m.d.sync += [
                self.activations.eq(self.activations + (functions.clipped_activation & ~share)),
                self.errors.eq(self.errors + Mux(share, over, functions.clipped_error)),
            ]
        m.d.sync += self.hit.eq(functions.best == self.label)

        work = Work(m)
        squared = max(SETTLE, functions.squares_latency - functions.latency + 1)
        settles, settled = Signal(range(squared)), Signal(range(squared))
        m.d.sync += settled.eq(Mux(job.func == Func.SQUARED, squared, SETTLE) - 1)
        with m.FSM() as fsm:
            with m.State("IDLE"), m.If(self.start):
                m.next = "RESULTS"
            with m.State("RESULTS"), m.If(made == results):
                m.next = "SETTLE"
                with m.If(share):
                    m.next = "SHARES"
            # All shares are added up when the last one is there.
            with m.State("SHARES"):
                m.d.comb += vector.clear.eq(1)
                m.next = "DIVIDE"
            with m.State("DIVIDE"):
                m.d.comb += [
                    *over_lines(self.lines, entry, ROW),
                    self.lines.share.eq(1),
                    self.lines.factor.eq(self.d_one),
                    self.lines.divisor.eq(functions.total),
                    self.lines.top.eq(1 << 16),
                ]
                with work.until_done(self.lines.start, self.lines_busy):
                    m.next = "SETTLE"
            # The last value is taken, its magnitude compared, and the squares are added up.
            with m.State("SETTLE"):
                m.d.sync += settles.eq(settles + 1)
                with m.If(settles == settled):
                    m.next = "DONE"
            with m.State("DONE"):
                with m.If(job.func == Func.SQUARED):
                    m.d.sync += self.word.eq(functions.squares)
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        with m.If(self.start):
            m.d.comb += vector.clear.eq(job.stores & ~share)
            m.d.sync += settles.eq(0)
        m.d.comb += active.eq(~fsm.ongoing("IDLE") | self.start)
        return m
