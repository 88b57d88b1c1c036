"""Data sets: what is accepted, how it is scaled, and the line each wrong file gets."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ohmgrid.doors.checks import ConfigError
from ohmgrid.training import data as data_module
from ohmgrid.training.data import KEYS, crop_images, load_data, parse_crop


def arrays(**changes):
    """Four valid arrays with some replaced."""
    valid = {
        "train_images": np.arange(5 * 4 * 6, dtype=np.uint8).reshape(5, 4, 6),
        "train_labels": np.array([0, 1, 2, 1, 0]),
        "test_images": np.full((2, 4, 6), 255, np.uint8),
        "test_labels": np.array([2, 0]),
    }
    return {**valid, **changes}


def write(path, content):
    np.savez(path, **content)
    return str(path)


def test_digits_are_split_by_every_fifth_image():
    pixels, labels = load_digits(return_X_y=True)
    digits = load_data("digits", 12, 16)
    assert (digits.train_x.shape, digits.test_x.shape) == ((1438, 64), (359, 64))
    assert (digits.image, digits.classes) == ((8, 8), 10)
    np.testing.assert_array_equal(digits.test_x, pixels[4::5] * 256)
    np.testing.assert_array_equal(digits.test_labels, labels[4::5])
    train = np.delete(pixels, np.s_[4::5], axis=0)
    np.testing.assert_array_equal(digits.train_x, train * 256)


@pytest.mark.parametrize("keys", KEYS)
def test_a_file_of_bytes_is_scaled_to_one(keys, tmp_path):
    content = dict(zip(keys, arrays().values(), strict=True))
    found = load_data(write(tmp_path / "d.npz", content), 12, 16)
    assert found.image == (4, 6)
    assert found.test_x.min() == found.test_x.max() == 4096
    exact = np.arange(5 * 24).reshape(5, 24) / 255 * 4096
    assert np.abs(found.train_x - exact).max() <= 0.5
    assert found.train_labels.tolist() == [0, 1, 2, 1, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_taken_as_they_are(dtype, tmp_path):
    content = arrays(
        train_images=np.linspace(-7.9, 7.9, 15, dtype=dtype).reshape(5, 3),
        test_images=np.zeros((2, 3), dtype),
    )
    found = load_data(write(tmp_path / "d.npz", content), 12, 16)
    exact = content["train_images"].astype(float) * 4096
    assert np.abs(found.train_x - exact).max() <= 0.5


def test_one_is_the_largest_value_where_no_integer_bit_is_left(tmp_path):
    found = load_data(write(tmp_path / "d.npz", arrays()), 15, 16)
    assert found.test_x.max() == 32767


def test_a_crop_keeps_the_middle():
    rows, columns = np.mgrid[0:28, 0:28]
    images = (rows * 100 + columns)[None]
    cropped = crop_images(images, parse_crop("22x24"))
    assert cropped.shape == (1, 22, 24)
    assert cropped[0, 0, 0] == 302
    assert cropped[0, -1, -1] == 2425
    assert crop_images(images, (27, 27))[0, -1, -1] == 2626


def test_mnist_comes_from_the_folder_in_the_environment(tmp_path, monkeypatch):
    write(tmp_path / "mnist.npz", arrays())
    monkeypatch.setenv("OHMGRID_DATA", str(tmp_path))
    assert load_data("mnist", 12, 16, (2, 2)).image == (2, 2)


def test_mnist_without_file_and_network_gets_one_line(tmp_path, monkeypatch):
    def fetch(*arguments, **options):
        raise OSError("no route\nto host")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    for folder in (None, str(tmp_path)):
        if folder is None:
            monkeypatch.delenv("OHMGRID_DATA", raising=False)
        else:
            monkeypatch.setenv("OHMGRID_DATA", folder)
        with pytest.raises(ConfigError, match=r"OHMGRID_DATA names, or a network.*no route"):
            load_data("mnist", 12, 16)


def test_fetched_mnist_is_split_in_its_order(monkeypatch):
    fetched = np.zeros((70000, 784)), np.array(["5"] * 60000 + ["7"] * 10000)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *a, **k: fetched)
    monkeypatch.delenv("OHMGRID_DATA", raising=False)
    found = data_module._fetch_mnist()
    assert found["train_images"].shape == (60000, 28, 28)
    assert set(found["train_labels"].tolist()) == {5}
    assert found["test_labels"].tolist() == [7] * 10000


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"train_images": np.zeros((5, 4, 6), np.int64)}, "type uint8 or float, got int64"),
        ({"train_images": np.full((5, 4, 6), np.nan)}, "train_images: expected finite pixels"),
        ({"test_images": np.full((2, 4, 6), np.inf)}, "test_images: expected finite pixels"),
        ({"test_images": np.full((2, 4, 6), 9.0)}, r"expected pixels within \+-8, got 9..9"),
        ({"test_images": np.zeros((2, 4, 5), np.uint8)}, r"shape \(4, 6\) as in train_images"),
        ({"train_images": np.zeros(5)}, r"shape \(examples, height, width\).*got \(5,\)"),
        ({"train_images": np.zeros((0, 4, 6))}, r"expected shape .*got \(0, 4, 6\)"),
        ({"train_labels": np.zeros(4, int)}, "expected 5 integer labels, got int64"),
        ({"train_labels": np.zeros(5)}, "expected 5 integer labels, got float64"),
        ({"test_labels": np.array([0, -1])}, r"expected labels in 0..65535, got -1..0"),
        ({"train_images": np.array([{}] * 5)}, "train_images: expected numbers, got dtype"),
    ],
)
def test_a_wrong_array_gets_one_line(changes, line, tmp_path):
    path = write(tmp_path / "d.npz", arrays(**changes))
    with pytest.raises(ConfigError, match=line) as caught:
        load_data(path, 12, 16)
    assert "\n" not in str(caught.value)


def test_wrong_files_and_names_get_one_line(tmp_path):
    broken, single = tmp_path / "broken.npz", tmp_path / "single.npz"
    broken.write_bytes(b"PK\x03\x04nothing")
    with single.open("wb") as file:
        np.save(file, np.zeros(3))
    (tmp_path / "folder.npz").mkdir()
    for name, line in (
        (str(broken), "content: expected an .npz file of plain arrays, got: File is not a zip"),
        (str(single), "content: expected an .npz file of plain arrays, got"),
        (str(tmp_path / "none.npz"), "cannot be read: No such file"),
        (str(tmp_path / "folder.npz"), "cannot be read: Is a directory"),
        (
            write(tmp_path / "keys.npz", {"images": np.zeros(3)}),
            "expected the arrays .*got 'images'",
        ),
        ("cifar", "data: expected digits, mnist or a file FILE.npz, got 'cifar'"),
    ):
        with pytest.raises(ConfigError, match=line):
            load_data(name, 12, 16)


@pytest.mark.parametrize("text", ["", "22", "22x", "0x5", "-1x5", "22x24x3", "axb", "22 x 24"])
def test_a_wrong_crop_gets_one_line(text):
    with pytest.raises(ConfigError, match="crop: expected HEIGHTxWIDTH such as 22x24"):
        parse_crop(text)


@pytest.mark.parametrize("crop", [(5, 6), (4, 7)])
def test_a_crop_beyond_the_image_gets_one_line(crop, tmp_path):
    path = write(tmp_path / "d.npz", arrays())
    with pytest.raises(ConfigError, match="crop: expected at most the image's 4x6"):
        load_data(path, 12, 16, crop)


def test_the_hash_sees_every_example(tmp_path):
    path = write(tmp_path / "d.npz", arrays())
    one = load_data(path, 12, 16)
    assert one.sha256 == load_data(path, 12, 16).sha256
    other = load_data(write(path, arrays(test_labels=np.array([2, 1]))), 12, 16)
    assert one.sha256 != other.sha256
