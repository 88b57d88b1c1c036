"""Phase-change devices and transfers to them as integers (`ohmgrid.model.device.pcm`).

Standard library only.
"""

from dataclasses import dataclass

from ohmgrid.config import Config
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.doors.checks import ConfigError
from ohmgrid.portable import exp
from ohmgrid.registers.noise import GAUSS_SIGMA

__all__ = ["MOST_COUNT", "PART_BITS", "PcmRegisters", "pcm_registers"]

PART_BITS = 16
"""Fraction bits of what is relative to a conductance."""
NOISE_FRAC = 6
"""Fraction bits of a noise for one LSB of a deviate."""
MOST_COUNT = 31
"""Pulses after a RESET that are told apart: of the memory, exp(-12) is left then."""


@dataclass(frozen=True)
class PcmRegisters:
    """Integer parameters of the pair and of its transfers; conductances in weight LSB."""

    every: int
    """Updates between two transfers; 0: never."""
    gain: int
    invert: int
    """Whether the polarity changes at each."""
    offset: int
    read_noise: int
    """Of a weight, for one LSB of a deviate, `NOISE_FRAC` fraction bits, as all noise here."""
    step: int
    """A step of the capacitor: what is left of a write is a multiple of it."""
    g_max: int
    g_min: int
    reset_noise: int
    decay: int
    """Part of a conductance that a pulse takes back, `PART_BITS` fraction bits."""
    rise: tuple[int, ...]
    """What a pulse adds, by its number after a RESET."""
    spread: tuple[int, ...]
    spread_slope: int
    """What a pulse's noise grows by with the conductance: `PART_BITS` and `NOISE_FRAC`."""
    g_noise: int
    """Of a read of a device."""
    g_noise_slope: int
    tolerance: int
    most_pulses: int

    @property
    def top(self) -> int:
        """Largest magnitude of the pair's part of a weight."""
        return self.gain * self.g_max


def pcm_registers(config: Config, lsb: float) -> PcmRegisters:
    """Round the parameters of a configuration whose device is a `PcmCapacitor`.

    Parameters
    ----------
    config : Config
    lsb : float
        One weight LSB in weight units.

    Raises
    ------
    ConfigError
        If a conductance does not fit a word, or converters read with more than output noise.
    """
    device = config.device
    assert isinstance(device, PcmCapacitor)
    pcm, words = device.pcm, device.scale / lsb
    top = (1 << (config.formats.weight_bits - 1)) - 1
    if pcm.g_max * words > top:
        raise ConfigError(
            "device.scale",
            f"expected at most {top * lsb / pcm.g_max:.3g}, at which pcm.g_max fits a word, "
            f"got {device.scale:g}",
        )
    for direction in ("forward", "backward"):
        for option in getattr(config, direction).physics:
            raise ConfigError(f"{direction}.{option}", "expected to be off with a PcmCapacitor")
    noise = (1 << NOISE_FRAC) / GAUSS_SIGMA
    part = 1 << PART_BITS
    left = [exp(-count / pcm.memory) for count in range(1, MOST_COUNT + 1)]
    return PcmRegisters(
        every=device.transfer_every,
        gain=device.gain,
        invert=int(device.polarity_inversion),
        offset=round(device.offset / lsb),
        read_noise=round(device.read_noise / lsb * noise),
        step=max(1, round(device.capacitor.granularity / lsb)),
        g_max=round(pcm.g_max * words),
        g_min=round(pcm.g_min * words),
        reset_noise=round(pcm.reset_std * words * noise),
        decay=round(pcm.decay * part),
        rise=tuple(round((pcm.step + pcm.step_memory * memory) * words) for memory in left),
        spread=tuple(
            round((pcm.spread + pcm.spread_memory * memory) * words * noise) for memory in left
        ),
        spread_slope=round(pcm.spread_slope * noise * part),
        g_noise=round(pcm.read_noise * words * noise),
        g_noise_slope=round(pcm.read_noise_slope * noise * part),
        tolerance=round(device.tolerance * words),
        most_pulses=device.most_pulses,
    )
