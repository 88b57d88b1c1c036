"""The dynamics unit: networks with delay and single neurons, a sample after the other.

A step of a program (`ohmgrid.hdl.dynamics.laws`) after the other, a neuron after the other: one
arithmetic unit, one multiplier block. The crossbar works beside it.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int, check_power_of_two
from ohmgrid.hdl.base.block_ram import BlockRam
from ohmgrid.hdl.base.stations import Station
from ohmgrid.hdl.dynamics.arithmetic import WORD_BITS, Arithmetic
from ohmgrid.hdl.dynamics.crossbar import SUM_BITS, Crossbar
from ohmgrid.hdl.dynamics.events import STEP_BITS, Events
from ohmgrid.hdl.dynamics.laws import ENTRIES, programs
from ohmgrid.hdl.dynamics.steps import NUMBER_BITS, SHIFT_BITS, Into, Of, step_layout
from ohmgrid.host.protocol import COMMAND_BITS, OUT_BITS, Error
from ohmgrid.host.unit import (
    ADDRESS_PLACE,
    CONSTANTS,
    Program,
    Setting,
    Shift,
    Space,
    UnitOp,
)
from ohmgrid.registers import dynamics as formats
from ohmgrid.systems import MOST_DEPTH, MOST_UNITS

__all__ = ["Unit"]

STATE_WORD = 36
"""Width of a variable: what is left of a refractory time takes 33 bits."""
DEPTH_BITS = (MOST_DEPTH - 1).bit_length()
DELAY_FRAC, PART_BITS = formats.DELAY_FRAC, formats.PART_BITS

KEPT = (Space.STATE, Space.RING)
"""Memories that steps write."""


class Unit(wiring.Component):
    """Runs samples of a network with delay, or of single neurons.

    Parameters
    ----------
    neurons : int
        Most neurons, a power of two.
    ring : int
        Outputs that the ring buffer holds, a power of two: samples times neurons.
    lanes : int
        Columns of the exact crossbar that are multiplied in a cycle; 0: there is none.
    edge_bits : int
        Width of values at an outside crossbar's edge.

    Members
    -------
    cmd : In stream of `COMMAND_BITS` bits
    o : Out stream, signed(OUT_BITS): results
    r : Out stream of 64 bits: answers
        As of `ohmgrid.host.unit`.
    x : Out stream, signed(edge_bits): what goes into an outside crossbar
    y : In stream, signed(OUT_BITS): what it gives
    lines : Out(range(MOST_UNITS + 1))
        Neurons at work.
    busy : Out(1)
        A command is being worked on.
    errors : Out(8)
        `ohmgrid.host.protocol.Error` bits of the command at work.
    """

    def __init__(self, neurons: int = 64, ring: int = 1 << 14, lanes: int = 1, edge_bits: int = 16):
        check_power_of_two("neurons", neurons, 1, MOST_UNITS)
        check_power_of_two("ring", ring, 4 * neurons, MOST_UNITS * MOST_DEPTH)
        check_int("lanes", lanes, 0, 64)
        self.neurons, self.ring, self.lanes, self.edge_bits = neurons, ring, lanes, edge_bits
        self._crossbar = Crossbar(neurons, lanes) if lanes else None
        super().__init__(
            {
                "cmd": In(stream.Signature(COMMAND_BITS)),
                "o": Out(stream.Signature(signed(OUT_BITS))),
                "r": Out(stream.Signature(64)),
                "x": Out(stream.Signature(signed(edge_bits))),
                "y": In(stream.Signature(signed(OUT_BITS))),
                "lines": Out(range(MOST_UNITS + 1)),
                "busy": Out(1),
                "errors": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._names(m)
        self._memories(m)
        self._neighbours(m)
        self._operands(m)
        self._keep(m)
        self._control(m)
        return m

    def _names(self, m: Module) -> None:
        """Make the registers that parts share, and decode a command."""
        command = self.cmd.payload
        self._op, self._arg = command[:8], command[8:16]
        self._value = command[16 : 16 + ADDRESS_PLACE]
        self._address = command[16 + ADDRESS_PLACE :]
        bits = {
            Setting.PROGRAM: 2,
            Setting.LAST: (self.neurons - 1).bit_length() or 1,
            Setting.COLUMNS: (self.neurons - 1).bit_length() or 1,
            Setting.SAMPLE: WORD_BITS,
            Setting.MASK: DEPTH_BITS,
            Setting.SEED_LOW: 32,
            Setting.SEED_HIGH: 32,
            Setting.EVENTS: formats.EVENT_BITS + 1,
        }
        self._settings = {
            one: Signal(width, name=one.name.lower(), reset_less=True)
            for one, width in bits.items()
        }
        self._neuron = Signal.like(self._settings[Setting.LAST])
        # The ring buffer of a line begins there.
        self._line = Signal(range(self.ring), reset_less=True)
        self._pointer = Signal(max(DEPTH_BITS + DELAY_FRAC, formats.PRE_BITS), reset_less=True)
        self._writes = {space: Signal(name=f"writes_{space.name.lower()}") for space in Space}
        self._keeps = {space: Signal(name=f"keeps_{space.name.lower()}") for space in KEPT}
        # An address of memories that a host reads.
        self._reading, self._place = Signal(), Signal(24, reset_less=True)

    def _memories(self, m: Module) -> None:
        layout, written = step_layout(), programs()
        self._entries = [written.places[ENTRIES[program]] for program in Program]
        init = [layout.const(word) for word in written.words()]
        m.submodules.program = program = Memory(shape=layout, depth=len(init), init=init)
        self._fetch = program.read_port()
        # What a block RAM gives comes late in a cycle.
        self._step = Signal(layout, reset_less=True)
        registers = [CONSTANTS.get(number, 0) for number in range(1 << NUMBER_BITS)]
        m.submodules.registers = memory = Memory(
            shape=signed(WORD_BITS),
            depth=1 << NUMBER_BITS,
            init=registers,
            attrs={"ram_style": "distributed"},
        )
        self._register = memory.write_port()
        self._registers = [memory.read_port() for _ in range(2)]
        self._shifts = Array(
            Signal(SHIFT_BITS, name=f"shift_{one.name.lower()}", reset_less=True) for one in Shift
        )
        sizes = {
            Space.STATE: (STATE_WORD, 4 * self.neurons),
            Space.NODE: (formats.OUT_BITS, 2 << formats.NODE_BITS),
            Space.RING: (formats.OUT_BITS, self.ring),
        }
        self._rams: dict[Space, BlockRam] = {}
        for space, (width, depth) in sizes.items():
            m.submodules[space.name.lower()] = self._rams[space] = BlockRam(width, depth)

    def _neighbours(self, m: Module) -> None:
        """Add arithmetic, events, crossbar, and the ways out."""
        m.submodules.arithmetic = self._arithmetic = Arithmetic(self.edge_bits)
        m.submodules.events = events = self._events = Events()
        settings = self._settings
        self._sample = settings[Setting.SAMPLE]
        m.d.comb += [
            events.seed.eq(Cat(settings[Setting.SEED_LOW], settings[Setting.SEED_HIGH])),
            events.sample.eq(self._sample[: min(STEP_BITS, WORD_BITS)]),
            events.neuron.eq(self._neuron),
            events.threshold.eq(settings[Setting.EVENTS]),
        ]
        m.d.sync += events.load.eq(
            self._writes[Space.SETTING] & (self._address == Setting.SEED_HIGH)
        )
        m.submodules.results = self._results = Station(signed(OUT_BITS))
        wiring.connect(m, self._results.o, wiring.flipped(self.o))
        self._to = Signal()
        """A word goes into the crossbar."""
        self._sum, self._sum_valid = Signal(signed(SUM_BITS)), Signal()
        self._take, self._taken = Signal(), Signal()
        result = self._arithmetic.o
        m.d.comb += [
            self.x.payload.eq(result),
            self.x.valid.eq(self._to),
            self._taken.eq(self.x.ready),
            self._sum.eq(self.y.payload),
            self._sum_valid.eq(self.y.valid),
            self.y.ready.eq(self._take),
        ]
        if (crossbar := self._crossbar) is None:
            return
        m.submodules.crossbar = crossbar
        m.d.comb += [
            crossbar.last.eq(settings[Setting.LAST]),
            crossbar.columns.eq(settings[Setting.COLUMNS]),
            crossbar.write.eq(self._writes[Space.WEIGHT]),
            crossbar.address.eq(self._address),
            crossbar.data.eq(self._value),
            crossbar.x.payload.eq(result),
        ]
        with m.If(settings[Setting.PROGRAM] == Program.NETWORK):
            m.d.comb += [
                self.x.valid.eq(0),
                self.y.ready.eq(0),
                crossbar.x.valid.eq(self._to),
                self._taken.eq(crossbar.x.ready),
                self._sum.eq(crossbar.y.payload),
                self._sum_valid.eq(crossbar.y.valid),
                crossbar.y.ready.eq(self._take),
            ]

    def _operands(self, m: Module) -> None:
        """Bring a step's operands together, two cycles after its word."""
        step, pointer, value = self._step, self._pointer, self._value
        state, node, ring = (self._rams[s] for s in (Space.STATE, Space.NODE, Space.RING))
        # Samples before the one that is written: the pointer's, and of a step later.
        mask = self._settings[Setting.MASK]
        late = Signal(DEPTH_BITS, reset_less=True)
        m.d.sync += late.eq(self._sample + 1 - pointer[DELAY_FRAC:])
        seen = Mux(step.a[0], late - 1, late)[:DEPTH_BITS] & mask
        segment = Signal(formats.NODE_BITS)
        upper = pointer[PART_BITS : PART_BITS + formats.NODE_BITS]
        m.d.comb += segment.eq(Cat(upper[:-1], ~upper[-1]))
        m.d.comb += [
            state.address0.eq(Mux(self._reading, self._place, Cat(step.a[:2], self._neuron))),
            node.address0.eq(segment + step.a[0]),
            ring.address0.eq(Mux(self._reading, self._place, self._line | seen)),
            *(ram.read0.eq(1) for ram in self._rams.values()),
        ]
        with m.If(self._writes[Space.SHIFT]):
            m.d.sync += self._shifts[self._address[: (len(Shift) - 1).bit_length()]].eq(value)
        first, second = self._registers
        arithmetic = self._arithmetic
        m.d.comb += [
            first.addr.eq(step.a),
            second.addr.eq(step.b),
            arithmetic.kind.eq(step.kind),
            arithmetic.b.eq(second.data),
            arithmetic.a_pieces.eq(step.a_pieces),
            arithmetic.b_pieces.eq(step.b_pieces),
            arithmetic.bits.eq(step.bits),
            arithmetic.shift.eq(Mux(step.table, self._shifts[step.shift[:3]], step.shift)),
        ]
        operands = {
            Of.REGISTER: first.data,
            Of.STATE: state.o0.as_signed(),
            Of.NODE: node.o0.as_signed(),
            Of.PART: pointer[:PART_BITS],
            Of.RING: ring.o0.as_signed(),
            Of.FRACTION: pointer[:DELAY_FRAC],
            Of.SUM: self._sum,
            Of.EVENT: self._events.event,
        }
        with m.Switch(step.of):
            for of, operand in operands.items():
                with m.Case(of):
                    m.d.comb += arithmetic.a.eq(operand)

    def _keep(self, m: Module) -> None:
        """Write what the host sends, or what a step comes to, to memories: a cycle later."""
        result, step = self._arithmetic.o, self._step
        places = {
            Space.STATE: Cat(step.number[:2], self._neuron),
            Space.RING: self._line | (self._sample[:DEPTH_BITS] & self._settings[Setting.MASK]),
        }
        for space, ram in self._rams.items():
            own = self._keeps.get(space, 0)
            m.d.sync += [
                ram.write.eq(self._writes[space] | own),
                ram.write_address.eq(Mux(own, places.get(space, 0), self._address)),
                ram.data.eq(Mux(own, result, self._value)),
            ]
        m.d.comb += [
            self._register.en.eq(self._writes[Space.REGISTER]),
            self._register.addr.eq(self._address),
            self._register.data.eq(self._value),
        ]

    def _control(self, m: Module) -> None:
        """Do commands, and of a run step after step."""
        step, arithmetic, results = self._step, self._arithmetic, self._results
        settings, events, rams = self._settings, self._events, self._rams
        last, left = Signal(), Signal(WORD_BITS, reset_less=True)
        count, begin = Signal.like(self._fetch.addr), Signal.like(self._fetch.addr)
        space, settled, turn = Signal(3, reset_less=True), Signal(2), Signal(2)
        answer = Signal(16, reset_less=True)
        entry = Array(self._entries)[settings[Setting.PROGRAM]]
        m.d.comb += [
            last.eq(self._neuron == settings[Setting.LAST]),
            self.lines.eq(settings[Setting.LAST] + 1),
            self._fetch.addr.eq(count),
            self.r.payload.eq(answer),
            self.errors.eq(answer[8:]),
        ]
        m.d.sync += [settled.eq(0), events.start.eq(0)]
        result = arithmetic.o
        # Registered while the result is: in the cycle in which it is kept.
        sign = Signal(3, reset_less=True)
        m.d.sync += sign.eq(Cat(result < 0, result == 0, result > 0))
        jumps = (step.when & sign).any()
        with m.FSM() as machine:
            m.d.comb += self.busy.eq(~machine.ongoing("REST"))
            with m.State("REST"):
                m.d.comb += self.cmd.ready.eq(1)
                m.d.sync += [
                    left.eq(self._value),
                    space.eq(self._arg),
                    self._place.eq(self._address),
                    answer.eq(self._op),
                    *(self._neuron.eq(0), self._line.eq(0), turn.eq(0)),
                    *(count.eq(entry), begin.eq(entry)),
                ]
                with m.If(self.cmd.valid):
                    with m.Switch(self._op):
                        with m.Case(UnitOp.SET):
                            self._write(m)
                        with m.Case(UnitOp.RUN):
                            m.d.sync += events.start.eq(1)
                            m.next = "FETCH"
                            with m.If(self._value == 0):
                                m.next = "ANSWER"
                        with m.Case(UnitOp.READ):
                            m.next = "READ"
                        with m.Default():
                            m.d.sync += answer.eq(Cat(self._op, int(Error.ILLEGAL)))
                            m.next = "ANSWER"
            with m.State("FETCH"):
                m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += [step.eq(self._fetch.data), count.eq(count + 1)]
                m.next = "DECODE"
            with m.State("DECODE"):
                m.next = "OPERANDS"
            with m.State("OPERANDS"):
                ready = Signal()
                m.d.sync += settled.eq(Cat(1, settled))
                m.d.comb += [ready.eq(1), arithmetic.start.eq(ready)]
                with m.Switch(step.of):
                    with m.Case(Of.STATE, Of.NODE):
                        m.d.comb += ready.eq(settled[0])
                    with m.Case(Of.RING):
                        # Its address takes a cycle.
                        m.d.comb += ready.eq(settled[1])
                    with m.Case(Of.SUM):
                        m.d.comb += [ready.eq(self._sum_valid), self._take.eq(1)]
                    with m.Case(Of.EVENT):
                        m.d.comb += [ready.eq(events.done), events.ask.eq(1)]
                with m.If(ready):
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(arithmetic.done):
                    m.next = "KEEP"
            with m.State("KEEP"):
                going = Signal()
                m.d.comb += [
                    results.i.payload.eq(Cat(step.spike, result).as_signed()),
                    results.i.valid.eq(step.send),
                    going.eq(~step.send | results.i.ready),
                    self._register.addr.eq(step.number),
                    self._register.data.eq(result),
                ]
                with m.Switch(step.into):
                    with m.Case(Into.REGISTER):
                        m.d.comb += self._register.en.eq(1)
                    with m.Case(Into.STATE):
                        m.d.comb += self._keeps[Space.STATE].eq(1)
                    with m.Case(Into.RING):
                        m.d.comb += self._keeps[Space.RING].eq(1)
                    with m.Case(Into.POINTER):
                        m.d.sync += self._pointer.eq(result)
                    with m.Case(Into.CROSSBAR):
                        m.d.comb += [self._to.eq(1), going.eq(self._taken)]
                # The next word has been read already; another one takes two cycles.
                with m.If(going):
                    m.d.sync += [step.eq(self._fetch.data), count.eq(count + 1)]
                    m.next = "DECODE"
                    with m.If(jumps):
                        m.d.sync += count.eq(step.to)
                        m.next = "FETCH"
                    with m.If(step.ends):
                        m.d.sync += count.eq(Mux(last, step.to, begin))
                        m.next = "FETCH"
                        self._end(m, last, left, begin)
            with m.State("READ"):
                # A word is out of its memory two cycles after its address.
                m.d.comb += self._reading.eq(1)
                m.d.sync += turn.eq(turn + 1)
                with m.If(left == 0):
                    m.next = "ANSWER"
                with m.Elif(turn == 3):
                    word = Mux(
                        space == Space.RING,
                        rams[Space.RING].o0.as_signed(),
                        rams[Space.STATE].o0.as_signed(),
                    )
                    m.d.comb += [
                        results.i.payload.eq(word << 1),
                        results.i.valid.eq(1),
                    ]
                    m.d.sync += turn.eq(3)
                    with m.If(results.i.ready):
                        m.d.sync += [turn.eq(0), left.eq(left - 1), self._place.eq(self._place + 1)]
            with m.State("ANSWER"):
                m.d.comb += self.r.valid.eq(~results.o.valid)
                with m.If(self.r.ready & self.r.valid):
                    m.next = "REST"

    def _write(self, m: Module) -> None:
        """Write a word."""
        with m.Switch(self._arg):
            for space, writes in self._writes.items():
                with m.Case(space):
                    m.d.comb += writes.eq(1)
        with m.If(self._writes[Space.SETTING]):
            with m.Switch(self._address):
                for setting, register in self._settings.items():
                    with m.Case(setting):
                        m.d.sync += register.eq(self._value)

    def _end(self, m: Module, last, left, begin) -> None:
        """Go to the next neuron, pass or sample."""
        step, depth = self._step, self._settings[Setting.MASK] + 1
        with m.If(last):
            m.d.sync += [
                *(self._neuron.eq(0), self._line.eq(0), begin.eq(step.to)),
            ]
            with m.If(step.sample):
                m.d.sync += [
                    self._sample.eq(self._sample + 1),
                    left.eq(left - 1),
                    self._events.start.eq(1),
                ]
                with m.If(left == 1):
                    m.next = "ANSWER"
        with m.Else():
            m.d.sync += [self._neuron.eq(self._neuron + 1), self._line.eq(self._line + depth)]
