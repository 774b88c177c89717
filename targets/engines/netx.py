"""The netx file in the stock lava-dl reader's network, on Lava's CPU simulator."""

from __future__ import annotations

from pathlib import Path

from targets.engines.lava import missing
from toolchain.engine import ENGINES, Engine, Execution, Ints, Program
from toolchain.errors import InputDataError
from toolchain.fixedpoint import INPUT_SHIFT

_SAMPLES_MAX = 4


def _run(program: Program, inputs: Ints, *, trace: bool) -> Execution:
    from targets.formats.netx_hdf5 import FILE_NAME
    from targets.netx.run import run_on_netx

    path = (program.folder or Path()) / FILE_NAME
    if not path.exists():
        raise InputDataError(
            "the build has no netx file", node=str(path), hint="compile with --format netx"
        )
    result = run_on_netx(path, program.circuit, inputs, program.circuit.windows)
    if result.outputs is None:
        raise ValueError("the circuit has no readout")
    return Execution(readout=result.outputs >> INPUT_SHIFT, spikes=result.spikes)


ENGINES.register("netx")(
    Engine("netx", _run, missing, artifact="netx", samples_max=_SAMPLES_MAX)
)
