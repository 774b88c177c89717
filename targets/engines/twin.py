"""The written twin, in onnxruntime."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from targets.formats.twin import FILE_NAME
from toolchain.cores import cores
from toolchain.engine import ENGINES, Engine, Execution, Ints, Program
from toolchain.errors import CompileError, InputDataError
from toolchain.ir.ends import encoded_inputs
from toolchain.ir.packing import pack

_SAMPLES_MAX = 64


def _run(program: Program, inputs: Ints, *, trace: bool) -> Execution:
    path = (program.folder or Path()) / FILE_NAME
    if not path.exists():
        raise InputDataError(
            "the build has no twin", node=str(path), hint="compile with --format twin"
        )
    try:
        return _execution(program, inputs, path)
    except CompileError:
        raise
    except Exception as error:  # whatever onnxruntime makes of a file that was changed
        raise InputDataError(
            f"cannot be run: {str(error).partition(chr(10))[0]}",
            node=str(path),
            hint="compile the network again",
        ) from error


def _execution(program: Program, inputs: Ints, path: Path) -> Execution:
    import onnx

    from targets.twin.ends import decoded_samples
    from targets.twin.sessions import open_session
    from targets.twin.split_model import SplitModel

    model = onnx.load(path)
    notes = {entry.key: entry.value for entry in model.metadata_props}
    if not {"populations", "sums"} <= notes.keys():
        raise InputDataError(
            "has no metadata of a twin", node=str(path), hint="compile the network again"
        )
    populations = json.loads(notes["populations"])
    sums = json.loads(notes["sums"])
    values = [*sums, *(population["counts"] for population in populations)]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(v) for v in values)
    session = open_session(SplitModel(model, {}), cores())
    encoded = encoded_inputs(program.graph, inputs)
    fed = {
        node.tensor or node.name: decoded_samples(node, encoded[node.name])
        for node in program.graph.inputs
    }
    found = session.run(values, fed)
    for node, total in zip(program.graph.outputs, found, strict=False):
        wanted = (len(inputs), *program.graph.shapes[node.inputs[0]])
        if total.size != math.prod(wanted):
            raise InputDataError(
                f"makes {total.shape} where the network makes {wanted}",
                node=str(path),
                hint="compile the network again",
            )
    readout = pack([np.asarray(total, np.int64) for total in found[: len(sums)]])
    counts = {
        population["name"]: np.minimum(sent, population["levels"])
        for population, sent in zip(populations, found[len(sums) :], strict=True)
    }
    return Execution(readout=readout, counts=counts)


ENGINES.register("twin")(Engine("twin", _run, artifact="twin", samples_max=_SAMPLES_MAX))
