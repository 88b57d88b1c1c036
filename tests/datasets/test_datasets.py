"""Data sets in the forms that people have: each becomes the examples that it holds."""

import gzip
import io
import struct

import numpy as np
import pytest
from PIL import Image

from ohmgrid.doors.checks import ConfigError
from ohmgrid.training.data import Preparation, load_data, load_examples


def idx(array):
    kinds = {"uint8": 8, "int32": 12, "float32": 13}
    head = bytes([0, 0, kinds[str(array.dtype)], array.ndim])
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return head + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def images(fixed_rng):
    """Ten images of 8x8 bytes, and their labels."""
    images = fixed_rng.integers(0, 256, (10, 8, 8), dtype=np.uint8)
    images[:, 0, 0] = 255
    return images, np.arange(10) % 3


def every_fifth(labels):
    """Return which examples are for the test: every fifth, counted class by class."""
    test = np.zeros(len(labels), bool)
    test[np.argsort(labels, kind="stable")[4::5]] = True
    return test


def expected(images):
    """Return bytes as the edge has them with 12 fraction bits."""
    return np.floor(images.reshape(len(images), -1) / 255 * 4096 + 0.5)


@pytest.mark.parametrize(
    ("form", "packed"),
    [
        ("{}-{}-idx{}-ubyte", False),
        ("{}-{}-idx{}-ubyte", True),
        ("{}-{}.idx{}-ubyte", False),
        ("emnist-letters-{}-{}-idx{}-ubyte", True),
    ],
)
def test_an_idx_folder(form, packed, images, tmp_path):
    pixels, labels = images
    test = "test" if form.startswith("emnist") else "t10k"
    for part, chosen in (("train", slice(0, 7)), (test, slice(7, None))):
        for kind, array in (("images", pixels), ("labels", labels.astype(np.uint8))):
            name = form.format(part, kind, 3 if kind == "images" else 1)
            content = idx(array[chosen])
            path = tmp_path / (name + (".gz" if packed else ""))
            path.write_bytes(gzip.compress(content) if packed else content)
    found = load_data(str(tmp_path), 12, 16)
    np.testing.assert_array_equal(found.train_x, expected(pixels[:7]))
    np.testing.assert_array_equal(found.test_x, expected(pixels[7:]))
    assert found.image == (8, 8)
    assert [*found.train_labels, *found.test_labels] == labels.tolist()


def test_an_idx_file_that_lacks_its_other_half_is_named(images, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images[0]))
    with pytest.raises(ConfigError, match=r"expected train-labels-idx1-ubyte, plain or .gz, besid"):
        load_data(str(tmp_path), 12, 16)


def table(rows, head=None, separator=","):
    lines = [] if head is None else [head]
    return "\n".join(separator.join(str(one) for one in line) for line in [*lines, *rows]) + "\n"


FLOWERS = [[5.1 + 0.1 * n, 3.5 - 0.1 * n, 1.4 + n, 0.25] for n in range(6)]
NAMES = ["setosa", "virginica", "versicolor"] * 2


def flowers(first, head, separator=",", numbers=False):
    labels = [sorted(set(NAMES)).index(name) for name in NAMES] if numbers else NAMES
    rows = [
        [label, *row] if first else [*row, label]
        for row, label in zip(FLOWERS, labels, strict=True)
    ]
    names = ["sl", "sw", "pl", "pw"]
    names = ["species", *names] if first else [*names, "species"]
    text = table(rows, names if head else None, separator)
    return text.replace(".", ",") if separator == ";" else text


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("numbers", [True, False])
def test_a_table_with_labels_first_or_last(separator, first, head, numbers, tmp_path):
    path = tmp_path / "flowers.csv"
    path.write_text("\ufeff" + flowers(first, head, separator, numbers), encoding="utf-8")
    found = load_data(str(path), 12, 16)
    # The rows by class are 0, 3; 2, 5; 1, 4: the fifth is row 1.
    rows = np.floor(np.array(FLOWERS) * 4096 + 0.5)
    np.testing.assert_array_equal(found.train_x, np.delete(rows, 1, axis=0))
    np.testing.assert_array_equal(found.test_x, rows[1:2])
    assert found.train_labels.tolist() == [0, 1, 0, 2, 1]
    assert found.test_labels.tolist() == [2]
    assert found.preparation.names == (() if numbers else ("setosa", "versicolor", "virginica"))
    assert any("1 of 6 examples, every fifth" in note for note in found.notes)


def test_a_label_that_cannot_be_told_is_asked_for(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(table([[n % 2, n / 10, n % 3] for n in range(12)], ["a", "b", "c"]))
    with pytest.raises(ConfigError, match="name it with --label first, last or its name"):
        load_data(str(path), 12, 16)
    for label, labels in (("first", 2), ("a", 2), ("last", 3), ("c", 3)):
        assert load_data(str(path), 12, 16, Preparation(label=label)).classes == labels
    with pytest.raises(ConfigError, match="label: expected one of 'first, last, a, b, c'"):
        load_data(str(path), 12, 16, Preparation(label="d"))


def test_a_column_that_numbers_the_rows_is_left_out(tmp_path):
    path = tmp_path / "t.csv"
    rows = [[n + 1, 0.5, 0.25, NAMES[n]] for n in range(6)]
    path.write_text(table(rows, ["Id", "a", "b", "Species"]))
    found = load_data(str(path), 12, 16)
    assert found.inputs == 2
    assert any("'Id' only numbers the rows of t.csv" in note for note in found.notes)


@pytest.fixture
def competition(images, tmp_path):
    """A folder with train.csv and a test.csv without labels."""
    pixels, labels = images
    names = [f"pixel{n}" for n in range(64)]
    rows = [[label, *one.ravel()] for one, label in zip(pixels, labels, strict=True)]
    (tmp_path / "train.csv").write_text(table(rows, ["label", *names]))
    (tmp_path / "test.csv").write_text(table([row[1:] for row in rows[:3]], names))
    return tmp_path


def test_an_unlabelled_test_file_is_told_and_can_be_tested_with(competition, images):
    pixels, labels = images
    found = load_data(str(competition), 12, 16)
    assert found.image == (8, 8)
    test = every_fifth(labels)
    np.testing.assert_array_equal(found.train_x, expected(pixels[~test]))
    np.testing.assert_array_equal(found.test_labels, labels[test])
    assert any(note.startswith("test.csv has no labels") for note in found.notes)
    path = str(competition / "test.csv")
    bare, none, _ = load_examples(path, 12, 16, found.preparation, found.inputs)
    np.testing.assert_array_equal(bare, expected(pixels[:3]))
    assert none is None
    pooled = load_data(str(competition), 12, 16, Preparation(pool=2))
    bare, none, _ = load_examples(path, 12, 16, pooled.preparation, pooled.inputs)
    assert (bare.shape, none) == ((3, 16), None)


def npz(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_labels_in_other_forms_and_integers_that_are_bytes(images, tmp_path):
    pixels, labels = images
    plain = {"train_images": pixels[:7], "train_labels": labels[:7]}
    plain |= {"test_images": pixels[7:], "test_labels": labels[7:]}
    same = load_data(npz(tmp_path / "a.npz", **plain), 12, 16)
    column = plain | {"train_labels": labels[:7, None], "test_labels": labels[7:, None]}
    column |= {"val_images": pixels, "val_labels": labels[:, None]}
    one_hot = plain | {
        "train_labels": np.eye(3, dtype=np.float32)[labels[:7]],
        "test_labels": np.eye(3)[labels[7:]],
    }
    wide = plain | {
        "train_images": pixels[:7].astype(np.int64),
        "test_images": pixels[7:].astype(np.int64),
    }
    for number, arrays in enumerate((column, one_hot, wide)):
        found = load_data(npz(tmp_path / f"{number}.npz", **arrays), 12, 16)
        assert found.sha256 == same.sha256
    notes = load_data(str(tmp_path / "0.npz"), 12, 16).notes
    assert notes == ("val_images is not used: there is no validation",)
    single = load_data(npz(tmp_path / "s.npz", X=pixels, y=labels), 12, 16)
    np.testing.assert_array_equal(single.test_labels, labels[every_fifth(labels)])


def test_every_class_has_its_part_of_the_test_however_a_file_is_sorted(rng, tmp_path):
    for labels in (np.arange(100) % 5, np.arange(100) // 20, rng.permutation(100) % 5):
        for form in (labels, labels[:, None], np.eye(5)[labels]):
            found = load_data(npz(tmp_path / "d.npz", x=np.zeros((100, 2)), y=form), 12, 16)
            assert np.bincount(found.test_labels).tolist() == [4] * 5


def test_folders_of_pictures(images, tmp_path):
    pixels, labels = images
    for number, (one, label) in enumerate(zip(pixels, labels, strict=True)):
        for top in ("flat", "train/train", "train/test"):
            folder = tmp_path / top / "abc"[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(one).save(folder / f"{number}.png")
    order = np.argsort(labels, kind="stable")
    found = load_data(str(tmp_path / "train"), 12, 16)
    assert found.preparation.names == ("a", "b", "c")
    np.testing.assert_array_equal(found.test_x, expected(pixels[order]))
    np.testing.assert_array_equal(found.test_labels, labels[order])
    split = load_data(str(tmp_path / "flat"), 12, 16)
    np.testing.assert_array_equal(split.test_labels, labels[order][4::5])
    Image.fromarray(pixels[0, :4]).save(tmp_path / "flat" / "b" / "0.png")
    with pytest.raises(ConfigError, match=r"expected 8x8 pixels .* as all before, got 4x8"):
        load_data(str(tmp_path / "flat"), 12, 16)


@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_a_scaling_is_that_of_the_training_part_alone(scale, rng, tmp_path):
    train, test = rng.normal(50, 20, (30, 3)), rng.normal(60, 30, (10, 3))
    train[:, 2] = 7.0
    arrays = {"x_train": train, "y_train": np.arange(30) % 2, "x_test": test}
    path = npz(tmp_path / "d.npz", **arrays, y_test=np.arange(10) % 2)
    found = load_data(path, 12, 16, Preparation(scale=scale))
    if scale == "minmax":
        low, span = train.min(axis=0), np.ptp(train, axis=0)
    else:
        low, span = train.mean(axis=0), train.std(axis=0)
    span[2] = np.inf
    for values, pixels in ((train, found.train_x), (test, found.test_x)):
        exact = np.clip((values - low) / span, -32767 / 4096, 32767 / 4096) * 4096
        assert np.abs(pixels - exact).max() <= 0.5 + 1e-6
    # Other test examples change nothing; what was learned scales examples that come after.
    other = npz(tmp_path / "o.npz", **arrays | {"x_test": test * 2}, y_test=np.arange(10) % 2)
    again = load_data(other, 12, 16, Preparation(scale=scale))
    assert again.preparation == found.preparation
    pixels, labels, _ = load_examples(path, 12, 16, found.preparation, 3)
    np.testing.assert_array_equal(pixels, found.test_x)
    np.testing.assert_array_equal(labels, found.test_labels)


def test_images_have_one_scaling_for_all_pixels(tmp_path):
    x = np.arange(6 * 4.0).reshape(6, 2, 2)
    path = npz(tmp_path / "d.npz", x=x, y=np.arange(6) % 2)
    with pytest.raises(ConfigError, match=r"got 0\.\.23; --scale minmax takes any range"):
        load_data(path, 12, 16)
    found = load_data(path, 12, 16, Preparation(scale="minmax"))
    scaling = found.preparation.scaling
    assert scaling is not None
    assert (scaling.offset, scaling.factor) == ((0.0,), (1 / 23,))


def test_pooling_is_the_mean_of_squares(images, tmp_path):
    pixels, labels = images
    path = npz(tmp_path / "d.npz", x=pixels, y=labels)
    found = load_data(path, 12, 16, Preparation(pool=2))
    means = pixels.reshape(10, 4, 2, 4, 2).mean(axis=(2, 4))
    test = every_fifth(labels)
    np.testing.assert_array_equal(found.train_x, expected(means[~test]))
    assert found.image == (4, 4)
    for how in (Preparation(pool=3), Preparation((5, 5), 2)):
        with pytest.raises(ConfigError, match="pool: expected a size that divides images of"):
            load_data(path, 12, 16, how)
    assert load_data(path, 12, 16, Preparation((6, 6), 3)).image == (2, 2)


def _wrong_files():
    """Yield names and contents of a hundred files and folders that hold no data set."""
    good = table([[n % 3, n / 10, 0.5] for n in range(10)], ["label", "a", "b"])
    lines = good.splitlines()
    head = idx(np.zeros((3, 2, 2), np.uint8))
    labels = idx(np.arange(3, dtype=np.uint8))
    texts = {
        "empty": "",
        "blank": "\n\n  \n",
        "head": lines[0],
        "one row": "\n".join(lines[:2]),
        "four rows": "\n".join(lines[:5]),
        "short row": good + "1,2\n",
        "long row": good + "1,2,3,4\n",
        "text": good + "1,x,3\n",
        "hex": good + "1,0x10,3\n",
        "underscore": good + "1,1_0,3\n",
        "gap": good + "1,,3\n",
        "question mark": good + "1,?,3\n",
        "nan": good + "1,nan,3\n",
        "inf": good + "1,inf,3\n",
        "huge": good + "1,1e300,3\n",
        "beyond floats": good + "1,1e999,3\n",
        "beyond the edge": good + "1,9,3\n",
        "minus infinity": good + "1,-inf,3\n",
        "label nan": good + "nan,1,3\n",
        "label minus": good + "-1,1,3\n",
        "label half": good + "0.5,1,3\n",
        "label large": good + "70000,1,3\n",
        "label text": good + "three,1,3\n",
        "quote": good + '"1,2,3\n',
        "quote inside": good + '1,"2"3,4\n',
        "nul": good + "1,\x00,3\n",
        "mixed separators": good.replace(",", ";") + "1,2,3\n",
        "decimal commas unquoted": table([["0,5", "1,5", n % 2] for n in range(9)]) + "0,5,1\n",
        "two texts": table([["a", "b", n] for n in range(9)]),
        "only texts": table([["a", "b"]] * 9),
        "one column": "\n".join(map(str, range(9))),
        "only labels": "label\n" + "\n".join("0123456789"),
        "no label": table([[n / 7, n / 9] for n in range(9)]),
        "both ends": table([[n % 2, 0.5, n % 3] for n in range(9)]),
        "two heads": table([["label", "b"], [1, 2]], ["label", "b"]),
        "html": "<!DOCTYPE html><html>\n<body>Not found</body>\n</html>\n",
        "json": '{"data": [1, 2, 3],\n "target": [0, 1]}\n',
        "python": "import numpy as np\nx = np.zeros(3)\nprint(x)\n",
        "prose": "Dear user,\nplease find\nattached nothing, really.\n",
        "arabic digits": good + "1,\u0663,3\n",
        "full stop": good + "1,1.2.3,3\n",
        "spaces in numbers": good + "1,1 000,3\n",
        "currency": good + "1,$5,3\n",
        "percent": good + "1,5%,3\n",
        "date": good + "1,2020-01-01,3\n",
        "formula": good + "1,=A1,3\n",
        "true": good + "1,true,3\n",
    }
    for name, text in texts.items():
        yield f"{name}.csv", text.encode()
    yield "latin.csv", (good + "1,\xe9,3\n").encode("latin-1")
    yield "utf16.csv", good.encode("utf-16")
    yield "utf32.csv", good.encode("utf-32")
    yield "binary.csv", bytes(range(256)) * 8
    yield "zip.csv", b"PK\x03\x04" + bytes(60)
    yield "gzip.csv", gzip.compress(good.encode())
    arrays = io.BytesIO()
    np.savez(arrays, x=np.zeros((6, 4)), y=np.arange(6) % 2)
    whole = arrays.getvalue()
    yield "array.csv", whole
    yield "empty.npz", b""
    yield "text.npz", good.encode()
    for part in (10, 60, 200, len(whole) - 30, len(whole) - 1):
        yield f"cut {part}.npz", whole[:part]
    for name, members in {
        "names": {"a": np.zeros(3)},
        "strings": {"x": np.array([["a"]] * 6), "y": np.arange(6)},
        "complex": {"x": np.zeros((6, 2), complex), "y": np.arange(6)},
        "dates": {"x": np.zeros((6, 2), "M8[s]"), "y": np.arange(6)},
        "scalar": {"x": np.float64(1), "y": np.arange(6)},
        "flat": {"x": np.zeros(6), "y": np.arange(6)},
        "none": {"x": np.zeros((0, 3)), "y": np.zeros(0, int)},
        "no inputs": {"x": np.zeros((6, 0)), "y": np.arange(6)},
        "nan": {"x": np.full((6, 2), np.nan), "y": np.arange(6)},
        "large": {"x": np.full((6, 2), 1e200), "y": np.arange(6)},
        "int16": {"x": np.full((6, 2), -3000, np.int16), "y": np.arange(6)},
        "few labels": {"x": np.zeros((6, 2)), "y": np.arange(5)},
        "half labels": {"x": np.zeros((6, 2)), "y": np.arange(6) / 2},
        "minus labels": {"x": np.zeros((6, 2)), "y": np.arange(6) - 1},
        "large labels": {"x": np.zeros((6, 2)), "y": np.arange(6) * 20000},
        "no one-hot": {"x": np.zeros((6, 2)), "y": np.ones((6, 3))},
        "zero one-hot": {"x": np.zeros((6, 2)), "y": np.zeros((6, 3))},
        "half one-hot": {"x": np.zeros((6, 2)), "y": np.full((6, 2), 0.5)},
        "cube of labels": {"x": np.zeros((6, 2)), "y": np.zeros((6, 1, 1), int)},
        "too few": {"x": np.zeros((3, 2)), "y": np.arange(3)},
    }.items():
        file = io.BytesIO()
        np.savez(file, **members)
        yield f"{name}.npz", file.getvalue()
    images, other = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
    for name, files in {
        "nothing": {},
        "a note": {"README": b"no data"},
        "empty idx": {images: b"", other: labels},
        "short idx": {images: head[:3], other: labels},
        "cut idx": {images: head[:-1], other: labels},
        "long idx": {images: head + b"0", other: labels},
        "magic": {images: b"\x01" + head[1:], other: labels},
        "type": {images: b"\0\0\x0a" + head[3:], other: labels},
        "dimensions": {images: b"\0\0\x08\x09" + head[4:], other: labels},
        "claims": {images: head[:4] + b"\xff" * 12, other: labels},
        "no gzip": {images + ".gz": head, other: labels},
        "cut gzip": {images + ".gz": gzip.compress(head)[:-9], other: labels},
        "swapped": {images: labels, other: head},
        "fewer labels": {images: head, other: idx(np.arange(2, dtype=np.uint8))},
        "labels alone": {other: labels},
        "test alone": {"t10k-images-idx3-ubyte": head, "t10k-labels-idx1-ubyte": labels},
        "empty train.csv": {"train.csv": b""},
        "other test.csv": {"train.csv": good.encode(), "test.csv": b"a\n1\n"},
        "no picture": {"cat/a.png": b"no picture", "dog/b.png": b""},
        "cut picture": {"cat/a.png": b"\x89PNG\r\n\x1a\n" + bytes(30)},
    }.items():
        yield name, files


WRONG = list(_wrong_files())


def test_there_are_a_hundred_of_them():
    assert len(WRONG) >= 90
    assert len({name for name, _ in WRONG}) == len(WRONG)


@pytest.mark.parametrize(("name", "content"), WRONG, ids=[name for name, _ in WRONG])
def test_a_wrong_file_gets_one_line(name, content, tmp_path):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.mkdir()
        for inside, data in content.items():
            (path / inside).parent.mkdir(exist_ok=True)
            (path / inside).write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_data(str(path), 12, 16)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    assert len(line) < len(str(path)) * 2 + 500
