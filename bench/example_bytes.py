"""Bytes of an example, by format: what a link carries and a memory holds.

``python bench/example_bytes.py --data mnist --crop 22x24`` encodes the training part of a data set
in each of the formats of `docs/examples.md`, decodes all of it again, and prints bytes of an
example, mean and largest. Formats that are too narrow for the data are shown with its values
rounded to so many levels: ``exact`` says whether they lose anything.
"""

import json

import click
import numpy as np

from ohmgrid.commands.options import Options, choose, choose_plan
from ohmgrid.host.examples import Encoding, choose_encoding, encode_example
from ohmgrid.model.core.example_store import decode_example
from ohmgrid.registers.examples import BITS, ExampleFormat


@click.command()
@click.option("--data", metavar="digits|mnist|FILE.npz", help="Data set [digits].")
@click.option("--crop", metavar="HxW", help="22x24 takes the middle of MNIST's images.")
@click.option("--examples", default=5000, help="Examples, from the first one on [5000].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(data: str | None, crop: str | None, examples: int, as_json: bool) -> None:
    """Print bytes of an example for each format."""
    _, images = choose_plan(choose(Options(data=data, crop=crop)))
    values, labels = images.train_x[:examples], images.train_labels[:examples]
    rows = [_row(values, labels, bits, runs) for bits in reversed(BITS) for runs in (False, True)]
    if as_json:
        click.echo(json.dumps({"examples": len(values), "rows": rows}))
        return
    click.echo("bits  runs   exact  bytes an example  largest  bound")
    for row in rows:
        click.echo(
            f"{row['bits']:4}  {row['runs']!s:5}  {row['exact']!s:5}  {row['bytes']:16.1f}"
            f"  {row['largest']:7}  {row['bound']:5}"
        )


def _row(values: np.ndarray, labels: np.ndarray, bits: int, runs: bool) -> dict:
    """Return the bytes of a format; what does not come back as it went is a fault."""
    exact, found = _encoding(values, bits, runs)
    sizes = []
    for label, row in zip(labels.tolist(), found.coded, strict=True):
        data = encode_example(label, row, found.form)
        back = decode_example(data, found.form, found.table)
        golden = row if bits == 16 else found.table[row]
        if back.label != label or back.errors or not np.array_equal(back.values, golden):
            raise AssertionError(f"{found.form}: an example does not come back")
        sizes.append(len(data))
    size = {"bytes": float(np.mean(sizes)), "largest": max(sizes)}
    return {"bits": bits, "runs": runs, "exact": exact, **size, "bound": found.form.most_bytes}


def _encoding(values: np.ndarray, bits: int, runs: bool) -> tuple[bool, Encoding]:
    """Return an encoding in so many bits, and whether it loses nothing."""
    if bits == 16:
        whole = ExampleFormat(bits, values.shape[1], runs)
        return True, Encoding(whole, np.zeros(256, np.int16), values)
    levels = (1 << bits) - 1
    low, high = int(values.min()), int(values.max())
    found = choose_encoding(values, runs)
    if found.form.bits > bits:
        step = np.rint((values - low) / (high - low) * levels).astype(np.int64)
        return False, choose_encoding(np.rint(low + step * (high - low) / levels).astype(int), runs)
    form = ExampleFormat(bits, values.shape[1], runs)
    return True, found._replace(form=form)


if __name__ == "__main__":
    main()
