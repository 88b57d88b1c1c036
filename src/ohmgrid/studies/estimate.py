"""Clock cycles of an example before there is a board: facts of some examples, and the schedule.

The golden model trains a few examples at each position of a run and notes what decides their
cycles (`ohmgrid.studies.facts`); the compiled engine trains from one position to the next;
`ohmgrid.studies.schedule` says how long a core of a build takes for them. Of transfers between
arrays there is no such schedule: there, the gateware is simulated, and counts.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ohmgrid.config import Config
from ohmgrid.core import Core as CoreEngine
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.host.registers import core_values
from ohmgrid.model.core.core import Core, run_order
from ohmgrid.net import Net
from ohmgrid.registers import orders
from ohmgrid.registers.edge import pulse_registers
from ohmgrid.registers.layout import Place, place_arrays, words_of
from ohmgrid.registers.meters import cycles_by_verb
from ohmgrid.sim.rtl import RtlCore
from ohmgrid.studies.facts import Facts, RecordingTile
from ohmgrid.studies.latencies import Latencies
from ohmgrid.studies.schedule import PARTS, Schedule
from ohmgrid.tile import TileState, parts_of, polarity
from ohmgrid.training.data import Dataset

__all__ = ["Estimate", "estimate", "left_out", "predict", "recorded", "simulated"]

BLOCK = 256
"""Examples that the engine trains between two reports of how far it is."""


@dataclass(frozen=True)
class Estimate:
    """Of one position of a run."""

    position: int
    """Examples trained before."""
    cycles: dict[str, float]
    """Clock cycles of an example, by `PARTS`."""

    @property
    def total(self) -> float:
        """Clock cycles of an example."""
        return sum(self.cycles.values())


def recorded(
    config: Config,
    net: Net,
    places: Sequence[Place],
    states: Sequence[TileState],
    examples: tuple[np.ndarray, np.ndarray],
    lr: float,
    batch: int,
) -> list[Facts]:
    """Return the facts of each array, of examples that the golden model trains on.

    Parameters
    ----------
    config : Config
    net : Net
    places : sequence of Place
    states : sequence of TileState
        Before the first of them.
    examples : (inputs, labels)
        Shapes (examples, inputs) and (examples,).
    lr : float
    batch : int
    """
    device = config.device
    if isinstance(device, PcmCapacitor):
        config = config.replace(device=device.unit)
    tiles = [RecordingTile(config, place, number) for number, place in enumerate(places)]
    core = Core(config, net, tiles=tiles)
    core.load([state._replace(hidden={}) for state in states])
    if isinstance(device, PcmCapacitor):
        for tile, state in zip(tiles, states, strict=True):
            parts = parts_of(device, state)
            tile.show(parts["G+"] - parts["G-"], polarity(device, state))
    core.train(*examples, lr, batch)
    return [tile.facts for tile in tiles]


def predict(
    latencies: Latencies,
    net: Net,
    places: Sequence[Place],
    facts: Sequence[Facts],
    lr: float,
    batch: int,
) -> Schedule:
    """Return the schedule of a run of the examples that the facts are of, from its RUN to its end.

    Parameters
    ----------
    latencies : Latencies
    net : Net
    places, facts : sequences of Place and Facts
    lr : float
    batch : int
    """
    config = latencies.config
    registers = pulse_registers(config, latencies.device.granularity, lr)
    schedule = Schedule(latencies, places, facts, registers.rate_shift)
    ahead = config.pulses.one_chunk
    steps = orders.training(len(places), net.activation, net.softmax, batch, ahead)
    schedule.run(steps, len(facts[0].forward), batch)
    return schedule


def simulated(
    gateware: RtlCore,
    states: Sequence[TileState],
    examples: tuple[np.ndarray, np.ndarray],
    lr: float,
    batch: int,
) -> dict[str, int]:
    """Return the cycles, by `PARTS`, that simulated gateware counts of all but one mini-batch.

    Parameters
    ----------
    gateware : RtlCore
    states : sequence of TileState
        Before the first of them.
    examples : (inputs, labels)
        Shapes (examples, inputs) and (examples,). The first mini-batch is not counted: with it,
        registers and tables are loaded.
    lr : float
    batch : int
    """
    inputs, labels = examples
    gateware.load(states)
    gateware.train(inputs[:batch], labels[:batch], lr, batch)
    gateware.train(inputs[batch:], labels[batch:], lr, batch)
    cycles = cycles_by_verb(gateware.meters)
    return cycles | {"answer": gateware.cycles - sum(cycles.values())}


def estimate(
    config: Config,
    net: Net,
    data: Dataset,
    rate: Callable[[int], float],
    engine: CoreEngine,
    positions: Sequence[int],
    examples: int,
    on_trained: Callable[[int], None],
    gateware: RtlCore | None = None,
) -> Iterator[Estimate]:
    """Yield what an example takes at each position of a run that begins with its first weights.

    Parameters
    ----------
    config : Config
        With a build that holds the net.
    net : Net
    data : Dataset
    rate : callable
        Learning rate of an epoch, counted from 0.
    engine : Core
        Trains from position to position.
    positions : sequence of int
        Whole mini-batches, in rising order.
    examples : int
        Counted at each position; whole mini-batches. One mini-batch before and one behind them are
        not counted: a run's first example is taken while nothing else is at work, and beside the
        last one none is.
    on_trained : callable
        Called with the number of examples that `engine` has trained since the last call.
    gateware : RtlCore or None
        Then, it is simulated: what it counts is no estimate.
    """
    latencies, batch = Latencies(config), config.batch
    places = place_arrays(net.shapes, words_of(config.device), config.build, config.layout)
    count, taken = len(data.train_labels), examples + 2 * batch
    order = run_order(config.seed, count, positions[-1] + taken)
    engine.initialise()
    done, block = 0, max(1, BLOCK // batch) * batch
    for position in positions:
        while done < position:
            epoch = done // count
            ends = -(-(epoch + 1) * count // batch) * batch
            part = order[done : min(done + block, position, ends)]
            engine.train(data.train_x[part], data.train_labels[part], rate(epoch), batch)
            done += len(part)
            on_trained(len(part))
        part = order[position : position + taken]
        sample, lr = (data.train_x[part], data.train_labels[part]), rate(position // count)
        if gateware:
            # Nothing is taken ahead: of these, each mini-batch is as any other.
            ends = sample[0][batch:], sample[1][batch:]
            counted = simulated(gateware, engine.state(), ends, lr, batch)
            yield Estimate(position, {part: counted[part] / examples for part in PARTS})
            continue
        facts = recorded(config, net, places, engine.state(), sample, lr, batch)
        marks = predict(latencies, net, places, facts, lr, batch).marks
        between = Counter(marks[-2])
        between.subtract(marks[0])
        yield Estimate(position, {part: between[part] / examples for part in PARTS})


def left_out(config: Config) -> list[str]:
    """Return what gateware would also do for this configuration, a line each."""
    values = core_values(config)
    lines = {
        "time_every": "leaks and diffusion, every {} updates of an array",
        "refresh_every": "refreshes of pairs, every {} updates of an array",
    }
    values["transfer_every"] = getattr(config.device, "transfer_every", 0)
    lines["transfer_every"] = "transfers to phase-change devices, every {} updates, by the host"
    return [line.format(values[name]) for name, line in lines.items() if values.get(name)]
