"""From DAC codes to what the lanes multiply with: twin of `ohmgrid.model.periphery.voltages`."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.arith import saturate, shift_half_up
from ohmgrid.hdl.base.noise import gaussian
from ohmgrid.hdl.base.pipeline import moving
from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.registers.map import READ_BITS
from ohmgrid.registers.readout import (
    DITHER_BITS,
    INP_NOISE_FRAC,
    KEEP_FRAC,
    PHI_BITS,
    PHI_FRAC,
    VOLTAGE_BITS,
    VOLTAGE_FRAC,
    Part,
)

__all__ = ["CODE_BITS", "POWER_BITS", "Voltages", "code_bits"]

CODE_BITS = 8
"""Width of a DAC code, sign included."""
SCALED_BITS = 18
"""Width of what a `ohmgrid.hdl.periphery.converters.Scaler` gives."""
POWER_BITS = VOLTAGE_BITS - 1 + 16
"""Width of the sum of powers of up to 2**16 lines."""
MAGNITUDE = VOLTAGE_BITS - 1


def code_bits(config: Config) -> int:
    """Return the width of what a lane multiplies with: a DAC code or a voltage."""
    return VOLTAGE_BITS if config.build.read_physics else CODE_BITS


def _magnitude(value: Value) -> Value:
    return Mux(value < 0, -value, value)[: len(value) - 1]


def _half_up(product: Value, shift: Value) -> Value:
    """Return ``product / 2**(shift + 1)``, rounded half up, cut to ``+ VOLTAGE_BITS - 1`` bits."""
    rounded = ((product >> shift) + 1) >> 1
    return rounded[:MAGNITUDE] | rounded[MAGNITUDE:].any().replicate(MAGNITUDE)


class Voltages(wiring.Component):
    """Rounding, noise and asymmetry of the DACs, and the operands of a sweep; a pipeline.

    One line a cycle, in order, `latency` cycles each.

    Members
    -------
    first : ``In(1)``
        Strobe, at least a cycle before the first line's code: a vector begins.
    valid : ``In(1)``
    code : ``In(signed(18))``
        DAC code; with ``inp_dither`` it has `DITHER_BITS` fraction bits.
    key : ``In(64)``
        Line key (INPUT, line, pass).
    part : ``In(2)``
        `ohmgrid.registers.readout.Part`.
    inp_noise, inp_keep, inp_dither, square_shift, phi_first, phi_second : ``In``
        `ohmgrid.registers.readout.ReadRegisters`; constant, like ``part``, while lines are in
        flight.
    o_valid : ``Out(1)``
    operand : ``Out(signed(VOLTAGE_BITS))``
    power : ``Out(POWER_BITS)``
        Sum of the operands of a vector of powers, from the cycle after the last.

    Cost: two multiplier blocks; the noise is multiplied in LUTs.
    """

    REGISTERS = (
        *("inp_noise", "inp_keep", "inp_dither"),
        *("square_shift", "phi_first", "phi_second"),
    )

    def __init__(self):
        super().__init__(
            {
                "first": In(1),
                "valid": In(1),
                "code": In(signed(SCALED_BITS)),
                "key": In(64),
                "part": In(2),
                **{name: In(READ_BITS[name]) for name in self.REGISTERS},
                "o_valid": Out(1),
                "operand": Out(signed(VOLTAGE_BITS)),
                "power": Out(POWER_BITS),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a code to its operand."""
        # Elaborated on the side: the stages know, so that nothing is counted by hand.
        return self._pipeline(Module(), Const(1)).time

    def _pipeline(self, m: Module, moving: Value) -> Timed:
        """Add all stages; return the operand."""
        stages = Stages(m, moving)
        registers = {name: Timed(getattr(self, name), 0, held=True) for name in self.REGISTERS}
        part = Timed(self.part, 0, held=True)
        code, key = Timed(self.code, 0), Timed(self.key, 0)

        def rounded(code: Value, key: Value, dither: Value) -> Value:
            """Sign and magnitude of a DAC code."""
            level = _magnitude(code)
            up = (level + key[16 : 16 + DITHER_BITS]) >> DITHER_BITS
            return Cat(Mux(dither, up, level)[: DITHER_BITS - 1], code[-1])

        level = stages.stage("rounding", "level", rounded, code, key, registers["inp_dither"])
        gauss = stages.stage("noise", "gauss", lambda key: gaussian(key[:10]), key)
        noise = stages.product("noise", "noise", registers["inp_noise"], gauss, block=False)

        def noisy(level: Value, noise: Value) -> Value:
            exact = Cat(Const(0, VOLTAGE_FRAC), level[:-1], Const(0, 1)).as_signed()
            voltage = Mux(level[-1], -exact, exact)
            return saturate(voltage + shift_half_up(noise, INP_NOISE_FRAC), VOLTAGE_BITS)

        voltage = stages.stage("noise", "noisy", noisy, level, noise)
        size = stages.stage("asymmetry", "size", _magnitude, voltage)
        negative = stages.stage("asymmetry", "negative", lambda voltage: voltage[-1], voltage)
        kept = stages.product("asymmetry", "kept", size, registers["inp_keep"], block=True)
        size = stages.stage(
            "asymmetry",
            "magnitude",
            lambda kept, size, negative: Mux(
                negative, _half_up(kept, Const(KEEP_FRAC - 1, 4)), size
            ),
            kept,
            size,
            negative,
        )

        # The position weight is needed where its line's magnitude is: lines come in order.
        phi = Signal(PHI_FRAC, reset_less=True)
        slope = Signal(PHI_FRAC, reset_less=True)
        valid = Signal(size.time)
        m.d.sync += valid.eq(valid << 1 | self.valid)
        with m.If(self.first):
            m.d.sync += [phi.eq(0), slope.eq(self.phi_first)]
        with m.Elif(valid[-1]):
            m.d.sync += [phi.eq(phi + slope), slope.eq(slope - self.phi_second)]
        place = Timed(phi[PHI_FRAC - PHI_BITS :], size.time)
        squaring = Timed(self.part == Part.POWER, 0, held=True)
        factor = stages.stage(
            "operand",
            "factor",
            lambda size, place, squaring: Mux(squaring, size, place)[:PHI_BITS],
            size,
            place,
            squaring,
        )
        product = stages.product("operand", "operand", size, factor, block=True)

        def operand(
            product: Value, size: Value, negative: Value, part: Value, shift: Value
        ) -> Value:
            less = Mux(part == Part.POWER, shift - 1, PHI_BITS - 1)[: len(shift)]
            multiplied = (part == Part.POWER) | (part == Part.POSITION)
            magnitude = Cat(Mux(multiplied, _half_up(product, less), size), Const(0, 1)).as_signed()
            signs = (part == Part.POSITION) | (part == Part.VALUE)
            return Mux(negative & signs, -magnitude, magnitude)[:VOLTAGE_BITS].as_signed()

        return stages.stage(
            "operand", "result", operand, product, size, negative, part, registers["square_shift"]
        )

    def elaborate(self, platform):
        m = Module()
        result = self._pipeline(m, moving(m, self.valid, self.latency))
        valid = Signal(result.time)
        m.d.sync += valid.eq(valid << 1 | self.valid)
        m.d.comb += [self.operand.eq(result.value), self.o_valid.eq(valid[-1])]
        with m.If(self.first):
            m.d.sync += self.power.eq(0)
        with m.Elif(self.o_valid):
            m.d.sync += self.power.eq(self.power + result.value.as_unsigned())
        return m
