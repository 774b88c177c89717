"""Stock Lava processes on Lava's CPU simulator."""

from __future__ import annotations

from targets.lava_compat import INSTALL_LINES, missing_for_lava
from toolchain.engine import ENGINES, Engine, Execution, Ints, Program

_SAMPLES_MAX = 4


def _run(program: Program, inputs: Ints, *, trace: bool) -> Execution:
    from targets.formats.lava_process import run_on_lava

    circuit = program.circuit
    result = run_on_lava(circuit, inputs, record=circuit.windows if trace else ())
    if result.outputs is None:
        raise ValueError("the circuit has no readout")
    return Execution(readout=circuit.in_weight_units(result.outputs), spikes=result.spikes)


def missing() -> str | None:
    """Return why Lava cannot run here and how to mend that; `None` if it can."""
    missing = missing_for_lava()
    return None if missing is None else f"{missing}; {INSTALL_LINES}"


ENGINES.register("lava")(
    Engine("lava", _run, missing, artifact="lava", samples_max=_SAMPLES_MAX)
)
