"""Cells for a device unit: random requests, registers that no device gives, and what the golden
model makes of them."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from ohmgrid.devices.laws import DRAWS, ROOMS
from ohmgrid.model.base.noise import cell_words
from ohmgrid.model.device.step import Cells, static_properties, visit
from ohmgrid.registers.curves import POSITIONS
from ohmgrid.registers.device import (
    CURVE_BITS,
    GAMMA_BITS,
    NODE_BITS,
    NOISES,
    REL_BITS,
    DeviceRegisters,
)
from ohmgrid.registers.map import TABLES

LANE_BITS, ADDRESS_BITS = 3, 10


class Build(NamedTuple):
    """What a unit is built for."""

    weight_bits: int
    multipliers: int
    segments: int
    power: bool = True
    curve: bool = True
    tables: bool = True
    references: bool = True
    lut_delays: bool = False


@st.composite
def raw_registers(draw: st.DrawFn, weight_bits: int, segments: int) -> DeviceRegisters:
    """Draw registers that no device gives: each anywhere in its width."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def table(bits: int, entries: int) -> tuple[int, ...]:
        top = (1 << (draw(st.integers(2, bits)) - 1)) - 1
        return tuple(rng.integers(-top, top + 1, entries).tolist())

    def below(bits: int) -> int:
        return draw(st.integers(0, (1 << bits) - 1))

    top = (1 << (weight_bits - 1)) - 1
    kind = NOISES.index(draw(st.sampled_from(NOISES)))
    return DeviceRegisters(
        gain=table(REL_BITS + 1, 1024),
        balance=table(REL_BITS + 1, 1024),
        bias_up=draw(st.integers(-1024, 1023)),
        bias_down=draw(st.integers(-1024, 1023)),
        upper=table(weight_bits, 1024),
        lower=table(weight_bits, 1024),
        gamma_up=table(GAMMA_BITS, 1024),
        gamma_down=table(GAMMA_BITS, 1024),
        gamma_balance=table(GAMMA_BITS, 1024),
        reference=(0,) * 1024,
        symmetry_point=False,
        gamma_common=draw(st.booleans()),
        signed_gamma=draw(st.booleans()),
        b_max=draw(st.integers(0, top)),
        b_min=-draw(st.integers(0, top)),
        own_bounds=draw(st.booleans()),
        position=POSITIONS.index(draw(st.sampled_from(POSITIONS))),
        behind_up=draw(st.booleans()),
        behind_down=draw(st.booleans()),
        power=draw(st.booleans()),
        curve_up=table(NODE_BITS, segments + 1),
        curve_down=table(NODE_BITS, segments + 1),
        steps=table(NODE_BITS, 2 * ROOMS * DRAWS) if draw(st.integers(0, 2)) == 0 else (),
        offset=draw(st.integers(-(1 << (CURVE_BITS - 1)), (1 << (CURVE_BITS - 1)) - 1)),
        curve_frac=draw(st.integers(0, 14)),
        noise=kind,
        noise_add=below(CURVE_BITS - 1),
        noise_slope=below(CURVE_BITS - 1),
        c2c=tuple(rng.integers(0, 4096, 32).tolist()),
        dw=below(17),
        dw_shift=draw(st.sampled_from([0, 4, 8, 12])),
        visible=draw(st.sampled_from([0, 1, 4095])),
        corrupt=draw(st.sampled_from([0, 1, 3000, 65536])),
        corrupt_range=0,
        perfect_bias=draw(st.booleans()),
        serial=False,
        granularity=1.0,
        lsb=1.0,
    )


def random_cells(
    rng: np.random.Generator, count: int, weight_bits: int, registers: DeviceRegisters
) -> dict[str, np.ndarray]:
    """Return requests: some cells at, beyond or near the bounds, and some at zero."""
    top = (1 << (weight_bits - 1)) - 1
    weight = rng.integers(-top, top + 1, count)
    special = np.array([0, 1, -1, top, -top, registers.b_max, registers.b_min])
    weight = np.where(rng.random(count) < 0.3, rng.choice(special, count), weight)
    mask = rng.integers(1, 1 << 31, count) & rng.integers(0, 1 << 31, count)
    mask = np.where(rng.random(count) < 0.1, (1 << 31) - 1, mask)
    return {
        "weight": weight,
        "reference": np.where(rng.random(count) < 0.5, 0, rng.integers(-top, top + 1, count)),
        "bias": rng.integers(0, 2, count),
        "mask": np.where(mask == 0, 1 << 30, mask),
        "down": rng.integers(0, 2, count),
        "serial_static": rng.integers(0, 1 << 64, count, dtype=np.uint64),
        "lane_static": rng.integers(0, 1 << 64, count, dtype=np.uint64),
        "serial_cycle": rng.integers(0, 1 << 32, count, dtype=np.uint32),
        "lane_cycle": rng.integers(0, 1 << 32, count, dtype=np.uint32),
        "lane": rng.integers(0, 1 << LANE_BITS, count),
        "address": rng.integers(0, 1 << ADDRESS_BITS, count),
    }


def static_words(
    cells: dict[str, np.ndarray], turned: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the static noise words of cells."""
    row, col = (
        [(cells[f"{side}_static"] >> np.uint64(shift)).astype(np.uint32) for shift in (0, 32)]
        for side in (("lane", "serial") if turned else ("serial", "lane"))
    )
    return cell_words(row[0], col[0]), cell_words(row[1], col[1]), cell_words(row[0], col[1])


def used(cells: dict[str, np.ndarray]) -> dict[int, set[int]]:
    """Return the addresses that cells read of each large table: loading all takes too long."""
    word0, word1, _ = static_words(cells, turned=False)  # alike where turned
    (step, balance, slope), (upper, lower, third) = (
        [(word >> np.uint32(10 * n)) & np.uint32(1023) for n in range(3)] for word in (word0, word1)
    )
    gamma = np.concatenate([slope, slope + 1024, third + 1024])
    addresses = {"gain": step, "balance": balance, "upper": upper, "lower": lower}
    addresses |= {"gamma": gamma, "opposite": third}
    return {TABLES[name]: set(each.tolist()) for name, each in addresses.items()}


def golden(
    cells: dict[str, np.ndarray], registers: DeviceRegisters, weight_bits: int, turned: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the conductances that the model gives, and which cells are stuck."""
    words = static_words(cells, turned)
    bias = cells["bias"].astype(bool)
    static = static_properties(words, bias, cells["reference"], registers, weight_bits)
    noise = cell_words(cells["serial_cycle"], cells["lane_cycle"])
    count = np.bitwise_count(cells["mask"]).astype(np.int64)
    moved = visit(
        Cells(cells["weight"], count, cells["down"].astype(bool)),
        static,
        noise,
        registers,
        weight_bits,
    )
    return moved, static.stuck
