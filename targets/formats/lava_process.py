"""Lava processes: a script that runs the circuit on the stock CPU simulator, and its run.

What `emit_lava` writes is what `run_on_lava` runs, so a user's script is the verified one. The
script is the module ``_lava_network``, with what it imports from this package copied into it.
It gets a folder of its own because Lava imports every Python file beside the modules that
define processes.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.formats._lava_limits import payload_range, refuse_what_lava_cannot_run
from targets.lava_compat import SCRIPT_FUNCTIONS, LavaError, require_lava
from toolchain.errors import InputDataError
from toolchain.ir.archive import read_archive, save_archive
from toolchain.ir.mapped import Circuit, IntArray
from toolchain.ir.packing import packed_shape, unpack
from toolchain.target import FORMATS, from_circuit

_SCRIPT = Path(__file__).with_name("_lava_network.py")
_NEURONS = Path(__file__).with_name("_lava_neurons.py")
_OWN_IMPORTS = ("from targets.", "from toolchain.")
_GRACE_S = 2.0


@dataclass(frozen=True)
class LavaTrace:
    """What stock Lava computed for some samples.

    Attributes:
        spikes: What each population sent, ``(samples, latency, *shape)``, counted from every
            sample's first step; 0 or 1, or payloads where the population sends them.
        outputs: The readout, ``(samples, *shape)``, of several packed; `None` if the circuit
            has none.
        u: Synaptic current by population as it is after each step of the whole run,
            ``(steps, *shape)`` with ``steps = (samples - 1) * period + latency``.
        v: Membrane potential, likewise.
    """

    spikes: Mapping[str, npt.NDArray[np.integer[Any]]]
    outputs: IntArray | None
    u: Mapping[str, IntArray] = field(default_factory=dict)
    v: Mapping[str, IntArray] = field(default_factory=dict)


def emit_lava(circuit: Circuit, out_dir: Path) -> tuple[Path, ...]:
    """Write ``out_dir/lava/run.py`` and ``out_dir/lava/circuit.npz`` and return their paths.

    ``python lava/run.py inputs.npz`` needs lava-nc 0.10.0 and nothing of this package.

    Raises:
        EmitError: Stock Lava cannot run the circuit.
    """
    refuse_what_lava_cannot_run(circuit)
    folder = out_dir / "lava"
    folder.mkdir(parents=True, exist_ok=True)
    script, archive = folder / "run.py", folder / "circuit.npz"
    script.write_text(_self_contained_script(), encoding="utf-8")
    save_archive(circuit, archive)
    return script, archive


def run_on_lava(
    circuit: Circuit,
    inputs: IntArray,
    record: Collection[str] = (),
    *,
    record_state: Collection[str] = (),
    timeout_s: float = 600,
) -> LavaTrace:
    """Run samples one after the other on the stock Lava CPU simulator.

    Lava runs in a Python process of its own, which is ended with all its children when the time
    is up. Sample ``i`` starts in step ``i * circuit.period``.

    Args:
        circuit: What to run.
        inputs: Encoded samples, ``(samples, *shape of the input source)``; those of several
            sources are flattened and follow each other.
        record: Populations whose spikes are returned.
        record_state: Populations whose registers are returned.
        timeout_s: Time the run may take, in seconds.

    Raises:
        EmitError: Stock Lava cannot run the circuit.
        InputDataError: The samples do not fit the input source.
        LavaError: A process failed, with its traceback, or the time is up.
        MissingDependencyError: lava-nc is not installed.
    """
    require_lava()
    _check_inputs(circuit, inputs)
    with tempfile.TemporaryDirectory() as folder:
        script, _ = emit_lava(circuit, Path(folder))
        samples, output = Path(folder, "inputs.npz"), Path(folder, "trace.npz")
        np.savez(samples, inputs=inputs)
        arguments = [str(samples), "--output", str(output)]
        arguments += ["--record", *record, "--record-state", *record_state]
        run_script(script, arguments, timeout_s)
        with np.load(output) as trace:
            return _cut(circuit, len(inputs), dict(trace))


def _self_contained_script() -> str:
    """Return the script with what it imports from this package in place of the imports.

    Functions are wanted before Lava is imported, the neurons after it.
    """
    lines = _SCRIPT.read_text(encoding="utf-8").splitlines()
    first, *_, last = (n for n, line in enumerate(lines) if line.startswith(_OWN_IMPORTS))
    functions = [inspect.getsource(function) for function in (read_archive, *SCRIPT_FUNCTIONS)]
    lines[first] = "\n\n" + "\n\n".join(functions)
    lines[last] = "\n" + _body(_NEURONS)
    own = (line for line in lines if not line.startswith(_OWN_IMPORTS))
    return "\n".join(own) + "\n"


def _body(module: Path) -> str:
    """Return the text of a module from its first class on."""
    text = module.read_text(encoding="utf-8")
    return text[text.index("\nclass ") :]


def _check_inputs(circuit: Circuit, inputs: IntArray) -> None:
    shapes = circuit.input_shapes
    if len(inputs) == 0 or inputs.shape[1:] != packed_shape(shapes):
        raise InputDataError(
            f"samples have shape {inputs.shape[1:]} and there are {len(inputs)}; the circuit's "
            f"input has shape {packed_shape(shapes)}",
            node=circuit.inputs[0],
        )
    for name, values in zip(circuit.inputs, unpack(inputs, shapes), strict=True):
        low, high = payload_range(getattr(circuit.nodes[name], "message_bits", 0))
        if values.min() < low or values.max() > high:
            raise InputDataError(
                f"samples have values {values.min()} to {values.max()}; the circuit's input "
                f"holds {low} to {high}",
                node=name,
            )


def run_script(script: Path, arguments: list[str], timeout_s: float) -> None:
    """Run ``script`` in a process group that does not outlive this call."""
    with subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            text, _ = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end_group(child)
            raise LavaError(
                f"the simulator did not finish within {timeout_s:g} s",
                hint="run fewer samples, or allow more time",
            ) from None
        except BaseException:
            _end_group(child)
            raise
    if child.returncode != 0:
        raise LavaError(f"the simulator failed\n{text.strip()}")


def _end_group(child: subprocess.Popen[str]) -> None:
    """End the group of ``child``; its output ends when all of the group have.

    The first signal spares the process of `multiprocessing` that then frees the shared memory.
    """
    for end in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, end)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=_GRACE_S)
            return


def _cut(circuit: Circuit, samples: int, trace: Mapping[str, Any]) -> LavaTrace:
    """Sort the arrays of a run by what they are, spikes cut into samples."""
    starts = circuit.period * np.arange(samples)
    steps = starts[:, None] + np.arange(circuit.latency)
    spikes: dict[str, npt.NDArray[np.integer[Any]]] = {}
    state: dict[str, dict[str, IntArray]] = {"u": {}, "v": {}}
    for key, values in trace.items():
        what, _, name = key.partition(" ")
        if what == "spikes":
            spikes[name] = values[steps]
        elif what in state:
            state[what][name] = values.astype(np.int64)
    outputs = trace["outputs"].astype(np.int64) if "outputs" in trace else None
    return LavaTrace(spikes, outputs, state["u"], state["v"])


FORMATS.register("lava")(from_circuit(emit_lava))
