"""Training speed of an engine on digits: examples a second, median of repeated runs.

``python bench/train_rate.py --engine rtl --lanes 16`` builds the engine (not timed), trains some
examples to warm up, then times blocks of examples one after the other. The rate for a second of CPU
time stands beside it: other work on the machine does not change that one much.
"""

import json
import statistics
import time

import click

from ohmgrid.checks import check_int
from ohmgrid.commands.options import Options, choose_config, choose_plan, fit_build
from ohmgrid.engines import ENGINES, check_engine, close_tiles, make_tiles
from ohmgrid.model.trainer import Trainer, epoch_order, state_sha256

WARM_UP = 20
"""Examples before the clock starts."""


def measure(engine: str, options: Options, examples: int, repeats: int) -> dict:
    """Return the rates of ``repeats`` blocks of ``examples`` training examples."""
    config = choose_config(options)
    plan, data = choose_plan(options, config)
    config = fit_build(config, plan)
    begin = time.perf_counter()
    tiles = make_tiles(engine, config, plan.net().shapes)
    start = time.perf_counter() - begin
    try:
        trainer = Trainer(config, tiles, plan.net())
        trainer.initialise()
        order = epoch_order(config.seed, 0, len(data.train_labels))

        def train(first: int, count: int) -> None:
            # Past the end of the epoch the same order begins again.
            chosen = order[[i % len(order) for i in range(first, first + count)]]
            trainer.train(data.train_x[chosen], data.train_labels[chosen], plan.lr)

        train(0, WARM_UP)
        wall, cpu = [], []
        for repeat in range(repeats):
            begin = time.perf_counter(), time.process_time()
            train(WARM_UP + repeat * examples, examples)
            wall.append(examples / (time.perf_counter() - begin[0]))
            cpu.append(examples / (time.process_time() - begin[1]))
        return {
            "engine": engine,
            "layers": plan.layers,
            "lanes": config.build.lanes,
            "share": config.build.share,
            "examples": examples,
            "start_s": start,
            "examples_per_s": statistics.median(wall),
            "spread": [min(wall), max(wall)],
            "examples_per_cpu_s": statistics.median(cpu),
            "state_sha256": state_sha256(trainer.state()),
        }
    finally:
        close_tiles(tiles)


@click.command()
@click.option("--engine", default="rtl", metavar="|".join(ENGINES), help="Engine [rtl].")
@click.option("--lanes", type=int, help="Lanes [16].")
@click.option("--share", type=int, help="Lanes that share a device unit [4].")
@click.option("--device", help="Preset or TOML file.")
@click.option("--layers", help="Sizes [64-32-10].")
@click.option("--examples", default=300, help="Examples in a timed block [300].")
@click.option("--repeats", default=3, help="Timed blocks [3].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(engine: str, examples: int, repeats: int, as_json: bool, **given) -> None:
    """Print how many digits an engine trains in a second."""
    check_engine(engine)
    check_int("examples", examples, 1, 10**6)
    check_int("repeats", repeats, 1, 1000)
    result = measure(engine, Options(**given), examples, repeats)
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, value in result.items():
        if isinstance(value, list):
            value = " to ".join(f"{part:.1f}" for part in value)
        click.echo(f"{name:20} {value:.1f}" if isinstance(value, float) else f"{name:20} {value}")


if __name__ == "__main__":
    main()
