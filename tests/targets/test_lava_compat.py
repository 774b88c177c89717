"""lava_compat makes stock Lava importable and loud, or says what to install."""

from __future__ import annotations

import cmath
import dataclasses
import importlib.util
import math
import subprocess
import sys

import numpy as np
import pytest

from targets import lava_compat
from targets.lava_compat import enable_lava, enable_netx, is_lava_installed
from toolchain.errors import MissingDependencyError

FAILING_RUN = """
import numpy as np
from targets.lava_compat import enable_lava
enable_lava()
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIF
source = RingBuffer(data=np.ones((3, 4), int))
dense = Dense(weights=np.ones((5, 3), int), weight_exp=-1.5, name="culprit")
lif = LIF(shape=(5,))
source.s_out.connect(dense.s_in)
dense.a_out.connect(lif.a_in)
lif.run(condition=RunSteps(20), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
"""


@pytest.fixture
def absent(monkeypatch):
    """Make the packages whose names are added to this set look as if not installed."""
    names = set()
    find_spec = importlib.util.find_spec

    def find(name, package=None):
        return None if name in names else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    return names


def test_without_lava_the_error_says_what_to_install(absent):
    absent.add("lava.magma")

    with pytest.raises(MissingDependencyError) as error:
        enable_lava()

    assert not is_lava_installed()
    assert str(error.value) == (
        "environment: lava-nc is not installed\n"
        "  hint: install it: pip install 'numpy<2' 'networkx<=2.8.7' asteval && "
        "pip install --no-deps --ignore-requires-python lava-nc==0.10.0 lava-dl==0.6.0"
    )


@pytest.mark.lava
def test_a_numpy_that_lava_cannot_work_with_is_named(monkeypatch):
    monkeypatch.setattr(np, "__version__", "2.4.6")

    with pytest.raises(MissingDependencyError) as error:
        enable_lava()

    assert error.value.problem == "lava-nc needs a numpy below 2, and 2.4.6 is installed"


def test_a_missing_parent_package_counts_as_not_installed(monkeypatch):
    def find(name, package=None):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.util, "find_spec", find)

    assert not is_lava_installed()


@pytest.mark.lava
def test_without_lava_dl_netx_is_refused(absent):
    absent.add("lava.lib.dl.netx")

    with pytest.raises(MissingDependencyError) as error:
        enable_netx()

    assert error.value.problem == "lava-dl is not installed"


@pytest.mark.lava
def test_lava_can_be_imported_and_dataclasses_stay_as_they_were():
    original = dataclasses.dataclass

    enable_lava()
    enable_lava()
    lif = importlib.import_module("lava.proc.lif.process").LIF

    assert lif(shape=(2,)).a_in.shape == (2,)
    assert dataclasses.dataclass is original


@pytest.mark.lava
def test_netx_is_the_stock_reader_and_leaves_no_placeholder():
    network = enable_netx()

    assert network.__module__ == "lava.lib.dl.netx.hdf5"
    assert enable_netx() is network
    if importlib.util.find_spec("torch") is None:
        assert "torch" not in sys.modules
        assert "lava.lib.dl.slayer" not in sys.modules


def test_installed_packages_get_no_placeholder(monkeypatch):
    monkeypatch.setattr(lava_compat, "_is_installed", lambda name: True)

    assert lava_compat._absent_imports_of_netx() == {}


def test_the_resonator_formula_gives_back_the_decay_and_period_of_a_rotation():
    factor = 0.9 * cmath.exp(2j * math.pi / 25) * 4096
    fields = {"cosDecay": factor.real, "sinDecay": factor.imag, "vThMant": 96}

    parameters = lava_compat._resonator_parameters(fields)

    assert parameters["threshold"] == 1.5
    assert parameters["period"] == pytest.approx(25, rel=1e-12)
    assert parameters["decay"] == pytest.approx(0.1, rel=1e-12)


@pytest.mark.lava
def test_an_exception_inside_a_process_ends_the_run_with_its_traceback():
    run = subprocess.run(
        [sys.executable, "-c", FAILING_RUN], capture_output=True, text=True, timeout=60
    )

    assert run.returncode == 1
    assert (
        "LavaError: Lava: a process of the simulator failed\nculprit: Traceback" in run.stderr
    )
    assert "TypeError: ufunc 'right_shift' not supported" in run.stderr
