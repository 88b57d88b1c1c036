"""The queue of visits: every hit cell once, in order, in exactly the cycles of its twin."""

from typing import Any

import numpy as np
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW

from ohmgrid.hdl.array.visit_queue import VisitQueue, queued_layout
from ohmgrid.model.array.visit_queue import VisitQueue as Model

FIELDS = {"train": 31, "sign": 1, "static": 64, "cycle": 32, "minus": 1, "bias": 1, "address": 5}


@FEW
@given(
    lanes=st.integers(1, 9),
    depth=st.sampled_from([4, 8, 16]),
    banks=st.sampled_from([2, 4]),
    pause=st.sampled_from([0.0, 0.4, 0.9]),
    misses=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_queue_equals_its_twin(lanes, depth, banks, pause, misses, seed):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    layout = queued_layout(lanes, 12, FIELDS["address"], (banks - 1).bit_length())
    dut, model = VisitQueue(layout, depth), Model()
    expected, seen = [], []

    async def bench(ctx):
        places, block = depth, 0
        for cycle in range(300):
            valid = cycle < 120 and places > 0 and bool(rng.random() >= pause)
            hits = 0 if rng.random() < misses else int(rng.integers(1, 1 << lanes))
            # A block begins when its bank is free.
            oldest = block if model.block is None else model.block
            block += bool(rng.random() < 0.3) and block + 1 - oldest < banks
            visit: dict[Any, Any] = {
                "weights": [int(word) for word in rng.integers(0, 1 << 12, lanes)],
                **{
                    name: int(rng.integers(0, (1 << bits) - 1, dtype=np.uint64, endpoint=True))
                    for name, bits in FIELDS.items()
                },
                "bank": block % banks,
            }
            ctx.set(dut.valid, valid)
            ctx.set(dut.hits, hits)
            ctx.set(dut.i, visit)
            ctx.set(dut.bank, (block + 1) % banks)
            used = model.block == block + 1 - banks
            outputs = [ctx.get(o) for o in (dut.missed, dut.popped, dut.waits, dut.bank_used)]
            assert outputs == [model.missed, model.popped, model.waits, used]
            if ctx.get(dut.o_valid):
                seen.append((ctx.get(dut.lane), ctx.get(dut.o.as_value())))
            if valid:
                word = layout.const(visit).as_value().value
                expected.extend((lane, word) for lane in range(lanes) if hits >> lane & 1)
            places += model.missed + model.popped - valid
            model.clock(block, hits.bit_count() if valid else None)
            await ctx.tick()
        assert places == depth

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == expected
