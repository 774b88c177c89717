"""Write a trained network as one ONNX file that any runtime runs and our compiler recognizes.

The file reads ``x``, ``(N, *shape)`` for static samples or ``(N, windows, *shape)`` for those
with a window axis, and returns ``logits``, ``(N, classes)``, the mean over the windows. Between
the first node and the last, windows are folded into the batch axis (`onnx_functions`). Batch
normalization is folded into the weights. Weights are those of training, and so are the values
that neurons send: spike count times threshold.

A network whose activations are all analogue becomes plain ONNX. A `Qcfs` is written as a
neuron with one window: threshold ``scale/levels`` and half of that as initial potential.
"""

from __future__ import annotations

from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.checker
from onnx import TensorProto, helper, numpy_helper

from toolchain import __version__
from toolchain.errors import EmitError
from toolchain.onnx_functions import DOMAIN, DOMAIN_VERSION, OPSET, functions
from toolchain.training._torch import nn, torch
from toolchain.training.folding import fold_normalization
from toolchain.training.network import INPUT, Add, Network, Permute, Scale, Step
from toolchain.training.neuron import MultiThreshold
from toolchain.training.qcfs import Qcfs

_IR_VERSION = 8
_SAMPLE, _LOGITS = "x", "logits"
_RESERVED = (_SAMPLE, _LOGITS, "windows")
_SPIKING = (MultiThreshold, Qcfs)


def export_network(network: Network, path: Path) -> None:
    """Write ``network`` to an ONNX file.

    Raises:
        EmitError: A module has no form in ONNX, or the file cannot be written.
    """
    content = network_model(network).SerializeToString()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise EmitError(
            f"cannot be written: {error.strerror or error}", node=str(path)
        ) from None


def network_model(network: Network) -> onnx.ModelProto:
    """Return ``network`` as an ONNX model, checked.

    Raises:
        EmitError: A module has no form in ONNX; it is named.
        TrainingError: Layers differ in their number of windows.
    """
    folded = fold_normalization(network).cpu().float().eval()
    writer = _Writer(folded)
    made = writer.model()
    onnx.checker.check_model(made, full_check=False)
    return made


class _Writer:
    def __init__(self, network: Network) -> None:
        self.network = network = _renamed(network)
        self.windows = network.windows
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.shapes = _shapes(network, self.windows)

    def model(self) -> onnx.ModelProto:
        network = self.network
        has_windows = any(isinstance(step.module, _SPIKING) for step in network.steps)
        values = {INPUT: self._enter() if has_windows else _SAMPLE}
        for step in network.steps:
            values[step.name] = self.write(
                step.module, step, [values[name] for name in step.inputs]
            )
        last = values[network.steps[-1].name]
        kind, attributes = ("AverageWindows", {"windows": self.windows})
        if has_windows:
            self.add(kind, [last], _LOGITS, domain=DOMAIN, **attributes)
        else:
            self.add("Identity", [last], _LOGITS)
        return self._packed(has_windows)

    def _enter(self) -> str:
        kind = "FoldWindows" if self.network.has_window_axis else "RepeatWindows"
        return self.add(kind, [_SAMPLE], "windows", domain=DOMAIN, windows=self.windows)

    def _packed(self, has_windows: bool) -> onnx.ModelProto:
        network = self.network
        frames = [self.windows] if network.has_window_axis else []
        classes = self.shapes[network.steps[-1].name]
        entry = ["N", *frames, *network.sample_shape]
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(_SAMPLE, TensorProto.FLOAT, entry)],
            [helper.make_tensor_value_info(_LOGITS, TensorProto.FLOAT, ["N", *classes])],
            self.weights,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        if has_windows:
            opsets.append(helper.make_opsetid(DOMAIN, DOMAIN_VERSION))
        return helper.make_model(
            graph,
            opset_imports=opsets,
            functions=functions(self.windows) if has_windows else [],
            ir_version=_IR_VERSION,
            producer_name="snn-compile",
            producer_version=__version__,
        )

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        node = helper.make_node(op, inputs, [output], name=output, **attributes)
        self.nodes.append(node)
        return output

    def weight(self, name: str, value: Any) -> str:
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else value
        self.weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    @singledispatchmethod
    def write(self, module: Any, step: Step, reads: list[str]) -> str:
        raise EmitError(
            f"{type(module).__name__} has no form in an exported network", node=step.name
        )

    @write.register
    def _(self, module: MultiThreshold, step: Step, reads: list[str]) -> str:
        mixing: npt.NDArray[np.float32] = module.mixing().detach().numpy()
        return self._neuron(
            step,
            reads,
            levels=module.levels,
            threshold=module.threshold.item(),
            mixing=mixing.ravel().tolist(),
            retention=module.retention.item(),
            initial=module.initial.item(),
        )

    @write.register
    def _(self, module: Qcfs, step: Step, reads: list[str]) -> str:
        if self.windows != 1:
            raise EmitError("is analogue in a network with windows", node=step.name)
        threshold = module.threshold.item() / module.levels
        return self._neuron(
            step,
            reads,
            levels=module.levels,
            threshold=threshold,
            mixing=[1.0],
            retention=1.0,
            initial=threshold / 2,
        )

    def _neuron(self, step: Step, reads: list[str], **attributes: Any) -> str:
        return self.add(
            "MultiThreshold",
            reads,
            step.name,
            domain=DOMAIN,
            windows=self.windows,
            **attributes,
        )

    @write.register
    def _(self, module: nn.Linear, step: Step, reads: list[str]) -> str:
        bias = module.bias if module.bias is not None else torch.zeros(module.out_features)
        bias_name = self.weight(f"{step.name}.bias", bias)
        if len(self.shapes[step.name]) == 1:
            weight = self.weight(f"{step.name}.weight", module.weight)
            return self.add("Gemm", [*reads, weight, bias_name], step.name, transB=1)
        weight = self.weight(f"{step.name}.weight", module.weight.t())
        product = self.add("MatMul", [*reads, weight], f"{step.name}.product")
        return self.add("Add", [product, bias_name], step.name)

    @write.register
    def _(self, module: nn.Conv2d, step: Step, reads: list[str]) -> str:
        names = [*reads, self.weight(f"{step.name}.weight", module.weight)]
        if module.bias is not None:
            names.append(self.weight(f"{step.name}.bias", module.bias))
        return self.add(
            "Conv",
            names,
            step.name,
            kernel_shape=list(module.kernel_size),
            strides=list(module.stride),
            pads=[*module.padding, *module.padding],
            dilations=list(module.dilation),
            group=module.groups,
        )

    @write.register
    def _(self, module: nn.AvgPool2d, step: Step, reads: list[str]) -> str:
        return self._pool("AveragePool", module, step, reads, count_include_pad=1)

    @write.register
    def _(self, module: nn.MaxPool2d, step: Step, reads: list[str]) -> str:
        return self._pool("MaxPool", module, step, reads)

    def _pool(
        self, op: str, module: Any, step: Step, reads: list[str], **attributes: Any
    ) -> str:
        return self.add(
            op,
            reads,
            step.name,
            kernel_shape=_pair(module.kernel_size),
            strides=_pair(module.stride),
            pads=[*_pair(module.padding), *_pair(module.padding)],
            **attributes,
        )

    @write.register
    def _(self, module: nn.ReLU, step: Step, reads: list[str]) -> str:
        return self.add("Relu", reads, step.name)

    @write.register
    def _(self, module: nn.Hardtanh, step: Step, reads: list[str]) -> str:
        limits = {"low": module.min_val, "high": module.max_val}
        names = [self.weight(f"{step.name}.{k}", np.float32(v)) for k, v in limits.items()]
        return self.add("Clip", [*reads, *names], step.name)

    @write.register
    def _(self, module: nn.Flatten, step: Step, reads: list[str]) -> str:
        return self.add("Flatten", reads, step.name, axis=1)

    @write.register
    def _(self, module: Add, step: Step, reads: list[str]) -> str:
        return self.add("Add" if len(reads) == 2 else "Sum", reads, step.name)

    @write.register
    def _(self, module: nn.ZeroPad2d, step: Step, reads: list[str]) -> str:
        left, right, top, bottom = module.padding
        pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        return self.add("Pad", [*reads, self.weight(f"{step.name}.pads", pads)], step.name)

    @write.register
    def _(self, module: Scale, step: Step, reads: list[str]) -> str:
        shifts = bool(torch.any(module.shift != 0))
        factor = self.weight(f"{step.name}.factor", module.factor)
        product = f"{step.name}.product" if shifts else step.name
        self.add("Mul", [*reads, factor], product)
        if not shifts:
            return step.name
        shift = self.weight(f"{step.name}.shift", module.shift)
        return self.add("Add", [product, shift], step.name)

    @write.register
    def _(self, module: Permute, step: Step, reads: list[str]) -> str:
        order = module.order.numpy().reshape(module.shape)
        spaces = _spaces(order, step.name)
        taken = order[:, :: spaces[0], :: spaces[1]] if max(spaces) > 1 else order
        flat = self.add("Flatten", reads, f"{step.name}.flat", axis=1)
        index = self.weight(f"{step.name}.order", taken.ravel())
        ordered = self.add("Gather", [flat, index], f"{step.name}.ordered", axis=1)
        shape = self.weight(f"{step.name}.shape", np.array([-1, *taken.shape], np.int64))
        if max(spaces) == 1:
            return self.add("Reshape", [ordered, shape], step.name)
        shaped = self.add("Reshape", [ordered, shape], f"{step.name}.shaped")
        points = self.weight(f"{step.name}.points", np.ones((len(taken), 1, 1, 1), np.float32))
        return self.add(
            "ConvTranspose", [shaped, points], step.name, group=len(taken), strides=spaces
        )


def _spaces(order: npt.NDArray[np.int64], name: str) -> list[int]:
    """Return the steps, down and to the right, at which an order has no zeros between values.

    Raises:
        EmitError: The zeros are not those that evenly spaced rows and columns leave.
    """
    if order.min() >= 0:
        return [1, 1]
    if order.ndim == 3 and order.max() >= 0:
        held = [np.flatnonzero((order >= 0).any(axis=axes)) for axes in ((0, 2), (0, 1))]
        spaces = [int(places[1]) if len(places) > 1 else 1 for places in held]
        lattice = np.zeros(order.shape, bool)
        lattice[:, :: spaces[0], :: spaces[1]] = True
        ends = [int(places[-1]) + 1 for places in held]
        if np.array_equal(lattice, order >= 0) and ends == list(order.shape[1:]):
            return spaces
    raise EmitError("has zeros between its values that are not evenly spaced", node=name)


def _renamed(network: Network) -> Network:
    """Return a network none of whose steps has the name of the file's input or output."""
    taken = {step.name for step in network.steps}
    names = {INPUT: INPUT}
    for name in taken:
        new = name
        while new in _RESERVED or (new != name and new in taken):
            new += "_"
        names[name] = new
    return network.with_steps(
        Step(names[s.name], tuple(names[i] for i in s.inputs), s.module) for s in network.steps
    ).eval()


def _pair(size: Any) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)


def _shapes(network: Network, windows: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all steps for one sample and window."""
    frames = (windows,) if network.has_window_axis else ()
    with torch.no_grad():
        x = torch.zeros(1, *frames, *network.sample_shape)
        return {step.name: tuple(y.shape[2:]) for step, _, y in network.evaluate(x)}
