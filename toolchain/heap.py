"""Memory that nothing uses any more and that the C library keeps.

Arrays of some megabytes that come and go leave gaps behind, and what is freed is kept for those
that come next. Where a step that needs much memory ends, a process is not to be charged with it
any longer.
"""

from __future__ import annotations

import ctypes


def trim_heap() -> None:
    """Give free memory back to the system; takes milliseconds.

    Source: ``malloc_trim`` of glibc, which gives back gaps, too. Other C libraries have no such
    function, and keep what they keep.
    """
    trim = getattr(ctypes.pythonapi, "malloc_trim", None)
    if trim is not None:
        trim(0)
