"""``ohmgrid boards``: the boards, and what each was last measured at."""

import json

import click
import msgspec
from rich.console import Console
from rich.table import Table

from ohmgrid.boards.board_file import board_names, load_board
from ohmgrid.boards.flows import FLOWS
from ohmgrid.boards.results import Result, load_results
from ohmgrid.commands.options import json_option

__all__ = ["boards"]


@click.command
@json_option
def boards(as_json: bool) -> None:
    """List the boards that `build` knows, and what each was last measured at.

    Cells and clock are those of place and route, examples/s those of the schedule's model at the
    clock that is built: boards/RESULTS.md has all of it.
    """
    known = [load_board(name) for name in board_names()]
    results = load_results()
    if as_json:
        rows = [
            {
                "board": one.name,
                "title": one.title,
                "part": one.part,
                "family": one.family,
                "open_tools": one.family in FLOWS,
                "link": one.link.where,
                "clock_mhz": one.clock_mhz,
                "results": [msgspec.to_builtins(r) for r in results if r.board == one.name],
            }
            for one in known
        ]
        click.echo(json.dumps({"boards": rows}))
        return
    table = Table(box=None)
    for name in ("board", "part", "lanes", "LUT4", "MHz", "Fmax", "examples/s"):
        table.add_column(name, no_wrap=True)
    for one in known:
        of = [result for result in results if result.board == one.name]
        for result in of:
            table.add_row(one.name, one.part, *_measured(result))
        if not of:
            said = "not measured" if one.family in FLOWS else "Vivado's"
            table.add_row(one.name, one.part, *[""] * 4, said)
    Console().print(table)


def _measured(one: Result) -> list[str]:
    used, all_ = one.lut4
    fmax = "not reported" if one.fmax_mhz is None else f"{one.fmax_median_mhz:g}"
    rate = "clock missed" if one.met is False else ""
    if one.examples_per_s is not None:
        rate = f"{one.examples_per_s:,.0f}"
    return [str(one.lanes), f"{used / all_:.0%}", f"{one.clock_mhz:g}", fmax, rate]
