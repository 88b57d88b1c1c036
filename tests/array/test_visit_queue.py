"""The queue of visits: every hit cell once, in order, in exactly the cycles of its twin."""

from typing import Any

import numpy as np
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.hdl.array.visit_queue import VisitQueue, visit_layout
from ohmgrid.model.array.visit_queue import VisitQueue as Model

FIELDS = {"train": 31, "sign": 1, "row_static": 64, "row_cycle": 32, "address": 5}


@given(
    lanes=st.integers(1, 5),
    depth=st.sampled_from([4, 8, 16]),
    banks=st.sampled_from([2, 4]),
    pause=st.sampled_from([0.0, 0.4, 0.9]),
    seed=st.integers(0, 2**32 - 1),
)
def test_queue_equals_its_twin(lanes, depth, banks, pause, seed):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    layout = visit_layout(lanes, 12, FIELDS["address"], (banks - 1).bit_length())
    dut, model = VisitQueue(layout, depth), Model(depth)
    expected, seen = [], []

    async def bench(ctx):
        held, block = False, 0
        for cycle in range(200):
            # As a sweep does, which is held one cycle after a queue was full.
            push = cycle < 120 and not held and bool(rng.random() >= pause)
            hits = int(rng.integers(1, 1 << lanes))
            # A block begins when its bank is free.
            oldest = block if model.block is None else model.block
            block += bool(rng.random() < 0.3) and block + 1 - oldest < banks
            visit: dict[Any, Any] = {
                "hits": hits,
                "weights": [int(word) for word in rng.integers(0, 1 << 12, lanes)],
                **{
                    name: int(rng.integers(0, (1 << bits) - 1, dtype=np.uint64, endpoint=True))
                    for name, bits in FIELDS.items()
                },
                "bank": block % banks,
            }
            ctx.set(dut.push, push)
            ctx.set(dut.i, visit)
            ctx.set(dut.bank, (block + 1) % banks)
            full, waits = bool(ctx.get(dut.full)), bool(ctx.get(dut.waits))
            used = model.block == block + 1 - banks
            assert (full, waits, bool(ctx.get(dut.bank_used))) == (model.full, model.waits, used)
            if ctx.get(dut.valid):
                seen.append((ctx.get(dut.lane), ctx.get(dut.o.as_value())))
            if push:
                word = layout.const(visit).as_value().value
                expected.extend((lane, word) for lane in range(lanes) if hits >> lane & 1)
            model.clock(block, hits.bit_count() if push else 0)
            held = full
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == expected
