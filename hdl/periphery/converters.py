"""DAC, ADC and firing probabilities: twins of `ohmgrid.model.periphery.converters` and of
`ohmgrid.model.periphery.pulses.probabilities`.

Both units are pipelines without stalls: one value a cycle, `latency` cycles each. The registers of
an ADC (scale, shift, ...) are constant while values are in flight.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.carry import AddSub
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.base.products import Product, SoftProduct
from ohmgrid.hdl.base.quotient import Quotient
from ohmgrid.registers.edge import ADC_FRAC, ADC_MANTISSA, FACTOR_BITS
from ohmgrid.registers.readout import NOISE_BITS, REACH_BITS

__all__ = ["Adc", "Scaler"]

DIVISOR_BITS = 24
"""Largest divisor of a DAC: 2**15 doubled by each of seven repeated passes."""
TOP_BITS = 17
"""Width of the largest magnitude: probability 1 is 65536."""
SHIFT_BITS = 6
"""Width of the ADC's shift register."""


class Scaler(wiring.Component):
    """A value times a ratio: ``code = sign(value) * min(rint(|value| factor / divisor), top)``.

    With ``magnitude`` the sign is left out.

    A DAC has ``factor = top = half`` and ``divisor = alpha << halvings``, a firing probability
    ``top = 65536``. Exact, ties to even; one value a cycle, `latency` cycles each.

    Parameters
    ----------
    edge_bits : int
        Width of a value; its magnitude has one bit less (as at the tile's edge).
    factor_bits, divisor_bits : int
    dsp_bits : int, optional
        As of `ohmgrid.hdl.base.products.Product`.

    Members
    -------
    value : ``In(signed(edge_bits))``
    magnitude, factor, divisor : ``In``
        Of that value; ``divisor > 0``.
    top : ``In``
        Of the value of `top_time` cycles ago, <= 65536.
    code : ``Out(signed(18))``
    clipped : ``Out(1)``
        With it: ``rint(|value| factor / divisor)`` is above ``top``.

    Cost: one DSP block; the divider's ``17 * divisor_bits`` LUT4 (twice that, but for ECP5) are
    most of it.
    """

    def __init__(
        self,
        edge_bits: int = 16,
        factor_bits: int = FACTOR_BITS,
        divisor_bits: int = DIVISOR_BITS,
        dsp_bits: int | None = None,
    ):
        check_int("edge_bits", edge_bits, 2, 32)
        self.product = Product(edge_bits - 1, factor_bits, dsp_bits)
        self.divider = Quotient(edge_bits - 1 + factor_bits, divisor_bits, TOP_BITS)
        super().__init__(
            {
                "value": In(signed(edge_bits)),
                "magnitude": In(1),
                "factor": In(factor_bits),
                "divisor": In(divisor_bits),
                "top": In(TOP_BITS),
                "code": Out(signed(TOP_BITS + 1)),
                "clipped": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a value to its code: product, quotient, clipping, sign."""
        return self.top_time + 2

    @property
    def top_time(self) -> int:
        """Cycles from a value until its ``top`` is wanted."""
        return self.product.latency + self.divider.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = self.product
        m.submodules.divider = divider = self.divider
        sign = delayed(m, self.value[-1] & ~self.magnitude, "sign", self.latency - 1)
        quotient = divider.quotient
        over = quotient > self.top
        clipped = delayed(m, Mux(over, self.top, quotient), "clipped")
        m.submodules.size = size = AddSub(len(self.value) - 1)
        m.submodules.signed = coded = AddSub(len(self.code))
        m.d.comb += [
            *(size.b.eq(self.value), size.less.eq(self.value[-1])),
            *(coded.b.eq(clipped), coded.less.eq(sign)),
        ]
        m.d.comb += self.clipped.eq(delayed(m, over, "over", 2))
        m.d.comb += [
            product.a.eq(size.o),
            product.b.eq(self.factor),
            divider.numerator.eq(product.o),
            divider.denominator.eq(delayed(m, self.divisor, "divisor", product.latency)),
        ]
        m.d.comb += self.code.eq(delayed(m, coded.o, "signed"))
        return m


class Adc(wiring.Component):
    """From an exact sum to an output code, with noise: one a cycle, `latency` cycles each.

    ``scaled = floor(sum * scale / 2**shift)``, saturated; ``raw = rint((scaled + gauss * noise) /
    2**16)``, ties to even; ``clipped = |raw| > half``; ``code`` is raw clipped to ``+-half``.

    In place of a sum, a value that is scaled already may enter in the middle.

    Parameters
    ----------
    sum_bits : int
        Width of a sum, 2..40.
    adc_bits : int
        Width of the widest code, 2..12.
    dsp_bits : int, optional
        As of `ohmgrid.hdl.base.products.Product`.

    Members
    -------
    sum : ``In(signed(sum_bits))``
    gauss : ``In(signed(9))``
        Gaussian sample, 64 LSB a standard deviation.
    scale, shift, noise : ``In(18)``, ``In(6)``, ``In(21)``
        `ohmgrid.registers.edge.ConverterRegisters`; constant while sums are in flight.
    half : ``In(adc_bits - 1)``
        Largest code, constant likewise.
    scaled : ``Out(signed(31))``
        The scaled sum, ``scale_latency`` cycles after it.
    enters : ``In(1)``
        Take ``value`` in place of scaled sums.
    value : ``In(signed(31))``
        Comes ``noise_latency`` cycles after its ``gauss`` and ``noise``, `ending` cycles before its
        code.
    dithered, dither : ``In(1)``, ``In(16)``
        Round at random, by this uniform number that comes a cycle after ``value``.
    code : ``Out(signed(adc_bits))``
    clipped : ``Out(1)``

    Cost: a DSP block for each ``dsp_bits`` of the sum; the noise is multiplied in LUTs.
    """

    def __init__(self, sum_bits: int, adc_bits: int = 12, dsp_bits: int | None = None):
        check_int("sum_bits", sum_bits, 2, 40)
        check_int("adc_bits", adc_bits, 2, 12)
        self.product = Product(sum_bits - 1, ADC_MANTISSA, dsp_bits)
        self._noise = SoftProduct(NOISE_BITS, signed(9))
        super().__init__(
            {
                "sum": In(signed(sum_bits)),
                "gauss": In(signed(9)),
                "scale": In(ADC_MANTISSA),
                "shift": In(SHIFT_BITS),
                "noise": In(NOISE_BITS),
                "half": In(adc_bits - 1),
                "scaled": Out(signed(REACH_BITS + 1)),
                "enters": In(1),
                "value": In(signed(REACH_BITS + 1)),
                "dithered": In(1),
                "dither": In(ADC_FRAC),
                "code": Out(signed(adc_bits)),
                "clipped": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a sum to its code: product, floor, shifts, then what `ending` counts."""
        return self.scale_latency + self.ending

    @property
    def scale_latency(self) -> int:
        """Cycles from a sum to its scaled value."""
        return self.product.latency + 1 + SHIFT_BITS // 2

    @property
    def noise_latency(self) -> int:
        """Cycles from ``gauss`` and ``noise`` to the value that they are added to."""
        return self._noise.latency

    @property
    def ending(self) -> int:
        """Cycles from a value to its code: noise, rounding, clipping."""
        return 3

    def _shifted(self, m: Module, product: Value) -> Value:
        """Return ``min(product >> shift, 2**REACH_BITS - 1)``, two bits of the shift a cycle."""
        beyond: Value = Const(0, 1)
        for bit in range(SHIFT_BITS - 1, 0, -2):
            for k in (bit, bit - 1):
                product = Mux(self.shift[k], product >> (1 << k), product)
                # What the rest of the shift cannot bring back into reach is beyond it for good.
                reach = REACH_BITS + (1 << k) - 1
                beyond, product = beyond | (product >> reach).any(), product[:reach]
            product = delayed(m, product, f"shifted{bit}")
            beyond = delayed(m, beyond, f"beyond{bit}")
        return product | beyond.replicate(REACH_BITS)

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = self.product
        m.submodules.noise = noise = self._noise
        early, late = product.latency, self.scale_latency
        sign = delayed(m, self.sum[-1], "sign", early)
        # Below zero -1 - sum is multiplied: floor(sum scale / 2**shift) is then the complement of
        # floor(((-1 - sum) scale + scale - 1) / 2**shift), and nothing has to be negated.
        m.d.comb += [
            product.a.eq(self.sum[:-1] ^ self.sum[-1].replicate(len(product.a))),
            product.b.eq(self.scale),
            noise.a.eq(self.noise),
            noise.b.eq(
                Mux(
                    self.enters,
                    self.gauss,
                    delayed(m, self.gauss, "gauss", late - noise.latency),
                )
            ),
        ]
        less = delayed(m, (self.scale - 1)[: len(self.scale)], "less")
        exact = delayed(m, (product.o + Mux(sign, less, 0))[: len(product.o)], "exact")
        shifted = self._shifted(m, exact)
        sign = delayed(m, sign, "late_sign", late - early)
        m.d.comb += self.scaled.eq(Cat(shifted ^ sign.replicate(REACH_BITS), sign))
        noisy = delayed(m, Mux(self.enters, self.value, self.scaled) + noise.o, "noisy")
        # To nearest, ties to even: less than a half is added, and a half in full to an odd floor.
        half = (1 << (ADC_FRAC - 1)) - 1 + noisy[ADC_FRAC]
        raw = delayed(m, (noisy + Mux(self.dithered, self.dither, half)) >> ADC_FRAC, "raw")
        highest, lowest = delayed(m, self.half, "highest"), delayed(m, -self.half, "lowest")
        above, below = raw > highest, raw < lowest
        code = Mux(above, highest, Mux(below, lowest, raw))
        m.d.comb += [
            self.code.eq(delayed(m, code[: len(self.code)], "held_code")),
            self.clipped.eq(delayed(m, above | below, "held_clipped")),
        ]
        return m
