"""A copy of a model in which every node says what becomes of it, for viewers like Netron.

Nothing else is changed: weights in the file stay as they are. Weights in other files stay
there if the copy is beside the model; elsewhere the copy gets them into itself.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import onnx

from toolchain.checking.findings import Check, NodeVerdict
from toolchain.errors import InputDataError, OutputFolderError
from toolchain.frontend.external_data import load_external_data

_KEY = "snn-compile"
_LARGEST_BYTES = 2**31 - 1


def write_tagged(check: Check, model: Path, path: Path) -> None:
    """Write a model with the verdicts on its nodes, as metadata and in front of their notes.

    Args:
        check: Of the model.
        model: File of the model; it is not changed.
        path: File to write; it is there when it is complete, and not before.

    Raises:
        InputDataError: ``path`` is a file that the model is made of.
        OutputFolderError: It cannot be written.
    """
    proto = onnx.load(model, load_external_data=False)
    if path.resolve() in _parts(proto, model):
        raise InputDataError(
            "is part of the model, which stays as it is",
            node=str(path),
            hint="name another file with --tagged",
        )
    for node, verdict in zip(proto.graph.node, check.nodes, strict=True):
        for key, text in _tags(verdict):
            entry = node.metadata_props.add()
            entry.key, entry.value = key, text
        node.doc_string = "\n".join(filter(None, (_sentence(verdict), node.doc_string)))
    if path.resolve().parent != model.resolve().parent:
        load_external_data(proto, model)
    if proto.ByteSize() > _LARGEST_BYTES:
        raise OutputFolderError(
            f"would have {proto.ByteSize()} bytes with the weights in it; {_LARGEST_BYTES} are "
            "possible",
            node=str(path),
            hint="name a file in the folder of the model, which keeps its weights beside it",
        )
    _write(proto.SerializeToString(), path)


def _parts(proto: onnx.ModelProto, model: Path) -> set[Path]:
    """Return the files that a model is made of."""
    named = {
        entry.value
        for tensor in proto.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return {model.resolve(), *((model.parent / name).resolve() for name in named)}


def _tags(verdict: NodeVerdict) -> Iterator[tuple[str, str]]:
    yield f"{_KEY}.verdict", verdict.verdict
    if verdict.into is not None:
        yield f"{_KEY}.into", verdict.into
    if verdict.multiply_accumulates:
        yield f"{_KEY}.multiply_accumulates", str(verdict.multiply_accumulates)
    if verdict.why is not None:
        yield f"{_KEY}.stage", verdict.why.stage
        yield f"{_KEY}.problem", verdict.why.problem
        yield f"{_KEY}.fix", verdict.why.fix
        yield f"{_KEY}.code", verdict.why.code


def _sentence(verdict: NodeVerdict) -> str:
    into = f" into {verdict.into}" if verdict.into else ""
    why = f" at {verdict.why.stage}: {verdict.why.problem}" if verdict.why else ""
    return f"{_KEY}: {verdict.verdict}{into}{why}"


def _write(content: bytes, path: Path) -> None:
    """Write a file under another name, then give it its own."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except OSError as error:
        raise OutputFolderError(
            f"cannot be written: {(error.strerror or 'unknown error').lower()}",
            node=str(path),
            hint="name another file with --tagged",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
