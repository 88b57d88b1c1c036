"""The key desk: both askers get their keys, whenever they ask."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.hdl.core.key_desk import KeyDesk
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.registers.noise import Verb
from ohmgrid.sim.tables import run_clocked

ASKS = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.sampled_from(Verb),
        st.integers(0, 255),
        st.integers(0, 2**48 - 1),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**64 - 1), verbs=ASKS, plans=ASKS)
def test_each_asker_gets_its_keys(seed, verbs, plans):
    """One after the other, each after a pause of its own; a verb never waits for a second plan."""
    dut = KeyDesk()

    async def bench(ctx):
        ctx.set(dut.seed, seed)
        ctx.set(dut.load, 1)
        await ctx.tick()
        ctx.set(dut.load, 0)
        while not ctx.get(dut.verb_done):
            await ctx.tick()
        await ctx.tick()
        sides = {"verb": list(verbs), "pulser": list(plans)}
        waits = {name: asks[0][0] for name, asks in sides.items()}
        asked, since = dict.fromkeys(sides, False), 0
        for _ in range(1000):
            if not any(sides.values()):
                break
            for name, asks in sides.items():
                port = getattr(dut, name)
                if not asks:
                    continue
                _, verb, tile, step = asks[0]
                done = ctx.get(getattr(dut, f"{name}_done"))
                if asked[name] and done:
                    assert ctx.get(dut.key) == op_key(seed_key(seed), verb, tile, step)
                    asks.pop(0)
                    asked[name], waits[name] = False, asks[0][0] if asks else 0
                    ctx.set(port, {})
                    continue
                assert not done
                start = not asked[name] and waits[name] == 0
                if asked[name] or start:
                    ctx.set(port, {"start": start, "verb": verb, "step": step})
                    ctx.set(getattr(dut, f"{name}_tile"), tile)
                if start:
                    asked[name] = True
                waits[name] = max(0, waits[name] - 1)
            since = since + 1 if asked["verb"] else 0
            assert since < 40
            await ctx.tick()
        assert not any(sides.values())

    run_clocked(dut, bench)
