"""Make lava-nc 0.10.0 and lava-dl 0.6.0 run on Python 3.10 to 3.13, without torch.

Both packages are archived: what stands in the way will not be fixed upstream. Three things do.

1. Python 3.11 refuses the dataclasses of ``lava.magma.compiler.var_model``, whose defaults are
   instances of an unhashable class. `hash_lava_dataclasses` imports that one module with
   hashable dataclasses.
2. ``lava.lib.dl.netx`` imports torch to annotate two arguments, and all of
   ``lava.lib.dl.slayer`` (torch, torchvision, OpenCV, matplotlib) to call one formula.
   `enable_netx` puts placeholders in their place while netx is imported, and only in place of
   what is not installed.
3. An exception inside a Lava process is logged where nobody sees it, and the processes that
   wait for the dead one wait forever. `watch_lava_processes` ends the run with the traceback.

`SCRIPT_FUNCTIONS` import all they need themselves: their source text is copied into the scripts
that the format ``lava`` writes.

Source: ``lava-nc`` 0.10.0 and ``lava-dl`` 0.6.0.
"""

from __future__ import annotations

import cmath
import contextlib
import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from toolchain.errors import CompileError, MissingDependencyError

INSTALL_LINES = (
    "pip install 'numpy<2' 'networkx<=2.8.7' asteval && "
    "pip install --no-deps --ignore-requires-python lava-nc==0.10.0 lava-dl==0.6.0"
)
"""What installs both packages beside this one; their own requirements exclude new Pythons."""

_HINT = f"install it: {INSTALL_LINES}"
_SLAYER = "lava.lib.dl.slayer"
_SLAYER_NEEDS = ("torch", "torchvision", "cv2", "matplotlib", "PIL")


class LavaError(CompileError):
    """The Lava simulator failed or did not finish; the message has the traceback, if any.

    Why:
        Stock Lava runs a network as processes of the operating system that wait for one
        another. Where one dies or memory runs out the others never end, so all are ended and
        the first failure is told.

    Ways out:
        - Run fewer samples, or a smaller network: the simulator needs seconds for each.
        - See whether the packages work together: ``snn-compile doctor``.
        - Run the same network without Lava: ``--engine step`` has the same registers.
    """

    code = "SNN-LAVA"
    stage = "Lava"


def is_lava_installed() -> bool:
    """Tell whether Lava can be used here; nothing of it is run."""
    return missing_for_lava() is None


def missing_for_lava() -> str | None:
    """Return what keeps Lava from running in this environment; `None` if nothing does."""
    if not _is_installed("lava.magma"):
        return "lava-nc is not installed"
    if int(np.__version__.partition(".")[0]) >= 2:
        return f"lava-nc needs a numpy below 2, and {np.__version__} is installed"
    return None


def require_lava() -> None:
    """Do nothing where Lava can be used.

    Raises:
        MissingDependencyError: It cannot; the hint has the install line.
    """
    if (problem := missing_for_lava()) is not None:
        raise MissingDependencyError(problem, hint=_HINT)


def enable_lava() -> None:
    """Make ``import lava...`` work in this process, and failures of Lava processes visible.

    May be called any number of times. Importing Lava sets the start method of `multiprocessing`
    to "fork" for the whole process.

    Raises:
        MissingDependencyError: Lava cannot be used here; the hint has the install line.
    """
    require_lava()
    # networkx tells through a warning that pandas is absent whenever Lava compiles
    warnings.filterwarnings("ignore", "pandas not found", ImportWarning)
    hash_lava_dataclasses()
    watch_lava_processes(LavaError)


def enable_netx() -> type:
    """Return the stock reader of netx files, ``lava.lib.dl.netx.hdf5.Network``.

    Raises:
        MissingDependencyError: Lava cannot be used here, or lava-dl is not installed.
    """
    enable_lava()
    if not _is_installed("lava.lib.dl.netx"):
        raise MissingDependencyError("lava-dl is not installed", hint=_HINT)
    if "lava.lib.dl.netx.hdf5" not in sys.modules:
        importlib.import_module("lava.proc.conv.process")  # SciPy must not see a placeholder
        with _placeholders(_absent_imports_of_netx()):
            importlib.import_module("lava.lib.dl.netx.hdf5")
    network: type = sys.modules["lava.lib.dl.netx.hdf5"].Network
    return network


def hash_lava_dataclasses() -> None:
    """Import the Lava module that Python 3.11 and later refuse, with hashable dataclasses."""
    import dataclasses
    import importlib
    import sys

    refused = "lava.magma.compiler.var_model"
    if sys.version_info < (3, 11) or refused in sys.modules:
        return
    original: Any = dataclasses.dataclass

    def hashable(cls: Any = None, /, **options: Any) -> Any:
        if getattr(cls, "__module__", None) == refused:
            return original(cls, unsafe_hash=True)
        return original(cls, **options)

    dataclasses.dataclass = hashable
    try:
        importlib.import_module(refused)
    finally:
        dataclasses.dataclass = original


def watch_lava_processes(error: Callable[[str], Exception] = RuntimeError) -> None:
    """Make every Lava run raise ``error`` with the traceback of the process that failed.

    Stock Lava joins all processes before it reports, which never ends where one of them waits
    for the one that failed. This replaces the two methods of its runtime that wait.

    Args:
        error: Called with the message; what it returns is raised.
    """
    import time

    from lava.magma.runtime.runtime import Runtime

    if hasattr(Runtime, "stock_wait"):
        return
    Runtime.stock_wait = Runtime._get_resp_for_run
    Runtime.stock_initialize = Runtime.initialize

    def wait(runtime: Any) -> None:
        while runtime._is_running and not _all_services_are_done(runtime):
            if reports := _failed_lava_processes(runtime):
                _end_lava_processes(runtime)
                raise error("\n".join(["a process of the simulator failed", *reports]))
            time.sleep(0.001)
        runtime.stock_wait()

    def initialize(runtime: Any, node_cfg_idx: int = 0) -> None:
        try:
            runtime.stock_initialize(node_cfg_idx)
        except Exception as failure:
            _end_lava_processes(runtime)
            trace = getattr(failure, "trace", repr(failure))
            raise error(f"a process of the simulator failed to start\n{trace}") from failure

    Runtime._get_resp_for_run = wait
    Runtime.initialize = initialize


def _all_services_are_done(runtime: Any) -> bool:
    """Tell whether what ``runtime`` waits for has come, and is not the notice of a failure."""
    from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE, enum_equal

    return all(
        service.probe() and not enum_equal(service.peek(), MGMT_RESPONSE.ERROR)
        for service in runtime.service_to_runtime
    )


def _failed_lava_processes(runtime: Any) -> list[str]:
    """Return one report per process of ``runtime`` that failed: its traceback or exit code."""
    names = [process.name for process in runtime._executable.proc_builders]
    reports = []
    for number, actor in enumerate(runtime._messaging_infrastructure.actors):
        name = names[number] if number < len(names) else "runtime service"
        if actor.exception:
            reports.append(f"{name}: {actor.exception[1].rstrip()}")
        elif not actor._is_done and actor.exitcode not in (None, 0):
            reports.append(f"{name}: ended with exit code {actor.exitcode}")
    return reports


def _end_lava_processes(runtime: Any) -> None:
    """Kill the processes of ``runtime`` and leave it in the state of one that never started."""
    for actor in runtime._messaging_infrastructure.actors:
        if not actor._is_done and actor.is_alive():
            actor.kill()
    runtime._is_started = runtime._is_running = False
    runtime._messaging_infrastructure.stop()


SCRIPT_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    hash_lava_dataclasses,
    watch_lava_processes,
    _all_services_are_done,
    _failed_lava_processes,
    _end_lava_processes,
)


def _is_installed(name: str) -> bool:
    """Tell whether the module ``name`` can be found."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _absent_imports_of_netx() -> Mapping[str, types.ModuleType]:
    """Return placeholders for what netx imports and this environment lacks, by module name."""
    absent: dict[str, types.ModuleType] = {}
    if not _is_installed("torch"):
        absent["torch"] = _module("torch", tensor=_NoTensor, is_tensor=lambda _: False)
    if not all(_is_installed(name) for name in _SLAYER_NEEDS):
        formula = _module(f"{_SLAYER}.neuron.rf", neuron_params=_resonator_parameters)
        neuron = _module(f"{_SLAYER}.neuron", rf=formula)
        slayer = _module(_SLAYER, neuron=neuron)
        absent.update({module.__name__: module for module in (slayer, neuron, formula)})
    return absent


def _module(name: str, **members: Any) -> types.ModuleType:
    module = types.ModuleType(name, f"Placeholder for {name}, which cannot be imported here.")
    module.__dict__.update(members, __path__=[])
    return module


@contextlib.contextmanager
def _placeholders(modules: Mapping[str, types.ModuleType]) -> Iterator[None]:
    """Let ``modules`` be importable within the block, and only there."""
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


class _NoTensor:
    """Stands for a torch tensor in annotations; nothing is an instance of it."""


def _resonator_parameters(
    device_params: Mapping[str, Any], scale: int = 1 << 6, p_scale: int = 1 << 12
) -> dict[str, Any]:
    """Return threshold, period and decay of a resonate-and-fire neuron read from a netx file.

    One step multiplies the neuron's state by ``(cosDecay + 1j * sinDecay) / p_scale``.

    Source: ``lava.lib.dl.slayer.neuron.rf`` 0.6, ``neuron_params``.
    """
    factor = complex(device_params["cosDecay"], device_params["sinDecay"]) / p_scale
    turns_per_step = cmath.phase(factor) / (2 * cmath.pi)
    return {
        "threshold": device_params["vThMant"] / scale,
        "period": 1 / turns_per_step,
        "decay": 1 - abs(factor),
    }
