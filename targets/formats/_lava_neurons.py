"""Neuron programs that stock Lava lacks, as processes with a fixed-point model on the CPU.

What follows the imports becomes part of the script of the format ``lava``. The equations are
those of ``toolchain.ir.radix``; Lava counts time steps from 1, we from 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class RadixNeurons(AbstractProcess):  # type: ignore[misc]
    """Gathers binary numbers, the highest place first, and fires the level of their sum.

    ``settings``: ``start``, ``interval``, ``places``, ``threshold``, ``bias``, ``ceiling``
    and ``shift``.
    """

    def __init__(self, name: str, shape: tuple[int], **settings: Any) -> None:
        super().__init__(name=name, **settings)
        self.a_in, self.s_out = InPort(shape=shape), OutPort(shape=shape)
        self.u, self.v = Var(shape=shape, init=0), Var(shape=shape, init=0)


class RadixMaximum(AbstractProcess):  # type: ignore[misc]
    """Passes on the largest of several binary numbers; input ``i`` has the weight ``2**i``.

    ``settings``: ``start`` and ``interval``.
    """

    def __init__(self, name: str, shape: tuple[int], **settings: Any) -> None:
        super().__init__(name=name, **settings)
        self.a_in, self.s_out = InPort(shape=shape), OutPort(shape=shape)
        self.u, self.v = Var(shape=shape, init=0), Var(shape=shape, init=0)


@implements(proc=RadixNeurons, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class RadixNeuronsModel(PyLoihiProcessModel):  # type: ignore[misc]
    """Model of `RadixNeurons`; registers have 24 bits in two's complement."""

    a_in = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    u = LavaPyType(np.ndarray, np.int32)
    v = LavaPyType(np.ndarray, np.int32)

    def run_spk(self) -> None:
        settings, spikes = self.proc_params, np.zeros(self.u.shape, np.int32)
        self.u[:] = self.wrapped(2 * self.u.astype(np.int64) + self.a_in.recv())
        elapsed = self.time_step - 1 - settings["start"]
        phase = elapsed % settings["interval"]
        if elapsed >= 0 and phase == 0:
            total = self.u.astype(np.int64) << settings["shift"]
            v = self.wrapped(total + settings["bias"])
            self.v[:] = np.minimum(v, settings["ceiling"])
            self.u[:] = 0
        if elapsed >= 0 and phase < settings["places"]:
            worth = settings["threshold"] << (settings["places"] - 1 - phase)
            spikes[:] = self.v >= worth
            self.v[:] -= worth * spikes
        self.s_out.send(spikes)

    def wrapped(self, values: Any) -> Any:
        return (values + 2**23) % 2**24 - 2**23


@implements(proc=RadixMaximum, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class RadixMaximumModel(PyLoihiProcessModel):  # type: ignore[misc]
    """Model of `RadixMaximum`."""

    a_in = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    u = LavaPyType(np.ndarray, np.int32)
    v = LavaPyType(np.ndarray, np.int32)

    def run_spk(self) -> None:
        elapsed = self.time_step - 1 - self.proc_params["start"]
        if elapsed >= 0 and elapsed % self.proc_params["interval"] == 0:
            self.u[:] = -1
        ones = self.u & self.a_in.recv()
        has_spiked = ones != 0
        self.u[has_spiked] = ones[has_spiked]
        self.s_out.send(has_spiked.astype(np.int32))
