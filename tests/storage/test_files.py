"""Files are whole or absent, whatever happens to their writers; nothing of a user's is touched."""

import errno
import os
import subprocess
import sys
import threading
import time

import pytest

from ohmgrid.storage.files import make_folder, write_whole


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_replaced_as_a_whole(tmp_path):
    file = tmp_path / "a.txt"
    write_whole(file, lambda to: to.write(b"old and longer\n"))
    write_whole(file, lambda to: to.write(b"new\n"))
    assert file.read_bytes() == b"new\n"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_has_the_permissions_that_the_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", lambda to: to.write(b""))
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_writer_that_fails_changes_nothing(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"old")

    def fail(to):
        to.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(file, fail)
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_threads_do_not_get_into_each_other_s_way(tmp_path):
    file, contents = tmp_path / "a", [bytes([k]) * 100_000 for k in range(8)]
    start, faults = threading.Barrier(8), []

    def write(content):
        start.wait()
        try:
            for _ in range(20):
                write_whole(file, lambda to: to.write(content))
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert file.read_bytes() in contents
    assert names(tmp_path) == ["a"]


KILLED = """
import os, signal, sys
from pathlib import Path
from ohmgrid.storage.files import write_whole

def write(file):
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

write_whole(Path(sys.argv[1]), write)
"""


def test_what_a_killed_writer_leaves_goes_with_a_later_write(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"old")
    assert subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False).returncode == -9
    assert file.read_bytes() == b"old"
    (left,) = (entry for entry in tmp_path.iterdir() if entry != file)
    # Somebody may still be at it.
    write_whole(file, lambda to: to.write(b"new"))
    assert left.is_dir()
    long_ago = time.time() - 7200
    os.utime(left / "content", (long_ago, long_ago))
    write_whole(file, lambda to: to.write(b"newer"))
    assert names(tmp_path) == ["a"]


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from ohmgrid.storage.files import write_whole

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
numbers = np.random.default_rng(1).integers(0, 2**62, 50_000)
writers = {
    "plain": lambda file: file.write(bytes(50_000)),
    "packed": lambda file: np.savez_compressed(file, a=numbers, b=numbers),
}
try:
    write_whole(Path(sys.argv[2]), writers[sys.argv[1]])
except OSError as error:
    print(error.errno, error.filename)
"""


@pytest.mark.parametrize("writer", ["plain", "packed"])
def test_a_full_disk_names_the_user_s_file(tmp_path, writer):
    """A limit of the process stands for the disk's: the same calls fail in the same places."""
    file = tmp_path / "run.npz"
    file.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL, writer, str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{errno.EFBIG} {file}\n", "")
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == ["run.npz"]


def test_a_missing_folder_names_the_user_s_file(tmp_path):
    file = tmp_path / "nowhere" / "a"
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(file, lambda to: to.write(b""))
    assert caught.value.filename == str(file)


def test_an_error_without_a_number_names_the_file_too(tmp_path):
    def short(to):
        raise OSError("100 requested and 50 written")

    with pytest.raises(OSError, match=r"/a: 100 requested and 50 written"):
        write_whole(tmp_path / "a", short)


def test_a_folder_is_tried_without_touching_what_is_in_it(tmp_path):
    folder = tmp_path / "deep" / "out"
    assert make_folder(folder) == folder
    (folder / "probe").write_text("mine")
    make_folder(folder)
    assert (folder / "probe").read_text() == "mine"
    assert names(folder) == ["probe"]


def test_what_is_no_folder_to_write_to_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file: expected a folder to write to, got: "):
        make_folder(tmp_path / "file")
    with pytest.raises(OSError, match="expected a folder to write to, got: Not a directory"):
        make_folder(tmp_path / "file" / "below")
