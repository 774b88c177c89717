"""A compiled network and a data set in shards, for tests of runs over many pieces."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from toolchain.engine import Program
from toolchain.ir.ann import Dense, Relu
from toolchain.target import TARGETS
from toolchain.testing import chain, compile_network, random_samples

SIZES = (700, 3, 256, 300)


@dataclass(frozen=True)
class DataSet:
    """Shards in a folder, and the same samples in one array."""

    folder: Path
    x: npt.NDArray[Any]
    y: npt.NDArray[Any]


@pytest.fixture(scope="session")
def program():
    """A compiled network of two layers for samples of four numbers, with three answers."""
    numbers = np.random.default_rng(0)
    graph = chain(
        (4,),
        Dense(name="first", weight=numbers.normal(size=(8, 4)), bias=np.zeros(8)),
        Relu(name="relu"),
        Dense(name="last", weight=numbers.normal(size=(3, 8)), bias=np.zeros(3)),
    )
    x = random_samples(graph, Random(0), 32)
    stages = compile_network(graph, x, TARGETS["loihi2"], levels=7, lowering="temporal")
    return Program(stages.quantized, stages.circuit)


@pytest.fixture
def data_set(tmp_path):
    """Four shards of different lengths, one of them of more than one piece."""
    numbers = np.random.default_rng(1)
    x = numbers.normal(size=(sum(SIZES), 4)).astype(np.float32)
    y = numbers.integers(0, 3, len(x))
    folder = tmp_path / "shards"
    folder.mkdir()
    starts = np.cumsum((0, *SIZES))
    for number, (start, stop) in enumerate(itertools.pairwise(starts)):
        np.savez(folder / f"x_{number}.npz", x=x[start:stop], y=y[start:stop])
    return DataSet(folder, x, y)
