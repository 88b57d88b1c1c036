"""Single neurons of the compiled engine: `ohmgrid.model.dynamics.neurons`, all samples."""

from typing import Any, NamedTuple, cast

import numpy as np

import ohmgrid.compiled.arith  # noqa: F401  kernels find there what the golden laws call
from ohmgrid.compiled.held import hold
from ohmgrid.compiled.jit import golden, inner, kernel
from ohmgrid.compiled.layout import make_scratch
from ohmgrid.compiled.noise import hash_lines, line_key, op_key
from ohmgrid.model.base.noise import seed_key
from ohmgrid.model.dynamics import laws
from ohmgrid.model.dynamics.neurons import Neurons
from ohmgrid.registers.dynamics import FhnRegisters
from ohmgrid.registers.noise import Purpose, Verb

__all__ = ["CompiledNeurons"]

golden(laws.fhn_slopes)  # which the next one calls
fhn_step = golden(laws.fhn_step)
lif_step = golden(laws.lif_step)

DRIVE, INPUT = np.int64(Verb.DRIVE), np.int64(Purpose.INPUT)


class _Fhn(NamedTuple):
    step: int
    step_shift: int
    recovery: int
    recovery_shift: int
    a: int
    b: int
    threshold: int


class _Lif(NamedTuple):
    rate: int
    rate_shift: int
    threshold: int
    reset: int
    hold: int


class _Given(NamedTuple):
    """What goes into the neurons."""

    base: np.uint64
    threshold: int
    kick: int
    currents: np.ndarray
    kicks: np.ndarray
    """int64, shape (neurons,): of this sample."""


@inner
def _draw(given, sample, work):
    """Draw who is kicked in a sample."""
    count = len(given.kicks)
    if given.threshold:
        key = op_key(given.base, DRIVE, 0, sample)
        hash_lines(line_key(key, INPUT, 0), work.spread, (count + 3) // 4, work.planes)
        for i in range(count):
            given.kicks[i] = given.kick if work.planes16[0, i] < given.threshold else 0


@kernel
def _run_fhn(given, neuron, first, values, states, spikes, work):
    """Run as many samples as ``states`` has rows."""
    for sample in range(len(states)):
        _draw(given, first + sample, work)
        for i in range(values.shape[1]):
            v, w, fired = fhn_step(
                values[0, i], values[1, i], given.currents[i], given.kicks[i], neuron
            )
            values[0, i], values[1, i] = v, w
            states[sample, 0, i], states[sample, 1, i] = v, w
            spikes[sample, i] = fired


@kernel
def _run_lif(given, neuron, first, values, timers, states, spikes, work):
    """Run as many samples as ``states`` has rows."""
    for sample in range(len(states)):
        _draw(given, first + sample, work)
        for i in range(values.shape[1]):
            v, timer, fired = lif_step(
                values[0, i], timers[i], given.currents[i], given.kicks[i], neuron
            )
            values[0, i], timers[i] = v, timer
            states[sample, 0, i] = v
            spikes[sample, i] = fired


class CompiledNeurons(Neurons):
    """Single neurons; parameters as of the golden `Neurons`."""

    def run(self, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Go on; return the states after each sample, and who spiked in it; as the golden `run`."""
        states = np.empty((samples, *self.values.shape), np.int64)
        spikes = np.empty((samples, self.count), np.bool_)
        drive, registers = self.drive, self.registers
        base = np.uint64(seed_key(self.neuron.drive.seed))
        room = np.zeros(self.count, np.int64)
        given = cast(Any, hold(_Given(base, drive.threshold, drive.kick, self.currents, room)))
        work: Any = hold(make_scratch(self.count))
        if isinstance(registers, FhnRegisters):
            fhn: Any = hold(_Fhn(**vars(registers)))
            _run_fhn(given, fhn, self.samples, self.values, states, spikes, work)
        else:
            lif: Any = hold(_Lif(**vars(registers)))
            _run_lif(given, lif, self.samples, self.values, self.timers, states, spikes, work)
        self.samples += samples
        return states, spikes
