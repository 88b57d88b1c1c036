"""Random systems in continuous time."""

from hypothesis import strategies as st

from ohmgrid.systems import FUNCTIONS, DelayNet, Drive, Fhn, Lif, Neuron

__all__ = ["SEEDS", "delay_nets", "neurons_of"]

SEEDS = st.integers(0, 2**64 - 1)


@st.composite
def delay_nets(draw: st.DrawFn, lines: int) -> DelayNet:
    """Draw networks of so many lines."""
    step = draw(st.floats(1e-3, 0.5))
    count = draw(st.sampled_from([1, lines]))
    samples = st.floats(1.0, 40.0)
    return DelayNet(
        gain=draw(st.floats(0.01, 1000.0)),
        delays=tuple(step * draw(samples) for _ in range(count)),
        step=step,
        function=draw(st.sampled_from(FUNCTIONS)),
    )


@st.composite
def neurons_of(draw: st.DrawFn, count: int) -> Neuron:
    """Draw neurons, so many that each gets a current of its own."""
    drive = Drive(
        currents=tuple(draw(st.floats(-8, 8)) for _ in range(count)),
        rate=draw(st.sampled_from([0.0, 0.5, 3.9])),
        kick=draw(st.floats(-2, 8)),
        seed=draw(SEEDS),
    )
    if draw(st.booleans()):
        return Fhn(
            drive,
            a=draw(st.floats(-4, 4)),
            b=draw(st.floats(0, 1.9)),
            tau=draw(st.floats(0.1, 50)),
            step=draw(st.floats(0.001, 0.25)),
        )
    return Lif(
        drive,
        threshold=draw(st.floats(0.5, 8)),
        reset=draw(st.floats(-8, 0.4)),
        refractory=draw(st.sampled_from([0.0, 0.013, 0.3])),
        step=draw(st.floats(0.001, 0.25)),
    )
