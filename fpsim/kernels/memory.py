"""Keeping freed memory in the process, since fresh memory is slow.

Layer 1. Knows the C library's allocator; holds no array.
"""

from functools import cache

import numpy as np

__all__ = ["keep_freed_memory"]

#: Just below the largest block that glibc's threshold follows (32 MB on 64-bit systems).
LARGEST_FOLLOWED = (32 << 20) - (1 << 16)


@cache
def keep_freed_memory() -> None:
    """Have the C library keep up to 64 MB of freed memory for the next arrays; once in a process.

    A training step frees its activations and asks for as many again. The system clears every page that it hands out:
    a quarter of a step's time. glibc takes its own large blocks from the system and returns them at once, until one
    is freed: from then on blocks of that size are kept, and twice as much in all (mallopt(3), M_MMAP_THRESHOLD).
    This block is never written to, so it never takes up memory. Other C libraries: nothing happens; nor where the user
    (or dask, for its workers) has set a threshold.
    """
    np.empty(LARGEST_FOLLOWED, np.uint8)
