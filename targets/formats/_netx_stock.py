"""Script that runs a netx file in the stock reader's network, on Lava's CPU simulator.

    python _netx_stock.py request.npz trace.npz

It is a process of its own because Lava sets the start method of `multiprocessing` for all of it
and the stock reader keeps every file open. Arrays in both archives are channel first.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from targets.formats.lava_process import _self_contained_script
from targets.lava_compat import enable_netx

CHANNEL_SIZE = 2
"""Messages a channel holds; Lava's 64 fill the shared memory of large networks."""


def main() -> None:
    """Read the request, run the network, write spikes and registers of every block."""
    with np.load(sys.argv[1]) as archive:
        request = {key: archive[key] for key in archive.files}
    network = enable_netx()(
        str(request["path"]),
        input_message_bits=int(request["input_message_bits"]),
        spike_exp=int(request["spike_exponent"]),
        **{
            key: int(request[key])
            for key in ("num_layers", "reset_interval", "reset_offset")
            if key in request
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        trace = run(
            network, str(request["drive"]), request["inputs"], request["states"], Path(folder)
        )
    np.savez(sys.argv[2], **trace)


def run(network: Any, drive: str, inputs: Any, states: Any, folder: Path) -> dict[str, Any]:
    """Run as many time steps as ``inputs`` has and return what each block did.

    Args:
        network: Stock ``Network``.
        drive: Value of a ``Drive``.
        inputs: ``(time_steps, *shape)``; for ``bias``, ``(1, *shape)`` is all that is used.
        states: Indices of the blocks whose registers are returned.
        folder: Where spikes are recorded.

    Returns:
        ``"spikes K"``, and for ``states`` ``"u K"`` and ``"v K"``, ``(time_steps, *shape)``.
    """
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.source import RingBuffer as Source
    from lava.proc.monitor.process import Monitor

    time_steps = len(inputs)
    neurons = [layer.neuron for layer in network.layers]
    if drive == "bias":
        neurons[0].bias_mant.init = inputs[0].T
    else:
        entry = neurons[0].a_in if drive == "current" else network.inp
        values = inputs.reshape(time_steps, *entry.shape[::-1])
        source = Source(data=values.T.astype(np.int32))
        source.s_out.connect(entry)
    spikes = Spikes(folder, neurons, time_steps)
    monitors = {}
    for index in states:
        for register in registers(neurons[index]):
            monitors[f"{register} {index}"] = monitor = Monitor()
            monitor.probe(getattr(neurons[index], register), time_steps)
    network.run(
        condition=RunSteps(time_steps),
        run_cfg=Loihi2SimCfg(select_tag="fixed_pt"),
        compile_config={"pypy_channel_size": CHANNEL_SIZE},
    )
    trace = spikes.read()
    for key, monitor in monitors.items():
        (recorded,) = next(iter(monitor.get_data().values())).values()
        trace[key] = recorded.transpose(0, *range(recorded.ndim - 1, 0, -1))
    network.stop()
    return {key: np.asarray(value).astype(np.int64) for key, value in trace.items()}


class Spikes:
    """What every block sends, recorded in files.

    Lava hands the contents of its own sinks over number by number, some 60 us each.

    Args:
        folder: Of the files, and of the module with the recorder: Lava imports all files that
            lie beside the module of a process.
        neurons: Processes of the blocks.
        time_steps: Length of the run.
    """

    def __init__(self, folder: Path, neurons: list[Any], time_steps: int) -> None:
        (folder / "lava_recorders.py").write_text(_self_contained_script(), encoding="utf-8")
        sys.path.insert(0, str(folder))
        recorder = importlib.import_module("lava_recorders").SpikeRecorder
        self._files = [(folder / f"{k}.npy", n.s_out.shape) for k, n in enumerate(neurons)]
        for neuron, (path, shape) in zip(neurons, self._files, strict=True):
            size = int(np.prod(shape))
            np.save(path, np.zeros((time_steps, size), np.int32))
            sink = recorder(f"record {path.stem}", str(path), size)
            neuron.s_out.flatten().connect(sink.a_in)

    def read(self) -> dict[str, Any]:
        """Return ``"spikes K"``, ``(time_steps, *shape)``."""
        return {
            f"spikes {path.stem}": np.load(path)
            .reshape(-1, *shape)
            .transpose(0, *range(len(shape), 0, -1))
            for path, shape in self._files
        }


def registers(neuron: Any) -> tuple[str, ...]:
    """Return the names of the registers that are recorded; a sum counts as ``v``."""
    return ("u", "v") if hasattr(neuron, "bias_mant") else ("sigma",)


if __name__ == "__main__":
    main()
