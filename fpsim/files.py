"""Writing a file whole or not at all, and reading one that may be anything.

Layer 0. Knows bytes and paths only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

__all__ = ["read_file", "write_whole"]


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the file, wait until the disk has it, then rename.

    Whoever reads sees the old file or the whole new one, even if the process is killed or the machine loses its power.
    What goes wrong is an `OSError` that leaves the old file, and nothing beside it.
    """
    import tempfile  # not for those who never write

    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    _sync_names(path.parent)


def _sync_names(folder: Path) -> None:
    """Wait until the disk has the names in a folder."""
    if os.name == "nt":  # where folders cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_file(path: Path, largest: int) -> bytes:
    """All of a regular file of at most `largest` bytes; whatever else stands there is an `OSError`.

    A pipe would be waited for, a device may never end.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with open(path, "rb") as file:  # which says of a folder that it is one
            content = file.read(min(found.st_size, largest) + 1)
    except ValueError as error:  # a name with a zero byte
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"larger than {largest} bytes", str(path))
    return content
