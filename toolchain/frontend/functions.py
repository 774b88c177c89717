"""Trained LM-HT neurons in a model: nodes of our own ONNX domain, known by their attributes.

A node of this domain is a function that the file itself defines in standard operators, so that
any runtime can run it (`toolchain.onnx_functions`). We read the attributes and never the
definition, so a definition that does anything else than ours would be a lie: every one is
compared with ours, node by node. Names and comments may differ, nothing else may.

Between the first such node and the last, windows are folded into the batch axis. Here that axis
keeps its length 1: types are those of one window of one sample.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NoReturn

import onnx
import onnx.defs
import onnx.helper

from toolchain.errors import ImportModelError, UnsupportedOpError
from toolchain.onnx_functions import DOMAIN, DOMAIN_VERSION, functions

NEURON = "MultiThreshold"
LARGEST_WINDOWS = 256
"""Windows of one sample that are supported."""

EXIT = "AverageWindows"
_ENTRIES = ("FoldWindows", "RepeatWindows")
_INTEGER, _REAL, _REALS = (
    onnx.AttributeProto.INT,
    onnx.AttributeProto.FLOAT,
    onnx.AttributeProto.FLOATS,
)
_ATTRIBUTES: Mapping[str, Mapping[str, int]] = {
    "RepeatWindows": {"windows": _INTEGER},
    "FoldWindows": {"windows": _INTEGER},
    EXIT: {"windows": _INTEGER},
    NEURON: {
        "windows": _INTEGER,
        "levels": _INTEGER,
        "threshold": _REAL,
        "mixing": _REALS,
        "retention": _REAL,
        "initial": _REAL,
    },
}
_TYPE_NAMES = {_INTEGER: "an integer", _REAL: "a number", _REALS: "a list of numbers"}
_HINT = "export the network again with snn-compile's own exporter"


def is_function(node: onnx.NodeProto) -> bool:
    """Tell whether a node is of our own domain."""
    return bool(node.domain == DOMAIN)


def is_exit(node: onnx.NodeProto) -> bool:
    """Tell whether a node takes the mean over the windows."""
    return is_function(node) and node.op_type == EXIT


def importer_name(node: onnx.NodeProto) -> str:
    """Return the name under which the importer of a node is registered."""
    return f"{DOMAIN}.{node.op_type}" if is_function(node) else str(node.op_type)


def check_functions(model: onnx.ModelProto) -> None:
    """Refuse nodes of our domain whose attributes or definition are not what we know.

    Raises:
        ImportModelError: The file does not define the function, or not as we do; it names the
            node.
        UnsupportedOpError: Another version of the domain, no function of it, or attributes that
            are missing, unknown or of another type; it names the node.
    """
    for node in filter(is_function, model.graph.node):
        check_function(model, node)


def check_function(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Refuse a node of our domain, as `check_functions` does all of them.

    Raises:
        ImportModelError: As there.
        UnsupportedOpError: As there.
    """
    _check_version(model, node)
    _check_attributes(node)
    windows = onnx.helper.get_node_attr_value(node, "windows")
    if not 1 <= windows <= LARGEST_WINDOWS:
        _refuse(node, f"has windows={windows}; 1 to {LARGEST_WINDOWS} are supported")
    _check_definition(model, node, _definitions(windows)[node.op_type])


@functools.cache
def _definitions(windows: int) -> Mapping[str, bytes]:
    """Return what our functions are for a number of windows, by name."""
    return {known.name: _content(known) for known in functions(windows)}


def _check_version(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    versions = [opset.version for opset in model.opset_import if opset.domain == DOMAIN]
    if versions != [DOMAIN_VERSION]:
        found = " and ".join(map(str, versions)) or "none"
        _refuse(
            node,
            f"is of domain {DOMAIN!r}, of which the model uses version {found}; version "
            f"{DOMAIN_VERSION} is supported",
            "compile with the version of snn-compile that exported the network",
        )
    if node.op_type not in _ATTRIBUTES:
        _refuse(node, f"is no function of domain {DOMAIN!r}; {', '.join(_ATTRIBUTES)} are")


def _check_attributes(node: onnx.NodeProto) -> None:
    if len(node.input) != 1 or len(node.output) != 1:
        _refuse(
            node, f"has {len(node.input)} inputs and {len(node.output)} outputs; each is one"
        )
    known = _ATTRIBUTES[node.op_type]
    found = [attribute.name for attribute in node.attribute]
    missing = [name for name in known if name not in found]
    if missing:
        _refuse(node, f"has no attribute {', '.join(missing)}")
    extra = [name for i, name in enumerate(found) if name not in known or name in found[:i]]
    if extra:
        _refuse(node, f"has attribute {', '.join(extra)}, which is not supported")
    for attribute in node.attribute:
        wanted = known[attribute.name]
        if attribute.type != wanted or attribute.ref_attr_name:
            _refuse(
                node, f"has an attribute {attribute.name} that is not {_TYPE_NAMES[wanted]}"
            )


def _check_definition(model: onnx.ModelProto, node: onnx.NodeProto, ours: bytes) -> None:
    found = [
        function
        for function in model.functions
        if (function.domain, function.name) == (DOMAIN, node.op_type)
    ]
    if not found:
        raise ImportModelError(
            f"{node.op_type} is a function that the file does not define",
            node=node.name,
            hint=_HINT,
        )
    if len(found) > 1 or _content(found[0]) != ours:
        raise ImportModelError(
            f"{node.op_type} is defined in the file, and not as version {DOMAIN_VERSION} of "
            f"domain {DOMAIN!r} defines it",
            node=node.name,
            hint=_HINT,
        )


def _content(function: onnx.FunctionProto) -> bytes:
    """Return all of a function but comments, declared types, and names of its nodes."""
    bare = onnx.FunctionProto()
    bare.CopyFrom(function)
    for comment in ("doc_string", "metadata_props", "value_info"):
        bare.ClearField(comment)
    for node in bare.node:
        for comment in ("doc_string", "metadata_props", "name"):
            node.ClearField(comment)
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
    return bytes(bare.SerializeToString(deterministic=True))


def function_schema(node: onnx.NodeProto) -> onnx.defs.OpSchema:
    """Return the form of one of our functions, as ONNX describes its operators."""
    real = onnx.defs.OpSchema.FormalParameter
    return onnx.defs.OpSchema(
        node.op_type,
        DOMAIN,
        DOMAIN_VERSION,
        inputs=[real("x", "tensor(float)")],
        outputs=[real("y", "tensor(float)")],
    )


def function_types(
    node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto]
) -> Mapping[str, onnx.TypeProto]:
    """Return the type of what one of our functions computes, in one window of one sample.

    Args:
        node: The node.
        types: Of the values before it, by name; with a batch axis of length 1.

    Raises:
        UnsupportedOpError: What it reads is not one value of float32, or of no shape that it
            can read.
    """
    if len(node.input) != 1 or not node.input[0]:
        _refuse(node, "reads nothing, or more than one value")
    tensor = types[node.input[0]].tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        _refuse(
            node, "reads values that are not float32", "cast the input to float32 before it"
        )
    shape = [size.dim_value for size in tensor.shape.dim]
    if node.op_type == "FoldWindows":
        windows = onnx.helper.get_node_attr_value(node, "windows")
        if len(shape) < 3 or shape[1] != windows:
            _refuse(
                node,
                f"has windows={windows} and reads shape {tuple(shape)}; "
                "(batch, windows, ...) is needed",
            )
        shape = [1, *shape[2:]]
    if len(shape) < 2:
        _refuse(node, f"reads shape {tuple(shape)}; (batch, ...) is needed")
    if node.op_type == EXIT:
        size = 1
        for length in shape[1:]:
            size *= length
        shape = [shape[0], size]
    made = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, shape)
    return {node.output[0]: made}


def check_windows(line: Sequence[onnx.NodeProto]) -> None:
    """Refuse windows that are never entered or left, or that change on the way.

    Args:
        line: The nodes that depend on the sample, in order.

    Raises:
        UnsupportedOpError: One of our functions stands where it has no meaning; it names the
            node.
    """
    found = [node for node in line if is_function(node)]
    if not found:
        return
    entry, *neurons, last = found if len(found) > 1 else [*found, found[0]]
    if entry.op_type not in _ENTRIES:
        _refuse(entry, f"stands before any of {' and '.join(_ENTRIES)}")
    if last.op_type != EXIT:
        _refuse(last, f"has no {EXIT} after it")
    for node in neurons:
        if node.op_type != NEURON:
            _refuse(node, f"stands between {entry.name!r} and {last.name!r}, where windows are")
    if not neurons:
        _refuse(entry, f"has no {NEURON} after it")
    windows = _windows_of(entry)
    for node in found:
        other = _windows_of(node)
        if other != windows:
            _refuse(
                node, f"has windows={other}, and {entry.name!r} has {windows}; one is supported"
            )


def _windows_of(node: onnx.NodeProto) -> int | None:
    """Return the attribute, `None` where it is missing."""
    return next((int(a.i) for a in node.attribute if a.name == "windows"), None)


def _refuse(node: onnx.NodeProto, problem: str, hint: str | None = None) -> NoReturn:
    raise UnsupportedOpError(f"{node.op_type} {problem}", node=node.name, hint=hint or _HINT)
