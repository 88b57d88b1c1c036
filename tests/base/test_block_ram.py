"""The memory with output registers: its portable body against a list, ECP5's block against that.

The block is simulated by its model (`vendor_models`).
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vendor_blocks import merged_netlist, vendor_netlist
from vendor_models import DP16KD

from ohmgrid.boards.synth import synth
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.base.block_ram import BlockRam
from ohmgrid.sim.cxxrtl.instance import Instance, Ports, load
from ohmgrid.sim.cxxrtl.make import LIBRARY, make_library, read_ports
from ohmgrid.sim.tables import run_clocked


class Traffic:
    """Random writes and reads, and what they give: a word read is one not being written."""

    def __init__(self, rng: np.random.Generator, width: int, depth: int, readers: int, cycles: int):
        few = np.append(rng.integers(depth, size=5), [0, depth - 1])
        self.readers, words = readers, {}
        latches, outputs = [0] * readers, [0] * readers
        self.inputs: list[dict[str, int]] = []
        self.expected: list[list[int]] = []
        for cycle in range(cycles):
            # First every word in use, since what is there at the beginning is not told.
            start = cycle < len(few)
            place = int(few[cycle] if start else rng.choice(few))
            word = int(rng.integers(1 << width))
            write = bool(start or rng.random() < 0.4)
            inputs = {"write": write, "write_address": place, "data": word}
            self.expected.append(list(outputs))
            for k in range(readers):
                address = int(rng.choice(few))
                read = not start and rng.random() < 0.7 and not (write and address == place)
                # The port that writes does not read.
                read = read and not (write and k == 0 and readers == 2)
                inputs |= {f"read{k}": read, f"address{k}": address}
                outputs[k] = latches[k]
                if read:
                    latches[k] = words[address]
            if write:
                words[place] = word
            self.inputs.append({name: int(value) for name, value in inputs.items()})
        # What is at the outputs before the first word of all is read is not told either.
        self.known = [
            next(n for n, given in enumerate(self.inputs) if given[f"read{k}"]) + 2
            for k in range(readers)
        ]

    def check(self, seen: list[list[int]]) -> None:
        for k in range(self.readers):
            known = self.known[k]
            assert [each[k] for each in seen[known:]] == [each[k] for each in self.expected[known:]]


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([2, 64, 512]),
    st.sampled_from([1, 2]),
)  # fmt: skip
def test_portable_body_holds_words(seed, width, depth, readers):
    print(f"seed={seed}")
    dut = BlockRam(width, depth, readers)
    traffic = Traffic(np.random.default_rng(seed), width, depth, readers, 60)
    seen = []

    async def bench(ctx):
        for inputs in traffic.inputs:
            for name, value in inputs.items():
                ctx.set(getattr(dut, name), value)
            seen.append([ctx.get(getattr(dut, f"o{k}")) for k in range(readers)])
            await ctx.tick()

    run_clocked(dut, bench)
    traffic.check(seen)


def netlist(component: BlockRam, work: Path, blocks: int) -> str:
    """Return a memory on ECP5 with the model of its block, as RTLIL; check how many there are."""
    text = vendor_netlist(component, "ecp5")
    assert text.count("cell \\DP16KD ") == blocks
    assert "memory " not in text
    return merged_netlist(text, DP16KD, work, "memory_collect;")


@pytest.mark.parametrize(
    ("width", "depth", "readers", "blocks"),
    [(18, 3954, 1, 4), (13, 100, 2, 1), (2, 20000, 2, 3)],
)
def test_vendor_body_equals_the_portable_one(width, depth, readers, blocks, rng, tmp_path):
    merged, library = tmp_path / "merged", tmp_path / "library"
    for folder in (merged, library):
        folder.mkdir()
    design = netlist(BlockRam(width, depth, readers), merged, blocks)
    make_library(design, "ecp5", library, fast=False)
    sim = Instance(load(library / LIBRARY), Ports(read_ports(library)))
    traffic = Traffic(rng, width, depth, readers, 400)
    seen = [[0] * readers]
    for inputs in traffic.inputs:
        for name, value in inputs.items():
            sim.set(name, value)
        sim.step()
        seen.append([sim.get(f"o{k}") for k in range(readers)])
    traffic.check(seen[:-1])


def test_block_holds_the_register_of_its_words():
    total = synth(BlockRam(18, 1024), by_part=False).total
    assert (total.bram, total.ff, total.lut4) == (1, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8), "width: expected 1..1024, got 0"),
        ((8, 0), "depth: expected 1..1048576, got 0"),
        ((8, 8, 3), "readers: expected 1..2, got 3"),
    ],
)
def test_bad_parameters_say_what_was_expected(arguments, message):
    with pytest.raises(ConfigError, match=message):
        BlockRam(*arguments)
