"""The networks in simulators that step through time, on torch: each ReLU becomes IF neurons.

The sample is a constant input current in every step; what comes before the first neurons does
not change over time and is computed once. Neurons are integrate-and-fire with threshold 1 and
reset by subtraction (Norse has only reset to zero), the answer is the mean of the last layer.
Weights are those of the ONNX file. These simulators compute densely, so that their speed does
not depend on what spikes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import onnx
from contest import Contender, fastest
from networks import Floats

BATCHES = (1, 8, 32)
"""Of which each simulator gets its best."""

PEERS = {
    "SpikingJelly": "spikingjelly",
    "snnTorch": "snntorch",
    "Norse": "norse",
    "sinabs": "sinabs",
}


def missing_peers() -> list[str]:
    """Return the names of the simulators that are not installed."""
    if importlib.util.find_spec("torch") is None:
        return list(PEERS)
    return [name for name, package in PEERS.items() if not importlib.util.find_spec(package)]


def peer(
    name: str, model: onnx.ModelProto, x: Floats, time_steps: Sequence[int]
) -> list[Contender]:
    """Return a simulator at each number of steps.

    Batch and memory format are those in which it is fastest at the first of them.
    """
    import torch

    candidates = [
        (batch, layout)
        for batch in BATCHES
        for layout in (torch.contiguous_format, torch.channels_last)
    ]

    def contender(steps: int, batch: int, layout: Any) -> Contender:
        note = f"batch {batch}, {str(layout).removeprefix('torch.')}"
        run = simulator(name, model, x[:batch], steps, layout)
        return Contender(f"{name}, {steps} steps", batch, run, note)

    tried = [contender(time_steps[0], *candidate) for candidate in candidates]
    best = candidates[tried.index(fastest(tried))]
    return [contender(steps, *best) for steps in time_steps]


def simulator(
    name: str, model: onnx.ModelProto, x: Floats, time_steps: int, layout: Any = None
) -> Callable[[], Any]:
    """Return a run of a simulator on one batch, channels last unless told otherwise."""
    import torch

    layout = layout or torch.channels_last
    layers = _Layers(model)
    layers.to_layout(layout)
    network = _NETWORKS[name](layers, time_steps)
    given = torch.from_numpy(x).contiguous(memory_format=layout)

    def run() -> Any:
        with torch.inference_mode():
            return network(given)

    return run


class _Layers:
    """The nodes of an ONNX file of `networks`, in torch."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import torch

        graph = model.graph
        self.weights = {
            w.name: torch.from_numpy(onnx.numpy_helper.to_array(w).copy())
            for w in graph.initializer
        }
        self.nodes = list(graph.node)
        first = next(i for i, node in enumerate(self.nodes) if node.op_type == "Relu")
        self.before, self.after = self.nodes[:first], self.nodes[first:]
        self.neurons = [node.output[0] for node in self.nodes if node.op_type == "Relu"]
        self.entry, self.last = graph.input[0].name, graph.output[0].name

    def to_layout(self, layout: Any) -> None:
        """Put the kernels of convolutions into a memory format."""
        for name, weight in self.weights.items():
            if weight.dim() == 4:
                self.weights[name] = weight.contiguous(memory_format=layout)

    def current(self, x: Any) -> dict[str, Any]:
        """Return the values in front of the first neurons."""
        values = {self.entry: x}
        for node in self.before:
            values[node.output[0]] = self.apply(node, values)
        return values

    def step(self, values: dict[str, Any], fire: Callable[[str, Any], Any]) -> Any:
        """Return the answer; ``fire`` has the spikes of some neurons for their current."""
        values = dict(values)
        for node in self.after:
            name = node.output[0]
            if node.op_type == "Relu":
                values[name] = fire(name, values[node.input[0]])
            else:
                values[name] = self.apply(node, values)
        return values[self.last]

    def apply(self, node: onnx.NodeProto, values: dict[str, Any]) -> Any:
        """Return the output of a node that is no activation."""
        from torch.nn import functional

        given = [values[name] if name in values else self.weights[name] for name in node.input]
        read = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Conv":
            return functional.conv2d(*given, stride=read["strides"], padding=read["pads"][:2])
        if node.op_type == "Gemm":
            return functional.linear(*given)
        if node.op_type == "BatchNormalization":
            x, scale, shift, mean, variance = given
            return functional.batch_norm(x, mean, variance, scale, shift)
        if node.op_type == "MaxPool":
            return functional.max_pool2d(given[0], 2)
        if node.op_type == "GlobalAveragePool":
            return functional.adaptive_avg_pool2d(given[0], 1)
        if node.op_type == "Flatten":
            return given[0].flatten(1)
        if node.op_type == "Add":
            return given[0] + given[1]
        raise ValueError(f"no torch function for {node.op_type}")


class _Stepwise:
    """A network that goes through all layers in each step."""

    def __init__(self, layers: _Layers, time_steps: int) -> None:
        self.layers, self.time_steps = layers, time_steps

    def __call__(self, x: Any) -> Any:
        current = self.layers.current(x)
        state: dict[str, Any] = {}
        total: Any = 0

        def fire(name: str, a: Any) -> Any:
            spikes, state[name] = self.neurons(a, state.get(name))
            return spikes

        for _ in range(self.time_steps):
            total = total + self.layers.step(current, fire)
        return total / self.time_steps

    def neurons(self, a: Any, state: Any) -> tuple[Any, Any]:
        """Return spikes and state for the input current and the state before."""
        raise NotImplementedError


class _SnnTorch(_Stepwise):
    def __init__(self, layers: _Layers, time_steps: int) -> None:
        import snntorch

        super().__init__(layers, time_steps)
        self._new = lambda: snntorch.Leaky(beta=1.0, reset_mechanism="subtract")
        self._one = self._new()

    def neurons(self, a: Any, state: Any) -> tuple[Any, Any]:
        import torch

        return self._one(a, torch.zeros_like(a) if state is None else state)


class _Norse(_Stepwise):
    def __init__(self, layers: _Layers, time_steps: int) -> None:
        from norse.torch import IAFCell

        super().__init__(layers, time_steps)
        self._one = IAFCell()

    def neurons(self, a: Any, state: Any) -> tuple[Any, Any]:
        return self._one(a, state)


class _AllAtOnce:
    """A network that takes all steps of a layer before the next layer."""

    axis = 0

    def __init__(self, layers: _Layers, time_steps: int) -> None:
        self.layers, self.time_steps = layers, time_steps
        self.neurons = {name: self.new_neurons() for name in layers.neurons}

    def __call__(self, x: Any) -> Any:
        batch, steps = len(x), self.time_steps
        shape = (steps, batch) if self.axis == 0 else (batch, steps)

        def fire(name: str, a: Any) -> Any:
            if len(a) == batch:
                over_time = a.unsqueeze(self.axis).expand(*shape, *a.shape[1:])
            else:
                over_time = a.unflatten(0, shape)
            return self.spikes(self.neurons[name], over_time).flatten(0, 1)

        answer = self.layers.step(self.layers.current(x), fire)
        return answer.unflatten(0, shape).mean(self.axis)

    def new_neurons(self) -> Any:
        """Return neurons of one layer."""
        raise NotImplementedError

    def spikes(self, neurons: Any, a: Any) -> Any:
        """Return the spikes of a window, from the state at rest."""
        raise NotImplementedError


class _SpikingJelly(_AllAtOnce):
    def new_neurons(self) -> Any:
        from spikingjelly.activation_based.neuron import IFNode

        return IFNode(v_threshold=1.0, v_reset=None, step_mode="m").eval()

    def spikes(self, neurons: Any, a: Any) -> Any:
        neurons.reset()
        return neurons(a)


class _Sinabs(_AllAtOnce):
    axis = 1

    def new_neurons(self) -> Any:
        from sinabs.activation import SingleSpike
        from sinabs.layers import IAF

        return IAF(spike_fn=SingleSpike).eval()

    def spikes(self, neurons: Any, a: Any) -> Any:
        neurons.reset_states()
        return neurons(a)


_NETWORKS: dict[str, Callable[[_Layers, int], Any]] = {
    "SpikingJelly": _SpikingJelly,
    "snnTorch": _SnnTorch,
    "Norse": _Norse,
    "sinabs": _Sinabs,
}
