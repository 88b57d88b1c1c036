"""The map of registers: every register and table of the gateware, with its number and its width.

A host writes a register by its number (`ohmgrid.host.protocol`), the gateware declares it with its
width, `ohmgrid.host.registers` makes its value. What differs from array to array is in the array
table instead (`ohmgrid.registers.arrays`). Numbers are part of the protocol: a register keeps
its own, a new one takes a free one. Standard library only.

======== ================================================================
0-15     seed, formats of the edge
16-55    converters and read-side non-idealities, forward
56-95    the same, backward
96-111   pulses of an update
112-143  leak, diffusion, refresh and reset
144-175  device
176-191  buffers between the arrays of a weight
224-233  tables of the trainer (`TRAINER`)
240-255  tables of devices (`TABLES`)
======== ================================================================
"""

from typing import NamedTuple

from ohmgrid.registers.arrays import COUNT_BITS, READ_LINES
from ohmgrid.registers.device import CURVE_BITS, DW_BITS, REL_FRAC, VISIBLE_BITS
from ohmgrid.registers.edge import ADC_MANTISSA, BL_BITS, FACTOR_BITS
from ohmgrid.registers.readout import (
    IR_FRAC,
    KEEP_BITS,
    NOISE_BITS,
    SPREAD_FRAC,
)
from ohmgrid.registers.time import CHANGE_BITS
from ohmgrid.registers.transfer import (
    AVERAGE_BITS,
    BUFFER_BITS,
    PART_BITS,
    PERIOD_BITS,
    SLOTS_BITS,
)

__all__ = [
    "AGING",
    "CONVERTER",
    "CORE",
    "DEVICE",
    "MAX_WEIGHT_BITS",
    "OF_KIND",
    "READ",
    "READ_BITS",
    "ROW_SIGNS",
    "STEP_WORD_BITS",
    "TABLES",
    "TRAINER",
    "Register",
]

MAX_WEIGHT_BITS = 18
"""Widest conductance."""


class Register(NamedTuple):
    """One register."""

    number: int
    """What a command names it by, 0..239."""
    bits: int
    """Width; a value with more bits is refused."""
    signed: bool = False


READ: dict[str, Register] = {
    "read": Register(16, 1),
    "inp_noise": Register(17, 20),
    "inp_keep": Register(18, KEEP_BITS),
    "inp_dither": Register(19, 1),
    "square_shift": Register(22, 4),
    "ir": Register(25, IR_FRAC),
    "w_kind": Register(27, 2),
    "out_keep": Register(30, KEEP_BITS),
    "out_spread": Register(31, NOISE_BITS + SPREAD_FRAC),
    "out_dither": Register(32, 1),
}
"""Of one direction (`ohmgrid.registers.readout.ReadRegisters`; ``read``: there is any), with the
numbers of the forward one."""

READ_BITS: dict[str, int] = {name: register.bits for name, register in READ.items()} | READ_LINES
"""Widths of all of one direction, those in the array table included."""

CONVERTER: dict[str, Register] = {
    "scale": Register(40, ADC_MANTISSA),
    "shift": Register(41, 6),
    "noise": Register(42, NOISE_BITS),
    "dac_half": Register(43, 8),
    "adc_half": Register(44, 11),
    "managed": Register(45, 1),
    "perfect": Register(46, 1),
}
"""Of one direction (`ohmgrid.registers.edge.ConverterRegisters`), likewise."""

_DIRECTIONS = {"forward": 0, "backward": 40}
"""Direction -> what is added to the numbers."""

AGING: dict[str, Register] = {
    "leak_shift": Register(128, 6),
    "reset_noise": Register(129, CHANGE_BITS),
    "symmetric": Register(130, 1),
    "read_scale": Register(131, ADC_MANTISSA),
    "read_shift": Register(132, 6),
    "read_noise": Register(133, NOISE_BITS),
    "read_half": Register(134, 11),
}
"""Of `ohmgrid.registers.time.AgingRegisters`, whether a reset goes to the symmetry point too, and
the ADC of a refresh, whose shift is counted from `ohmgrid.registers.device.STEP_FRAC` fraction
bits."""

CORE: dict[str, Register] = {
    "seed": Register(0, 64),
    "x_frac": Register(4, 4),
    "d_frac": Register(5, 4),
    "forward_passes": Register(47, 4),
    **{
        f"{direction}_{name}": register._replace(number=register.number + base)
        for direction, base in _DIRECTIONS.items()
        for name, register in (READ | CONVERTER).items()
    },
    "managed": Register(100, 1),
    "bl_managed": Register(101, 1),
    "desired_bl": Register(102, BL_BITS),
    "pulse_type": Register(103, 2),
    "time_every": Register(112, COUNT_BITS),
    "refresh_every": Register(114, COUNT_BITS),
    "refresh_upper": Register(116, 11),
    "refresh_lower": Register(117, 11),
    "refresh_rate": Register(118, 18),
    "refresh_rate_shift": Register(119, 6),
    "refresh_bl": Register(120, BL_BITS),
    "refresh_factor": Register(121, FACTOR_BITS),
    "refresh_desired_bl": Register(122, BL_BITS),
    "buffer_momentum": Register(176, PART_BITS + 1),
    "buffer_forgets": Register(177, 1),
    "buffer_cap": Register(178, BUFFER_BITS - 1),
    "flip": Register(179, PART_BITS + 1),
    "row_flip": Register(180, PART_BITS + 1),
    "period": Register(181, PERIOD_BITS),
    "dynamic": Register(182, 1),
    "mean_weight": Register(183, PART_BITS + 1),
    "averaged": Register(184, 1),
    "average_weight": Register(185, AVERAGE_BITS + 1),
    "slots": Register(186, SLOTS_BITS),
    **AGING,
}
"""Registers of a core, the same for all its arrays."""

OF_KIND = frozenset(
    name
    for name in CORE
    if name.startswith("forward_")
    or name in ("managed", "bl_managed", "desired_bl", "pulse_type", "time_every")
    or name in ("leak_shift", "reset_noise", "symmetric")
)
"""Those of them that a second kind of arrays has for itself, with its devices
(``build.device_sets``): the arrays that learn, where others hold the weights that a net sees."""

DEVICE: dict[str, Register] = {
    "bias_up": Register(144, REL_FRAC + 1, signed=True),
    "bias_down": Register(145, REL_FRAC + 1, signed=True),
    "b_max": Register(146, MAX_WEIGHT_BITS - 1),
    "b_min": Register(147, MAX_WEIGHT_BITS - 1),
    "own_bounds": Register(148, 1),
    "perfect_bias": Register(149, 1),
    "corrupt": Register(150, 17),
    "gamma_common": Register(151, 1),
    "signed_gamma": Register(152, 1),
    "position": Register(153, 2),
    "behind_up": Register(154, 1),
    "behind_down": Register(155, 1),
    "power": Register(156, 1),
    "power_shift": Register(157, 5),
    "offset": Register(158, CURVE_BITS, signed=True),
    "additive": Register(159, 1),
    "noise_add": Register(160, CURVE_BITS - 1),
    "noise_factor": Register(161, CURVE_BITS),
    "dw": Register(162, DW_BITS),
    "dw_shift": Register(163, 4),
    "visible": Register(164, VISIBLE_BITS),
    "drawn": Register(165, 1),
}
"""Registers of the device units, named as in `ohmgrid.registers.device.DeviceRegisters`. ``b_max``
and ``b_min`` are the magnitudes; ``power_shift`` is what a power of `POWER_BITS` is shifted by to
``curve_frac`` fraction bits; ``drawn`` is whether there are steps to draw from; noise is
``noise_add`` and ``noise_factor`` times the weight's magnitude or, if ``additive``, 8 times the
relative step."""

TABLES: dict[str, int] = {
    "gain": 240,
    "balance": 241,
    "upper": 242,
    "lower": 243,
    "gamma": 244,
    "opposite": 245,
    "curve": 246,
    "c2c": 247,
    "leak": 248,
    "diffusion": 249,
    "reset": 250,
    "reference": 251,
    "steps": 252,
}
"""Tables of the device units and their numbers.

========= ============================================ ==================================
table     address                                      data
========= ============================================ ==================================
gain      ten random bits                              relative step as drawn
balance   ten random bits                              what one direction has more
upper     ten random bits                              upper bound as drawn
lower     ten random bits                              lower bound as drawn
gamma     ten random bits, + 1024 down                 slope as drawn
opposite  ten random bits                              what one slope has more
curve     segment, + segments down                     node, then difference to the next one
c2c       pulses                                       noise of so many
leak      ten random bits                              part that leaks
diffusion ten random bits                              size of a diffusion
reset     ten random bits                              where leak and reset lead
reference ten random bits                              reference as drawn
steps     six random bits, room, + 1024 down           step, as a node of a curve
========= ============================================ ==================================
"""

STEP_WORD_BITS = 40
"""Bits of a step that one write brings."""

TRAINER: dict[str, int] = {
    **{"step": 224, "scale": 225, "vector": 226, "activation": 227},
    **{"buffer": 228, "mean": 229, "past": 230, "sign": 231, "transfer": 232, "average": 233},
}
"""Tables of what trains, and their numbers; those from `buffer` on lie between the arrays of a
weight, where `ohmgrid.host.protocol.Op.READ_BETWEEN` reads them, too.

========== ====================================== ======================================
table      address                                data
========== ====================================== ======================================
step       step, doubled; + 1 for the upper part  `STEP_WORD_BITS` bits of a step
scale      number                                 mantissa, + shift behind it
vector     `ohmgrid.registers.steps.vector`       first line at the edge
activation half index                             `ohmgrid.registers.layers.half_table`
buffer     cell                                   in thresholds
mean       cell                                   mean of what is read
past       cell                                   that before the last turn of a sign
sign       line, + `ROW_SIGNS` of rows            turned, and of columns: by the last read
transfer   fast array, times 4; + 0, 1 or 2       scale of what is read; first cell; turns
average    fast array, doubled; + 1 of errors     average of largest magnitudes
========== ====================================== ======================================

Cells of an array lie row by row from the first one on. A scale is a mantissa and, behind it, a
shift. Turns are flags: a period has passed, and one before the turn at work; behind them, how many
turns of the period have.
"""

ROW_SIGNS = 1 << 20
"""Address of the first row in the table of signs."""
