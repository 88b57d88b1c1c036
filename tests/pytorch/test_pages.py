"""Python on the pages of the documentation that needs torch runs as it stands there."""

import pytest
from doc_blocks import run_page

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("page", ["README.md", "docs/torch.md"])
def test_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(page)
