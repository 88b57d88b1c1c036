"""The table of engines and boards at the top of the README, made of what was measured.

``python bench/readme_table.py`` writes it anew into ``README.md``, between two comments, from
``bench/engines.json`` (which ``ohmgrid bench --engines compiled,model,rtl --batch 1 --peer-python
PATH --json > bench/engines.json`` makes) and from ``boards/results/*.json`` (which ``ohmgrid build
BOARD --record boards/results`` makes). Nothing in it is written by hand.
"""

import json
from pathlib import Path
from typing import Any

import click

from ohmgrid.boards.results import Result, load_results

ROOT = Path(__file__).parents[1]
README, MEASURED = ROOT / "README.md", Path(__file__).with_name("engines.json")
BEGIN, END = "<!-- made by python bench/readme_table.py -->\n", "<!-- end -->\n"
WHAT = {
    "compiled": "loops compiled by numba: the default of `ohmgrid train`",
    "model": "NumPy, integers: the specification that every engine equals",
    "rtl": "the gateware, simulated clock by clock",
    "aihwkit": "the field's reference simulator, beside them: other noise, floats",
}
"""Engines of the bench, in their order here, and what they are."""


def _engines(measured: dict[str, Any]) -> list[str]:
    """Return a row for each engine that was measured."""
    # The simulator's name there ends in its version.
    by_name = {row["engine"].partition(" ")[0]: row for row in measured["rows"]}
    rows = []
    for name, what in WHAT.items():
        if name in by_name:
            row = by_name[name]
            low, high = row["spread"]
            cycles = row["cycles_per_example"]
            speed = f"{row['examples_per_s']:,.0f} ({low:,.0f} to {high:,.0f})"
            shown = row["engine"] if name == "aihwkit" else f"`{name}`"
            rows.append(
                f"| {shown} | {what} | {row['layers']} ({measured['data']}) | {speed} | "
                f"{'' if cycles is None else f'{cycles:,.0f}'} |"
            )
    return rows


def _boards(results: list[Result]) -> list[str]:
    """Return a row for each bitstream of a core that was built, with its net."""
    rows = []
    for one in results:
        if one.examples_per_s is None or one.cycles is None:
            continue
        lanes = f"{one.lanes} lane{'s' * (one.lanes > 1)} at {one.clock_mhz:g} MHz"
        what = f"{one.part}, {lanes} (`{one.settings}`)"
        rows.append(
            f"| {one.title} | {what}: a bitstream that meets its clock | "
            f"{one.net} ({one.data}) | {one.examples_per_s:,.0f}, foretold | {one.cycles:,.0f} |"
        )
    return rows


def table(measured: dict[str, Any], results: list[Result]) -> str:
    """Return the table, in Markdown.

    Parameters
    ----------
    measured : dict
        As ``ohmgrid bench --json`` prints it, of one device and batches of one.
    results : list of Result
        Of boards.
    """
    head = ("engine or board", "what it is", "net", "examples/s", "cycles an example")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *_engines(measured), *_boards(results)]) + "\n"


def with_table(readme: str) -> str:
    """Return the text of the README with the table as it should be."""
    before, _, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise click.ClickException(f"{README.name}: expected {BEGIN.strip()} and {END.strip()}")
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    return f"{before}{BEGIN}\n{table(measured, load_results())}\n{END}{after}"


@click.command()
def main() -> None:
    """Write the table into the README; see the module's text."""
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    click.echo(f"{README.name}: the table is new")


if __name__ == "__main__":
    main()
