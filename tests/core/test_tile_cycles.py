"""The verbs of a tile, and what time does between them, take the cycles that are predicted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tile_cases import BUILDS, COLS, ROWS, SEEDS, configs, random_weights, vectors

from ohmgrid.config import (
    PULSE_TYPES,
    Config,
)
from ohmgrid.hdl.core.operation_cycles import OperationCycles, PulseWork
from ohmgrid.host.protocol import Op, command
from ohmgrid.model.array.array import pulse_counts
from ohmgrid.model.array.sweep import sweep_cycles
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.core.operations import pulse_slots, update_trains
from ohmgrid.model.core.refresh import refresh_reads, refresh_writes
from ohmgrid.model.core.tile import Tile
from ohmgrid.model.device.aging import age
from ohmgrid.model.periphery.pulses import plan_update, probabilities
from ohmgrid.registers.device import device_registers
from ohmgrid.registers.edge import pulse_registers
from ohmgrid.registers.noise import Verb, rewrite_step
from ohmgrid.registers.readout import read_registers
from ohmgrid.registers.time import refresh_registers
from ohmgrid.sim.rtl import (
    RtlTile,
)
from ohmgrid.tile import TileState


def pulse_work(
    config: Config, x: np.ndarray, d: np.ndarray, lr: float, step: int, fused: bool
) -> PulseWork:
    """Return, from the model alone, what the length of an update depends on."""
    formats, pulses, build = config.formats, config.pulses, config.build
    device = device_registers(config.device.unit, formats.weight_bits, formats.curve_segments)
    registers = pulse_registers(config, device.granularity, lr)
    largest = int(np.abs(x).max()), int(np.abs(d).max())
    plan = plan_update(*largest, pulses, registers, (formats.x_frac, formats.d_frac))
    key = op_key(seed_key(config.seed), Verb.UPDATE, 0, step)
    paired = config.device.paired
    down = (x < 0)[None, :] == (d < 0)[:, None]
    if paired:
        down = np.repeat(down, 2, axis=0)
    sweeps = []
    trains = update_trains(x, d, config, registers, key)
    slots = list(pulse_slots(trains, device.serial))
    fires = np.any([rows != 0 for _, rows, _ in slots], axis=0)
    for _, rows, columns in slots:
        rows = np.repeat(rows, 2) if paired else rows
        hits = pulse_counts(rows, columns, down, paired) != 0
        # Backward sums leave in the first sweep; others pass over rows without a pulse.
        spaced = fused and not sweeps
        if not spaced:
            hits = hits[np.repeat(fires, 2) if paired else fires]
        sweeps.append(sweep_cycles(len(hits), len(x), build, hits, spaced))
    sweeps = sweeps or [sweep_cycles(len(down), len(x), build)]
    last = (
        int(probabilities(d, plan.d_factor, plan.d_divisor)[-1]),
        int(probabilities(x, plan.x_factor, plan.x_divisor)[-1]),
    )
    return PulseWork(
        rate_shift=registers.rate_shift,
        trivial=not pulses.managed or 0 in largest,
        bl=plan.bl,
        mode=PULSE_TYPES.index(pulses.pulse_type),
        last=last,
        sweeps=tuple(sweep.total for sweep in sweeps),
        last_visit=sweeps[0].last,
    )


@contextmanager
def record_time(model: Tile) -> Iterator[list[tuple[np.ndarray, int]]]:
    """Keep the conductances, and the updates so far, whenever something is due."""
    seen: list[tuple[np.ndarray, int]] = []
    effects = model._time
    apply = effects.apply

    def recorded(weights: np.ndarray, updates: int) -> np.ndarray:
        seen.append((weights.copy(), updates))
        return apply(weights, updates)

    effects.apply = recorded
    yield seen
    effects.apply = apply


def time_work(
    config: Config, model: Tile, weights: np.ndarray, updates: int
) -> tuple[bool, dict[int, PulseWork] | None]:
    """Return, from the model alone, what the length of time's effects depends on."""
    ages = bool(model.aging.every) and updates % model.aging.every == 0
    base, formats = seed_key(config.seed), config.formats
    if ages:
        key = op_key(base, Verb.TIME, model.number, updates)
        weights = age(weights, model.population, model.aging, key)
    if not config.device.paired:
        return ages, None
    registers = refresh_registers(config, model.lsb)
    if not registers.every or updates % registers.every:
        return ages, None
    key = op_key(base, Verb.REFRESH, model.number, updates)
    due, difference = refresh_reads(weights, registers, key)

    def column_key(column: int) -> int:
        return op_key(base, Verb.REWRITE, model.number, rewrite_step(updates, column))

    writes = refresh_writes(due, difference, config, registers, column_key)
    slots = {write.column: write.slots[0] for write in writes}
    columns = {}
    for column in np.flatnonzero(due.any(axis=0)).tolist():
        signed = np.where(due[:, column], difference[:, column], 0)
        d = np.stack([np.maximum(signed, 0), np.maximum(-signed, 0)], axis=1).ravel()
        x = np.zeros(model.cols, np.int64)
        x[column] = 1 << formats.x_frac
        fracs = formats.x_frac, formats.d_frac
        plan = plan_update(int(x[column]), int(d.max()), registers.pulses, registers.rate, fracs)
        lanes = config.build.lanes
        in_block = min(lanes, model.cols - column + column % lanes)
        fired = slots.get(column, np.zeros(len(d), np.int64))
        sweeps = []
        # The column fires in each slot: its rows are those that have a pulse.
        fired = fired[fired != 0]
        for train in [fired & (1 << k) for k in range(plan.bl)] if model.device.serial else [fired]:
            hits = np.zeros((len(fired), in_block), bool)
            hits[:, column % lanes] = train != 0
            sweeps.append(sweep_cycles(len(fired), in_block, config.build, hits))
        columns[column] = PulseWork(
            rate_shift=registers.rate.rate_shift,
            trivial=not d.any(),
            bl=plan.bl,
            mode=0,
            last=(
                int(probabilities(d, plan.d_factor, plan.d_divisor)[-1]),
                int(probabilities(x, plan.x_factor, plan.x_divisor)[-1]),
            ),
            sweeps=tuple(sweep.total for sweep in sweeps),
            last_visit=0,
        )
    return ages, columns


@pytest.mark.parametrize("lanes", [3, 4])
@given(data=st.data(), seed=SEEDS, rows=ROWS, cols=COLS)
def test_cycles_are_those_predicted(lanes, data, seed, rows, cols):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    config = data.draw(configs(BUILDS[lanes]))
    predicted = OperationCycles(config)
    model = Tile(config, rows, cols)
    model.load(TileState(random_weights(rng, model), (0, 0, 0)))
    tile = RtlTile(config, rows, cols)
    tile.load(model.state())
    driver = tile.driver
    x, d = vectors(rng, cols, rows)
    lr = float(model.device.granularity * 10.0 ** rng.uniform(-2, 2))
    driver.run(driver.registers(asdict(pulse_registers(config, model.device.granularity, lr))))
    driver.run([command(Op.LOAD_X), command(Op.LOAD_D)], [*x, *d])
    managed = config.forward.noise_management == "abs-max"
    x_zero = not x.any() and managed and config.forward.inp_noise == 0
    d_zero = not d.any() and config.backward.noise_management == "abs-max"

    _, answers = driver.run([command(Op.FORWARD)], (), rows)
    passes = 0 if x_zero else answers[0].passes
    reads = [
        read_registers(io, model.lsb, lines) if io.physics else None
        for io, lines in ((config.forward, cols), (config.backward, rows))
    ]
    assert driver.cycles == predicted.forward(rows, cols, passes, reads[0])
    driver.run([command(Op.BACKWARD)], (), cols)
    assert driver.cycles == predicted.backward(rows, cols, d_zero, reads[1])
    for step in range(3):
        fused = bool(rng.integers(2))
        work = pulse_work(config, x, d, lr, step, fused)
        verb = Op.BACKWARD_UPDATE if fused else Op.UPDATE
        time = 0
        with record_time(model) as due:
            model.update(x, d, lr)
        for weights, updates in due:
            ages, columns = time_work(config, model, weights, updates)
            time = predicted.time(rows, cols, ages, columns)
        # A refresh leaves vectors of its own.
        driver.run([command(Op.LOAD_X), command(Op.LOAD_D)], [*x, *d])
        _, answers = driver.run([command(verb)], (), cols if fused else 0)
        if fused:
            pulsed = predicted.backward_update(rows, cols, work, d_zero, reads[1])
        else:
            pulsed = predicted.update(rows, cols, work)
        assert driver.cycles == pulsed + time
        assert answers[0].bl == (0 if fused and d_zero else work.bl)
