"""Cycles of an example in one core that trains by itself, at several points of a run, simulated.

``python bench/core_cycles.py --data mnist --crop 22x24 --layers 528-250-125-10`` trains with the
compiled engine up to each of ``--positions``, loads the state into the gateware, trains
``--examples`` there, and prints what its counters say: clock cycles of each verb, and visits, the
words of all lanes that sweeps read.
"""

import json

import click
import numpy as np
from rich.console import Console

from ohmgrid.commands.options import Options, choose, choose_plan
from ohmgrid.compiled.core import CompiledCore
from ohmgrid.config import BuildConfig
from ohmgrid.doors.checks import ConfigError, check_int, parse_int
from ohmgrid.model.core.core import run_order
from ohmgrid.sim.rtl import RtlCore

PARTS = ("take", "forward", "loss", "backward", "update")


@click.command()
@click.option("--data", metavar="digits|mnist|FILE.npz", help="Data set [digits].")
@click.option("--crop", metavar="HxW", help="22x24 takes the middle of MNIST's images.")
@click.option("--layers", metavar="N-N-...", help="Neurons of each layer [64-32-10].")
@click.option("--device", help="Preset [gokmen-vlasov].")
@click.option("--positions", default="0,1200,6000,30000,100000", help="Examples trained before.")
@click.option("--examples", default=100, help="Examples counted at each position [100].")
@click.option("--builds", default="84:14,42:7", help="LANES:SHARE,... [84:14,42:7].")
@click.option("--train-groups", default=4, help="`build.train_groups` [4].")
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
    train_groups: int,
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
    order = run_order(chosen.config.seed, count, places[-1] + examples)
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
            **{"computed_keys": True, "train_groups": train_groups},
        )
        config = chosen.config.replace(build=parts)
        core = RtlCore(config, net)
        turned = [place.turned for place in core.gateware.places]
        for place in places:
            core.load(states[place])
            part = order[place : place + examples]
            console.print(f"{lanes}/{share} lanes from example {place}")
            core.train(images.train_x[part], images.train_labels[part], plan.lr)
            meters = core.meters
            row = {"lanes": lanes, "share": share, "turned": turned, "position": place}
            of_arrays = {name: meters.get(f"cycles_{name}", 0) for name in PARTS}
            row |= {name: np.array(of).tolist() for name, of in of_arrays.items()}
            row["cycles"] = sum(int(np.sum(row[part])) for part in PARTS) / examples
            row["visits"] = meters["visits"] / examples
            rows.append(row)
    if as_json:
        click.echo(json.dumps({"examples": examples, "rows": rows}))
        return
    click.echo("lanes  share  position" + "".join(f"  {part:>8}" for part in PARTS), nl=False)
    click.echo("  cycles  visits")
    for row in rows:
        click.echo(
            f"{row['lanes']:5}  {row['share']:5}  {row['position']:8}"
            + "".join(f"  {np.sum(row[part]) / examples:8.0f}" for part in PARTS)
            + f"  {row['cycles']:6.0f}  {row['visits']:6.0f}"
        )


if __name__ == "__main__":
    main()
