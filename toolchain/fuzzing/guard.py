"""Cases in a process of their own, which may take so much time and memory and no more.

A case that hangs, that a library ends with a signal, that takes too much memory, or that
writes, or reads a file it must not, fails; the process is started again for the next one.
"""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

Case: TypeAlias = Callable[[int, Path], str]

TIME_S = 30.0
"""Longest that one case may take."""

MEMORY_BYTES = 2**30
"""Address space that one case may take beyond what the process has before it."""

CASES_PER_PROCESS = 2000
"""After so many, a new process is started: libraries may keep memory."""

CANARY = "secret"
"""File beside the folder of a case that no case may read."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        seed: Of the case.
        what: How far it came, or what refused it; for a failure the first line of why.
        failure: Traceback and the like; empty if the outcome is allowed.
        seconds: Time the case took.
    """

    seed: int
    what: str
    failure: str
    seconds: float


def run_guarded(
    case: Case,
    seeds: Iterable[int],
    *,
    time_s: float = TIME_S,
    memory_bytes: int = MEMORY_BYTES,
) -> Iterator[Outcome]:
    """Run cases one after the other.

    Args:
        case: A function of a module; takes a seed and an empty folder to work in, and returns
            what became of it. Whatever it raises is a failure.
        seeds: Of the cases.
        time_s: Longest that one may take.
        memory_bytes: That one may take.
    """
    process: _Process | None = None
    try:
        for index, seed in enumerate(seeds):
            if process is not None and (process.is_over or index % CASES_PER_PROCESS == 0):
                process.end()
                process = None
            if process is None:
                process = _Process(case, time_s, memory_bytes)
            yield process.run(seed)
    finally:
        if process is not None:
            process.end()


class _Process:
    def __init__(self, case: Case, time_s: float, memory_bytes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.time_s = time_s
        self.is_over = False
        self.folder = tempfile.TemporaryDirectory(prefix="case-")
        self.trace = Path(self.folder.name, "trace")
        arguments = (case, theirs, Path(self.folder.name), time_s, memory_bytes)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.connection.recv()  # it is ready: what it imports is not the first case's time

    def run(self, seed: int) -> Outcome:
        began = time.perf_counter()
        self.connection.send(seed)
        try:
            if self.connection.poll(self.time_s):
                what, failure = self.connection.recv()
                return Outcome(seed, what, failure, time.perf_counter() - began)
            what = f"takes more than {self.time_s:g} s"
            os.kill(self.process.pid or 0, signal.SIGKILL)
        except (EOFError, ConnectionError):
            what = ""
        self.process.join()
        self.is_over = True
        what = what or f"ends the process with {self.process.exitcode}"
        stack = self.trace.read_text(encoding="utf-8", errors="replace")
        return Outcome(seed, what, f"{what}\n{stack}", time.perf_counter() - began)

    def end(self) -> None:
        self.connection.close()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.folder.cleanup()


def _serve(
    case: Case, connection: Connection, folder: Path, time_s: float, memory_bytes: int
) -> None:
    """Run the cases that are asked for, in the process of their own."""
    warnings.simplefilter("ignore")
    _use_few_processors()
    _use_few_arenas()
    with Path(folder, "trace").open("w+b") as trace, Path(os.devnull).open("wb") as null:
        faulthandler.enable(trace)
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
        Path(folder, CANARY).write_text("not for you")
        accesses = _Accesses(folder)
        sys.addaudithook(accesses)
        connection.send("ready")
        while True:
            try:
                seed = connection.recv()
            except EOFError:
                return
            trace.truncate(0)
            faulthandler.dump_traceback_later(0.9 * time_s, file=trace)
            with tempfile.TemporaryDirectory(dir=folder) as own:
                _limit_memory(memory_bytes)
                accesses.begin(own)
                result = _run(case, seed, Path(own))
                accesses.end()
                _limit_memory(None)
            faulthandler.cancel_dump_traceback_later()
            if accesses.forbidden and not result[1]:
                what = f"reaches {accesses.forbidden[0]}"
                result = (what, "\n".join(accesses.forbidden))
            connection.send(result)


def _run(case: Case, seed: int, folder: Path) -> tuple[str, str]:
    try:
        return case(seed, folder), ""
    except BaseException as error:
        text = "".join(traceback.format_exception(error))
        return f"{type(error).__name__}: {error}".strip().splitlines()[0][:300], text


class _Accesses:
    """Notes what a case does to files outside its folder, as Python's audit hook."""

    def __init__(self, folder: Path) -> None:
        self.canary = os.path.realpath(folder / CANARY)
        self.folder = ""
        self.forbidden: list[str] = []

    def begin(self, folder: str) -> None:
        self.forbidden = []
        self.folder = os.path.realpath(folder)
        tempfile.tempdir = self.folder

    def end(self) -> None:
        self.folder = ""
        tempfile.tempdir = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note an event; called by the interpreter."""
        if not self.folder or event not in _EVENTS:
            return
        path = arguments[_EVENTS[event]]
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        full = os.path.realpath(Path(_base(event, arguments), os.fsdecode(path)))
        if event == "open" and not _writes(arguments):
            if full == self.canary:
                self.forbidden.append(f"{full} by {event}")
        elif not full.startswith(self.folder) and full != os.devnull:
            self.forbidden.append(f"{full} by {event}")


def _base(event: str, arguments: tuple[Any, ...]) -> str:
    """Return the folder that a relative path is meant from."""
    folder = arguments[-1]
    if event in _WITH_FOLDER and isinstance(folder, int) and folder >= 0:
        return os.path.realpath(f"/proc/self/fd/{folder}")
    return str(Path.cwd())


_WITH_FOLDER = ("os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink")
"""Events whose last argument is a folder's descriptor, or -1."""

_EVENTS = {
    "open": 0,
    "os.link": 1,
    "os.mkdir": 0,
    "os.remove": 0,
    "os.rename": 1,
    "os.rmdir": 0,
    "os.symlink": 1,
    "os.system": 0,
    "os.truncate": 0,
}
"""Events of Python's audit hook, and which argument is the path."""


def _writes(arguments: tuple[Any, ...]) -> bool:
    """Tell whether a file is opened to be written, from the arguments of the event."""
    flags = arguments[2]
    return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _use_few_processors() -> None:
    """Run on two processors: libraries reserve address space for a thread on each they see."""
    if sys.platform.startswith("linux"):
        known = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, random.sample(known, min(len(known), _PROCESSORS)))


_PROCESSORS = 2


def _use_few_arenas() -> None:
    """Let all threads share one heap: each with its own reserves 64 MiB of address space."""
    if sys.platform.startswith("linux"):
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)
        if set_option is not None:
            set_option(_ARENAS_MAX, 1)


_ARENAS_MAX = -8
"""``M_ARENA_MAX`` of the GNU C library."""


def _limit_memory(more: int | None) -> None:
    """Let the process take so many bytes more, or as many as it likes."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if more is not None:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        more += pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (hard if more is None else more, hard))
