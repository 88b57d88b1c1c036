"""``ohmgrid compare``: what it finds equal, and the names of the first value that is not."""

import json
import shlex
import sys
import tomllib
import types
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from click.testing import CliRunner
from tile_cases import BUILDS

from ohmgrid import engines
from ohmgrid.cli import cli
from ohmgrid.compiled.core import CompiledCore
from ohmgrid.model.core.core import Core
from ohmgrid.model.core.tile import Tile
from ohmgrid.sim.rtl import RtlCore
from ohmgrid.tile import TileState, make_tiles

PLANTED = 13
"""Example at which a fault is planted: the second of a mini-batch of 3."""


def run(*words: object, status: int = 0) -> str:
    """Run ``ohmgrid compare``; return what it printed on stdout."""
    result = CliRunner().invoke(cli, ["compare", *(str(word) for word in words)])
    assert result.exit_code == status, (result.stdout, result.stderr, result.exception)
    return result.stdout


def differs(*words: object) -> dict:
    """Return the JSON of a comparison that finds a difference."""
    found = json.loads(run(*words, "--json", status=1))
    assert found["equal"] is False
    return found


def named(found: dict) -> tuple:
    """Return example, step, layer, what, row and column of the first difference."""
    first = found["first_difference"]
    assert first["repeats"]
    return tuple(first[key] for key in ("example", "step", "layer", "what", "row", "col"))


@pytest.fixture
def small(blobs, tmp_path, monkeypatch) -> tuple:
    """Words of a small comparison, in a folder of its own, on a build that other tests have."""
    monkeypatch.chdir(tmp_path)
    build = {key: value for key, value in asdict(BUILDS[4]).items() if value is not None}
    Path("c.toml").write_text(tomli_w.dumps({"build": build}))
    return ("--data", blobs, "--layers", "16-6-3", "--config", "c.toml")


@pytest.fixture
def other_engine(monkeypatch):
    """Put another class, called as an engine's, behind the name ``rtl``."""

    def put(engine):
        module = types.SimpleNamespace(Other=engine)
        monkeypatch.setitem(sys.modules, "engine_for_tests", module)
        monkeypatch.setitem(engines.ENGINES, "rtl", "engine_for_tests:Other")

    return put


def with_tiles(tile_class):
    """Return an engine: the golden core with another class of tile."""

    def make(config, net, threads):
        return Core(config, net, threads, make_tiles(tile_class, config, net.shapes))

    return make


def test_equal_engines_are_equal(small, other_engine):
    other_engine(with_tiles(Tile))
    found = json.loads(run(*small, "--steps", 25, "--json"))
    assert found["engines"] == ["model", "rtl"]
    assert found["equal"] is True
    assert (found["cells"], found["steps"], found["batch"]) == (6 * 17 + 3 * 7, 25, 1)
    assert found["first_difference"] is found["repeat"] is None
    assert len(found["state_sha256"]) == 64
    assert "25 training steps: equal" in run(*small, "--steps", 25)


def test_a_key_that_is_not_used_is_told(small, other_engine):
    other_engine(with_tiles(Tile))
    training = {"epochs": 3, "lr_decay": 0.5}
    config = tomllib.loads(Path("c.toml").read_text()) | {"training": training}
    Path("c.toml").write_text(tomli_w.dumps(config))
    result = CliRunner().invoke(cli, ["compare", *small, "--steps", "2"])
    lines = (
        "warning: training.epochs: not used, --steps says how many examples are compared\n"
        "warning: training.lr_decay: not used, all steps have the rate of the first epoch\n"
    )
    assert (result.stderr, result.exit_code) == (lines, 0)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("loss", ["cross-entropy", "squared"])
def test_all_engines_train_alike_by_their_own_means(small, batch, loss):
    which = ("--engines", "model,compiled,rtl", "--batch", batch, "--loss", loss, "--steps", 22)
    found = json.loads(run(*small, *which, "--json"))
    assert (found["equal"], found["batch"]) == (True, batch)


# Verb by verb ------------------------------------------------------------------------------------


def test_a_cell_that_a_verb_gets_wrong_is_named(small, other_engine):
    class Faulty(Tile):
        """Gets one cell wrong by one LSB in the update with one example."""

        def update(self, x, d, lr):
            super().update(x, d, lr)
            if self.number == 1 and self.state().steps[2] == PLANTED + 1:
                self.weights[2, 5] += 1

    other_engine(with_tiles(Faulty))
    found = differs(*small, "--steps", 30, "--batch", 3)
    assert named(found) == (PLANTED, "update", 1, "cell", 2, 5)
    first = found["first_difference"]
    assert first["values"]["rtl"] == first["values"]["model"] + 1
    assert first["found_in"] == "verbs"
    line = f"example {PLANTED}, update of layer 1, cell row 2 col 5: model: "
    assert line in run(*small, "--steps", 30, status=1)
    # Verb by verb an example is a mini-batch of its own, whatever was asked for.
    assert " --batch 1 --example 13 " in found["repeat"]


@pytest.mark.parametrize("verb", ["forward", "backward"])
def test_an_output_of_a_verb_is_named(small, other_engine, verb):
    layer = 1

    def wrong(self, values):
        result = getattr(Tile, verb)(self, values)
        count = self.state().steps[("forward", "backward").index(verb)]
        if self.number == layer and count == 4:
            result = result + (np.arange(len(result)) == 2)
        return result

    other_engine(with_tiles(type("Faulty", (Tile,), {verb: wrong})))
    place = (2, None) if verb == "forward" else (None, 2)
    assert named(differs(*small)) == (3, verb, layer, "output", *place)


def test_an_engine_that_does_not_repeat_itself_is_told(small, other_engine):
    class Faulty(Tile):
        faults = iter([1])

        def update(self, x, d, lr):
            super().update(x, d, lr)
            if self.state().steps[2] == PLANTED:
                self.weights[0, 0] += next(self.faults, 0)

    other_engine(with_tiles(Faulty))
    found = differs(*small, "--steps", 30)
    assert found["first_difference"]["repeats"] is False
    assert found["first_difference"]["what"] == "cell"


# In the engines' own training --------------------------------------------------------------------


def plant(monkeypatch, fault) -> None:
    """Have the compiled engine's own training go wrong once it has trained `PLANTED`."""
    real = CompiledCore._train

    def faulty(self, pixels, labels, lr, batch):
        before = int(self._net.layers[0].steps[2])
        hits, words = real(self, pixels, labels, lr, batch)
        if before <= PLANTED < before + len(labels):
            fault(self, words, PLANTED - before)
        return hits, words

    monkeypatch.setattr(CompiledCore, "_train", faulty)


def wrong_cell(core, words, place):
    state = core.tiles[1].state()
    state.weights[2, 5] += 1
    core.tiles[1].load(state)


def wrong_counter(core, words, place):
    core.counters.add(0, adc_backward=3)


def wrong_error_counter(core, words, place):
    core.counters.add(0, error=1)


def wrong_answer(core, words, place):
    words[place] += 1


def wrong_activation(core, words, place):
    # Of the first layer, line 3, as the update of the next one sees it.
    core._signals.x[place % len(core._signals.x), core._net.layers[1].col + 3] += 1


FAULTS = [
    (wrong_cell, ("update", 1, "cell", 2, 5), 1),
    (wrong_counter, ("backward", 0, "counter adc_backward[0]", None, None), 3),
    (wrong_error_counter, ("backward", 1, "counter error[0]", None, None), 1),
    (wrong_answer, ("loss", 1, "p[label]", None, None), 1),
]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("fault", "name", "more"), FAULTS)
def test_a_fault_of_a_trainer_is_named(small, monkeypatch, batch, fault, name, more):
    plant(monkeypatch, fault)
    found = differs(*small, "--engines", "model,compiled", "--steps", 30, "--batch", batch)
    assert named(found) == (PLANTED, *name)
    first = found["first_difference"]
    assert first["values"]["compiled"] == first["values"]["model"] + more
    assert first["found_in"] == "trainers"


def test_the_step_before_is_named_where_a_fault_begins(small, monkeypatch):
    """A cell differs, because an activation did: the forward step is the first."""

    def fault(core, words, place):
        wrong_activation(core, words, place)
        wrong_cell(core, words, place)

    plant(monkeypatch, fault)
    found = differs(*small, "--engines", "compiled,rtl", "--steps", 20, "--batch", 3)
    assert named(found) == (PLANTED, "forward", 0, "activation", 3, None)
    # The golden model is asked, though it was not among them.
    values = found["first_difference"]["values"]
    assert values["compiled"] == values["model"] + 1


def test_an_update_that_a_refresh_follows_says_so(small, monkeypatch):
    plant(monkeypatch, wrong_cell)
    pair = (
        'class = "OneSided"\nrefresh_every = 7\ndevice = { class = "SoftBounds", dw_min = 0.01 }\n'
    )
    Path("d.toml").write_text(pair)
    device = ("--device", "d.toml", "--engines", "model,compiled", "--steps", 14)
    assert named(differs(*small, *device))[:4] == (PLANTED, "update, refresh", 1, "cell")


@pytest.mark.parametrize("batch", [1, 3])
def test_the_printed_command_repeats_it_with_a_waveform(small, monkeypatch, batch):
    """A cell of the gateware changes behind its back; the file holds the example."""
    real = RtlCore.run

    def faulty(self, steps, pixels, labels, order):
        before = self.tiles[0].state().steps[2]
        answers = real(self, steps, pixels, labels, order)
        if order.counters and before <= PLANTED < before + len(labels):
            tile = self.tiles[0]
            state = tile.state()
            state.weights[4, 16] -= 2
            tile.load(TileState(state.weights, state.steps))
        return answers

    monkeypatch.setattr(RtlCore, "run", faulty)
    found = differs(*small, "--steps", 20, "--batch", batch)
    assert named(found) == (PLANTED, "update", 0, "cell", 4, 16)
    _, verb, *words = shlex.split(found["repeat"])
    assert verb == "compare"
    assert words[-4:] == ["--example", str(PLANTED), "--waveform", "difference.vcd"]
    again = differs(*words)
    assert again["first_difference"] == found["first_difference"]
    cycles = again["waveform"]["cycles"]
    taken, times = words_taken(Path("difference.vcd").read_text())
    size = PLANTED % batch + 1
    # The fault itself is in the file, too: cells come in by the same stream.
    assert times >= 2 * cycles
    taken = np.array(taken[: 17 * size]).reshape(size, 17)
    with np.load(small[1]) as data:
        labels, images = data["train_labels"], data["train_images"].reshape(-1, 16)
    assert taken[-1, 0] in labels
    assert [row for row in images if is_scaled(row, taken[-1, 1:])]


def is_scaled(pixels: np.ndarray, edge: np.ndarray) -> bool:
    """Return whether pixels, 0..255, are these values at the edge (12 fraction bits)."""
    return bool(np.abs(pixels / 255 - edge / 4096).max() < 1e-3)


def words_taken(vcd: str) -> tuple[list[int], int]:
    """Return the words that the stream ``i`` took, and how many times the file tells of."""
    head, _, body = vcd.partition("$enddefinitions $end\n")
    names = {}
    for line in head.splitlines():
        if line.startswith("$var"):
            _, _, _, identifier, name, _ = line.split()
            names.setdefault(name, identifier)
    values: dict[str, int] = {}
    taken, times = [], 0
    for line in body.splitlines():
        if line[0] == "#":
            # What stands before a clock edge is there until the next rising one.
            if times % 2 and values[names["i__valid"]] and values[names["i__ready"]]:
                taken.append(values[names["i__payload"]])
            times += 1
        elif line[0] == "b":
            bits, identifier = line[1:].split()
            values[identifier] = int(bits, 2)
        else:
            values[line[1:]] = int(line[0])
    return taken, times


def test_an_example_alone_is_compared(small):
    found = json.loads(run(*small, "--engines", "model,compiled", "--example", 9, "--json"))
    assert (found["equal"], found["example"], found["steps"]) == (True, 9, None)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--waveform", "x.txt"), "waveform: expected a file FILE.vcd, got x.txt"),
        (("--waveform", "none/x.vcd"), "waveform: expected a folder that exists, got none"),
        (("--waveform", "f.vcd"), "waveform: expected a file, got the folder f.vcd"),
        (("--waveform", "old.vcd"), "waveform: expected a new file, got old.vcd, which exists"),
        (("--waveform", ""), "waveform: expected a file, got ''"),
        (("--example", "-1"), "example: expected 0..1000000000, got -1"),
        (("--example", "1", "--steps", "5"), "steps: expected without --example and --waveform"),
    ],
)
def test_a_wrong_waveform_or_example_gets_one_line(small, words, line):
    Path("f.vcd").mkdir()
    Path("old.vcd").touch()
    result = CliRunner().invoke(cli, ["compare", *small, *words])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {line}")
    assert len(result.stderr.splitlines()) == 1
