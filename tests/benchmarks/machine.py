"""What a benchmark runs on, and how much of it."""

from __future__ import annotations

import os
import platform
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PACKAGES = (
    "numpy",
    "scipy",
    "onnxruntime",
    "openvino",
    "lava-nc",
    "lava-dl",
    "torch",
    "spikingjelly",
    "snntorch",
    "norse",
    "sinabs",
)


def restrict_to(threads: int) -> None:
    """Give this process and all it starts as many cores and threads.

    Threads of OpenMP, which torch runs in, sleep while they wait: where others use the machine,
    too, threads that spin wait for one that does not run, and torch is several times slower.

    To be called before numpy is imported, which reads the number of threads once.
    """
    if "numpy" in sys.modules:
        raise RuntimeError("numpy was imported before the number of threads was set")
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    os.environ["OMP_WAIT_POLICY"] = "passive"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def describe_machine(threads: int) -> str:
    """Return processor, cores, load, versions and date in two lines."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    versions = ", ".join(filter(None, map(_versioned, PACKAGES)))
    return (
        f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, restricted to "
        f"{threads} cores and {threads} threads, load {load} at the start\n"
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"{versions}, {datetime.now(timezone.utc):%Y-%m-%d}"
    )


def _versioned(package: str) -> str:
    """Return name and version of a package, nothing if it is not installed."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def memory_bytes(key: str) -> int:
    """Return one of the sizes that Linux knows of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key + ":"))


def forget_peak() -> None:
    """Make what is held now the peak."""
    Path("/proc/self/clear_refs").write_text("5")


def write(text: str) -> None:
    """Write ``text`` to the terminal at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
