"""The command line: ``ohmgrid VERB``.

A verb prints a table, or one JSON object with ``--json`` (then progress goes to stderr). Bad input
gets one line on stderr that begins with ``error:`` and a non-zero exit status. Anything else that
goes wrong is a fault of the program: one line that begins with ``internal fault:``, status 70.
OHMGRID_DEBUG=1 shows the traceback as well.
"""

import os
import sys
import traceback
import warnings
from importlib import import_module
from typing import Any

import click

from ohmgrid import __version__
from ohmgrid.doors.checks import OhmgridError

__all__ = ["cli", "main"]

VERBS = {
    "train": "ohmgrid.commands.train:train",
    "watch": "ohmgrid.commands.watch:watch",
    "test": "ohmgrid.commands.test:test",
    "export": "ohmgrid.commands.export:export",
    "compare": "ohmgrid.commands.compare:compare",
    "bench": "ohmgrid.commands.bench:bench",
    "devices": "ohmgrid.commands.show:devices",
    "device": "ohmgrid.commands.device:device",
    "symmetry": "ohmgrid.commands.device:symmetry",
    "energy": "ohmgrid.commands.energy:energy",
    "dynamics": "ohmgrid.commands.dynamics:dynamics",
    "study": "ohmgrid.commands.study:study",
    "sweep": "ohmgrid.commands.sweep:sweep",
    "fit": "ohmgrid.commands.fit:fit",
    "config": "ohmgrid.commands.show:config",
    "synth": "ohmgrid.commands.synth:synth",
    "verilog": "ohmgrid.commands.verilog:verilog",
    "boards": "ohmgrid.commands.boards:boards",
    "build": "ohmgrid.commands.build:build",
    "load": "ohmgrid.commands.load:load",
    "board": "ohmgrid.commands.board:board",
}
"""Verb -> ``module:command``; imported when the verb is used, so that each starts fast."""

ERRORS = (click.ClickException, OhmgridError, OSError, MemoryError)
"""What a user can put right: wrong input, missing tools, files and folders, memory."""

INTERNAL = 70
"""Exit status after a fault of the program's own (EX_SOFTWARE of sysexits.h)."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def _one_line(error: BaseException) -> str:
    """Return what is wrong in one line."""
    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    elif isinstance(error, MemoryError):
        text = f"memory: expected a net that fits, got {error}"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())


class Verbs(click.Group):
    """A group that imports its verbs when they are used and reports errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name].partition(":")
        return getattr(import_module(module), attribute)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            sys.exit(super().main(*args, **kwargs) or 0)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(0)
        except (click.exceptions.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        except ERRORS as error:
            if os.environ.get("OHMGRID_DEBUG"):
                traceback.print_exc()
            click.echo(f"error: {_one_line(error)}", err=True)
            sys.exit(error.exit_code if isinstance(error, click.ClickException) else 1)
        except Exception as error:
            if os.environ.get("OHMGRID_DEBUG"):
                traceback.print_exc()
            click.echo(
                f"internal fault: {type(error).__name__}: {_one_line(error)} "
                "(please report it, with what OHMGRID_DEBUG=1 shows)",
                err=True,
            )
            sys.exit(INTERNAL)


@click.command(
    cls=Verbs, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="ohmgrid")
def cli() -> None:
    """The analog crossbar tile that trains in place, in digital logic."""


def main() -> None:
    """Run the command line (the entry point of the ``ohmgrid`` command)."""
    if not os.environ.get("OHMGRID_DEBUG"):
        # A library's warning is for developers; it must not stand beside the line for the user.
        warnings.simplefilter("ignore")
    cli()
