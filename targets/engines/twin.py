"""The written twin, in onnxruntime."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.formats.twin import FILE_NAME
from toolchain.cores import cores
from toolchain.engine import ENGINES, Engine, Execution, Ints, Program
from toolchain.errors import CompileError, InputDataError
from toolchain.ir.ends import encoded_inputs
from toolchain.ir.packing import pack

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

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
    from targets.twin.ends import decoded_samples

    session, populations, sums = _opened(path)
    encoded = encoded_inputs(program.graph, inputs)
    fed = {
        node.tensor or node.name: decoded_samples(node, encoded[node.name])
        for node in program.graph.inputs
    }
    found = session.run([*sums, *(population["counts"] for population in populations)], fed)
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


def _opened(path: Path) -> tuple[InferenceSession, list[dict[str, Any]], list[str]]:
    """Return a twin that gives its counts, too; with it its populations, and names of sums."""
    import onnx

    from targets.twin.sessions import open_session
    from targets.twin.split_model import SplitModel

    model = SplitModel.of(onnx.load(path))
    notes = {entry.key: entry.value for entry in model.proto.metadata_props}
    if not {"populations", "sums"} <= notes.keys():
        raise InputDataError(
            "has no metadata of a twin", node=str(path), hint="compile the network again"
        )
    populations, sums = json.loads(notes["populations"]), json.loads(notes["sums"])
    for value in (*sums, *(population["counts"] for population in populations)):
        model.proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(value))
    return open_session(model, cores()), populations, sums


ENGINES.register("twin")(Engine("twin", _run, artifact="twin", samples_max=_SAMPLES_MAX))
