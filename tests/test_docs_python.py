"""Python on the pages of the documentation runs as it stands there."""

import ast
from pathlib import Path

import pytest
from click.testing import CliRunner
from doc_blocks import blocks_of, pages, run_page

from ohmgrid.cli import cli

TESTS = Path(__file__).parent
BEFORE = {
    "docs/runs.md": "train --data digits --layers 64-4-10 --epochs 1 --out runs/a",
    "docs/training.md": None,
}
"""Pages that run as they are, and the command of ohmgrid whose results they read."""
WITH_TORCH = {"README.md", "docs/torch.md"}
"""Pages that `tests/pytorch/test_pages.py` runs."""
SHOWN = {"CONTRIBUTING.md", "docs/embedding.md"}
"""Pages with parts of benches, which run in a simulator: below, and in `tests/sim`."""


def test_all_python_of_the_pages_is_run():
    assert pages() == set(BEFORE) | WITH_TORCH | SHOWN


@pytest.mark.parametrize("page", BEFORE)
def test_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = BEFORE[page]
    if command is not None:
        done = CliRunner().invoke(cli, command.split())
        assert done.exit_code == 0, done.output
    run_page(page)


def test_bench_that_is_shown_to_contributors_is_one_of_the_tests():
    (block,) = blocks_of("CONTRIBUTING.md")
    (shown,) = ast.parse(block).body
    tests = ast.parse((TESTS / "sim" / "test_benches.py").read_text(encoding="utf-8"))
    assert ast.unparse(shown) in map(ast.unparse, tests.body)


@pytest.mark.slow
def test_bench_of_ones_own_runs_as_it_is_documented(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bench, start, _ = blocks_of("docs/embedding.md")
    Path("cocotb_mine.py").write_text(bench, encoding="utf-8")
    # Raises unless all tests of the bench pass.
    exec(compile(start, "docs/embedding.md", "exec"), {})
