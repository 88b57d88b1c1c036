"""Cycles of update sweeps in a real training run, for each visit, by how lanes share device units.

``python bench/update_cycles.py`` trains on the golden model (``--data``: digits) and counts, for
the trains that occur, what `ohmgrid.model.array.sweep` says of a sweep. A visit is one row of one
block: a word of every lane. Printed are cycles for each word of every lane: of a sweep that hits no
cell, as forward and backward are; of one that visits all rows, as it is fused with backward; of one
that visits the rows whose trains are not empty, as an update alone is.
"""

import json

import click
import numpy as np

from ohmgrid.commands.options import Options, choose, choose_plan
from ohmgrid.config import BuildConfig
from ohmgrid.doors.checks import check_int
from ohmgrid.model.array.array import coincidences
from ohmgrid.model.array.sweep import sweep_cycles
from ohmgrid.model.core.core import Core, epoch_order
from ohmgrid.model.core.tile import Tile


class CountedTile(Tile):
    """A tile that keeps which cells each of its update sweeps hit, while `counting`."""

    counting = False

    def __init__(self, *args):
        super().__init__(*args)
        self.hits: list[tuple[np.ndarray, np.ndarray]] = []

    def _sweep(self, rows, columns, down, key, number):
        if self.counting:
            self.hits.append((rows != 0, coincidences(rows[:, None], columns[None, :]) != 0))
        super()._sweep(rows, columns, down, key, number)


def count(
    hits: list[tuple[np.ndarray, np.ndarray]], lanes: int, share: int
) -> tuple[int, int, int, int]:
    """Return visits to all words, and cycles of sweeps that make them: no, all, listed rows hit."""
    build = BuildConfig(lanes=lanes, share=share)
    visits = plain = cycles = listed = 0
    for fires, each in hits:
        rows, cols = each.shape
        visits += rows * -(-cols // lanes)
        plain += sweep_cycles(rows, cols, build).total
        cycles += sweep_cycles(rows, cols, build, each).total
        listed += sweep_cycles(int(fires.sum()), cols, build, each[fires]).total
    return visits, plain, cycles, listed


@click.command()
@click.option("--data", metavar="digits|mnist|FILE.npz", help="Data set [digits].")
@click.option("--crop", metavar="HxW", help="22x24 takes the middle of MNIST's images.")
@click.option("--layers", metavar="N-N-...", help="Neurons of each layer [64-32-10].")
@click.option("--examples", default=300, help="Examples that are trained [300].")
@click.option("--skip", default=0, help="Examples trained before counting [0].")
@click.option(
    "--builds", default="8:1,8:2,8:4,8:8,16:4,16:16", help="LANES:SHARE,... to count for."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    data: str | None,
    crop: str | None,
    layers: str | None,
    examples: int,
    skip: int,
    builds: str,
    as_json: bool,
) -> None:
    """Print the mean cycles of update sweeps in training."""
    check_int("examples", examples, 1, 10**5)
    check_int("skip", skip, 0, 10**6)
    options = Options(data=data, crop=crop, layers=layers)
    chosen = choose(options)
    config = chosen.config
    plan, images = choose_plan(chosen)
    tiles = [CountedTile(config, *shape, n) for n, shape in enumerate(plan.net().shapes)]
    trainer = Core(config, plan.net(), tiles=tiles)
    trainer.initialise()
    order = np.resize(epoch_order(config.seed, 0, len(images.train_labels)), skip + examples)
    for first, last in ((0, skip), (skip, skip + examples)):
        for tile in tiles:
            tile.counting = first == skip
        part = order[first:last]
        trainer.train(images.train_x[part], images.train_labels[part], plan.lr)
    hits = [each for tile in tiles for each in tile.hits]
    rows = []
    for build in builds.split(","):
        lanes, share = (int(number) for number in build.split(":"))
        visits, plain, cycles, listed = count(hits, lanes, share)
        rows.append(
            {
                "lanes": lanes,
                "share": share,
                "visits": visits,
                "plain_per_visit": plain / visits,
                "cycles_per_visit": cycles / visits,
                "listed_per_visit": listed / visits,
            }
        )
    hit = sum(int(each.sum()) for _, each in hits) / sum(each.size for _, each in hits)
    if as_json:
        click.echo(json.dumps({"examples": examples, "hit": hit, "rows": rows}))
        return
    click.echo(f"cells hit {hit:.1%}")
    click.echo("lanes  share  no hits  all rows  rows that fire")
    for row in rows:
        click.echo(
            f"{row['lanes']:5}  {row['share']:5}  {row['plain_per_visit']:7.2f}"
            f"  {row['cycles_per_visit']:8.2f}  {row['listed_per_visit']:14.2f}"
        )


if __name__ == "__main__":
    main()
