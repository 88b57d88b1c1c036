"""Evidence for the noise of `ohmgrid.model.base.noise`: one command, quoted by ``docs/noise.md``.

``python bench/noise_quality.py`` runs all parts but dieharder on the model's own words, addressed
as a training run addresses them.  Each row is a statistic and the limit that a perfect source
exceeds with probability 1e-4.  ``--parts dieharder`` pipes the words into dieharder instead.
"""

import argparse
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import erf, sqrt
from statistics import NormalDist
from typing import IO

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ohmgrid.model.base.noise import cell_words, gaussian, line_keys, op_key, seed_key
from ohmgrid.registers.noise import GAUSS_BITS, GAUSS_SIGMA, Purpose, Verb

SIDE = 256
"""Rows and columns of the tile under test."""
LAGS = (1, 2, 4, 8, 15, 16, 17, 32)
"""Distances of cells; along a row, lane beside lane and a word later in 16 lanes."""
BLOCK = 32
"""Rows a call when words are piped: a block stays in the processor's cache."""


@dataclass(frozen=True)
class Row:
    """One line of the evidence."""

    test: str
    samples: int
    value: float
    """The statistic: the largest of `count` standard normals, or what the name says."""
    limit: float
    ok: bool


def normal_row(test: str, samples: int, z: NDArray | float) -> Row:
    """Judge the largest of some statistics that are standard normal for a perfect source."""
    z = np.abs(np.atleast_1d(z))
    limit = NormalDist().inv_cdf(1 - 1e-4 / (2 * z.size))
    return Row(f"{test} (max of {z.size})", samples, float(z.max()), limit, bool(z.max() < limit))


def bound_row(test: str, samples: int, value: float | np.floating, limit: float) -> Row:
    """Judge a quantity that has a fixed bound."""
    return Row(test, samples, float(value), limit, bool(abs(value) < limit))


def words_of(seed: int, step: int, verb: Verb = Verb.UPDATE, tile: int = 0) -> NDArray[np.uint32]:
    """Compute both words of all cells of one operation, shape (SIDE, SIDE, 2)."""
    rows, cols = keys_of(seed, step, verb, tile)
    return cell_words(rows[:, None], cols[None, :])


def keys_of(seed: int, step: int, verb: Verb = Verb.UPDATE, tile: int = 0) -> list[NDArray]:
    """Compute the halves of the keys of all rows and all columns, each of shape (SIDE, 2)."""
    key = op_key(seed_key(seed), verb, tile, step)
    lines = np.arange(SIDE)
    purposes = (Purpose.ROW, Purpose.COLUMN)
    return [line_keys(key, p, lines).view(np.uint32).reshape(SIDE, 2) for p in purposes]


def draws(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Compute the three Gaussians of each word in units of sigma, on a new last axis."""
    shifts = np.arange(3, dtype=np.uint32) * np.uint32(GAUSS_BITS)
    bits = words[..., None] >> shifts & np.uint32(2**GAUSS_BITS - 1)
    return (gaussian(bits) / GAUSS_SIGMA).astype(np.float32)


def signs(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Turn the 32 bits of each word into -1 and +1, on a new last axis."""
    bits = np.unpackbits(np.ascontiguousarray(words)[..., None].view(np.uint8), axis=-1)
    return bits.astype(np.float32) * 2 - 1


def parity_scores(histogram: NDArray) -> NDArray[np.float64]:
    """Score the parity under each of the 65535 masks of 16-bit values, in standard deviations.

    The Walsh-Hadamard transform of the histogram holds all parities at once.
    """
    spectrum = histogram.astype(np.float64)
    for bit in range(16):
        pairs = spectrum.reshape(-1, 2, 1 << bit)
        spectrum = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).ravel()
    return spectrum[1:] / sqrt(histogram.sum())


def histograms(words: NDArray) -> NDArray[np.int64]:
    """Count the values of each 16 bits of 32-bit or 64-bit words, shape (2 or 4, 65536)."""
    fields = np.ascontiguousarray(words).view(np.uint16).reshape(-1, words.itemsize // 2)
    return np.array([np.bincount(field, minlength=2**16) for field in fields.T])


# ---- parts


def gaussian_part(args: argparse.Namespace) -> Iterator[Row]:
    """Judge the exact distribution of one draw over its 1024 outcomes."""
    z = np.sort(gaussian(np.arange(1024)).astype(np.int64))
    x = z / GAUSS_SIGMA
    edges = np.arange(-256, 256)
    cdf = np.searchsorted(z, edges, side="right") / 1024
    normal = np.array([(1 + erf((e + 0.5) / GAUSS_SIGMA / sqrt(2))) / 2 for e in edges])
    yield bound_row("gaussian: mean", 1024, np.mean(x), 1e-9)
    yield bound_row("gaussian: variance - 1", 1024, np.mean(x**2) - 1, 1e-3)
    yield bound_row("gaussian: skewness", 1024, np.mean(x**3), 1e-3)
    yield bound_row("gaussian: kurtosis - 3", 1024, np.mean(x**4) - 3, 1e-3)
    yield bound_row("gaussian: 6th moment / 15 - 1", 1024, np.mean(x**6) / 15 - 1, 0.04)
    yield bound_row("gaussian: CDF error", 1024, np.abs(cdf - normal).max(), 3e-3)
    yield bound_row("gaussian: largest |z| in LSB", 1024, z[-1], 256)


def line_part(args: argparse.Namespace) -> Iterator[Row]:
    """Judge the keys of lines whose index or sub number differs in one bit, in all parities."""
    totals = np.zeros((19, 4, 2**16))
    index, sub = np.arange(2**16)[:, None], np.arange(8)[None, :]
    for step in track(range(args.steps), "line keys", console=args.console, transient=True):
        key = op_key(seed_key(args.seed), Verb.UPDATE, 0, step)
        keys = line_keys(key, Purpose.TRAIN_X, index, sub).ravel()
        for bit in range(19):
            one, other = np.moveaxis(keys.reshape(-1, 2, 1 << bit), 1, 0)
            totals[bit] += histograms(one ^ other)
    count = args.steps * 2**18
    for bit, planes in enumerate(totals):
        name = f"sub bit {bit}" if bit < 3 else f"index bit {bit - 3}"
        scores = np.array([parity_scores(plane) for plane in planes])
        yield normal_row(f"line keys: {name} differs, parities", count, scores)


def rectangle_part(args: argparse.Namespace) -> Iterator[Row]:
    """Judge the corners h(i,j), h(i,k), h(l,j), h(l,k), which share two rows and two columns."""
    # Both words of a step give SIDE / 2 squared disjoint rectangles each.
    steps = max(1, 2 ** (args.rectangles - 15))
    parities, sums = np.zeros((2, 2**16)), np.zeros((2, 2**16))
    product = np.zeros(3)
    for step in track(range(steps), "rectangles", console=args.console, transient=True):
        words = words_of(args.seed, step)
        a, b, c, d = (words[i::2, j::2] for i in (0, 1) for j in (0, 1))
        parities += histograms(a ^ b ^ c ^ d)
        sums += histograms(a - b - c + d)
        product += (draws(a) * draws(b) * draws(c) * draws(d)).sum(axis=(0, 1, 2))
    count = steps * SIDE * SIDE // 2
    for name, halves in (("xor", parities), ("sum", sums)):
        for half, histogram in zip(("low", "high"), halves, strict=True):
            label = f"rectangle: {name}, {half} half"
            yield normal_row(f"{label}, parities", count, parity_scores(histogram))
            expected = count / 2**16
            excess = np.square(histogram - expected).sum() / expected - (2**16 - 1)
            yield normal_row(f"{label}, chi-square", count, excess / sqrt(2 * (2**16 - 1)))
    yield normal_row("rectangle: product of Gaussians", count, product / sqrt(count))


def near_keys_part(args: argparse.Namespace) -> Iterator[Row]:
    """Measure what is left where two keys differ by one bit: one pair of lines in 2^26 does.

    The value is the largest bias of a parity, 0 for independent words, 1 for equal ones.
    """
    rng = np.random.default_rng(args.seed)
    count = 2**20
    keys = rng.integers(0, 2**32, (3, count), dtype=np.uint32)
    row, near = keys[0], keys[0] ^ np.uint32(1) << rng.integers(0, 32, count, dtype=np.uint32)
    first, second = (cell_words(row, col) ^ cell_words(near, col) for col in keys[1:])
    for name, words in (("two cells", first), ("rectangle", first ^ second)):
        scores = [np.abs(parity_scores(h)).max() for h in histograms(words)]
        yield bound_row(f"near keys: {name}, largest bias", count, max(scores) / sqrt(count), 0.3)
    change = signs(first).mean(axis=0)
    yield bound_row("near keys: two cells, bits, largest bias", count, np.abs(change).max(), 0.3)


def moments(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Compute the six Gaussians of each cell and their squares, all of mean 0 and variance 1."""
    z = draws(words).reshape(SIDE, SIDE, 6)
    return np.concatenate([z, (z * z - 1) / np.float32(sqrt(2))], axis=-1)


def bits(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Compute the 64 bits of each cell as -1 and +1."""
    return signs(words).reshape(SIDE, SIDE, 64)


def relatives(seed: int, step: int, features: Callable) -> Iterator[tuple[str, NDArray, NDArray]]:
    """Yield the features of cells beside those of the cells that they must not resemble."""
    here = features(words_of(seed, step))
    yield "same cell", here, here
    yield "next step", here, features(words_of(seed, step + 1))
    yield "next seed", here, features(words_of(seed + 1, step))
    yield "next tile", here, features(words_of(seed, step, tile=1))
    yield "other verb", here, features(words_of(seed, step, Verb.FORWARD))
    for lag in LAGS:
        yield f"{lag} columns on", here[:, :-lag], here[:, lag:]
        yield f"{lag} rows on", here[:-lag], here[lag:]


def correlation_part(args: argparse.Namespace) -> Iterator[Row]:
    """Judge all products of a cell's bits and Gaussians with those of its relatives."""
    for kind, features in (("Gaussians and squares", moments), ("bits", bits)):
        totals: dict[str, NDArray] = {}
        counts: dict[str, int] = {}
        for step in track(range(args.steps), kind, console=args.console, transient=True):
            for name, one, other in relatives(args.seed, step, features):
                width = one.shape[-1]
                product = one.reshape(-1, width).T @ other.reshape(-1, width)
                totals[name] = totals.get(name, 0) + product
                counts[name] = counts.get(name, 0) + one.size // width
        for name, total in totals.items():
            scores = total / sqrt(counts[name])
            if name == "same cell":
                # Each pair once. A Gaussian's product with its own square has not variance 1.
                i, j = np.indices(scores.shape)
                own_square = (j == i + 6) & (features is moments)
                scores = scores[(i < j) & ~own_square]
            yield normal_row(f"correlation: {name}, {kind}", counts[name], scores)


def spectrum_part(args: argparse.Namespace) -> Iterator[Row]:
    """Judge the largest singular value of the noise matrices: shared keys must leave no rank."""
    rng = np.random.default_rng(args.seed)
    largest: list[list[float]] = [[], []]
    for step in track(range(args.steps), "spectrum", console=args.console, transient=True):
        z = draws(words_of(args.seed, step)).reshape(SIDE, SIDE, 6)
        for source, found in zip((z, rng.standard_normal(z.shape)), largest, strict=True):
            found += [float(np.linalg.norm(source[..., k], 2)) for k in range(6)]
    ours, perfect = (np.array(values) for values in largest)
    error = sqrt((ours.var() + perfect.var()) / ours.size)
    yield normal_row(
        "spectrum: mean largest singular value against NumPy's normals",
        ours.size,
        (ours.mean() - perfect.mean()) / error,
    )


# ---- dieharder


def cell_stream(seed: int) -> Iterator[bytes]:
    """Yield the words of all update steps in the order 16 lanes meet them, lane by lane."""
    step = 0
    while True:
        rows, cols = keys_of(seed, step)
        for first in range(0, SIDE, BLOCK):
            yield cell_words(rows[first : first + BLOCK, None], cols[None, :]).tobytes()
        step += 1


def line_stream(seed: int) -> Iterator[bytes]:
    """Yield the 16-bit fields of pulse trains: 8 groups of slots of 512 lines, step by step."""
    base, step = seed_key(seed), 0
    while True:
        key = op_key(base, Verb.UPDATE, 0, step)
        keys = line_keys(key, Purpose.TRAIN_X, np.arange(512)[:, None], np.arange(8)[None, :])
        yield keys.tobytes()
        step += 1


STREAMS = {"cells": cell_stream, "lines": line_stream}


def feed(pipe: IO[bytes], blocks: Iterator[bytes]) -> None:
    """Write blocks until the reader has had enough."""
    with suppress(BrokenPipeError), pipe:
        for block in blocks:
            pipe.write(block)


def dieharder_tests(text: str) -> list[list[str]]:
    """Return the options of each run: of ``all``, or of ``7,203:5`` (test 203 of 5-tuples)."""
    if text == "all":
        return [["-a"]]
    tests = []
    for test in text.split(","):
        numbers = test.split(":")
        if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
            raise SystemExit(f"--dieharder: expected all, or tests as in 7,203:5, got {test!r}")
        tests.append([f for pair in zip(("-d", "-n"), numbers, strict=False) for f in pair])
    return tests


def dieharder_part(args: argparse.Namespace) -> Iterator[Row]:
    """Pipe the words into dieharder; a row for each of its p-values."""
    if shutil.which("dieharder") is None:
        raise SystemExit("dieharder: not found; apt-get install dieharder")
    for options in dieharder_tests(args.dieharder):
        command = ["dieharder", "-g", "200", *options, *(["-Y", "1"] if args.resolve else [])]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=-1
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            blocks = STREAMS[args.stream](args.seed)
            feeder = threading.Thread(target=feed, args=(process.stdin, blocks), daemon=True)
            feeder.start()
            for line in process.stdout:
                fields = [field.strip() for field in line.decode().split("|")]
                if len(fields) < 6 or fields[-1] not in ("PASSED", "WEAK", "FAILED"):
                    continue
                name = f"dieharder: {fields[0]} {fields[1]} {fields[5]}"
                args.console.print(f"{name} p={fields[4]}", style="dim")
                p, good = float(fields[4]), fields[5] != "FAILED"
                yield Row(name, int(fields[2]) * int(fields[3]), p, 1e-6, good)
            feeder.join()


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "gaussian": gaussian_part,
    "line-keys": line_part,
    "rectangle": rectangle_part,
    "near-keys": near_keys_part,
    "correlation": correlation_part,
    "spectrum": spectrum_part,
    "dieharder": dieharder_part,
}


def main(argv: list[str] | None = None) -> int:
    """Run the parts asked for; return 1 where a row is out of its limit."""
    parser = argparse.ArgumentParser(description="Evidence for the noise of ohmgrid.")
    default = [name for name in PARTS if name != "dieharder"]
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=default,
        metavar="PART",
        help=f"any of {', '.join(PARTS)}; default: all but dieharder",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the noise (default 1)")
    parser.add_argument(
        "--rectangles",
        type=int,
        default=22,
        metavar="N",
        help="2^N rectangles, N >= 15 (default 22)",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=32,
        help="operations for correlations and spectrum (default 32)",
    )
    parser.add_argument(
        "--dieharder",
        default="all",
        metavar="TESTS",
        help="`all`, or numbers of its tests with the size of tuples or the lag where they have "
        "one: 7,203:5 (default all: hours)",
    )
    parser.add_argument(
        "--stream",
        choices=STREAMS,
        default="cells",
        help="what dieharder gets: cell words or fields of pulse trains",
    )
    parser.add_argument(
        "--resolve",
        action="store_true",
        help="dieharder: run WEAK tests on until they are clear (its -Y 1)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args(argv)
    args.console = Console(stderr=True)
    rows = [row for part in args.parts for row in PARTS[part](args)]
    good = all(row.ok for row in rows)
    if args.json:
        print(json.dumps({"seed": args.seed, "ok": good, "rows": [asdict(row) for row in rows]}))
        return not good
    table = Table("test", "samples", "value", "limit", "")
    for row in rows:
        table.add_row(
            row.test,
            str(row.samples),
            f"{row.value:.4g}",
            f"{row.limit:.4g}",
            "ok" if row.ok else "[red]out[/red]",
        )
    Console().print(table)
    return not good


if __name__ == "__main__":
    sys.exit(main())
