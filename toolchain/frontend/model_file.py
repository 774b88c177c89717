"""Reading an ONNX file that may be anything."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import onnx
import onnx.checker
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from toolchain.digest import add_files
from toolchain.errors import ImportModelError, UnsupportedOpError
from toolchain.frontend.expansion import expand
from toolchain.frontend.external_data import load_external_data
from toolchain.frontend.functions import check_functions, function_schema, is_function
from toolchain.frontend.qonnx import QONNX
from toolchain.frontend.qoperators import QOPERATORS
from toolchain.frontend.skeleton import skeleton_of
from toolchain.limits import BYTES_MAX, DEFAULT, Limits

OLDEST_OPSET = 7
_OWN_DOMAINS = ("", "ai.onnx")
_SIZES = ("dilations", "group", "kernel_shape", "strides")

_WEIGHTS_APART = 4
"""First version of the format in which weights need not be inputs."""


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model that is ONNX and can be read on its own.

    Attributes:
        path: Where it was read from.
        proto: The model, with its external data inside, in plain operators.
        sha256: Of the file, or of the file and then its external files in the order of their
            names.
        opset: Version of the ONNX operators.
        source: The model as onnxruntime can run it: what ``proto`` was made of, but for
            quantizers that it does not know.
        external: Files beside it that hold elements of tensors, in the order of their names.
        runs_as_it_is: Whether onnxruntime can run the file itself: ``source`` is what it finds
            there, but for missing names of nodes and the version of the format.
        limits: What may be made of it.
    """

    path: Path
    proto: onnx.ModelProto
    sha256: str
    opset: int
    source: onnx.ModelProto
    external: tuple[Path, ...]
    runs_as_it_is: bool
    limits: Limits = DEFAULT

    @cached_property
    def functions(self) -> frozenset[tuple[str, str]]:
        """Domain and name of the functions that the model defines."""
        return frozenset((function.domain, function.name) for function in self.proto.functions)

    def without_elements(self) -> ModelFile:
        """Return the model without the elements of large tensors; it cannot be run any more."""
        skeleton = skeleton_of(self.proto, with_shapes=True)
        return replace(self, proto=skeleton, source=skeleton)


def read_model(path: Path, limits: Limits = DEFAULT) -> ModelFile:
    """Read a model with the data in files next to it, and refuse nodes that are not plain.

    Raises:
        ImportModelError: It is no ONNX model, inconsistent, too old, too new or too large; it
            names the file.
        UnsupportedOpError: A node is neither one of ONNX's own plain operators nor one of our
            functions; it names the node.
    """
    file = read_file(path, limits)
    for node in file.proto.graph.node:
        require_plain(node, file)
    check_functions(file.proto)
    check_model(file)
    return file


def read_file(path: Path, limits: Limits = DEFAULT) -> ModelFile:
    """Read a model with the data in files next to it, whatever its nodes are.

    Raises:
        ImportModelError: It is no ONNX model, too old, too new or too large; it names the file.
        UnsupportedOpError: An operator of a quantized model is not as it should be.
    """
    model, digest = _parsed(path, limits.model_bytes)
    if not model.ir_version or not model.graph.node:
        raise ImportModelError("is not an ONNX model, or has no nodes", node=str(path))
    if not 0 < model.ir_version <= onnx.IR_VERSION:
        raise ImportModelError(
            f"is of version {model.ir_version} of the format; up to {onnx.IR_VERSION} is read",
            node=str(path),
            hint="install a newer onnx",
        )
    # Up to version 3 weights had to be inputs, too, which writers forget and runtimes allow.
    model.ir_version = max(model.ir_version, _WEIGHTS_APART)
    if not model.graph.output:
        raise ImportModelError("has no output", node=str(path))
    _require_few_nodes(model, path, limits)
    if not _is_text(model):
        raise ImportModelError("holds names that are not UTF-8 text", node=str(path))
    opset = _opset(model, path)
    has_own_names = _names_differ(model)
    name_nodes(model)
    if model.graph.sparse_initializer:
        sparse = model.graph.sparse_initializer[0].values.name
        raise ImportModelError("is sparse; only dense initializers are supported", node=sparse)
    external = load_external_data(model, path, largest_bytes=limits.model_bytes)
    add_files(digest, external.paths)
    source = expand(model, QONNX)
    return ModelFile(
        path=path,
        proto=expand(source, QOPERATORS),
        sha256=digest.hexdigest(),
        opset=opset,
        source=source,
        external=external.paths,
        runs_as_it_is=has_own_names and external.are_plain and source is model,
        limits=limits,
    )


def _parsed(path: Path, largest_bytes: int) -> tuple[onnx.ModelProto, hashlib._Hash]:
    """Return what is in a file, and its digest; the bytes of the file are not kept."""
    content = _bytes(path, largest_bytes)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise ImportModelError(
            "is not an ONNX model, or is cut off",
            node=str(path),
            hint="export the model again, and compare the size of the file with the original",
        ) from None
    return model, hashlib.sha256(content)


def _require_few_nodes(model: onnx.ModelProto, path: Path, limits: Limits) -> None:
    count = len(model.graph.node)
    if count > limits.nodes:
        raise ImportModelError(
            f"has {count} nodes; {limits.nodes} are read",
            node=str(path),
            hint="raise the limit with --max-nodes, if you trust the model",
        )


def _require_few_bytes(size: int, largest: int, path: Path) -> None:
    if size > min(largest, BYTES_MAX):
        raise ImportModelError(
            f"has {size} bytes; up to {min(largest, BYTES_MAX)} are supported", node=str(path)
        )


def _names_differ(model: onnx.ModelProto) -> bool:
    """Tell whether nodes have names of their own or none, without which onnxruntime refuses."""
    names = [node.name for node in model.graph.node if node.name]
    return len(set(names)) == len(names)


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a name of its own: the one it has, or operator and first output."""
    taken: dict[str, int] = {}
    for node in model.graph.node:
        first = next((name for name in node.output if name), "")
        wish = node.name or f"{node.op_type}:{first}"
        name, count = wish, taken.get(wish, 0)
        while name in taken:
            count += 1
            name = f"{wish}#{count}"
        taken[wish] = max(count, 1)
        taken.setdefault(name, 1)
        node.name = name


def is_own(domain: str) -> bool:
    """Tell whether a domain is that of ONNX's own operators."""
    return domain in _OWN_DOMAINS


def _refuse_empty_windows(node: onnx.NodeProto) -> None:
    """Refuse sizes below 1, by which some versions of onnx divide without looking."""
    for attribute in node.attribute:
        sizes = [attribute.i] if attribute.name == "group" else attribute.ints
        if attribute.name in _SIZES and min(sizes, default=1) < 1:
            raise UnsupportedOpError(
                f"{node.op_type} has {attribute.name}={list(sizes)}; 1 is the least",
                node=node.name,
            )


def schema_of(node: onnx.NodeProto, opset: int) -> onnx.defs.OpSchema:
    """Return the operator of a node, in the version that an opset has, or our function.

    Raises:
        UnsupportedOpError: There is none.
    """
    if is_function(node):
        return function_schema(node)
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        schema = None
    if schema is None or schema.deprecated:
        raise UnsupportedOpError(
            f"{node.op_type} is no operator of opset {opset}", node=node.name
        )
    return schema


def _is_text(message: Message) -> bool:
    """Tell whether all strings are text; the library gives those that are not as bytes."""
    for field, content in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            strings = [content] if isinstance(content, (str, bytes)) else content
            if not all(isinstance(string, str) for string in strings):
                return False
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            messages = [content] if isinstance(content, Message) else content
            if not all(map(_is_text, messages)):
                return False
    return True


def _bytes(path: Path, largest: int) -> bytes:
    try:
        if not path.is_file():
            raise ImportModelError(
                "is a folder" if path.is_dir() else "there is no such file", node=str(path)
            )
        _require_few_bytes(path.stat().st_size, largest, path)
        return path.read_bytes()
    except OSError as error:
        raise ImportModelError(
            f"cannot be read: {(error.strerror or 'unknown error').lower()}", node=str(path)
        ) from None


def _opset(model: onnx.ModelProto, path: Path) -> int:
    found = [opset.version for opset in model.opset_import if is_own(opset.domain)]
    if not found:
        raise ImportModelError("does not say which opset it uses", node=str(path))
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= found[0] <= newest:
        raise ImportModelError(
            f"uses opset {found[0]}; {OLDEST_OPSET} to {newest} are supported",
            node=str(path),
            hint="export the model again with opset 17, or install a newer onnx",
        )
    return int(found[0])


def require_plain(node: onnx.NodeProto, file: ModelFile) -> None:
    """Refuse a node that is no plain operator of ONNX's own; our functions pass.

    Raises:
        UnsupportedOpError: It is something else, or asks for what no operator can do.
    """
    if not is_function(node):
        if (node.domain, node.op_type) in file.functions:
            raise UnsupportedOpError(
                f"{node.op_type} is a function of the model's own",
                node=node.name,
                hint="inline the functions with onnx.inliner before",
            )
        if not is_own(node.domain):
            raise UnsupportedOpError(
                f"{node.op_type} is of domain {node.domain!r}; only ONNX's own operators are "
                "supported",
                node=node.name,
                hint="export the model without the optimizations of a runtime",
            )
        if any(a.type in _GRAPHS or a.ref_attr_name for a in node.attribute):
            raise UnsupportedOpError(
                f"{node.op_type} runs a graph of its own; control flow is not supported",
                node=node.name,
                hint="export the model for a fixed input shape, by tracing it",
            )
    schema_of(node, file.opset)
    _refuse_empty_windows(node)


_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def check_node(node: onnx.NodeProto, file: ModelFile) -> None:
    """Let ONNX look at one node, on its own.

    Raises:
        ImportModelError: It is inconsistent; it names the node.
    """
    context = onnx.checker.C.CheckerContext()
    context.ir_version = onnx.IR_VERSION
    context.opset_imports = {"": file.opset}
    try:
        onnx.checker.check_node(node, context)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ImportModelError(
            f"{node.op_type} is inconsistent, says onnx: {str(error).strip().splitlines()[0]}",
            node=node.name,
        ) from None


def check_model(file: ModelFile) -> None:
    """Let ONNX look at the model as a whole.

    Raises:
        ImportModelError: It is inconsistent.
    """
    try:
        onnx.checker.check_model(skeleton_of(file.proto, with_shapes=False))
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ImportModelError(
            f"is inconsistent, says onnx: {str(error).strip().splitlines()[0]}",
            node=str(file.path),
        ) from None
