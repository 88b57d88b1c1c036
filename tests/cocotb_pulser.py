"""Runs inside the simulator, on the pulser of a core: vectors' maxima in, plans and passes out.

What the pulser asks for (an array's entry, an operation key, passes through lines) is answered
whenever; what it asks for is compared with the golden plan.
"""

import random
from dataclasses import asdict
from typing import NamedTuple

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from ohmgrid.config import Config
from ohmgrid.hdl.core.array_table import planned_layout
from ohmgrid.hdl.core.jobs import COLUMN, KEY, REGISTERS, ROW
from ohmgrid.hdl.core.pulser import WANTS, plan_layout
from ohmgrid.hdl.periphery.passes import trains_layout
from ohmgrid.hdl.periphery.values import list_layout
from ohmgrid.host.registers import core_values
from ohmgrid.model.periphery.pulses import PulsePlan, chunks, expected_pulses, plan_update
from ohmgrid.periphery import PULSE_TYPES, SLOTS, PulseConfig
from ohmgrid.registers.edge import PulseRegisters, pulse_registers
from ohmgrid.registers.noise import Verb
from ohmgrid.sim.runner import parameters
from ohmgrid.sim.streams import LIMIT, Scoreboard, pack
from ohmgrid.training.settings import parse_settings

CONFIG = parse_settings(parameters()["config"]).config()
FRACS = CONFIG.formats.x_frac, CONFIG.formats.d_frac
PASSES, KEYS, PLANS = trains_layout(CONFIG), KEY, plan_layout(CONFIG)
ASKED = ("side", "first", "count", "trains", "bl", "chunk", "mode", "factor", "divisor", "sub")
"""What counts of a pass, beside how fast it is."""
GRANULARITY = 0.001
ARRAYS = 5


class Vectors(NamedTuple):
    """An array with vectors at the edge."""

    fields: dict[str, int]
    """Of its entry."""
    registers: PulseRegisters
    x_max: int
    d_max: int
    plan: PulsePlan

    @property
    def below(self) -> bool:
        pulses = expected_pulses(self.x_max, self.d_max, self.registers)
        return self.x_max * self.d_max > 0 and pulses < 1 << 16


def random_vectors(config: Config) -> Vectors:
    """Return an array of any shape; now and then one of its vectors is 0."""
    registers = pulse_registers(config, GRANULARITY, 10 ** random.uniform(-5, 0))
    x_max, d_max = (random.choice([0, 1, *[random.randint(1, 32767)] * 4]) for _ in range(2))
    rows, cols = random.randint(1, CONFIG.build.outputs), random.randint(1, CONFIG.build.inputs)
    fields = {
        **{"rows": rows, "cols": cols, "turned": random.randrange(2)},
        "output_line": random.randint(0, CONFIG.build.outputs - rows),
        "input_line": random.randint(0, CONFIG.build.inputs - cols),
        **asdict(registers),
        "update_step": random.getrandbits(47),
    }
    return Vectors(
        fields,
        registers,
        x_max,
        d_max,
        plan_update(x_max, d_max, config.pulses, registers, FRACS),
    )


class Pulser:
    """The pulser, with all that it needs around it, at random pace."""

    def __init__(self, dut, most_slots: int):
        self.dut, self.waiting = dut, random.choice([0.0, 0.3, 0.8])
        managed = random.random() < 0.7
        self.config = CONFIG.replace(
            pulses=PulseConfig(
                pulse_type=random.choice(PULSE_TYPES),
                desired_bl=random.randint(1, most_slots),
                update_management=managed,
                update_bl_management=managed and random.random() < 0.7,
            )
        )
        self.arrays = [random_vectors(self.config) for _ in range(ARRAYS)]
        self.board = Scoreboard()
        self.clipped, self.listed = [False] * ARRAYS, [0] * ARRAYS
        self.passing = 0

    async def start(self) -> None:
        """Reset, load registers, and answer what is asked from then on."""
        dut = self.dut
        for port in ("plan", "forget", "used", "wants", "refresh", "fetched", "key_done"):
            getattr(dut, port).value = 0
        for port in ("lines_busy", "lines_clipped", "pulses"):
            getattr(dut, port).value = 0
        values = core_values(self.config)
        registers = {name: int(values.get(name, 0)) for name in REGISTERS.members}
        dut.registers.value = pack(REGISTERS, registers)
        dut.one_chunk.value = int(registers["desired_bl"] <= SLOTS)
        dut.x_one.value, dut.d_one.value = 1 << FRACS[0], 1 << FRACS[1]
        dut.rst.value = 1
        await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        self._tasks = [
            cocotb.start_soon(answers())
            for answers in (self._entries, self._operation_keys, self._passes)
        ]

    def stop(self) -> None:
        """Answer nothing any more."""
        for task in self._tasks:
            task.cancel()

    async def pause(self) -> None:
        """Let some cycles pass, one at least."""
        await FallingEdge(self.dut.clk)
        while random.random() < self.waiting:
            await FallingEdge(self.dut.clk)

    async def strobe(self, port: str) -> None:
        """Set an input for a cycle."""
        getattr(self.dut, port).value = 1
        await FallingEdge(self.dut.clk)
        getattr(self.dut, port).value = 0

    @property
    def at(self) -> int:
        return int(self.dut.at.value)

    async def _entries(self) -> None:
        dut = self.dut
        while True:
            await FallingEdge(dut.clk)
            if int(dut.fetch.value):
                await self.pause()
                array = self.arrays[self.at]
                dut.entry.value = pack(planned_layout(), array.fields)
                dut.x_max.value, dut.d_max.value = array.x_max, array.d_max
                dut.x_count.value = array.fields["cols"]
                await self.strobe("fetched")

    async def _operation_keys(self) -> None:
        while True:
            await FallingEdge(self.dut.clk)
            key = KEYS.from_bits(int(self.dut.key.value))
            if key.start:
                assert key.verb == Verb.UPDATE
                assert key.step == self.arrays[self.at].fields["update_step"]
                await self.pause()
                await self.strobe("key_done")

    async def _passes(self) -> None:
        dut, lists = self.dut, list_layout(CONFIG)
        while True:
            await FallingEdge(dut.clk)
            # The next array is planned meanwhile.
            if int(dut.begins.value):
                self.passing = self.at
            job = PASSES.from_bits(int(dut.lines.value))
            if not job.start:
                continue
            self.board.came_out("passes", pack(PASSES, {name: job[name] for name in ASKED}))
            dut.lines_busy.value = 1
            # The lines of the serial side that have pulses are listed.
            serial = job.side != job.turned
            dut.pulses.value = pack(lists, {"clear": serial})
            await FallingEdge(dut.clk)
            listed = random.randint(0, job.count) if serial else 0
            for _ in range(listed):
                dut.pulses.value = pack(lists, {"put": 1})
                await FallingEdge(dut.clk)
                dut.pulses.value = 0
                await self.pause()
            dut.pulses.value = 0
            await self.pause()
            clipped = random.random() < 0.2
            dut.lines_clipped.value = clipped
            dut.lines_busy.value = 0
            self.clipped[self.passing] |= clipped
            if serial:
                self.listed[self.passing] = listed

    def expect(self, number: int, chunk: int = 0) -> None:
        """Expect the passes of a chunk of an array's trains: of columns, of rows."""
        array = self.arrays[number]
        plan, fields = array.plan, array.fields
        if chunk >= chunks(plan.bl):
            return
        mode = PULSE_TYPES.index(self.config.pulses.pulse_type)
        common = {"trains": 1, "bl": plan.bl, "chunk": chunk, "mode": mode, "sub": chunk}
        rows = {"side": ROW, "first": fields["output_line"], "count": fields["rows"]}
        columns = {"side": COLUMN, "first": fields["input_line"], "count": fields["cols"]}
        rows |= {"factor": plan.d_factor, "divisor": plan.d_divisor}
        columns |= {"factor": plan.x_factor, "divisor": plan.x_divisor}
        self.board.expect("passes", [pack(PASSES, common | side) for side in (columns, rows)])

    async def until(self, happens, what: str) -> None:
        for _ in range(LIMIT):
            await FallingEdge(self.dut.clk)
            if happens():
                return
        raise AssertionError(f"no end: {what}")

    def check(self, number: int, port: str) -> None:
        """Compare a plan."""
        array, found = self.arrays[number], PLANS.from_bits(int(getattr(self.dut, port).value))
        golden = {
            "bl": array.plan.bl,
            "active": int(array.x_max > 0 and array.d_max > 0),
            "below": int(array.below),
            "clipped": int(self.clipped[number]),
        }
        assert {name: found[name] for name in golden} == golden
        assert not array.plan.bl or found.listed == self.listed[number]
        assert self.board.done, "expected more passes"

    async def plan_ahead(self) -> None:
        """Plan all arrays beforehand, as fast as there is room; use the plans in any order."""
        dut, numbers = self.dut, list(range(ARRAYS))
        random.shuffle(numbers)
        for number in numbers:
            self.expect(number)
        for number in numbers:
            await self.pause()
            await self.until(lambda: int(dut.room.value), "a plan has no room")
            dut.plan_array.value = number
            await self.strobe("plan")
        for number in random.sample(numbers, ARRAYS):
            await self.until(lambda n=number: int(dut.ready.value) >> n & 1, "an array's plan")
            assert not int(dut.pending.value) >> number & 1
        for number in random.sample(numbers, ARRAYS):
            dut.array.value = number
            await FallingEdge(dut.clk)
            self.check(number, "kept")
            await self.strobe("used")
            assert not int(dut.ready.value) >> number & 1
        assert int(dut.ready.value) == int(dut.pending.value) == 0

    async def update(self, number: int) -> None:
        """Ask for the plan of the array at work, and for all of its chunks."""
        dut, plan = self.dut, self.arrays[number].plan
        self.clipped[number] = False
        dut.array.value = number
        await self.pause()
        for chunk in range(max(1, chunks(plan.bl))):
            self.expect(number, chunk)
            slot = SLOTS * chunk
            wants = {"valid": 1, "chunk": chunk, "slot": slot}
            wants["size"] = min(SLOTS, plan.bl - slot)
            dut.wants.value = pack(WANTS, wants | {"next": int(chunk > 0)})
            if chunk:
                await FallingEdge(dut.clk)
                dut.wants.value = pack(WANTS, wants)
            await self.until(lambda: int(dut.served.value), "a chunk is not served")
            self.check(number, "made")
            await self.pause()
        dut.wants.value = 0
        await FallingEdge(dut.clk)


@cocotb.test()
async def plans_under_any_pace(dut):
    """Plans that are made ahead and kept: every plan, key and pass."""
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(6):
        pulser = Pulser(dut, SLOTS)
        await pulser.start()
        await pulser.plan_ahead()
        pulser.stop()


@cocotb.test()
async def updates_under_any_pace(dut):
    """Updates that were not planned, their trains of up to 127 slots in chunks."""
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(6):
        pulser = Pulser(dut, 127)
        await pulser.start()
        for number in range(ARRAYS):
            await pulser.update(number)
        pulser.stop()


@cocotb.test()
async def reset_in_the_middle(dut):
    """A reset leaves no plan behind, and nothing half asked for."""
    Clock(dut.clk, 10, unit="ns").start()
    for way in ("plan_ahead", "update") * 2:
        pulser = Pulser(dut, SLOTS)
        await pulser.start()
        arguments = [0] if way == "update" else []
        working = cocotb.start_soon(getattr(pulser, way)(*arguments))
        for _ in range(random.randint(1, 300)):
            await FallingEdge(dut.clk)
        working.cancel()
        pulser.stop()
        pulser = Pulser(dut, SLOTS)
        await pulser.start()
        await pulser.plan_ahead()
        pulser.stop()
