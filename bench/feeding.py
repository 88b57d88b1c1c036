"""How many examples a second each way of feeding a core brings it, for a data set and a build.

``python bench/feeding.py --data mnist --crop 22x24 --store 33554432 --store-in sdram`` encodes the
training part, and says what a UART, its orders, and both kinds of store reach.
"""

import json
from dataclasses import asdict

import click

from ohmgrid.commands.options import Options, choose, choose_plan
from ohmgrid.config import BuildConfig
from ohmgrid.studies.feeding import feeding


@click.command()
@click.option("--data", metavar="digits|mnist|FILE.npz", help="Data set [digits].")
@click.option("--crop", metavar="HxW", help="22x24 takes the middle of MNIST's images.")
@click.option("--store", default=1 << 25, help="Bytes of the board's store [33554432].")
@click.option("--store-in", default="sdram", help="bram or sdram [sdram].")
@click.option("--baud", default=3_000_000, help="Bits a second of its UART [3000000].")
@click.option("--mhz", default=80.0, help="Its clock [80].")
@click.option("--core", type=float, help="Examples a second that its core can train.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    data: str | None,
    crop: str | None,
    store: int,
    store_in: str,
    baud: int,
    mhz: float,
    core: float | None,
    as_json: bool,
) -> None:
    """Print a row for each way of feeding a core."""
    _, images = choose_plan(choose(Options(data=data, crop=crop)))
    build = BuildConfig(store=store, store_in=store_in)
    rows = feeding(images.train_x, images.train_labels, build, baud, round(mhz * 1e6), core)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows]))
        return
    click.echo("way         bytes an example  examples/s      needs  there")
    for row in rows:
        click.echo(
            f"{row.way:10}  {row.bytes_an_example:16.1f}  {row.examples_per_s:10,.0f}"
            f"  {row.needs:9,}  {row.there}"
        )


if __name__ == "__main__":
    main()
