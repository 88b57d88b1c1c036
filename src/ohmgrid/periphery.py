"""Converters and pulse trains at a tile's edge: frozen and checked, as `ohmgrid.config` is.

Standard library only.
"""

from dataclasses import dataclass

from ohmgrid.doors.checks import check_choice, check_flag, check_float, check_int, make_plain

__all__ = [
    "MOST_SLOTS",
    "PULSE_TYPES",
    "READ_PHYSICS",
    "SLOTS",
    "W_NOISE_TYPES",
    "ConverterConfig",
    "PulseConfig",
]

SLOTS = 31
"""Slots of a chunk of a pulse train: the word that a lane ANDs. Longer trains are several."""
MOST_SLOTS = 127
"""Slots of the longest pulse train."""

W_NOISE_TYPES = ("none", "additive-constant", "pcm-read")
READ_PHYSICS = (
    "inp_noise",
    "inp_asymmetry",
    "inp_sto_round",
    "ir_drop",
    "w_noise",
    "out_asymmetry",
    "out_noise_std",
    "out_sto_round",
)
"""Fields of `ConverterConfig` that are beyond ideal converters with output noise."""


@dataclass(frozen=True)
class ConverterConfig:
    """Converters, managements and read-side non-idealities of one direction."""

    perfect: bool = False
    """Exact sums of weights and of inputs as they stand at the edge: no converters, managements,
    noise or read-side non-idealities; of the parameters below none counts."""
    dac_bits: int = 7
    """Bits of the DAC, sign included: 7 gives 127 levels."""
    adc_bits: int = 9
    """Bits of the ADC, sign included: 9 gives 511 levels."""
    out_bound: float = 12.0
    """Output at which the ADC clips, in weight times scaled-input units."""
    out_noise: float = 0.06
    """Standard deviation of the noise added before the ADC, in the same units."""
    noise_management: str = "abs-max"
    """``abs-max`` divides the input by its largest magnitude, ``none`` by 1.0."""
    bound_management: str = "none"
    """``iterative`` repeats a clipped pass with the input halved."""
    max_passes: int = 5
    """Most passes of bound management; 5 reaches a sixteenth of the input."""
    inp_noise: float = 0.0
    """Standard deviation of the noise behind the DAC, as a fraction of its full scale."""
    inp_asymmetry: float = 0.0
    """Negative voltages are too small by this fraction."""
    inp_sto_round: bool = False
    """The DAC rounds at random, unbiased, instead of to nearest."""
    ir_drop: float = 0.0
    """Strength of the voltage drop along the wires; 1 is what the formula gives, 0 none."""
    ir_drop_g_ratio: float = 1 / 0.35 / 5e-6
    """Conductance of a wire segment divided by that of a cell with weight 1."""
    w_noise: float = 0.0
    """Read noise of the weights, referred to the output, in weight units."""
    w_noise_type: str = "none"
    """``none``, ``additive-constant`` (all weights alike) or ``pcm-read`` (grows with a weight)."""
    out_asymmetry: float = 0.0
    """Negative outputs are too small by this fraction."""
    out_noise_std: float = 0.0
    """Spread of ``out_noise`` from line to line, fixed for a tile, relative."""
    out_sto_round: bool = False
    """The ADC rounds at random, unbiased, instead of to nearest."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_flag("perfect", self.perfect)
        check_int("dac_bits", self.dac_bits, 2, 8)
        check_int("adc_bits", self.adc_bits, 2, 12)
        check_float("out_bound", self.out_bound, 0.01, 1000.0)
        check_float("out_noise", self.out_noise, 0.0, self.out_bound)
        check_choice("noise_management", self.noise_management, ("abs-max", "none"))
        check_choice("bound_management", self.bound_management, ("iterative", "none"))
        check_int("max_passes", self.max_passes, 1, 8)
        check_float("inp_noise", self.inp_noise, 0.0, 1.0)
        check_float("inp_asymmetry", self.inp_asymmetry, -1.0, 1.0)
        check_flag("inp_sto_round", self.inp_sto_round)
        check_float("ir_drop", self.ir_drop, 0.0, 10.0)
        check_float("ir_drop_g_ratio", self.ir_drop_g_ratio, 1.0, 1e12)
        check_float("w_noise", self.w_noise, 0.0, 10.0)
        check_choice("w_noise_type", self.w_noise_type, W_NOISE_TYPES)
        check_float("out_asymmetry", self.out_asymmetry, -1.0, 1.0)
        check_float("out_noise_std", self.out_noise_std, 0.0, 10.0)
        check_flag("out_sto_round", self.out_sto_round)

    @property
    def physics(self) -> tuple[str, ...]:
        """Names of the read-side non-idealities that are on (docs/readout.md)."""
        if self.perfect:
            return ()
        w_noise = self.w_noise_type != "none" and self.w_noise > 0
        return tuple(
            name
            for name in READ_PHYSICS
            if (w_noise if name == "w_noise" else getattr(self, name))
            and not (name == "out_noise_std" and self.out_noise == 0)
        )

    @property
    def dac_half(self) -> int:
        """Largest DAC code."""
        return (1 << (self.dac_bits - 1)) - 1

    @property
    def adc_half(self) -> int:
        """Largest ADC code."""
        return (1 << (self.adc_bits - 1)) - 1


PULSE_TYPES = ("stochastic-compressed", "mean-count", "deterministic-implicit")


@dataclass(frozen=True)
class PulseConfig:
    """How an outer product becomes pulse trains."""

    pulse_type: str = "stochastic-compressed"
    """``stochastic-compressed``, ``mean-count`` or ``deterministic-implicit``."""
    desired_bl: int = SLOTS
    """Most slots of a train (bit length), 1..127."""
    fixed_bl: bool = True
    """Without managements: always ``desired_bl`` slots, or more where lr asks for it (false)."""
    update_management: bool = True
    """Balance the probabilities of both sides by their largest magnitudes."""
    update_bl_management: bool = True
    """Use only as many slots as the largest pair needs (turns update management on)."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_choice("pulse_type", self.pulse_type, PULSE_TYPES)
        check_int("desired_bl", self.desired_bl, 1, MOST_SLOTS)
        for name in ("fixed_bl", "update_management", "update_bl_management"):
            check_flag(name, getattr(self, name))

    @property
    def managed(self) -> bool:
        """Whether update management is in force (bit-length management forces it on)."""
        return self.update_management or self.update_bl_management

    @property
    def most_slots(self) -> int:
        """Slots of the longest train of an update: without ``fixed_bl`` a whole chunk at least."""
        grows = not self.managed and not self.fixed_bl
        return max(self.desired_bl, SLOTS) if grows else self.desired_bl

    @property
    def one_chunk(self) -> bool:
        """Whether trains take one chunk at most: then updates can be planned ahead."""
        return self.most_slots <= SLOTS
