"""Synthesis of single components: what is counted, by part, and what place and route says."""

import json

import pytest
from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from click.testing import CliRunner

from ohmgrid.boards.parts import REGISTRY, part
from ohmgrid.boards.pins import Pins
from ohmgrid.boards.synth import dont_care_collisions, synth
from ohmgrid.boards.synth_report import CriticalPath, Resources, Submodule, SynthReport
from ohmgrid.commands.synth import synth as synth_command
from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError


class Counter(wiring.Component):
    """Counts to 2**width - 1."""

    def __init__(self, width):
        super().__init__({"o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.o + 1)
        return m


class Mac(wiring.Component):
    """One product a cycle, added up."""

    a: In(signed(16))
    b: In(signed(16))
    o: Out(signed(32))

    def elaborate(self, platform):
        m = Module()
        a, b = (Signal(signed(16), reset_less=True, name=name) for name in "ab")
        m.d.sync += [a.eq(self.a), b.eq(self.b), self.o.eq(self.o + a * b)]
        return m


class Store(wiring.Component):
    """A block RAM with the default read port."""

    address: In(8)
    place: In(8)
    enable: In(1)
    i: In(16)
    o: Out(16)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=16, depth=256, init=[])
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.addr.eq(self.address),
            self.o.eq(read.data),
            write.addr.eq(self.place),
            write.data.eq(self.i),
            write.en.eq(self.enable),
        ]
        return m


class System(wiring.Component):
    """Two equal multipliers on a memory, and a counter."""

    i: In(16)
    o: Out(signed(32))

    def elaborate(self, platform):
        m = Module()
        m.submodules.counter = counter = Counter(8)
        m.submodules.store = store = Store()
        m.d.comb += [store.address.eq(counter.o), store.place.eq(~counter.o)]
        m.d.comb += [store.i.eq(self.i), store.enable.eq(1)]
        words = [self.i.as_signed(), self.i[8:]]
        macs = [Mac(), Mac()]
        total = 0
        for k, (mac, word) in enumerate(zip(macs, words, strict=True)):
            m.submodules[f"mac{k}"] = mac
            held = Signal(signed(16), name=f"held{k}")
            m.d.sync += held.eq(word)
            m.d.comb += [mac.a.eq(held), mac.b.eq(store.o)]
            total = total + mac.o
        m.d.sync += self.o.eq(total)
        return m


@pytest.mark.parametrize(("family", "brams"), [("ecp5", 1), ("ice40", 1), ("gowin", 1)])
def test_memory_costs_its_block_ram_alone(family, brams):
    report = synth(Store, family, by_part=False)
    assert (report.total.bram, report.total.ff) == (brams, 0)
    assert report.total.lut4 <= 1  # iCE40 inverts the write enable
    assert report.parts == []


def test_collision_logic_is_paid_for_on_request():
    report = synth(Store(), "ecp5", by_part=False, collisions=True)
    assert report.total.bram == 1
    assert report.total.ff > 16


@pytest.mark.parametrize("family", ["ecp5", "ice40", "gowin"])
def test_parts_and_total(family):
    report = synth(System, family, name="system")
    parts = {part.path: part for part in report.parts}
    assert parts[""].all.dsp == report.total.dsp == 2
    assert parts[""].all.bram == report.total.bram == 1
    assert parts["counter"].all.ff == 8
    assert parts["store"].all == Resources(bram=1)
    assert parts["mac0"].instances == 2  # equal ones are one row
    assert parts["mac0"].all.dsp == 1
    assert "mac1" not in parts
    inner = [parts[name].all * parts[name].instances for name in ("counter", "store", "mac0")]
    assert parts[""].all == sum(inner, start=parts[""].own)
    assert 0 < report.total.ff <= parts[""].all.ff
    text = report.to_text()
    assert "mac0" in text
    assert "(own)" in text
    assert json.loads(report.to_json())["total"]["dsp"] == 2


@pytest.mark.parametrize(
    ("family", "folded"), [("ecp5", False), pytest.param("ice40", True, marks=pytest.mark.slow)]
)
def test_place_and_route(family, folded, tmp_path):
    lines = []
    report = synth(
        Mac, family, by_part=False, pnr=True, freq_mhz=50, out=tmp_path, on_line=lines.append
    )
    assert report.folded is folded
    assert report.fmax_mhz is not None
    assert 20 < report.fmax_mhz < 1000
    assert report.path is not None
    assert report.path.logic_ns + report.path.routing_ns == pytest.approx(
        1000 / report.fmax_mhz, abs=0.1
    )
    assert report.used is not None
    assert report.used[{"ecp5": "MULT18X18D", "ice40": "ICESTORM_DSP"}[family]][0] == 1
    assert json.loads((tmp_path / "synth.json").read_text())["fmax_mhz"] == report.fmax_mhz
    assert "Max frequency" in (tmp_path / "nextpnr.log").read_text()
    assert any("Max frequency" in line for line in lines)
    assert "Fmax" in report.to_text()


class Invert(wiring.Component):
    """Without registers of its own."""

    a: In(5)
    b: In(6)
    o: Out(11)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(~Cat(self.b, self.a))
        return m


def test_scan_chain_reaches_every_bit(rng):
    pins = Pins(Invert(), 21)
    assert pins.folded
    assert not Pins(Invert(), 22).folded
    assert sorted(pins.signature.members) == ["load", "scan_i", "scan_o"]
    scan_i, load, scan_o = (getattr(pins, name) for name in ("scan_i", "load", "scan_o"))
    word, seen = int(rng.integers(2**11)), []

    async def bench(ctx):
        for k in reversed(range(11)):  # the last bit of the chain first: b, above a
            ctx.set(scan_i, word >> k & 1)
            await ctx.tick()
        ctx.set(load, 1)
        await ctx.tick()
        ctx.set(load, 0)
        for _ in range(11):
            seen.append(ctx.get(scan_o))
            await ctx.tick()

    simulator = Simulator(pins)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    a, b = word & 31, word >> 5
    result = int("".join(map(str, seen)), 2)
    assert result == ~(a << 6 | b) & 2047


def test_only_ports_that_can_collide_are_changed():
    port = (
        "  cell $memrd_v2 $1\n    parameter \\TRANSPARENCY_MASK 2'{0}\n"
        "    parameter \\COLLISION_X_MASK 2'00\n    parameter \\CLK_ENABLE {1}\n  end\n"
    )
    assert "COLLISION_X_MASK 2'11" in dont_care_collisions(port.format("00", 1))
    for kept in (port.format("01", 1), port.format("00", 0)):
        assert dont_care_collisions(kept) == kept


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: synth(Mac, "xilinx"), ValueError, "family of ecp5, .* got 'xilinx'"),
        (lambda: synth(Mac, device="up5k"), ValueError, "25k, 45k, 85k for ecp5, got up5k"),
        (lambda: synth(Mac, "gowin", pnr=True), ValueError, "pnr: expected ecp5, .* got gowin"),
        (lambda: synth(Mac(), pnr=True), TypeError, "callable that makes the component"),
        (
            lambda: synth(Mac, freq_mhz=0),
            ValueError,
            "freq: expected more than 0.* got 0",
        ),
        (lambda: part("tile.Nothing", Config()), ValueError, "one of base.* got 'tile.Nothing'"),
    ],
)
def test_bad_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", REGISTRY)
def test_every_known_unit_is_a_component(name):
    small = Config().replace(build={"lanes": 2, "share": 2, "words": 32, "inputs": 8, "outputs": 8})
    assert isinstance(part(name, small), wiring.Component)


def test_command_prints_one_json_object():
    result = CliRunner().invoke(synth_command, ["base.CellMix", "--no-parts", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["name"] == "base.CellMix"
    assert 96 <= report["total"]["lut4"] <= 160


def test_command_writes_over_nothing_and_says_what_makes_no_gateware(tmp_path):
    config, out = tmp_path / "c.toml", tmp_path / "out"
    config.write_text("seed = 3\n[build]\nlanes = 4\n[device]\npreset = 'ecram'\n")
    words = ["base.CellMix", "--no-parts", "--json", "--config", str(config), "--out", str(out)]
    result = CliRunner().invoke(synth_command, words)
    assert result.exit_code == 0, result.stderr
    assert "warning: of these settings device, seed make no gateware\n" in result.stderr
    kept = {path.name for path in out.iterdir()}
    assert kept
    with pytest.raises(ConfigError, match=r"out: expected a new file, got .*--force writes over"):
        CliRunner().invoke(synth_command, words, catch_exceptions=False)
    assert CliRunner().invoke(synth_command, [*words, "--force"]).exit_code == 0
    assert {path.name for path in out.iterdir()} == kept


def test_table_of_a_report():
    report = SynthReport(
        name="x",
        family="ice40",
        tools=["yosys 1"],
        total=Resources(lut4=9),
        parts=[
            Submodule("", 1, Resources(lut4=1), Resources(lut4=9)),
            Submodule("lane0", 4, Resources(lut4=2), Resources(lut4=2)),
        ],
        seconds=1.5,
        device="up5k",
        folded=True,
        used={"ICESTORM_LC": (9, 5280)},
        fmax_mhz=50.5,
        path=CriticalPath("a", "b", 1.5, 2.5, ["c"]),
    )
    text = report.to_text().splitlines()
    assert text[0].split() == ["part", "times", "LUT4", "FF", "DSP", "BRAM", "SPRAM"]
    assert [line.split()[:3] for line in text[1:5]] == [
        ["x", "1", "9"],
        ["(own)", "1", "1"],
        ["lane0", "4", "2"],
        ["flattened", "1", "9"],
    ]
    assert "critical path a -> b: 1.5 ns logic, 2.5 ns routing" in report.to_text()
