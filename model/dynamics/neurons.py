"""Single neurons: FitzHugh-Nagumo, leaky integrate-and-fire (golden model)."""

import numpy as np

from ohmgrid.doors.checks import ConfigError, check_float, check_int
from ohmgrid.dynamics import NeuronState
from ohmgrid.model.base.noise import bernoulli, fields16, line_keys, op_key, seed_key
from ohmgrid.model.dynamics.laws import fhn_step, lif_step
from ohmgrid.registers.dynamics import (
    FhnRegisters,
    drive_registers,
    fhn_registers,
    lif_registers,
    state_of,
)
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.systems import MOST_UNITS, Fhn, Neuron

__all__ = ["Neurons"]

MOST_BEGIN = 7.9


def _events(base: int, sample: int, count: int, threshold: int) -> np.ndarray:
    """Return which neurons get an event in a sample (bool, shape (count,)).

    Neuron i draws the low 16 bits of line key (INPUT, i) of `Verb.DRIVE`.
    """
    key = op_key(base, Verb.DRIVE, 0, sample)
    keys = line_keys(key, Purpose.INPUT, np.arange(count))
    return bernoulli(fields16(keys)[:, 0], threshold)


class Neurons:
    """Single neurons, each with events and a trace of its own.

    Parameters
    ----------
    neuron : Fhn or Lif
    count : int
        How many there are.
    begin : tuple of float, optional
        Each variable at the beginning, of all neurons alike: 0.

    Attributes
    ----------
    values, timers, samples
        As of `NeuronState`.
    cycles : int
        Of a gateware's clock in the last run: none here.
    """

    cycles = 0

    def __init__(self, neuron: Neuron, count: int = 1, begin: tuple[float, ...] = ()) -> None:
        check_int("count", count, 1, MOST_UNITS)
        names = neuron.VARIABLES
        values = begin or (0.0,) * len(names)
        if len(values) != len(names):
            raise ConfigError("begin", f"expected {', '.join(names)}, got {len(values)} numbers")
        for value in values:
            check_float("begin", value, -MOST_BEGIN, MOST_BEGIN)
        self.neuron, self.count = neuron, count
        self.drive = drive_registers(neuron.drive, neuron.step)
        own = np.array(self.drive.currents, np.int64)
        if len(own) not in (1, count):
            raise ConfigError(
                "current", f"expected one, or one for each of {count} neurons, got {len(own)}"
            )
        self.currents = np.broadcast_to(own, count).copy()
        self.registers = fhn_registers(neuron) if isinstance(neuron, Fhn) else lif_registers(neuron)
        self.values = np.array([[state_of(value)] * count for value in values], np.int64)
        self.timers = np.zeros(count, np.int64)
        self.samples = 0

    def state(self) -> NeuronState:
        """Return a copy of the state."""
        return NeuronState(self.values.copy(), self.timers.copy(), self.samples)

    def run(self, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Go on; return the states after each sample, and who spiked in it.

        Returns
        -------
        states : int64, shape (samples, variables, neurons)
        spikes : bool, shape (samples, neurons)
        """
        drive, registers, base = self.drive, self.registers, seed_key(self.neuron.drive.seed)
        states = np.empty((samples, *self.values.shape), np.int64)
        spikes = np.empty((samples, self.count), np.bool_)
        kick = np.zeros(self.count, np.int64)
        for sample in range(samples):
            if drive.threshold:
                kick = drive.kick * _events(base, self.samples, self.count, drive.threshold)
            if isinstance(registers, FhnRegisters):
                v, w = self.values
                v, w, spikes[sample] = fhn_step(v, w, self.currents, kick, registers)
                self.values[:] = v, w
            else:
                v, timers, spikes[sample] = lif_step(
                    self.values[0], self.timers, self.currents, kick, registers
                )
                self.values[0], self.timers[:] = v, timers
            self.samples += 1
            states[sample] = self.values
        return states, spikes
