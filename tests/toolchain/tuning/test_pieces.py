"""The user reads which functions pieces stand in for, and how far off they are."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.errors import ConversionError
from toolchain.ir.ann import Dense, Input, Output
from toolchain.ir.curve import X, swish
from toolchain.ir.graph import Graph
from toolchain.ir.smooth import Smooth
from toolchain.straight_pieces import PIECES
from toolchain.testing import chain
from toolchain.tuning.pieces import describe_pieces, require_pieces


def test_a_sentence_for_each_function_has_pieces_and_error():
    nodes = [Input(name="x", shape=(2,), source_shape=(2,))]
    for number, curve in enumerate((X.then("tanh"), swish(), X.then("tanh"))):
        dense = Dense(name=f"d{number}", inputs=(nodes[-1].name,), weight=np.eye(2))
        nodes += [dense, Smooth(name=f"s{number}", inputs=(dense.name,), curve=curve)]
    nodes.append(Output(name="y", inputs=(nodes[-1].name,), shape=(2,)))

    sentences = list(describe_pieces(Graph("net", tuple(nodes)), 4))

    assert sentences == [
        "tanh(x) is taken for 4 straight pieces, off by at most 0.035, in 2 activations; "
        "--pieces sets how many",
        "x * sigmoid(x) is taken for 3 straight pieces, off by at most 0.18, in 1 activation; "
        "--pieces sets how many",
    ]


def test_networks_without_any_have_nothing_to_read():
    assert list(describe_pieces(None, PIECES)) == []


@pytest.mark.parametrize("exact", [None, chain((2,), Dense(name="d", weight=np.eye(2)))])
def test_pieces_that_were_asked_for_and_that_nothing_has_are_warned_of(exact):
    assert list(describe_pieces(exact, 4)) == [
        "--pieces 4 changes nothing: the network has no smooth activations"
    ]


@pytest.mark.parametrize("pieces", [1, 33])
def test_a_number_of_pieces_that_none_has_is_refused(pieces):
    with pytest.raises(ConversionError) as error:
        require_pieces(pieces)

    assert error.value.problem == (
        f"{pieces} pieces of an activation were asked for; 2 to 32 are supported"
    )
