"""The documentation: it builds, its links lead somewhere, and its commands are ours."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ohmgrid.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONS = ROOT / "src/ohmgrid/commands/options.py"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:ohmgrid|python bench/|python examples/)[^`]*)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def commands(text: str):
    """Yield the commands of a page as lists of words: those of blocks, and those within lines."""
    lines = [
        line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += [found.replace("\n", " ") for found in INLINE.findall(text)]
    for line in lines:
        words = shlex.split(line, comments=True)
        if words and words[0] in ("ohmgrid", ".venv/bin/ohmgrid", "python"):
            yield words


def check_command(words: list[str]) -> None:
    """Raise unless ohmgrid has this verb and all these options."""
    command, name, context = cli, "ohmgrid", click.Context(cli)
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, *rest = rest
        found = command.get_command(context, name)
        assert found is not None, f"no verb {name}"
        command, context = found, click.Context(found, info_name=name)
    if rest:
        command.make_parser(context).parse_args(rest)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_have_verbs_and_options_that_exist(page):
    for words in commands(page.read_text()):
        said = " ".join(words)
        # What stands for several words, or for any: a table of verbs, a line that goes on.
        if any(word in said for word in ("|", "...", "[", "{")):
            continue
        if words[0] != "python":
            try:
                check_command(words)
            except click.UsageError as error:
                pytest.fail(f"{page.name}: {said}: {error.message}")
            continue
        script = ROOT / words[1] if words[1:] and words[1].endswith(".py") else None
        if script is not None:
            # Options of the tile and of what is trained are shared.
            source = script.read_text() + OPTIONS.read_text()
            for option in (word for word in words[2:] if word.startswith("--")):
                assert f'"{option.partition("=")[0]}"' in source, f"{page.name}: {said}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_to_files(page):
    missing = [to for to in LINK.findall(page.read_text()) if not (page.parent / to).exists()]
    assert not missing


def test_the_site_builds_without_a_warning(tmp_path):
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(ROOT / "docs")]
    done = subprocess.run([*words, str(tmp_path / "site")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "tutorial.html").stat().st_size > 1000
