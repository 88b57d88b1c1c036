"""The sequencer: takes verbs from the step table and has the core do them, one after the other.

The twin is `ohmgrid.model.core.sequencer`. It reads a step and what the step names, and waits until
the core has done it; labels, slots and loops are its own.
"""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.core.jobs import STEP, TRAINER_WRITE
from ohmgrid.hdl.core.misuse import Misuse
from ohmgrid.hdl.core.onward import onward_layout
from ohmgrid.hdl.core.taker import LABEL_BITS, Taker
from ohmgrid.hdl.periphery.edge import edge_depths, vector_layout
from ohmgrid.host.protocol import EXAMPLES_BITS, Op
from ohmgrid.registers.layers import SCALE_BITS
from ohmgrid.registers.map import STEP_WORD_BITS, TRAINER
from ohmgrid.registers.steps import (
    APART,
    ARRAY_BITS,
    IDLE_STEPS,
    IF_DUE,
    MOST_SCALES,
    MOST_STEPS,
    SKIPPED,
    STEP_BITS,
    Bank,
    StepVerb,
    Until,
)

__all__ = ["Sequencer"]

BATCH_BITS = 16


class Sequencer(wiring.Component):
    """Runs the step table.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1), order : In
        Strobe: run the table; ``order`` as of `ohmgrid.host.protocol.Op.RUN`.
    counts_more : In(1), counts : Out(1)
        With `start`: what clips and pulses in this run is counted; it is.
    running : Out(1), ended : Out(1)
        ``ended``: the run is over, until that is `accepted`;
    illegal : Out(1)
        then, a step could not be done.
    write : In(TRAINER_WRITE)
    go : Out(1), op : Out(8), array : Out
        The core is to do this; ``op`` and ``array`` stay until
    accepted : In(1)
        Strobe, not before `go` or `ended`: it begins;
    done, failed : In(1)
        it has, strobe; it could not.
    job : Out(onward_layout), inner : Out(1)
        What becomes of results; whether they stay in the core.
    biased : Out(1)
        A vector comes without the always-on input.
    plan : Out(1), planned : Out, pending, reading, ready, room : In, forget : Out(1)
        Have the update of this array planned, as of `ohmgrid.hdl.core.pulser.Pulser`.
    slot : Out, column_base, row_base : Out
        Example of the mini-batch at work, and where its vectors begin at the edge.
    apart, owner : Out
        Vectors are not of that example, but of their own; and the array whose vectors they are.
    due : In(1)
        The last update made a transfer due.
    label_valid, label_ready, i : the stream of examples, while one comes that is not the
        loader's.
    label : Out(LABEL_BITS)
    inputs : In, serial : In(1)
        Of the array at work: inputs without the always-on one; it is pulsed slot by slot.
    taking : Out(1), taken : Out(1), target : Out ; halted : In(1)
        An example is being taken beside updates; it has been (strobe), and for which array; none
        may begin to be.
    vector : Out(vector_layout) ; vector_taken : In(1)
        Its inputs, as of `ohmgrid.hdl.periphery.edge.Edge`.
    answer_valid : Out(1), answer_ready : In(1)
        The example's answer is to be sent.
    """

    def __init__(self, config: Config):
        self.config = config
        self._array_bits = (config.build.arrays - 1).bit_length()
        columns, rows = edge_depths(config)
        super().__init__(
            {
                "start": In(1),
                "order": In(EXAMPLES_BITS + BATCH_BITS),
                "counts_more": In(1),
                "counts": Out(1),
                "running": Out(1),
                "ended": Out(1),
                "illegal": Out(1),
                "write": In(TRAINER_WRITE),
                "go": Out(1),
                "op": Out(Shape.cast(Op)),
                "array": Out(ARRAY_BITS),
                "accepted": In(1),
                "done": In(1),
                "failed": In(1),
                "job": Out(onward_layout(config)),
                "inner": Out(1),
                "biased": Out(1),
                "plan": Out(1),
                "planned": Out(ARRAY_BITS),
                "pending": In(config.build.arrays),
                "reading": In(config.build.arrays),
                "room": In(1),
                "ready": In(config.build.arrays),
                "forget": Out(1),
                "slot": Out(range(config.build.edge)),
                "column_base": Out(range(columns)),
                "row_base": Out(range(rows)),
                "apart": Out(1),
                "owner": Out(ARRAY_BITS),
                "due": In(1),
                "label_valid": In(1),
                "label_ready": Out(1),
                "i": In(LABEL_BITS),
                "label": Out(LABEL_BITS),
                "inputs": In(range(config.build.inputs)),
                "serial": In(1),
                "taking": Out(1),
                "halted": In(1),
                "taken": Out(1),
                "target": Out(ARRAY_BITS),
                "vector": Out(vector_layout(config)),
                "vector_taken": In(1),
                "answer_valid": Out(1),
                "answer_ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        build = self.config.build
        at = Signal(range(MOST_STEPS))
        words = [
            self._memory(m, f"steps{half}", "step", bits, MOST_STEPS, at, half)
            for half, bits in enumerate((STEP_WORD_BITS, STEP_BITS - STEP_WORD_BITS))
        ]
        step = Signal(STEP)
        # Two scales for each array, and a vector of either side.
        scales = min(MOST_SCALES, 2 << self._array_bits)
        scale = self._memory(m, "scales", "scale", SCALE_BITS + 6, scales, step.coef)
        vectors = 2 << self._array_bits
        line = self._memory(m, "vectors", "vector", 16, vectors, self._vector(step.dst))

        left, batch = Signal(EXAMPLES_BITS), Signal(BATCH_BITS)
        slot, filled = Signal(BATCH_BITS), Signal(BATCH_BITS)
        quiet, owed = Signal(range(IDLE_STEPS + 1)), Signal(BATCH_BITS)
        row_side = step.dst[ARRAY_BITS:] == Bank.D
        stores = step.dst[ARRAY_BITS:] != Bank.NONE
        m.d.comb += [
            self.slot.eq(slot),
            *(self.job.stores.eq(stores), self.job.side.eq(row_side)),
            self.job.first.eq(line),
            self.job.target.eq(step.dst),
            self.job.func.eq(step.func),
            self.job.kind.eq(step.func[3:]),
            self.job.mantissa.eq(scale[:SCALE_BITS]),
            self.job.shift.eq(scale[SCALE_BITS:]),
            self.planned.eq(step.array),
        ]
        # Registers, as all that is made of a step or of slots below: the rest of the core follows
        # them, and some cycles pass before a step is decoded.
        comes = (step.verb == StepVerb.TAKE) | (step.verb == StepVerb.WAIT)
        m.d.sync += [
            # A vector that comes from outside is for the array that it is of.
            self.array.eq(Mux(comes, step.dst, step.array)),
            self.biased.eq(step.verb == StepVerb.TAKE),
            self.inner.eq(step.verb != StepVerb.SEND),
        ]
        apart, skips, moved = Signal(), Signal(), {}
        if build.transfers:
            named = step.a[ARRAY_BITS:] != Bank.NONE
            to_own = comes | (step.verb == StepVerb.LINE)
            may_skip = Cat(step.verb == verb for verb in SKIPPED)
            moved = {StepVerb.LINE: Op.LINE, StepVerb.WRITE: Op.PULSE, StepVerb.AGE: Op.AGE}
            m.d.comb += apart.eq(step.index == APART)
            m.d.sync += [
                self.apart.eq(apart),
                self.owner.eq(Mux(named, step.a, Mux(to_own, step.dst, step.array))),
                skips.eq(may_skip.any() & (step.cond == IF_DUE) & ~self.due),
            ]
        m.d.comb += self.job.turns.eq(self.apart & ~step.way[0])
        ops = {
            **moved,
            StepVerb.TAKE: Op.LOAD_X,
            StepVerb.PULSE: Op.UPDATE,
            StepVerb.PLAN: Op.PLAN,
            StepVerb.LOSS: Op.LOSS,
            StepVerb.SEND: Op.SEND,
            StepVerb.WAIT: Op.LOAD_D,
        }
        with m.Switch(step.verb):
            for verb, op in ops.items():
                with m.Case(verb):
                    m.d.sync += self.op.eq(op)
            with m.Default():
                m.d.sync += self.op.eq(Mux(step.way[0], Op.BACKWARD, Op.FORWARD))

        # Arrays that a step of this run was done with: they are there.
        known = Signal(build.arrays)
        own = (StepVerb.TAKE, StepVerb.PLAN)
        # Vectors of an update that is being planned stay what they are; with the physics of reads,
        # codes and trains share what makes keys.
        planning, held = Signal(), Signal()
        m.d.sync += planning.eq(self.pending.any())
        # So does what is written to a slot of its own, and what time does: they have the edge.
        alone = apart | (step.verb == StepVerb.AGE)
        m.d.sync += held.eq(
            self.pending.any()
            if self.config.build.read_physics
            else (alone & self.pending.any())
            | stores
            & Mux(row_side, self.pending, self.reading).bit_select(step.dst[:ARRAY_BITS], 1)
        )

        def next_slot():
            m.d.sync += [
                slot.eq(slot + 1),
                self.column_base.eq(self.column_base + build.inputs),
                self.row_base.eq(self.row_base + build.outputs),
            ]

        def first_slot():
            m.d.sync += [slot.eq(0), self.column_base.eq(0), self.row_base.eq(0)]

        m.submodules.taker = taker = Taker(self.config)
        m.d.comb += [
            taker.array.eq(step.dst),
            taker.first.eq(line),
            taker.reading.eq(self.reading),
            taker.planned.eq(self.pending | self.ready),
            taker.valid.eq(self.label_valid),
            taker.taken.eq(self.vector_taken),
            taker.halted.eq(self.halted),
            self.taking.eq(taker.taking),
            self.taken.eq(taker.done),
            self.target.eq(taker.target),
            self.vector.eq(taker.vector),
        ]
        # An example is taken beside updates that are planned already, and beside nothing else.
        passes, found = Signal(), Signal()
        kept = (self.pending | self.ready).bit_select(step.array, 1)
        slots = (step.cond == Until.FILLED) | (step.cond == Until.DRAINED)
        m.d.sync += passes.eq(
            ~taker.busy
            | ((step.verb == StepVerb.PULSE) & kept & ~apart)
            | ((step.verb == StepVerb.LOOP) & ~slots)
        )
        with m.If(taker.labels):
            m.d.sync += self.label.eq(self.i)
        with m.If(taker.busy):
            m.d.comb += self.label_ready.eq(taker.ready)
        results, judged, idle = Signal(ARRAY_BITS), Signal(), Signal()
        m.d.sync += idle.eq(quiet == IDLE_STEPS)
        m.submodules.misuse = misuse = Misuse(self.config)
        m.d.comb += [
            *(misuse.step.eq(step), misuse.results.eq(results), misuse.judged.eq(judged)),
            *(misuse.kept.eq(kept), misuse.apart.eq(apart)),
        ]
        # The vector that was taken last while nothing else was at work, if any: its size is known.
        before = Signal(len(step.dst))
        # Of loops, and of examples that are to come.
        none_left, unfilled, undrained = Signal(), Signal(), Signal()
        m.d.sync += [
            none_left.eq(left == 0),
            unfilled.eq(slot + 1 < batch),
            undrained.eq(slot + 1 < filled),
        ]

        def take():
            m.d.sync += [left.eq(left - 1), quiet.eq(0), found.eq(1)]
            with m.If(~owed.all()):
                m.d.sync += owed.eq(owed + 1)

        def end(illegal):
            m.d.sync += self.illegal.eq(illegal)
            m.next = "ENDED"

        with m.FSM() as fsm:
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [
                    Cat(left, batch).eq(self.order),
                    self.counts.eq(self.counts_more),
                    at.eq(0),
                    quiet.eq(0),
                    *(known.eq(0), before.eq(0), found.eq(0), judged.eq(0)),
                    filled.eq(0),
                    owed.eq(0),
                    self.illegal.eq(0),
                ]
                first_slot()
                m.next = "FETCH"
                size = self.order[EXAMPLES_BITS:]
                with m.If((size == 0) | (size > build.edge)):
                    end(1)
            with m.State("FETCH"):
                m.next = "READ"
            with m.State("READ"):
                m.d.sync += [step.eq(Cat(*words)), at.eq(at + 1), quiet.eq(quiet + 1)]
                m.next = "LOOK_UP"
            with m.State("LOOK_UP"):
                m.next = "DECODE"
            with m.State("DECODE"), m.If(passes):
                m.next = "DO"
                with m.If(skips):
                    m.next = "FETCH"
                with m.Switch(step.verb):
                    with m.Case(StepVerb.END):
                        end(0)
                    with m.Case(StepVerb.TAKE):
                        m.next = "LABEL"
                        with m.If(step.cond[0] & none_left):
                            m.d.sync += found.eq(0)
                            m.next = "FETCH"
                        with m.Elif(step.cond[0] & (before == step.dst) & ~apart):
                            m.next = "TAKE"
                    with m.Case(StepVerb.COUNT):
                        m.next = "ANSWER"
                    with m.Case(StepVerb.LOOP):
                        m.next = "LOOP"
                    with m.Case(StepVerb.PLAN):
                        with m.If(known.bit_select(step.array, 1)):
                            m.next = "PLAN"
                    with m.Case(StepVerb.MAC, *(v for v in ops if v not in own)):
                        pass
                    with m.Default():
                        end(1)
                short = (step.verb == StepVerb.TAKE) & none_left & ~step.cond[0]
                with m.If(idle | short | (misuse.found & ~skips)):
                    end(1)
            with m.State("LABEL"):
                m.d.comb += self.label_ready.eq(1)
                with m.If(self.label_valid):
                    m.d.sync += self.label.eq(self.i)
                    take()
                    m.next = "DO"
            with m.State("TAKE"):
                m.d.comb += taker.start.eq(1)
                take()
                m.next = "FETCH"
            with m.State("DO"):
                m.d.comb += self.go.eq(~held)
                with m.If(self.go & self.accepted):
                    m.next = "DOING"
            with m.State("DOING"), m.If(self.done):
                m.next = "FETCH"
                with m.If(self.failed):
                    end(1)
                with m.Else():
                    m.d.sync += known.bit_select(self.array, 1).eq(1)
                    with m.If(step.verb == StepVerb.MAC):
                        m.d.sync += [judged.eq(~step.way[0]), results.eq(step.array)]
                    with m.If(step.verb == StepVerb.PLAN):
                        m.next = "PLAN"
                    with m.If(self.biased):
                        m.d.sync += [
                            before.eq(step.dst),
                            taker.count.eq(self.inputs),
                            taker.serial.eq(self.serial),
                        ]
            with m.State("PLAN"):
                m.d.comb += self.plan.eq(self.room)
                with m.If(self.room):
                    m.next = "FETCH"
            with m.State("ANSWER"):
                m.d.comb += self.answer_valid.eq(1)
                with m.If(self.answer_ready):
                    m.next = "FETCH"
            # Plans are of the slot at work.
            with m.State("LOOP"), m.If(~planning):
                back = Signal()
                m.next = "FETCH"
                m.d.comb += self.forget.eq(slots)
                with m.Switch(step.cond):
                    with m.Case(Until.ALWAYS):
                        m.d.comb += back.eq(1)
                    with m.Case(Until.FILLED):
                        m.d.sync += filled.eq(slot + 1)
                        m.d.comb += back.eq(~none_left & unfilled)
                    with m.Case(Until.DRAINED):
                        m.d.comb += back.eq(undrained)
                        # Of a slot that was filled by an example: loops over slots alone do not
                        # count.
                        with m.If(owed != 0):
                            m.d.sync += [owed.eq(owed - 1), quiet.eq(0)]
                    with m.Case(Until.EXAMPLES):
                        m.d.comb += back.eq(~none_left)
                    with m.Case(Until.TAKEN):
                        m.d.comb += back.eq(found)
                    with m.Default():
                        end(1)
                # Results are of the slot at work.
                with m.If(slots):
                    m.d.sync += judged.eq(0)
                    first_slot()
                with m.If(slots & back):
                    next_slot()
                with m.If(back):
                    m.d.sync += at.eq(step.dst)
            with m.State("ENDED"):
                m.d.comb += self.ended.eq(~planning & ~taker.busy)
                with m.If(self.ended & self.accepted):
                    m.next = "IDLE"
        m.d.comb += [
            self.running.eq(~fsm.ongoing("IDLE")),
            taker.wanted.eq((fsm.ongoing("DECODE") & ~passes) | fsm.ongoing("ENDED")),
        ]
        return m

    def _vector(self, place):
        """Return where a vector is in their table: an array that the build has, and a side."""
        return Cat(place[: self._array_bits], place[ARRAY_BITS])

    def _memory(self, m, name, table, bits, depth, address, part=None):
        """Return the word at an address, a cycle later, of a table that hosts write."""
        # A short one in LUTs, for block RAM is what runs out first.
        short = {"ram_style": "distributed"} if depth <= MOST_SCALES else {}
        m.submodules[name] = memory = Memory(
            shape=unsigned(bits), depth=depth, init=[], attrs=short
        )
        write, read = memory.write_port(), memory.read_port()
        written = self.write.address if part is None else self.write.address >> 1
        if table == "vector":
            written = self._vector(written)
        en = self.write.en & (self.write.table == TRAINER[table])
        if part is not None:
            en = en & (self.write.address[0] == part)
        m.d.comb += [
            write.en.eq(en),
            write.addr.eq(written),
            write.data.eq(self.write.data),
            read.addr.eq(address),
        ]
        return read.data
