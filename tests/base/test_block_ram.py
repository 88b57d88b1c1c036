"""The memory with output registers: its portable body against a list, ECP5's block against that.

The block is simulated as what the vendor's manual says of the ports and modes in use.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vendor_blocks import merged_netlist, vendor_netlist

from ohmgrid.boards.synth import synth
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.base.block_ram import BlockRam
from ohmgrid.sim.cxxrtl.instance import Instance, Ports, load
from ohmgrid.sim.cxxrtl.make import LIBRARY, make_library, read_ports
from ohmgrid.sim.tables import run_clocked


def bus(name: str, bits: int) -> str:
    """Return the names of a bus whose bits are ports, highest first."""
    return ", ".join(f"{name}{k}" for k in reversed(range(bits)))


def side(port: str) -> str:
    """Return what one port of the block does, in Verilog: reads and writes in its own cycles."""
    return f"""
    wire [13:0] ad{port} = {{{bus(f"AD{port}", 14)}}};
    wire [17:0] di{port} = {{{bus(f"DI{port}", 18)}}};
    wire [13:0] place{port} = ad{port} >> (DATA_WIDTH_A == 18 ? 4 : DATA_WIDTH_A == 9 ? 3 :
        DATA_WIDTH_A == 4 ? 2 : DATA_WIDTH_A == 2 ? 1 : 0);
    wire [17:0] bytes{port} = DATA_WIDTH_A < 18 ? -1 : {{{{9{{AD{port}1}}}}, {{9{{AD{port}0}}}}}};
    reg [17:0] latch{port} = 0, out{port} = 0;
    always @(posedge CLK{port}) begin
        if (CE{port} && !(CS{port}0 | CS{port}1 | CS{port}2)) begin
            if (WE{port})
                words[place{port}] <=
                    (words[place{port}] & ~bytes{port}) | (di{port} & bytes{port});
            else
                latch{port} <= words[place{port}];
        end
        if (RST{port}) out{port} <= 0;
        else if (OCE{port}) out{port} <= latch{port};
    end
    assign {{{bus(f"DO{port}", 18)}}} = REGMODE_{port} == "OUTREG" ? out{port} : latch{port};
"""


# Lattice TN1264: a true dual port memory, WRITEMODE NORMAL (no read in a cycle that writes), words
# of 18 bits in two bytes that the lowest bits of the address enable.
MODEL = f"""
module DP16KD({
    ", ".join(
        f"input CLK{p}, CE{p}, OCE{p}, WE{p}, RST{p}, CS{p}0, CS{p}1, CS{p}2, {bus(f'AD{p}', 14)},"
        f" {bus(f'DI{p}', 18)}, output {bus(f'DO{p}', 18)}"
        for p in "AB"
    )
});
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, REGMODE_A = "NOREG", REGMODE_B = "NOREG";
    parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC";
    parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB", CSDECODE_A = "0b000", CSDECODE_B = "0b000";
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
    reg [17:0] words [16383:0];
    {side("A")}
    {side("B")}
    always @* assert(DATA_WIDTH_A == DATA_WIDTH_B);
endmodule
"""


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
    return merged_netlist(text, MODEL, work, "memory_collect;")


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
