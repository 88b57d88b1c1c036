"""Commands: taken from the host or, while it runs, from the step table; done, and answered."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.core.counters import amounts_layout
from ohmgrid.hdl.core.jobs import Work
from ohmgrid.host.protocol import COMMAND_BITS, INNER, Op
from ohmgrid.registers.layers import LOSS_BITS
from ohmgrid.registers.meters import METER_BITS, TOTALS
from ohmgrid.registers.steps import ARRAY_BITS

__all__ = ["KINDS", "Commands"]

PARTLY = (Op.WRITE_REFERENCES, Op.READ_BETWEEN)
"""What not every build does."""

KINDS = data.StructLayout({op.name.lower(): 1 for op in Op})
"""Which command is at work."""


class Commands(wiring.Component):
    """Has engines do what commands say: one command at a time, one engine after the other.

    Parameters
    ----------
    config : Config

    Members
    -------
    cmd : In stream of `COMMAND_BITS` bits ; r : Out stream of 64 bits
        As of `ohmgrid.hdl.core.core.Core`.
    busy : Out(1), errors : Out(8)
    op, arg, argument : Out
        The command at work;
    kinds : Out(KINDS)
        registers, for they choose settings all over the core: which it is.
    set, run, write_entry, load, load_vector, multiply, bring, update, pass_time, read : Out(1)
        Strobes: write a register; run the step table; write a word of the array table; load an
        entry; do what the loader does; multiply; bring results to the edge; update; let time pass;
        read what lies between two arrays.
    unknown, table_busy, loader_done, multiply_done, brought, updated, time_due, time_passed : In(1)
        There is no such register; and what these wait for, taken a cycle late but for the table.
    through, buffers_busy : In(1)
        Results that are sent go through buffers, which are at work.
    changed : Out(1)
        Strobe: a verb has ended that changes the entry.
    loading, multiplying, flowing, running, inner_results : Out(1)
        The loader passes its streams; results come; they, or what became of them, are on their way
        to the edge; the sequencer may take a label; results stay in the core.
    wrong, sound : In(1)
        The array at work does not fit the build; no cell was written while it was read.
    amounts : In(amounts_layout), hit, word : In
        What the verb, or the example, came to.
    go, step_op, step_array, inner, steps, ended, illegal : In
        As of `ohmgrid.hdl.core.sequencer.Sequencer` (``steps``: it runs).
    accepted, done, failed : Out(1) ; answer_valid : In(1) ; answer_ready : Out(1)
        As there.
    count : Out(1), counted_op : Out(8), counting : In(1), counter : In(METER_BITS)
        Strobe, what it counts, that counters are at work, and the one that a host reads.
    """

    def __init__(self, config: Config):
        self._config = config
        strobes = ("set", "run", "write_entry", "load", "load_vector", "multiply", "bring")
        strobes += ("update", "pass_time", "read", "changed", "count", "accepted", "done", "failed")
        waits = ("unknown", "table_busy", "loader_done", "multiply_done", "brought", "updated")
        waits += ("time_due", "time_passed", "wrong", "sound", "hit", "counting")
        waits += ("through", "buffers_busy")
        states = ("loading", "multiplying", "flowing", "running", "answer_ready", "inner_results")
        steps = ("go", "inner", "steps", "ended", "illegal", "answer_valid")
        super().__init__(
            {
                "cmd": In(stream.Signature(COMMAND_BITS)),
                "r": Out(stream.Signature(64)),
                "busy": Out(1),
                "errors": Out(8),
                "op": Out(8),
                "kinds": Out(KINDS),
                "arg": Out(8),
                "argument": Out(64),
                **{name: Out(1) for name in (*strobes, *states)},
                **{name: In(1) for name in (*waits, *steps)},
                "amounts": In(amounts_layout(config)),
                "word": In(LOSS_BITS),
                "step_op": In(8),
                "step_array": In(ARRAY_BITS),
                "counted_op": Out(8),
                "counter": In(METER_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        op, r, work = self.op, self.r, Work(m)
        illegal, peeked = Signal(), Signal()
        # Of the command at work, not of an entry that was loaded before it.
        misfit = Signal()
        command = Cat(op, self.arg, self.argument)
        inner, kinds, known = self.inner_results, self.kinds, Signal()
        m.d.sync += [
            *(kinds[of.name.lower()].eq(op == of) for of in Op),
            known.eq(self._known()),
            inner.eq(self.steps & self.inner),
        ]
        waited = ("loader_done", "multiply_done", "brought", "updated", "time_due", "time_passed")
        late = {name: delayed(m, getattr(self, name), f"late_{name}") for name in waited}
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.cmd.ready.eq(1)
                m.d.sync += [command.eq(self.cmd.payload), misfit.eq(0)]
                with m.If(self.cmd.valid):
                    m.next = "DECODE"
            with m.State("DECODE"):
                m.next = "DISPATCH"
            with m.State("DISPATCH"):
                m.next = "LOAD"
                with m.If(kinds.set):
                    m.d.comb += self.set.eq(1)
                    m.next = "IDLE"
                with m.Elif(known):
                    with m.If(kinds.entry):
                        m.next = "WRITE_ENTRY"
                    with m.If(kinds.run):
                        m.d.comb += self.run.eq(1)
                        m.next = "RUN"
                    with m.If(kinds.counter):
                        m.next = "PEEK"
                with m.Else():
                    m.d.sync += illegal.eq(1)
                    m.next = "ANSWER"
            # The step table gives commands, until it ends.
            with m.State("RUN"):
                answers = self.answer_valid & ~self.counting
                m.d.comb += [
                    self.running.eq(1),
                    self.answer_ready.eq(r.ready & ~self.counting),
                    r.valid.eq(answers),
                    self.accepted.eq(self.go | self.ended),
                ]
                with m.If(answers & r.ready):
                    m.d.comb += self.count.eq(1)
                with m.If(self.go):
                    m.d.sync += [op.eq(self.step_op), self.arg.eq(self.step_array)]
                    m.next = "LOAD"
                with m.Elif(self.ended):
                    m.d.sync += [op.eq(Op.RUN), illegal.eq(illegal | self.illegal)]
                    m.next = "ANSWER"
                with m.Elif(self.cmd.valid & (self.cmd.payload[:8] == Op.COUNTER) & ~answers):
                    m.d.comb += self.cmd.ready.eq(1)
                    m.d.sync += command.eq(self.cmd.payload)
                    m.next = "PEEK"
            with m.State("PEEK"):
                m.d.comb += r.valid.eq(~self.counting & peeked)
                m.d.sync += peeked.eq(~self.counting)
                with m.If(r.valid & r.ready):
                    m.d.sync += [op.eq(Op.RUN), peeked.eq(0)]
                    m.next = "IDLE"
                    with m.If(self.steps):
                        m.next = "RUN"
            with m.State("WRITE_ENTRY"):
                with work.until_done(self.write_entry, self.table_busy):
                    m.next = "IDLE"
            with m.State("LOAD"):
                with work.until_done(self.load, self.table_busy):
                    m.next = "SETTLE"
            # Registers follow the entry.
            with m.State("SETTLE"):
                m.next = "SETTLED"
            with m.State("SETTLED"):
                m.next = "CHECK"
            with m.State("CHECK"):
                m.next = "ANSWER"
                m.d.sync += misfit.eq(self.wrong)
                with m.If(~self.wrong):
                    m.next = "LOADER"
                    with m.If(kinds.forward | kinds.backward | kinds.loss | kinds.send):
                        m.next = "MULTIPLY"
                    with m.If(kinds.update | kinds.pulse):
                        m.next = "UPDATE"
                    with m.If(kinds.age):
                        m.next = "AGE"
                    with m.If(kinds.plan):
                        m.next = "ANSWER"
                    if self._config.build.buffers:
                        with m.If(kinds.read_between):
                            m.next = "READ"
            with m.State("LOADER"):
                m.d.comb += self.loading.eq(1)
                with work.until_done(self.load_vector, ~late["loader_done"]):
                    m.next = "ANSWER"
            with m.State("MULTIPLY"):
                m.d.comb += [
                    self.multiplying.eq(1),
                    self.flowing.eq(1),
                    self.bring.eq(self.multiply & inner),
                ]
                with work.until_done(self.multiply, ~late["multiply_done"]):
                    m.d.comb += self.changed.eq(kinds.forward | kinds.backward)
                    m.next = "ANSWER"
                    with m.If(inner):
                        m.next = "BRING"
                    if self._config.build.buffers:
                        with m.If(self.through & kinds.send):
                            m.next = "BUFFERS"
            if self._config.build.buffers:
                with m.State("BUFFERS"), m.If(~self.buffers_busy):
                    m.next = "ANSWER"
                with m.State("READ"):
                    with work.until_done(self.read, self.buffers_busy):
                        m.next = "ANSWER"
            with m.State("BRING"):
                m.d.comb += self.flowing.eq(1)
                with m.If(late["brought"]):
                    m.next = "ANSWER"
            with m.State("UPDATE"):
                with work.until_done(self.update, ~late["updated"]):
                    m.d.comb += self.changed.eq(1)
                    m.next = "ANSWER"
                    with m.If(late["time_due"] & ~kinds.pulse):
                        m.d.comb += self.pass_time.eq(1)
                        m.next = "TIME"
            with m.State("AGE"):
                m.d.comb += [self.changed.eq(1), self.pass_time.eq(late["time_due"])]
                m.next = "ANSWER"
                with m.If(late["time_due"]):
                    m.next = "TIME"
            with m.State("TIME"), m.If(late["time_passed"]):
                m.next = "ANSWER"
            with m.State("ANSWER"):
                with m.If(self.counting):
                    pass
                with m.Elif(self.steps):
                    m.d.comb += [
                        self.done.eq(1),
                        self.failed.eq(misfit),
                        self.count.eq(~misfit),
                    ]
                    m.next = "RUN"
                with m.Else():
                    m.d.comb += r.valid.eq(1)
                    with m.If(r.ready):
                        m.d.sync += illegal.eq(0)
                        m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        self._answer(m, illegal, misfit, fsm.ongoing("PEEK"))
        with m.If(self.unknown):
            m.d.sync += illegal.eq(1)
        return m

    def _answer(self, m, illegal, misfit, peeking):
        """Say what an answer is; that to a `Op.COUNTER` goes beside all others."""
        op, amounts, kinds = self.op, self.amounts, self.kinds
        passes = Mux(kinds.forward, amounts.passes, 1)
        slots = Mux(kinds.update | kinds.pulse, amounts.slots, 0)
        saturated = Mux(kinds.forward | kinds.backward, amounts.saturated, 0)
        no_byte = Const(0, 8)
        m.d.comb += [
            self.errors.eq(Cat(illegal, misfit & self.busy, ~self.sound)),
            self.counted_op.eq(Mux(self.answer_valid, Op.COUNT, op)),
            self.r.payload.eq(Cat(op, self.errors, passes, slots, saturated)),
        ]
        with m.If(peeking & ~illegal):
            m.d.comb += self.r.payload.eq(Cat(op, self.counter))
        with m.Elif(self.answer_valid):
            hit = Cat(self.hit, Const(0, 7))
            m.d.comb += self.r.payload.eq(Cat(Const(Op.COUNT, 8), no_byte, hit, no_byte, self.word))

    def _known(self):
        """Return whether the command at work is one, for an array that there can be."""
        ops = [op for op in Op if op not in (*PARTLY, Op.SET, *INNER)]
        if self._config.build.references:
            ops.append(Op.WRITE_REFERENCES)
        if self._config.build.buffers:
            ops.append(Op.READ_BETWEEN)
        counter = (self.op == Op.COUNTER) & (self.arg == TOTALS)
        return Cat(self.op == op for op in ops).any() & (
            (self.arg < self._config.build.arrays) | counter
        )
