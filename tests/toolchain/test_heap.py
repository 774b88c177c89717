"""Memory between what is held goes back to the system."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

from toolchain.heap import trim_heap

SIZE = 100_000
"""Bytes of an array that is taken from the heap, always."""


def resident_bytes():
    """Return the memory that this process has from the system."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return 4096 * int(pages)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.pythonapi, "malloc_trim"),
    reason="the C library is not glibc",
)
def test_gaps_are_given_back():
    arrays = [np.ones(SIZE, np.uint8) for _ in range(400)]
    held = arrays[-1]  # behind the gap
    arrays.clear()
    before = resident_bytes()

    trim_heap()

    assert before - resident_bytes() > 300 * SIZE
    assert held.all()


def test_a_c_library_without_it_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "pythonapi", object())

    trim_heap()
