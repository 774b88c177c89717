"""The written twin, in onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from targets.formats.twin import FILE_NAME
from toolchain.engine import ENGINES, Engine, Execution, Ints, Program
from toolchain.errors import InputDataError

_SAMPLES_MAX = 64


def _run(program: Program, inputs: Ints, *, trace: bool) -> Execution:
    import onnx

    from targets.twin.ends import decoded_samples
    from targets.twin.sessions import cores, open_session

    path = (program.folder or Path()) / FILE_NAME
    if not path.exists():
        raise InputDataError(
            "the build has no twin", node=str(path), hint="compile with --format twin"
        )
    model = onnx.load(path)
    notes = {entry.key: entry.value for entry in model.metadata_props}
    populations = json.loads(notes["populations"])
    values = [notes["sums"], *(population["counts"] for population in populations)]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(v) for v in values)
    session = open_session(model.SerializeToString(), cores())
    x = decoded_samples(program.graph.input, inputs)
    sums, *found = session.run(values, {session.get_inputs()[0].name: x})
    counts = {
        population["name"]: np.minimum(sent, population["levels"])
        for population, sent in zip(populations, found, strict=True)
    }
    return Execution(readout=sums.astype(np.int64), counts=counts)


ENGINES.register("twin")(Engine("twin", _run, artifact="twin", samples_max=_SAMPLES_MAX))
