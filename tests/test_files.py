"""Files are written whole or not at all, and read only if they are files."""

import errno
import os
import threading

import pytest

import fpsim as fp
from fpsim.files import read_file, write_whole


def test_a_file_is_written_whole_and_readable_by_all(tmp_path):
    path = tmp_path / "a"
    for content in (b"first", b"", b"\0" * 100_000):
        write_whole(path, content)
        assert path.read_bytes() == content == read_file(path, 100_000)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_the_disk_has_the_content_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    """Else a power failure could leave the name with nothing behind it."""
    done = []
    for name in ("fsync", "replace"):
        call = getattr(os, name)

        def noted(*arguments, name=name, call=call):
            folder = name == "fsync" and os.path.isdir(f"/proc/self/fd/{arguments[0]}")
            done.append("fsync folder" if folder else name)
            return call(*arguments)

        monkeypatch.setattr(os, name, noted)
    write_whole(tmp_path / "a", b"x")
    assert [step.removesuffix(" folder") for step in done] == ["fsync", "replace", "fsync"]
    if os.path.isdir("/proc/self/fd"):
        assert done == ["fsync", "replace", "fsync folder"]


@pytest.mark.parametrize("stage", ["tempfile.mkstemp", "os.fsync", "os.chmod", "os.replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_beside(tmp_path, monkeypatch, stage, error):
    path = tmp_path / "a"
    write_whole(path, b"old")

    def fail(*arguments, **options):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(stage, fail)
        with pytest.raises(type(error)):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_file(path, 10)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_a_pipe_is_not_waited_for_nor_a_device_read_to_its_end(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            read_file(path, 10)
    found = []

    def read():
        try:
            fp.load(tmp_path / "pipe.json")
        except fp.ResultsError as error:
            found.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(30)
    assert found == [
        f"load: expected a file that can be read, got {tmp_path}/pipe.json: not a regular file; check the path."
    ]


def test_a_folder_and_an_impossible_name_are_errors_of_the_system(tmp_path):
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 10)
    with pytest.raises(OSError, match="null byte"):
        read_file(tmp_path / "a\0b", 10)
