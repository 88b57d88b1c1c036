"""Inside a checkpoint: no byte changes unnoticed, and other content gets one line."""

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ohmgrid.config import Config
from ohmgrid.counters import Counters
from ohmgrid.devices.presets import preset
from ohmgrid.doors.arrays import read_arrays
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_core
from ohmgrid.net import state_sha256
from ohmgrid.training.data import Dataset
from ohmgrid.training.plan import Plan
from ohmgrid.training.runs import MARK, Checkpoint, read_checkpoint, read_run
from ohmgrid.training.session import Session

FLIPS = 200


def blobs() -> Dataset:
    rng = np.random.default_rng(3)
    labels = np.arange(30) % 3
    x = rng.integers(0, 4097, (30, 8)).astype(np.int32)
    return Dataset("blobs", x, labels, x[:9], labels[:9], (8,))


def session(config: Config | None = None) -> Session:
    plan = Plan("blobs", "", "8-4-3", epochs=2)
    config = config or Config()
    return Session(config, plan, blobs(), make_core("model", config, plan.net()))


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """A run in its second epoch."""
    run = session()
    run.start()
    blocks = iter(range(4))
    assert not run.run(lambda: next(blocks, None) is None, lambda progress: None, lambda row: None)
    assert run.progress.position == 16
    return run.checkpoint()


@pytest.fixture
def path(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    checkpoint.write(tmp_path / "checkpoint.npz")
    return tmp_path / "checkpoint.npz"


def refused(path: Path) -> str:
    """Return the line of a checkpoint that must be refused."""
    with pytest.raises(ConfigError) as caught:
        read_checkpoint(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def seal(path: Path, arrays: dict) -> None:
    """Write arrays as a checkpoint with a right digest: only what is in it can be wrong."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = MARK + bytes(64)
    content = file.getvalue()[:-64]
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())


def opened(path: Path) -> dict:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_a_run_is_read_back_as_it_was(checkpoint, path):
    found = read_run(path.parent)
    for name in ("plan", "config", "data_sha256", "progress", "history", "counters", "bits_sha256"):
        assert getattr(found, name) == getattr(checkpoint, name), name
    for one, other in zip(found.states, checkpoint.states, strict=True):
        assert one.steps == other.steps
        assert (one.weights == other.weights).all()


def test_weights_come_in_weight_units(checkpoint):
    (first, second), states = checkpoint.weights, checkpoint.states
    assert first.shape == (4, 9)
    assert second.shape == (3, 5)
    assert (first == states[0].weights * checkpoint.lsb).all()
    # A register of 18 bits, full scale beyond the widest bound.
    assert checkpoint.lsb * (1 << 17) == 2.0


def test_the_weight_of_a_pair_is_a_difference():
    run = session(Config(device=preset("pcm")))
    run.start()
    found = run.checkpoint()
    raw = found.states[0].weights * found.lsb
    assert (found.weights[0] == raw[0::2] - raw[1::2]).all()
    assert found.weights[0].shape == (4, 9)


def test_it_is_an_ordinary_file_of_arrays_as_documented(path, checkpoint):
    arrays = opened(path)
    meta = json.loads(arrays["meta"].tobytes())
    assert meta["format"] == 2
    assert meta["bits_sha256"] == checkpoint.bits_sha256
    assert arrays["weights_1"].dtype == np.dtype("<i4")
    assert arrays["steps_1"].tolist() == list(checkpoint.states[1].steps)
    raw = path.read_bytes()
    assert raw[-64:].decode() == hashlib.sha256(raw[:-64]).hexdigest()


def test_no_flipped_byte_goes_unnoticed(path, rng):
    """Names, sizes and times in the archive's own records are bytes like any other."""
    raw = path.read_bytes()
    places = set(rng.integers(0, len(raw), FLIPS).tolist())
    # And all of the last record, the digest with it.
    for place in sorted(places | set(range(len(raw) - 120, len(raw)))):
        flipped = bytearray(raw)
        flipped[place] ^= int(rng.integers(1, 256))
        path.write_bytes(flipped)
        line = refused(path)
        assert "damaged: its SHA-256" in line or "got something else" in line, (place, line)


@pytest.mark.slow
def test_no_single_flipped_bit_of_a_whole_checkpoint_goes_unnoticed(path):
    raw = path.read_bytes()
    for place in range(len(raw)):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        refused(path)


def test_no_cut_or_longer_file_goes_unnoticed(path):
    raw = path.read_bytes()
    for changed in (raw[:-1], raw[1:], raw + b"\0", raw[: len(raw) // 2], raw + raw, b"", b"PK"):
        path.write_bytes(changed)
        refused(path)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"format": 3}, "format: expected 2, which this program"),
        ({"format": "1"}, "meta.format: expected an integer, got '1'"),
        ({"more": 1}, "meta: object contains unknown field 'more'"),
        ({"data_sha256": "x"}, "meta.data_sha256: expected 'str' matching"),
        ({"bits_sha256": 64 * "0"}, "bits_sha256: expected the digest of these settings"),
        ({"settings": "seed = "}, "configuration: not valid TOML"),
        ({"settings": "seed = 1.5"}, "seed: expected an integer, got 1.5"),
        ({"settings": 3}, "meta.settings: expected a text, got 3"),
        ({"history": 3}, "meta.history: expected a list, got 3"),
        ({"history": [3]}, r"meta.history[0]: expected a table, got 3"),
        ({"history": []}, "history: expected a row for each of epochs 0..1"),
        ({"progress": {}}, "meta.progress: object missing required field 'epoch'"),
        ({"counters": 1}, "meta.counters: expected a table, got 1"),
        ({"counters": {}}, "counters"),
        ({"counters": {"x": [1, 2]}}, "counters"),
    ],
)
def test_other_content_with_a_right_digest_gets_one_line(change, line, path):
    arrays = opened(path)
    meta = json.loads(arrays["meta"].tobytes()) | change
    seal(path, arrays | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})
    assert line in refused(path)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"position": -1}, "meta.progress.position: expected 'int' >= 0"),
        ({"position": 1.5}, "meta.progress.position: expected an integer, got 1.5"),
        ({"position": True}, "meta.progress.position: expected an integer, got True"),
        ({"epoch": 3}, "progress.epoch: expected 0..2, got 3"),
        ({"epoch": 0}, "history: expected a row for each of epochs 0..0"),
        ({"hits": 17}, "progress.hits: expected at most 16, got 17"),
        ({"loss": -1.0}, "meta.progress.loss: expected 'float' >= 0"),
        ({"seconds": "0"}, "meta.progress.seconds: expected a number, got '0'"),
    ],
)
def test_another_progress_gets_one_line(change, line, path):
    arrays = opened(path)
    meta = json.loads(arrays["meta"].tobytes())
    meta["progress"] |= change
    seal(path, arrays | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})
    assert line in refused(path)


@pytest.mark.parametrize("position", [17, 30, 48, 10**12])
def test_a_position_that_no_run_stops_at_is_not_resumed(position, checkpoint):
    run = session()
    progress = replace(checkpoint.progress, position=position)
    with pytest.raises(ConfigError, match=r"progress\.position: expected|steps_0: expected"):
        run.resume(replace(checkpoint, progress=progress))


@pytest.mark.parametrize(
    ("name", "change", "line"),
    [
        ("weights_0", lambda w: w.astype(float), "weights_0: expected int32 .* got float64"),
        ("weights_0", lambda w: w.astype("<i2"), "weights_0: expected int32 .* got int16"),
        ("weights_0", lambda w: w.astype(">i4"), "weights_0: expected int32"),
        ("weights_0", lambda w: w != 0, "weights_0: expected int32 .* got bool"),
        ("weights_0", lambda w: w.astype(complex), "weights_0: expected numbers, got dtype"),
        ("weights_0", lambda w: w.astype(str), "weights_0: expected numbers, got dtype"),
        ("weights_0", lambda w: w.astype("M8[s]"), "weights_0: expected numbers, got dtype"),
        ("weights_0", lambda w: w.T, r"weights_0: expected int32 of shape \(4, 9\)"),
        ("weights_0", lambda w: w + (1 << 17), r"weights_0: expected weights in \+-131071"),
        ("steps_1", lambda s: -s, "steps_1: expected counts below"),
        ("steps_1", lambda s: s[:2], r"steps_1: expected int64 of shape \(3,\)"),
        ("meta", lambda m: m[:9], "meta: not valid JSON"),
        ("meta", lambda m: np.array(["{}"]), "meta: expected numbers, got dtype"),
    ],
)
def test_arrays_of_another_kind_get_one_line(name, change, line, path):
    arrays = opened(path)
    seal(path, arrays | {name: change(arrays[name])})
    with pytest.raises(ConfigError, match=line):
        read_checkpoint(path)


def test_missing_and_further_arrays_get_one_line(path):
    arrays = opened(path)
    for changed, line in (
        ({k: v for k, v in arrays.items() if k != "meta"}, "got other arrays"),
        (
            {k: v for k, v in arrays.items() if k != "steps_1"},
            "expected weights, steps of each tile",
        ),
        (arrays | {"more": arrays["steps_1"]}, "expected weights, steps of each tile"),
        (
            {k: v for k, v in arrays.items() if not k.endswith("_1")},
            "content: expected 2 tiles, got 1",
        ),
    ):
        seal(path, changed)
        assert line in refused(path)


# The door for arrays -----------------------------------------------------------------------------


def member(header: bytes, content: bytes = b"") -> io.BytesIO:
    """Return an archive with one member ``a`` of this header and content."""
    text = header.ljust(118) + b"\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        length = len(text).to_bytes(2, "little")
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + length + text + content)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("header", "line"),
    [
        (
            b"{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000,), }",
            "a: expected at",
        ),
        (b"{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }", "a: expected the 12 bytes"),
        (b"{'descr': '<i4', 'fortran_order': False, 'shape': (-1,), }", "a: expected the -4 bytes"),
        (b"{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }", "a: expected the 4 bytes"),
        (b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "a: expected numbers"),
        (b"{'descr': '<i4', 'fortran_order': False, 'shape': (3,", "content: expected an .npz"),
        (b"'" + b"(" * 100, "content: expected an .npz"),
        (b"{'descr': [('x', '<i4')], 'fortran_order': False, 'shape': (2,), }", "a: expected num"),
    ],
)
def test_a_header_is_not_believed(header, line):
    with pytest.raises(ConfigError) as caught:
        read_arrays(member(header, bytes(8)), lambda names: names)
    assert str(caught.value).startswith(line)


def test_a_bomb_is_refused_before_it_is_unpacked():
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296,), }"
    file = member(header, bytes(1 << 20))
    with pytest.raises(ConfigError, match="a: expected at most 2147483648 bytes"):
        read_arrays(file, lambda names: names)


def test_broken_compression_gets_one_line(rng):
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED):
        file = io.BytesIO()
        array = io.BytesIO()
        np.save(array, np.arange(1000))
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("a.npy", array.getvalue())
        raw = file.getvalue()
        for place in rng.integers(0, len(raw), 40).tolist():
            broken = bytearray(raw)
            broken[place] ^= 0xFF
            try:
                found = read_arrays(io.BytesIO(bytes(broken)), lambda names: names)
            except ConfigError:
                continue
            # What passed was not in the content: its checksum was compared.
            for values in found.values():
                assert (values == np.arange(1000)).all()


def test_counters_of_an_empty_run_are_read_back(tmp_path):
    run = session()
    run.start()
    run.checkpoint().write(tmp_path / "c.npz")
    found = read_checkpoint(tmp_path / "c.npz")
    assert isinstance(found.counters, Counters)
    assert found.history == []


def test_run_with_transfers_goes_on_from_its_checkpoint(tmp_path):
    """What lies between both arrays is in the file, and its hash is that of the states."""
    whole = session(Config(device=preset("agad-ecram")))
    whole.start()
    assert whole.run(lambda: False, lambda progress: None, lambda row: None)
    whole.checkpoint().write(tmp_path / "one.npz")
    found = read_checkpoint(tmp_path / "one.npz")
    assert state_sha256(found.states) == whole.state_sha256
    assert found.states[1].hidden["transfer_steps"][0] == found.states[1].steps[2]
    arrays = opened(tmp_path / "one.npz")
    seal(tmp_path / "two.npz", arrays | {"row_signs_0": np.full(4, 2, np.uint8)})
    assert "tile 0: row_signs: expected values of 0..1" in refused(tmp_path / "two.npz")
    seal(tmp_path / "two.npz", {k: v for k, v in arrays.items() if k != "buffer_0"})
    assert "steps, fast, transfer_steps, slow_pulses, buffer" in refused(tmp_path / "two.npz")
