"""Training learns, resumes to the same end, and keeps the last good state when it fails."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.errors import (  # noqa: E402
    InputDataError,
    OutputFolderError,
    TrainingError,
)
from toolchain.training.architecture import build, describe  # noqa: E402
from toolchain.training.checkpoint import load_checkpoint  # noqa: E402
from toolchain.training.datasets import Dataset  # noqa: E402
from toolchain.training.export import export_network  # noqa: E402
from toolchain.training.loop import BEST, LAST, accuracy, evaluate, train  # noqa: E402
from toolchain.training.network import INPUT, Network, Permute, Scale, Step  # noqa: E402
from toolchain.training.networks import build_network  # noqa: E402
from toolchain.training.neuron import MultiThreshold  # noqa: E402
from toolchain.training.qcfs import Qcfs  # noqa: E402
from toolchain.training.recipe import recipe_of  # noqa: E402


def blobs(count, seed, *, windows=0, shown=0):
    """Return images with one of four quarters lit, or frames that show it in one of them."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 4, count)
    x = random.integers(0, 60, (count, 1, 8, 8))
    for image, label in zip(x, y, strict=True):
        top, left = 4 * (label // 2), 4 * (label % 2)
        image[0, top : top + 4, left : left + 4] += 120
    x = x.astype(np.uint8)
    if windows:
        frames = random.integers(0, 60, (count, windows, 1, 8, 8)).astype(np.uint8)
        frames[:, shown] = x
        x = frames
    return x, y.astype(np.int64)


def dataset(*, windows=0, shown=0):
    return Dataset(
        *blobs(200, 0, windows=windows, shown=shown),
        *blobs(100, 1, windows=windows, shown=shown),
        has_window_axis=bool(windows),
        input_scale=1 / 255,
    )


def recipe(**changes):
    tables = {
        "data": {"source": "mnist", "path": "", "validation": 40},
        "network": {"name": "vgg", "stages": [[4]], "widths": [8]},
        "neuron": {"levels": 2, "windows": 2},
        "training": {"epochs": 3, "batch": 16, "learning_rate": 0.01, "threads": 1},
    }
    for name, table in changes.items():
        tables[name] = tables.get(name, {}) | table if table else {}
    return recipe_of(tables)


def weights(folder, name=LAST):
    return load_checkpoint(folder / name).network.state_dict()


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        assert torch.equal(one[key], other[key]), key


class StoppedError(Exception):
    pass


def interrupt_in(epoch):
    def progress(stage, done, total):
        if stage.startswith(f"epoch {epoch}/") and done == total // 2:
            raise StoppedError

    return progress


@pytest.mark.parametrize("activation", ["lm-ht", "qcfs", "relu"])
def test_a_network_learns(tmp_path, activation):
    made = recipe(
        network={"activation": activation},
        neuron={"levels": 4, "threshold": 2.0 if activation == "qcfs" else 0.0},
        training={"epochs": 6},
    )

    trained = train(made, dataset(), tmp_path)

    assert accuracy(evaluate(trained.network, trained.test), trained.test.y) > 0.9
    assert [measured["epoch"] for measured in trained.history] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("mixing", "shown"), [("full", 2), ("lower", 0)])
def test_frames_are_learned_where_only_one_of_them_tells(tmp_path, mixing, shown):
    made = recipe(neuron={"windows": 3, "mixing": mixing}, training={"epochs": 8})

    trained = train(made, dataset(windows=3, shown=shown), tmp_path)

    assert trained.network.has_window_axis
    assert accuracy(evaluate(trained.network, trained.test), trained.test.y) > 0.9


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path, optimizer):
    made = recipe(training={"optimizer": optimizer}, data={"augment": ["mirror", "shift"]})
    train(made, dataset(), tmp_path / "whole")
    with pytest.raises(StoppedError):
        train(made, dataset(), tmp_path / "broken", progress=interrupt_in(2))
    assert load_checkpoint(tmp_path / "broken" / LAST).epoch == 1

    train(made, dataset(), tmp_path / "broken", resume=True)

    assert_same(weights(tmp_path / "broken"), weights(tmp_path / "whole"))
    assert_same(weights(tmp_path / "broken", BEST), weights(tmp_path / "whole", BEST))
    histories = [load_checkpoint(tmp_path / n / LAST).history for n in ("broken", "whole")]
    assert histories[0] == histories[1]


def test_the_seed_decides(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(recipe(training={"seed": seed, "epochs": 1}), dataset(), tmp_path / name)

    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    (name,) = [name for name in weights(tmp_path / "a") if name.endswith("readout.weight")]
    assert not torch.equal(weights(tmp_path / "a")[name], weights(tmp_path / "c")[name])


def test_the_best_epoch_is_chosen_on_samples_held_out_of_the_training_set(tmp_path):
    data = dataset()
    spoiled = Dataset(
        data.train_x, data.train_y, data.test_x, (data.test_y + 1) % 4, input_scale=1 / 255
    )
    train(recipe(), data, tmp_path / "a")
    train(recipe(), spoiled, tmp_path / "b")

    assert_same(weights(tmp_path / "a", BEST), weights(tmp_path / "b", BEST))
    best = load_checkpoint(tmp_path / "a" / BEST)
    history = load_checkpoint(tmp_path / "a" / LAST).history
    top = max(history, key=lambda m: (m["validation_accuracy"], -m["validation_loss"]))
    assert best.history[-1] == top
    assert best.epoch == top["epoch"]


def test_a_loss_that_is_not_finite_keeps_the_last_good_state(tmp_path, monkeypatch):
    batches = []

    def spoiled_in_epoch_2(x, *_, **__):
        batches.append(len(x))
        return x * math.nan if sum(batches) > 160 else x

    monkeypatch.setattr("toolchain.training.loop.augmented", spoiled_in_epoch_2)

    with pytest.raises(TrainingError) as error:
        train(recipe(), dataset(), tmp_path)

    assert error.value.problem == (
        "the loss is nan in epoch 2; the state after epoch 1 is kept in last.pt"
    )
    assert error.value.hint == "lower training.learning_rate in the recipe"
    for name in (LAST, BEST):
        kept = load_checkpoint(tmp_path / name)
        assert kept.epoch == 1
        assert all(bool(torch.isfinite(w).all()) for w in kept.network.state_dict().values())


def test_a_rate_that_is_far_too_high_is_an_error_and_no_result(tmp_path):
    made = recipe(
        training={"learning_rate": 1e38, "optimizer": "sgd"}, network={"activation": "relu"}
    )

    with pytest.raises(TrainingError, match="in epoch 1; nothing is kept"):
        train(made, dataset(), tmp_path)

    assert not list(tmp_path.iterdir())


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    made = recipe(training={"epochs": 1})
    train(made, dataset(), tmp_path)
    before = (tmp_path / LAST).read_bytes()

    with pytest.raises(OutputFolderError, match="holds a run already") as error:
        train(made, dataset(), tmp_path)

    assert error.value.hint is not None
    assert "--resume" in error.value.hint
    assert (tmp_path / LAST).read_bytes() == before


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    train(recipe(training={"epochs": 1}), dataset(), tmp_path)

    with pytest.raises(TrainingError) as error:
        train(recipe(neuron={"levels": 4}), dataset(), tmp_path, resume=True)

    assert error.value.problem == (
        "neuron.levels is 2 in the checkpoint and 4 in the recipe; "
        "training.epochs is 1 in the checkpoint and 3 in the recipe"
    )


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04nonsense"])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    (tmp_path / LAST).write_bytes(content)

    with pytest.raises(TrainingError, match="is no checkpoint of this version") as error:
        train(recipe(), dataset(), tmp_path, resume=True)

    assert error.value.node == str(tmp_path / LAST)


def test_a_cut_off_checkpoint_is_refused(tmp_path):
    train(recipe(training={"epochs": 1}), dataset(), tmp_path)
    content = (tmp_path / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(content[: len(content) // 2])

    with pytest.raises(TrainingError, match="is no checkpoint"):
        load_checkpoint(tmp_path / LAST)


def test_a_checkpoint_that_runs_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, ("raise SystemExit",))

    torch.save({"format": 1, "recipe": Evil()}, tmp_path / LAST)

    with pytest.raises(TrainingError, match="is no checkpoint"):
        load_checkpoint(tmp_path / LAST)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(TrainingError, match="there is no such checkpoint"):
        load_checkpoint(tmp_path / "none.pt")


def test_too_few_samples_are_refused(tmp_path):
    made = recipe(data={"validation": 199})

    with pytest.raises(InputDataError, match="200 training samples do not leave 2 besides 199"):
        train(made, dataset(), tmp_path)


def test_the_windows_of_samples_are_those_of_the_neurons(tmp_path):
    with pytest.raises(TrainingError) as error:
        train(recipe(neuron={"windows": 4}), dataset(windows=3), tmp_path)

    assert error.value.problem == "neuron.windows is 4; the samples have 3 windows"


def test_an_unknown_size_is_refused(tmp_path):
    with pytest.raises(TrainingError) as error:
        train(recipe(network={"width": 8}), dataset(), tmp_path)

    assert "network.width is no key for 'vgg'" in error.value.problem
    assert error.value.hint == "did you mean 'widths'?"


def test_hybrid_training_starts_where_the_source_ends(tmp_path):
    made = recipe(network={"activation": "qcfs"}, neuron={"levels": 4, "threshold": 2.0})
    source = train(made, dataset(), tmp_path / "ann")
    want = evaluate(source.network, source.test)
    tuned = recipe(
        network=None,
        hybrid={"start": str(tmp_path / "ann" / BEST)},
        neuron={"levels": 2, "windows": 2},
        training={"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0},
    )

    trained = train(tuned, dataset(), tmp_path / "snn")

    assert any(isinstance(m, MultiThreshold) for m in trained.network.modules())
    torch.testing.assert_close(
        evaluate(trained.network, trained.test), want, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("activation", ["qcfs", "lm-ht"])
def test_hybrid_training_starts_from_an_onnx_network(tmp_path, activation):
    made = recipe(network={"activation": "relu"}, training={"epochs": 6})
    source = train(made, dataset(), tmp_path / "ann")
    export_network(source.network, tmp_path / "ann.onnx")
    tuned = recipe(
        network=None,
        hybrid={"start": str(tmp_path / "ann.onnx")},
        neuron={"levels": 4},
        training={"epochs": 2, "learning_rate": 0.001},
    )
    tuned = replace(tuned, network=replace(tuned.network, activation=activation))

    trained = train(tuned, dataset(), tmp_path / "snn")

    kind = MultiThreshold if activation == "lm-ht" else Qcfs
    assert [m.levels for m in trained.network.modules() if isinstance(m, kind)] == [4, 4]
    assert accuracy(evaluate(trained.network, trained.test), trained.test.y) > 0.9


def test_a_network_to_start_from_must_fit_the_samples(tmp_path):
    train(recipe(network={"activation": "qcfs"}, training={"epochs": 1}), dataset(), tmp_path)
    tuned = recipe(network=None, hybrid={"start": str(tmp_path / BEST)})
    wide = Dataset(*(np.zeros((50, 2, 8, 8)), np.zeros(50, int)) * 2)

    with pytest.raises(TrainingError, match=r"reads samples of shape \(1, 8, 8\)"):
        train(tuned, wide, tmp_path / "snn")


def test_a_described_network_is_built_again():
    torch.manual_seed(0)
    network = build_network("ms-resnet", (2, 8, 8), 3, lambda: MultiThreshold(2, 3), width=2,
                            blocks=(1, 1)).eval()  # fmt: skip
    x = torch.randn(4, 2, 8, 8)

    again = build(describe(network))
    again.load_state_dict(network.state_dict())

    assert torch.equal(again.eval()(x), network(x))


def test_every_kind_of_step_is_described():
    steps = [
        Step("scale", (INPUT,), Scale([[2.0], [3.0]], 1.0)),
        Step("turn", ("scale",), Permute((6,), [5, 4, 3, 2, 1, 0])),
    ]
    network = Network(steps, (2, 3))

    again = build(describe(network))
    again.load_state_dict(network.state_dict())

    x = torch.randn(2, 2, 3)
    assert torch.equal(again(x), network(x))


def test_a_step_that_cannot_be_kept_is_named():
    with pytest.raises(TrainingError) as error:
        describe(Network([Step("odd", (INPUT,), torch.nn.GELU())], (2,)))

    assert error.value.node == "odd"
