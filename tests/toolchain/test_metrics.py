"""Answers are what the task reads from the outputs, and shares of them are exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.errors import InputDataError
from toolchain.ir.ann import HostOp
from toolchain.metrics import Head, accuracy, agreement, answers


def tail(function, axis=None):
    """Return what the host does, one step."""
    return (HostOp(name=function, function=function, axis=axis),)


def test_several_outputs_answer_with_the_largest():
    y = np.array([[0.0, 3.0, 1.0], [5.0, -1.0, 2.0]])

    assert answers(y).tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1, 1), (2, 1, 3), (2, 1, 1, 3)])
def test_axes_of_length_one_do_not_matter(shape):
    y = np.array([[0.0, 3.0, 1.0], [5.0, -1.0, 2.0]]).reshape(shape)

    assert answers(y).tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 1, 1)])
def test_a_single_logit_answers_one_above_zero(shape):
    y = np.array([-1.0, 0.0, 0.1, 0.6]).reshape(shape)

    assert answers(y).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_a_single_sigmoid_answers_one_above_a_half(shape):
    y = np.array([0.0, 0.5, 0.51, 1.0]).reshape(shape)

    assert answers(y, tail("sigmoid")).tolist() == [0, 0, 1, 1]


def test_an_argmax_has_answered_already():
    y = np.array([[2.0], [0.0]])

    assert answers(y, tail("argmax", 0)).tolist() == [2, 0]


def test_pixels_answer_one_by_one_along_the_channels():
    y = np.zeros((2, 3, 4, 5))
    y[0, 2], y[1, 1] = 1, 1

    given_answers = answers(y)

    assert given_answers.shape == (2, 4, 5)
    assert (given_answers[0] == 2).all()
    assert (given_answers[1] == 1).all()


def test_classes_compete_along_the_axis_of_the_softmax():
    y = np.zeros((1, 4, 5, 3))
    y[..., 2] = 1

    assert (answers(y, tail("softmax", 2)) == 2).all()
    assert answers(y, tail("softmax", 2)).shape == (1, 4, 5)


def test_classes_that_a_softmax_takes_together_compete_together():
    y = np.zeros((1, 2, 3))
    y[0, 1, 2] = 1

    assert answers(y, tail("softmax")).tolist() == [5]


def test_one_channel_of_pixels_is_a_threshold_for_each():
    y = np.array([[[[-1.0, 2.0], [3.0, -4.0]]]])

    assert answers(y).tolist() == [[[0, 1], [1, 0]]]


@given(st.data())
def test_answers_do_not_change_under_a_softmax_or_a_sigmoid(data):
    shape = (data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4)))
    logits = data.draw(arrays(np.int64, shape, elements=st.integers(-8, 8))).astype(float)
    sigmoid = 1 / (1 + np.exp(-logits))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    np.testing.assert_array_equal(answers(sigmoid, tail("sigmoid")), answers(logits))
    if shape[1] > 1:
        np.testing.assert_array_equal(answers(softmax, tail("softmax", 0)), answers(logits))


def test_accuracy_is_the_share_of_right_answers():
    y = np.eye(4)[[0, 1, 2, 3, 3]]

    assert accuracy(y, np.array([0, 1, 2, 3, 0])) == 0.8


def test_labels_may_have_axes_of_length_one():
    assert accuracy(np.eye(3), np.array([[0], [1], [0]])) == pytest.approx(2 / 3)


def test_accuracy_counts_pixels():
    y = np.zeros((1, 2, 2, 2))
    y[0, 1, 0, 0] = 1

    assert accuracy(y, np.array([[[1, 1], [0, 0]]])) == 0.75


def test_a_label_beyond_the_last_class_is_refused():
    with pytest.raises(InputDataError) as error:
        accuracy(np.eye(3), np.array([1, 2, 3]))

    assert error.value.problem == (
        "labels 'y' go from 1 to 3; the answers of this model go from 0 to 2"
    )


def test_a_label_below_the_first_class_is_refused():
    with pytest.raises(InputDataError):
        accuracy(np.eye(3), np.array([-1, 0, 1]))


@pytest.mark.parametrize("y", [np.ones((2, 1)), np.ones(2)])
def test_a_single_output_knows_two_labels(y):
    assert accuracy(y, np.array([0, 1])) == 0.5
    with pytest.raises(InputDataError):
        accuracy(y, np.array([1, 2]))


def test_an_argmax_takes_any_label_from_zero_on():
    heads = (Head((), tail("argmax", 0)),)

    assert accuracy(np.array([7.0, 1.0]), np.array([7, 9]), heads) == 0.5


def test_labels_of_another_number_are_refused():
    with pytest.raises(InputDataError) as error:
        accuracy(np.zeros((2, 3, 4, 4)), np.array([0, 1]))

    assert error.value.problem == (
        "labels 'y' have shape (2,); outputs of shape (2, 3, 4, 4) give answers of shape "
        "(2, 4, 4)"
    )


def test_agreement_is_the_share_of_same_answers():
    y = np.array([[0.0, 1.0], [1.0, 0.0], [0.4, 0.6], [0.9, 0.1]])
    reference = np.array([[0.2, 9.0], [0.0, 1.0], [-1.0, 0.0], [3.0, 2.0]])

    assert agreement(y, reference) == 0.75


def test_a_network_agrees_with_itself():
    y = np.random.default_rng(0).normal(size=(7, 5))

    assert agreement(y, y) == 1.0


def test_labels_are_for_the_first_of_several_outputs():
    y = np.hstack([np.eye(3), [[5.0, 1.0], [1.0, 5.0], [5.0, 1.0]]])
    heads = (Head((3,)), Head((2,)))

    assert accuracy(y, np.array([0, 1, 0]), heads) == 2 / 3


def test_several_outputs_agree_one_by_one():
    y = np.hstack([np.eye(2), [[5.0, 1.0], [1.0, 5.0]]])
    reference = np.hstack([np.eye(2), [[5.0, 1.0], [5.0, 1.0]]])

    assert agreement(y, reference, (Head((2,)), Head((2,)))) == 0.75
