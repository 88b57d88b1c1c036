"""A sweep's table: rows that were cut off, other columns, two sweeps at once."""

import pytest

from ohmgrid.doors.checks import ConfigError
from ohmgrid.sweeps.table import ResultTable, read_results

COLUMNS = ["run", "lr", "test_accuracy"]


def test_rows_stay_and_one_that_was_cut_off_does_not(tmp_path):
    path = tmp_path / "results.csv"
    with ResultTable(path, COLUMNS) as table:
        table.add({"run": "a", "lr": 0.1, "test_accuracy": 0.5})
        table.add({"run": "b", "test_accuracy": 0.25})
    whole = path.read_bytes()
    path.write_bytes(whole + b'c,"0.')
    with ResultTable(path, COLUMNS) as table:
        assert table.known == {"a", "b"}
        assert path.read_bytes() == whole
        table.add({"run": "c", "lr": "x,y", "test_accuracy": 1})
    rows = read_results(path)
    assert [row["run"] for row in rows] == ["a", "b", "c"]
    assert [row["lr"] for row in rows] == ["0.1", "", "x,y"]


def test_a_table_of_other_columns_is_left_alone(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("run,other\na,1\n")
    with (
        pytest.raises(ConfigError, match=r"expected the columns .*lr.*; got run, other"),
        ResultTable(path, COLUMNS),
    ):
        pass
    assert path.read_text() == "run,other\na,1\n"


def test_two_sweeps_do_not_write_to_one_table(tmp_path):
    path = tmp_path / "results.csv"
    with (
        ResultTable(path, COLUMNS),
        pytest.raises(ConfigError, match="is another sweep's at work"),
        ResultTable(path, COLUMNS),
    ):
        pass
    with pytest.raises(ConfigError, match="expected a sweep's table"):
        read_results(tmp_path / "none.csv")
