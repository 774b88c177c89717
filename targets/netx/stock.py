"""Script that runs a netx file in the stock reader's network, on Lava's CPU simulator.

    python stock.py request.npz trace.npz

It is a process of its own because Lava sets the start method of `multiprocessing` for all of it
and the stock reader keeps every file open. Arrays in both archives are channel first. What is
recorded goes through files: Lava hands over the variables of its processes number by number.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from targets.lava_compat import enable_netx

NETWORK = enable_netx()

from lava.magma.core.decorator import implements, requires, tag  # noqa: E402
from lava.magma.core.model.py.model import PyLoihiProcessModel  # noqa: E402
from lava.magma.core.model.py.ports import PyInPort, PyRefPort  # noqa: E402
from lava.magma.core.model.py.type import LavaPyType  # noqa: E402
from lava.magma.core.process.ports.ports import InPort, RefPort  # noqa: E402
from lava.magma.core.process.process import AbstractProcess  # noqa: E402
from lava.magma.core.resources import CPU  # noqa: E402
from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol  # noqa: E402
from lava.proc.io.source import RingBuffer  # noqa: E402

CHANNEL_SIZE = 2
"""Messages a channel holds; Lava's 64 fill the shared memory of large networks."""


class SpikeRecorder(AbstractProcess):  # type: ignore[misc]
    """Writes what arrives in step ``t`` to row ``t`` of the array file ``path``."""

    def __init__(self, path: str, shape: tuple[int, ...]) -> None:
        super().__init__(path=path)
        self.a_in = InPort(shape=shape)


class StateRecorder(AbstractProcess):  # type: ignore[misc]
    """Writes a variable as it is after step ``t`` to row ``t`` of the array file ``path``."""

    def __init__(self, path: str, shape: tuple[int, ...]) -> None:
        super().__init__(path=path)
        self.state = RefPort(shape=shape)


class RecorderModel(PyLoihiProcessModel):  # type: ignore[misc]
    """What both recorders have in common."""

    record = None

    def write(self, values: Any) -> None:
        """Write the row of this step."""
        if self.record is None:
            self.record = np.load(self.proc_params["path"], mmap_mode="r+")
        self.record[self.time_step - 1] = values


@implements(proc=SpikeRecorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class SpikeRecorderModel(RecorderModel):
    """Model of `SpikeRecorder`."""

    a_in = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def run_spk(self) -> None:
        """Record one step."""
        self.write(self.a_in.recv())


@implements(proc=StateRecorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class StateRecorderModel(RecorderModel):
    """Model of `StateRecorder`."""

    state = LavaPyType(PyRefPort.VEC_DENSE, np.int32)

    def post_guard(self) -> bool:
        """Ask for a phase in which variables can be read, in every step."""
        return True

    def run_post_mgmt(self) -> None:
        """Record one step."""
        self.write(self.state.read())


def main() -> None:
    """Read the request, run the network, write spikes and registers of every block."""
    with np.load(sys.argv[1]) as archive:
        request = {key: archive[key] for key in archive.files}
    network = NETWORK(
        str(request["path"]),
        input_message_bits=int(request["input_message_bits"]),
        spike_exp=int(request["spike_exponent"]),
        **{
            key: int(request[key])
            for key in ("num_layers", "reset_interval", "reset_offset")
            if key in request
        },
    )
    folder = Path(sys.argv[2]).parent
    trace = run(network, str(request["drive"]), request["inputs"], request["states"], folder)
    np.savez(sys.argv[2], **trace)


def run(network: Any, drive: str, inputs: Any, states: Any, folder: Path) -> dict[str, Any]:
    """Run as many time steps as ``inputs`` has and return what each block did.

    Args:
        network: Stock ``Network``.
        drive: Value of a ``Drive``.
        inputs: ``(time_steps, *shape)``; for ``bias``, ``(1, *shape)`` is all that is used.
        states: Indices of the blocks whose registers are returned.
        folder: For records.

    Returns:
        ``"spikes K"``, and for ``states`` ``"u K"`` and ``"v K"``, ``(time_steps, *shape)``.
    """
    time_steps = len(inputs)
    neurons = [layer.neuron for layer in network.layers]
    if drive == "bias":
        neurons[0].bias_mant.init = inputs[0].T
    else:
        entry = neurons[0].a_in if drive == "current" else network.inp
        values = inputs.reshape(time_steps, *entry.shape[::-1])
        source = RingBuffer(data=values.T.astype(np.int32))
        source.s_out.connect(entry)
    records: dict[str, str] = {}

    def file_for(key: str, shape: tuple[int, ...]) -> str:
        records[key] = path = str(folder / f"{len(records)}.npy")
        np.save(path, np.zeros((time_steps, *shape), np.int32))
        return path

    for index, neuron in enumerate(neurons):
        shape = neuron.s_out.shape
        recorder = SpikeRecorder(file_for(f"spikes {index}", shape), shape)
        neuron.s_out.connect(recorder.a_in)
        for register in registers(neuron) if index in states else ():
            variable = getattr(neuron, register)
            path = file_for(f"{register} {index}", variable.shape)
            StateRecorder(path, variable.shape).state.connect_var(variable)
    network.run(
        condition=RunSteps(time_steps),
        run_cfg=Loihi2SimCfg(select_tag="fixed_pt"),
        compile_config={"pypy_channel_size": CHANNEL_SIZE},
    )
    network.stop()
    return {key: _channel_first(np.load(path)) for key, path in records.items()}


def registers(neuron: Any) -> tuple[str, ...]:
    """Return the names of the registers that are recorded; a sum counts as ``v``."""
    return ("u", "v") if hasattr(neuron, "bias_mant") else ("sigma",)


def _channel_first(values: Any) -> Any:
    """Return ``(time_steps, C, H, W)`` for Lava's ``(time_steps, W, H, C)``."""
    return values.transpose(0, *range(values.ndim - 1, 0, -1)).astype(np.int64)


if __name__ == "__main__":
    main()
