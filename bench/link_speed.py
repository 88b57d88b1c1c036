"""How busy a host keeps a line, and what a training costs that only the line limits.

A board that takes bytes at the pace of a UART and only pretends to compute runs in a process of its
own; this one trains digits on it, as on any board.
"""

import json
import multiprocessing as mp
import statistics
import time
from typing import Any

import click

from ohmgrid.config import BuildConfig, Config
from ohmgrid.gateware.board import BoardCore
from ohmgrid.net import Net
from ohmgrid.studies.paced_board import BITS_A_BYTE, PacedBoard
from ohmgrid.training.data import load_data

BLOCK = 2048


def serve(baud: int, room: int, port: Any, stop: Any) -> None:
    """Serve a paced board until told to stop."""
    board = PacedBoard(Config(build=BuildConfig(link=room)), baud, None)
    port.put(board.port)
    board.serve(stop.is_set)
    port.put((board.taken, board.given))
    board.close()


@click.command()
@click.option("--baud", default=3_000_000, help="Bits a second [3000000].")
@click.option("--room", default=2048, help="Bytes that the board's link holds [2048].")
@click.option("--rounds", default=5, help="Times that the training part is sent [5].")
@click.option("--json", "as_json", is_flag=True)
def main(baud: int, room: int, rounds: int, as_json: bool) -> None:
    """Measure how busy a host keeps a line while it trains digits."""
    data = load_data("digits", Config().formats.x_frac, Config().formats.edge_bits)
    port, stop = mp.Queue(), mp.Event()
    process = mp.Process(target=serve, args=(baud, room, port, stop), daemon=True)
    process.start()
    core = BoardCore(Config(), Net((64, 32, 10)), port.get())
    shares, rates, sent = [], [], 0
    try:
        core.initialise()
        core.train(data.train_x[:BLOCK], data.train_labels[:BLOCK], 0.1)
        for _ in range(rounds):
            begin, before = time.perf_counter(), core.link.written
            for at in range(0, len(data.train_labels), BLOCK):
                part = slice(at, at + BLOCK)
                core.train(data.train_x[part], data.train_labels[part], 0.1)
            seconds, sent = time.perf_counter() - begin, core.link.written - before
            shares.append(sent * BITS_A_BYTE / baud / seconds)
            rates.append(len(data.train_labels) / seconds)
        examples = len(data.train_labels)
        result = {
            "baud": baud,
            "busy": statistics.median(shares),
            "busy_range": [min(shares), max(shares)],
            "examples_per_s": statistics.median(rates),
            "bytes_an_example": sent / examples,
        }
    finally:
        core.close()
        stop.set()
        process.join(5)
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(
        f"{baud} baud: busy {result['busy']:.1%} of the time "
        f"({min(shares):.1%} to {max(shares):.1%} of {rounds} rounds), "
        f"{result['examples_per_s']:,.0f} digits/s at {result['bytes_an_example']:.1f} bytes each"
    )


if __name__ == "__main__":
    main()
