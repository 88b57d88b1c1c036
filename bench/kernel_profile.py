"""Where the compiled engine's time goes: microseconds an example, by part of the training step.

``python bench/kernel_profile.py --data mnist --crop 22x24 --layers 528-250-125-10`` trains from
``--start`` on for some seconds while Linux' perf looks 5,000 times a second at which function the
processor is in. A function that is inlined counts to the one that it is in.
"""

import bisect
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ohmgrid.commands.options import (
    Options,
    batch_option,
    choose,
    choose_plan,
    json_option,
    plan_options,
    tile_options,
)
from ohmgrid.compiled import learning
from ohmgrid.compiled.core import CompiledCore
from ohmgrid.doors.checks import ConfigError, check_float, check_int
from ohmgrid.model.core.core import epoch_order
from ohmgrid.storage.published import read_sealed
from ohmgrid.training.fitting import fit_build

PARTS = {
    "operations": "forward and backward",
    "readout": "read side",
    "converters": "forward and backward",
    "learning": "layer arithmetic",
    "pulses": "plan, trains, keys of lines",
    "noise": "hashes",
    "array": "listing of hits",
    "device": "device steps",
    "population": "what a read sees",
    "aging": "leak and diffusion",
    "refresh": "refresh of pairs",
    "updates": "device steps",
}
"""Module of `ohmgrid.compiled` -> what a row is called."""


def machine_code(kernel: Any) -> tuple[bytes, int]:
    """Return the object file of a kernel that was called, and where in memory it lies."""
    content = read_sealed(kernel._cache.file)
    assert content is not None  # it has been called
    (result,) = kernel.overloads.values()
    address = result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
    return content[content.index(b"\x7fELF") :], address


def functions(code: bytes) -> tuple[list[int], list[tuple[str, str]]]:
    """Return where the functions of an object file begin, and their modules and names."""
    with tempfile.NamedTemporaryFile(suffix=".o") as file:
        file.write(code)
        file.flush()
        text = subprocess.run(["nm", "-n", file.name], capture_output=True, text=True, check=True)
    starts, names = [], []
    for line in text.stdout.splitlines():
        match = re.fullmatch(r"([0-9a-f]+) [tTwW] (\S+)", line)
        if match:
            starts.append(int(match[1], 16))
            names.append(_parts_of(match[2]))
    return starts, names


def _parts_of(symbol: str) -> tuple[str, str]:
    """Return module and function of a mangled name: ``_ZN`` and each part after its length."""
    found, rest = [], symbol.removeprefix("_ZN")
    while match := re.match(r"\d+", rest):
        size = int(match[0])
        found.append(rest[len(match[0]) : len(match[0]) + size])
        rest = rest[len(match[0]) + size :]
    if found[:2] != ["ohmgrid", "compiled"] or len(found) < 4:
        return "other", symbol
    return found[2], found[3]


def sample(train, seconds: float) -> tuple[list[int], float]:
    """Return addresses that were run while ``train()`` was called again and again, and examples/s.

    The second is examples for a second of processor time.
    """
    with tempfile.NamedTemporaryFile(suffix=".perf") as file:
        command = ["perf", "record", "-q", "-e", "cpu-clock:u", "-F", "5000", "-o", file.name]
        with subprocess.Popen([*command, "-p", str(os.getpid())], stderr=subprocess.PIPE) as perf:
            time.sleep(0.5)
            begin, examples = time.process_time(), 0
            while time.process_time() - begin < seconds:
                examples += train()
            spent = time.process_time() - begin
            perf.send_signal(2)
            _, error = perf.communicate()
        script = ["perf", "script", "-i", file.name, "-F", "ip"]
        found = subprocess.run(script, capture_output=True, text=True, check=False)
    if found.returncode or not found.stdout:
        raise ConfigError("perf", f"expected samples, got: {error.decode().strip() or 'none'}")
    return [int(word, 16) for word in found.stdout.split()], examples / spent


@click.command()
@plan_options
@batch_option
@tile_options
@click.option("--start", default=2000, help="Examples trained before [2000].")
@click.option("--seconds", default=3.0, help="How long it looks [3].")
@json_option
def main(start: int, seconds: float, as_json: bool, **given: Any) -> None:
    """Print where the compiled engine's time goes."""
    check_int("start", start, 0, 10**8)
    check_float("seconds", seconds, 0.1, 600.0)
    for tool, package in (("perf", "linux-perf"), ("nm", "binutils")):
        if shutil.which(tool) is None:
            raise ConfigError(tool, f"expected it on the path, found none (apt install {package})")
    plan, data = choose_plan(chosen := choose(Options(**given)))
    config = fit_build(chosen.config, plan)
    core = CompiledCore(config, plan.net())
    core.initialise()
    core.prepare()
    order = epoch_order(config.seed, 0, len(data.train_labels))
    position = 0

    def train(count: int = 64 * config.batch) -> int:
        nonlocal position
        chosen = order.take(range(position, position + count), mode="wrap")
        core.train(data.train_x[chosen], data.train_labels[chosen], plan.lr, config.batch)
        position += count
        return count

    if start:
        train(start)
    code, address = machine_code(learning.train_block)
    starts, names = functions(code)
    base = address - starts[names.index(("learning", "train_block"))]
    addresses, rate = sample(train, seconds)
    spent: Counter[tuple[str, str]] = Counter()
    for one in addresses:
        place = bisect.bisect_right(starts, one - base) - 1
        inside = place >= 0 and one - base < len(code)
        spent[names[place] if inside else ("other", "outside the kernels")] += 1
    scale = 1e6 / rate / len(addresses)
    rows = [
        {"part": PARTS.get(module, module), "function": name, "us": round(count * scale, 2)}
        for (module, name), count in spent.most_common()
    ]
    if as_json:
        click.echo(json.dumps({"us": 1e6 / rate, "rows": rows}))
        return
    table = Table("part", "function", "us an example")
    total: Counter[str] = Counter()
    for row in rows:
        total[row["part"]] += row["us"]
    for part, us in total.most_common():
        table.add_row(part, "", f"{us:.1f}")
        for row in rows:
            if row["part"] == part and row["us"] >= 0.1:
                table.add_row("", row["function"], f"{row['us']:.1f}")
    table.add_row("all", "", f"{1e6 / rate:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
