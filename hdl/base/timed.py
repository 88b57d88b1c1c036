"""Registers and delays of a computation that takes new operands in each cycle.

A `Timed` value knows the cycle in which it is at hand; `Stages` registers each step and delays
every operand to the cycle that needs it, so that no delay is counted by hand.
"""

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
from amaranth.lib.memory import Memory

from ohmgrid.hdl.base.arith import beyond, saturate
from ohmgrid.hdl.base.multiplier import BITS, Multiplier
from ohmgrid.hdl.base.products import SoftProduct, soft_cycles

__all__ = ["Stages", "Timed", "half"]

FINE = 4
"""Bits of a shift that are a step for themselves."""


def half(mean: Value, shift: int) -> Value:
    """Return ``mean`` and a half, shifted left: what a sum starts from that is shifted back."""
    total = Cat(Const(1 << (shift - 1), shift), mean)
    return total.as_signed() if mean.shape().signed else total


class Timed:
    """A value and the cycle, counted from the first operands, in which it is at hand.

    Parameters
    ----------
    value : Value
    time : int
    held : bool
        The value does not change while operands are in flight: it is at hand in every cycle.
    strobe : bool
        What it says happens: a reset forgets it on its way, in registers alone.

    Attributes
    ----------
    copies : dict of int to Value
        The value by the cycle to which it was delayed.
    """

    def __init__(self, value: Value, time: int, held: bool = False, strobe: bool = False):
        self.time, self.held, self.strobe = time, held, strobe
        self.copies = {time: value}

    @property
    def value(self) -> Value:
        """The value when it is first at hand."""
        return self.copies[self.time]

    def slice(self, start: int, stop: int) -> "Timed":
        """Return bits ``start`` to ``stop - 1``."""
        return Timed(self.value[start:stop], self.time)


class Stages:
    """Steps of a computation, each a register in a named part of a module; one result a cycle.

    Parameters
    ----------
    m : Module
        The parts become its submodules; all delays are in one called ``delays``.
    moving : Value
        High while operands are in flight, from the cycle in which they come. Without any, the
        memories of delays stand still: less to switch, and nothing to simulate.
    blocks : bool
        Delays may be block RAMs; without, they are LUT RAMs where the part has any.
    chains : bool
        All delays are chains of registers.
    """

    RING = 4
    """A delay of so many cycles is a small memory with a moving address (LUT RAM on ECP5, block
    RAM on iCE40), a shorter one a chain of registers."""
    LUT_DEPTH = 16
    """Words of a LUT RAM; deeper ones take multiplexers, or a block RAM after all."""
    BLOCK = (16, 8)
    """A delay of so many bits by so many cycles is a block RAM and a register."""
    ADDITIONS = 1
    """Adders in a row of a product made of LUTs."""
    READ = 2
    """Cycles of a `read`."""

    def __init__(self, m: Module, moving: Value, blocks: bool = True, chains: bool = False):
        self.m, self.moving = m, moving
        self._blocks, self._chains = blocks and not chains, chains
        self._parts: dict[str, Module] = {}
        self._rings = 0
        self._slot = Signal(8, name="slot", reset_less=True)
        self._part("delays").d.sync += self._slot.eq(self._slot + moving)

    def _part(self, name: str) -> Module:
        if name not in self._parts:
            self._parts[name] = self.m.submodules[name] = Module()
        return self._parts[name]

    def stage(
        self, part: str, name: str, function: Callable[..., Value], *operands: Timed
    ) -> Timed:
        """Register ``function(*operands)`` one cycle after the latest operand."""
        time = max(operand.time for operand in operands)
        value = function(*(self.at(operand, time) for operand in operands))
        register = Signal.like(value, name=name, reset_less=True)
        self._part(part).d.sync += register.eq(value)
        return Timed(register, time + 1)

    def product(self, part: str, name: str, a: Timed, b: Timed, block: bool) -> Timed:
        """Multiply in a multiplier block (two cycles) or in LUTs (`SoftProduct`, some more)."""
        time = max(a.time, b.time)
        if block:
            multiplier = Multiplier(a.value.shape(), b.value.shape())
        else:
            if len(b.value) > len(a.value):
                a, b = b, a
            multiplier = SoftProduct(a.value.shape(), b.value.shape(), self.ADDITIONS)
        owner = self._part(part)
        owner.submodules[name] = multiplier
        owner.d.comb += [multiplier.a.eq(self.at(a, time)), multiplier.b.eq(self.at(b, time))]
        return Timed(multiplier.o, time + multiplier.latency)

    def saturated(self, part: str, name: str, value: Timed, bits: int) -> Timed:
        """Return `saturate` of a wide value: a cycle for what decides, one for the choice."""
        clipped = self.stage(part, f"{name}_clipped", lambda value: beyond(value, bits), value)
        return self.stage(
            part, name, lambda value, clipped: saturate(value, bits, clipped), value, clipped
        )

    def wide_product(self, part: str, name: str, a: Timed, b: Timed) -> Timed:
        """Multiply a signed value, wider than a block takes, by an unsigned one, in two blocks."""
        low = self.product(part, f"{name}_low", a.slice(0, BITS), b, block=True)
        rest = Timed(a.value[BITS:].as_signed(), a.time)
        high = self.product(part, f"{name}_high", rest, b, block=True)
        return self.stage(
            part,
            name,
            lambda low, high: Cat(low[:BITS], (low[BITS:] + high)[: len(high)]).as_signed(),
            low,
            high,
        )

    def shift_rounded(self, part: str, name: str, value: Timed, less: Timed) -> Timed:
        """Return ``value / 2**(less + 1)`` rounded to nearest, ties to even, for a ``less`` that
        varies: its low four bits are a step for themselves, and so are all others."""

        def lost(value: Value, steps: Value, size: int) -> Value:
            """Return whether a shift by so many steps of that size loses a one."""
            count = min((1 << len(steps)) - 1, -(-len(value) // size))
            pieces = (value[size * k : size * (k + 1)].any() for k in range(count))
            return Cat((steps > k) & piece for k, piece in enumerate(pieces)).any()

        def coarse(value: Value, less: Value) -> Value:
            steps = less[FINE:]
            return Cat(lost(value, steps, 1 << FINE), value >> Cat(Const(0, FINE), steps))

        def fine(value: Value, less: Value) -> Value:
            rest, steps = value[1:].as_signed(), less[:FINE]
            return Cat(value[0] | lost(rest, steps, 1), rest >> steps)

        def rounded(value: Value) -> Value:
            # Its lowest bit is whether anything was lost below the half.
            return value[2:].as_signed() + (value[1] & (value[0] | value[2]))

        rough = self.stage(part, f"{name}_coarse", coarse, value, less)
        exact = self.stage(part, f"{name}_fine", fine, rough, less)
        return self.stage(part, name, rounded, exact)

    def read(self, part: str, name: str, memory: Memory, address: Timed) -> Timed:
        """Read a memory: two cycles, its output has a register (block RAM is slow)."""
        owner = self._part(part)
        owner.submodules[name] = memory
        port = memory.read_port()
        owner.d.comb += port.addr.eq(address.value)
        return self.stage(part, f"{name}_data", lambda x: x, Timed(port.data, address.time + 1))

    @staticmethod
    def product_cycles(a_bits: int, b_bits: int, block: bool) -> int:
        """Return the cycles that a `product` of so many bits takes."""
        if block:
            return Multiplier.latency
        return soft_cycles(min(a_bits, b_bits), Stages.ADDITIONS)

    def together(self, time: int, *timed: Timed) -> list[Timed]:
        """Delay values to ``time`` side by side: one memory holds them all."""
        start = max(value.time for value in timed)
        fields = [self.at(value, start) for value in timed]
        rest = self.at(Timed(Cat(*fields), start), time)
        late = []
        for field in fields:
            bits, rest = rest[: len(field)], rest[len(field) :]
            late.append(Timed(bits.as_signed() if field.shape().signed else bits, time))
        return late

    def at(self, timed: Timed, time: int) -> Value:
        """Return the value delayed to ``time``, from its nearest earlier copy."""
        if timed.held:
            return timed.value
        if time < timed.time:
            raise ValueError(f"time: expected {timed.time} or later, got {time}")
        known = max(t for t in timed.copies if t <= time)
        value = timed.copies[known]
        bits, shortest = self.BLOCK
        long = len(value) >= bits and time - known >= shortest
        if self._blocks and long and not timed.strobe:
            cycles = time - known - 1
            depth = 1 << (cycles - 1).bit_length()
            value, known = self._ring(value, depth, cycles, "block"), known + cycles
        while not (timed.strobe or self._chains) and time - known >= self.RING:
            # A ring a little too short and registers cost less than a ring of twice the size.
            depth = 1 << (time - known - 1).bit_length()
            if time - known - depth // 2 <= 2:
                depth //= 2
            if not self._blocks:
                depth = min(depth, self.LUT_DEPTH)
            cycles = min(time - known, depth)
            value, known = self._ring(value, depth, cycles), known + cycles
            timed.copies[known] = value
        for cycle in range(known + 1, time + 1):
            register = Signal.like(value, name=f"late{cycle}", reset_less=not timed.strobe)
            self._part("delays").d.sync += register.eq(value)
            value = timed.copies[cycle] = register
        return value

    def _ring(self, value: Value, depth: int, cycles: int, style: str | None = None) -> Value:
        # What is read was written 1 to depth - 1 cycles before: never at the address being written.
        attributes = {"ram_style": style} if style else {}
        memory = Memory(shape=unsigned(len(value)), depth=depth, init=[], attrs=attributes)
        delays = self._part("delays")
        delays.submodules[f"ring{self._rings}"] = memory
        self._rings += 1
        write, read = memory.write_port(), memory.read_port()
        # Counters of their own: a difference would be on the way to each memory.
        place = Signal(range(depth), name="place", init=(1 - cycles) % depth, reset_less=True)
        delays.d.sync += place.eq(place + self.moving)
        delays.d.comb += [
            write.en.eq(1),
            write.addr.eq(self._slot),
            write.data.eq(value),
            read.addr.eq(place),
        ]
        return read.data.as_signed() if value.shape().signed else read.data
