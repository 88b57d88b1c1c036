"""A weight of two phase-change devices and a capacitor: ``w = gain (G+ - G-) +- g``.

The cell of Ambrogio et al., Nature 558, 60, 2018. The capacitor (3T1C) takes every update; now and
then what has gathered on it goes to the pair of phase-change devices, which hold the significant
part. The phase-change device is that of Nandakumar et al., J. Appl. Phys. 124, 152135, 2018: it is
raised by SET pulses and cleared by a RESET. docs/pcm.md has the equations. Standard library only.
"""

from dataclasses import dataclass
from typing import ClassVar

from ohmgrid.devices.base import MOST_SIGNIFICANCE, Device, StepDevice
from ohmgrid.doors.checks import ConfigError, check_flag, check_float, check_int, make_plain, shown

__all__ = ["Pcm", "PcmCapacitor"]


@dataclass(frozen=True)
class Pcm:
    """A phase-change device under SET pulses, conductances G in microsiemens.

    With P what is left of the memory of a RESET, ``P = exp(-k / memory)`` at the k-th pulse after
    it, a pulse adds a normal draw of mean ``step - decay G + step_memory P`` and standard deviation
    ``spread + spread_slope G + spread_memory P``.
    """

    g_max: float = 12.0
    """Largest conductance."""
    g_min: float = 0.1
    """Smallest, and mean after a RESET."""
    reset_std: float = 0.01
    """Spread after a RESET."""
    step: float = 0.880
    decay: float = 0.084
    step_memory: float = 1.40
    spread: float = 0.260
    spread_slope: float = 0.091
    spread_memory: float = 2.15
    memory: float = 2.6
    """Pulses in which the memory of a RESET falls to 1/e."""
    read_noise: float = 0.13
    """Standard deviation of a read at G = 0."""
    read_noise_slope: float = 0.03
    """What it grows by with G."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_float("g_max", self.g_max, 0.1, 1000.0)
        check_float("g_min", self.g_min, 0.0, self.g_max)
        check_float("memory", self.memory, 0.01, 1000.0)
        check_float("decay", self.decay, 0.0, 0.99)
        for name in (
            *("reset_std", "step", "step_memory", "spread", "spread_slope", "spread_memory"),
            *("read_noise", "read_noise_slope"),
        ):
            check_float(name, getattr(self, name), 0.0, 100.0)


@dataclass(frozen=True)
class PcmCapacitor(Device):
    """Two phase-change devices of high significance, and a capacitor that takes the updates."""

    capacitor: StepDevice
    """g: what updates pulse; 0 is where it equals the shared reference. Its spreads are a cell's
    mismatch: of the read transistor (``dw_min_dtod``), of charging against discharging
    (``up_down_dtod``); its leak (``lifetime``) leads to ``reset``."""
    pcm: Pcm = Pcm()
    gain: int = 3
    """Significance of the pair (F)."""
    scale: float = 0.06
    """Weight units of a microsiemens of G+ or G-, before the gain."""
    transfer_every: int = 8000
    """Updates between two transfers; 0: never."""
    offset: float = 0.12
    """What a transfer leaves on g, weight units (2 uS in the paper): the pair takes the rest."""
    polarity_inversion: bool = True
    """Whether g counts with the other sign after each transfer, so that what is asymmetric or leaks
    cancels over two of them."""
    read_noise: float = 0.0
    """Standard deviation of the read of a weight that a transfer begins with, weight units."""
    most_pulses: int = 20
    """SET and RESET pulses of a write at most: programme, read, correct."""
    tolerance: float = 0.6
    """Microsiemens from its target at which a device is left as it is."""

    kind: ClassVar[str] = "PcmCapacitor"

    def __post_init__(self) -> None:
        make_plain(self)
        if not isinstance(self.capacitor, StepDevice):
            raise ConfigError("capacitor", f"expected a step device, got {shown(self.capacitor)}")
        if self.capacitor.write_noise:
            raise ConfigError("capacitor", "expected a device without write noise")
        if not isinstance(self.pcm, Pcm):
            raise ConfigError("pcm", f"expected a table, got {shown(self.pcm)}")
        check_int("gain", self.gain, 1, MOST_SIGNIFICANCE)
        check_float("scale", self.scale, 1e-4, 10.0)
        check_int("transfer_every", self.transfer_every, 0, 1 << 30)
        check_float("offset", self.offset, 0.0, 8.0)
        check_flag("polarity_inversion", self.polarity_inversion)
        check_float("read_noise", self.read_noise, 0.0, 8.0)
        check_int("most_pulses", self.most_pulses, 1, 255)
        check_float("tolerance", self.tolerance, 0.0, 100.0)

    @property
    def unit(self) -> StepDevice:
        return self.capacitor

    @property
    def arrays(self) -> int:
        return 3

    @property
    def significance(self) -> int:
        return self.gain

    @property
    def remark(self) -> str:
        own = self.capacitor
        leak = f"leak in {own.lifetime:,.0f} updates" if own.lifetime else "no leak"
        polarity = "inverted" if self.polarity_inversion else "fixed"
        return (
            f"up/down mismatch {own.up_down_dtod:.1%} a cell (sigma), {leak}, "
            f"polarity {polarity}, transfer every {self.transfer_every:,} updates"
        )
