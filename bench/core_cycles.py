"""Cycles and visits of an example in one core, at several points of a training run, simulated.

``python bench/core_cycles.py --data mnist --crop 22x24 --layers 528-250-125-10`` trains with the
compiled engine up to each of ``--positions``, loads the state into the gateware, trains
``--examples`` there, and counts clock cycles of forward, backward and update, vectors and commands
included, and visits: words of all lanes that sweeps read (from the trains and codes that occur).
"""

import json
from collections import Counter
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track

from ohmgrid.commands.options import Options, choose, choose_plan
from ohmgrid.compiled.core import CompiledCore
from ohmgrid.config import BuildConfig, Config
from ohmgrid.doors.checks import ConfigError, check_int, parse_int
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.core.core import Core, epoch_order
from ohmgrid.model.core.operations import update_trains
from ohmgrid.model.periphery.converters import dac, input_scale
from ohmgrid.registers.edge import pulse_registers
from ohmgrid.registers.noise import Verb
from ohmgrid.sim.rtl import RtlCore, RtlTile

VERBS = ("forward", "backward", "update")


class CountedTile:
    """A tile that counts cycles and visits of what it is asked for."""

    def __init__(self, tile: RtlTile, config: Config, counts: Counter[str]) -> None:
        self._tile: Any = tile
        self._config, self._counts = config, counts
        self._place = tile.gateware.places[tile.number]
        self.rows, self.cols, self.number = tile.rows, tile.cols, tile.number
        self.lsb, self.y_lsb, self.z_lsb = tile.lsb, tile.y_lsb, tile.z_lsb
        self.state, self.load, self.close = tile.state, tile.load, tile.close

    def __getattr__(self, name: str):
        return getattr(self._tile, name)

    def _count(self, verb: str, lines: int) -> None:
        place, lanes = self._place, self._config.build.lanes
        self._counts[verb] += self._tile.cycles
        blocks = -(-place.lane_lines // lanes)
        self._counts[f"{verb} visits"] += blocks * lines * place.devices

    def _codes(self, verb: str, values: np.ndarray, frac: int) -> int:
        """Return the serial lines that a sweep visits: all, or those with a code."""
        if self._place.turned != (verb == "forward"):
            return self._place.serial
        io = getattr(self._config, verb)
        alpha = input_scale(values, io, frac)
        return max(1, int((dac(values, alpha, 0, io.dac_half) != 0).sum())) if alpha else 0

    def forward(self, x: np.ndarray) -> np.ndarray:
        y = self._tile.forward(x)
        lines = self._codes("forward", x, self._config.formats.x_frac)
        self._count("forward", lines * self._tile.passes)
        return y

    def _backward(self, d: np.ndarray) -> np.ndarray:
        z = self._tile.backward(d)
        self._count("backward", self._codes("backward", d, self._config.formats.d_frac))
        return z

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        step, config = self._tile._steps[2], self._config
        self._tile.update(x, d, lr)
        registers = pulse_registers(config, self._tile.device.granularity, lr)
        key = op_key(seed_key(config.seed), Verb.UPDATE, self.number, step)
        trains = update_trains(x, d, config, registers, key)
        fires = trains.columns if self._place.turned else trains.rows
        self._count("update", sum(int((chunk != 0).sum()) for chunk in fires))

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        z = self._backward(d)
        self.update(x, d, lr)
        return z


@click.command()
@click.option("--data", metavar="digits|mnist|FILE.npz", help="Data set [digits].")
@click.option("--crop", metavar="HxW", help="22x24 takes the middle of MNIST's images.")
@click.option("--layers", metavar="N-N-...", help="Neurons of each layer [64-32-10].")
@click.option("--device", help="Preset [gokmen-vlasov].")
@click.option("--positions", default="0,1200,6000,30000,100000", help="Examples trained before.")
@click.option("--examples", default=100, help="Examples counted at each position [100].")
@click.option("--builds", default="84:14,42:7", help="LANES:SHARE,... [84:14,42:7].")
@click.option("--words", default=0, help="Words of a lane; 0: as many as 168 block RAMs hold [0].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    data: str | None,
    crop: str | None,
    layers: str | None,
    device: str | None,
    positions: str,
    examples: int,
    builds: str,
    words: int,
    as_json: bool,
) -> None:
    """Print cycles and visits of an example."""
    check_int("examples", examples, 1, 10**5)
    places = sorted(parse_int("positions", text) for text in positions.split(","))
    options = Options(data=data, crop=crop, layers=layers, device=device)
    chosen = choose(options)
    plan, images = choose_plan(chosen)
    net, count = plan.net(), len(images.train_labels)
    epochs = range((places[-1] + examples) // count + 1)
    order = np.concatenate([epoch_order(chosen.config.seed, epoch, count) for epoch in epochs])
    console = Console(stderr=True)

    states, done = {}, 0
    trainer = CompiledCore(chosen.config, net)
    trainer.initialise()
    for place in places:
        part = order[done:place]
        trainer.train(images.train_x[part], images.train_labels[part], plan.lr)
        states[place], done = trainer.state(), place

    rows = []
    for build in builds.split(","):
        if build.count(":") != 1:
            raise ConfigError("builds", f"expected LANES:SHARE, got {build!r}")
        lanes, share = (parse_int("builds", text) for text in build.split(":"))
        parts = BuildConfig(
            **{"lanes": lanes, "share": share, "words": words or 168 * 1024 // lanes},
            **dict.fromkeys(("curve", "power", "step_tables", "write_noise"), False),
            **dict.fromkeys(("references", "read_physics", "time"), False),
        )
        config = chosen.config.replace(build=parts)
        core = RtlCore(config, net)
        tiles: list[Any] = list(core.tiles)
        turned = [place.turned for place in tiles[0].gateware.places]
        for place in places:
            counts: Counter[str] = Counter()
            views: list[Any] = [CountedTile(tile, config, counts) for tile in tiles]
            counted = Core(config, net, tiles=views)
            counted.load(states[place])
            label = f"{lanes}/{share} lanes from example {place}"
            for one in track(order[place : place + examples], label, console=console):
                counted.train_one(images.train_x[one], int(images.train_labels[one]), plan.lr)
            row = {"lanes": lanes, "share": share, "turned": turned, "position": place}
            row |= {name: total / examples for name, total in counts.items()}
            row["cycles"] = sum(row[verb] for verb in VERBS)
            row["visits"] = sum(row[f"{verb} visits"] for verb in VERBS)
            rows.append(row)
    if as_json:
        click.echo(json.dumps({"examples": examples, "rows": rows}))
        return
    click.echo("lanes  share  position  forward  backward   update  cycles  visits")
    for row in rows:
        click.echo(
            f"{row['lanes']:5}  {row['share']:5}  {row['position']:8}"
            + "".join(f"  {row[verb]:7.0f}" for verb in VERBS)
            + f"  {row['cycles']:6.0f}  {row['visits']:6.0f}"
        )


if __name__ == "__main__":
    main()
