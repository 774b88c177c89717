"""Training from files changes nothing but the memory that it takes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.errors import InputDataError  # noqa: E402
from toolchain.training.checkpoint import load_checkpoint  # noqa: E402
from toolchain.training.command import main  # noqa: E402
from toolchain.training.datasets import load_dataset  # noqa: E402
from toolchain.training.loop import LAST, evaluate, train  # noqa: E402
from toolchain.training.recipe import recipe_of  # noqa: E402
from toolchain.training.samples import typical  # noqa: E402
from toolchain.training.shard_files import ShardFiles  # noqa: E402

BATCH = 8


class StoppedError(Exception):
    pass


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the same samples in two files and in two folders of shards."""
    random = np.random.default_rng(0)
    for part, count in (("train", 60), ("test", 30)):
        y = np.sort(random.integers(0, 3, count))
        x = random.integers(0, 100, (count, 1, 6, 6)).astype(np.uint8)
        x[np.arange(count), 0, y] += 120
        np.savez(tmp_path / f"{part}.npz", x=x, y=y)
        (tmp_path / part).mkdir()
        for start in range(0, count, 17):
            np.savez(tmp_path / part / f"{start:03}.npz", x=x[start:][:17], y=y[start:][:17])
    return tmp_path


def recipe(folder, source, **training):
    suffix = ".npz" if source == "npz" else ""
    return recipe_of(
        {
            "data": {
                "source": source,
                "path": str(folder / f"train{suffix}"),
                "test": str(folder / f"test{suffix}"),
                "validation": 15,
                "augment": ["crop", "mirror", "autoaugment", "cutout"],
                "cutout": 2,
            },
            "network": {"name": "vgg", "stages": [[3]]},
            "training": {"epochs": 2, "batch": BATCH, "mixup": 0.2, "threads": 1} | training,
        }
    )


def weights(folder):
    return load_checkpoint(folder / LAST).network.state_dict()


def test_samples_in_files_give_the_network_that_those_in_memory_do(folder):
    for source in ("npz", "shards"):
        made = recipe(folder, source)
        trained = train(made, load_dataset(made.data), folder / f"run-{source}")
        torch.save(evaluate(trained.network, trained.test), folder / f"{source}.pt")

    wanted, found = weights(folder / "run-npz"), weights(folder / "run-shards")
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert torch.equal(torch.load(folder / "npz.pt"), torch.load(folder / "shards.pt"))


def test_an_interrupted_run_on_files_ends_as_one_that_was_not(folder):
    made = recipe(folder, "shards")
    train(made, load_dataset(made.data), folder / "whole")

    def stop(stage, done, total):
        if stage.startswith("epoch 2/") and done == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(made, load_dataset(made.data), folder / "broken", progress=stop)
    train(made, load_dataset(made.data), folder / "broken", resume=True)

    wanted, found = weights(folder / "whole"), weights(folder / "broken")
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_no_more_than_a_batch_is_read_at_a_time_and_no_test_sample_before_the_end(
    folder, monkeypatch
):
    made = recipe(folder, "shards")
    data = load_dataset(made.data)
    asked = []
    read = ShardFiles.__getitem__

    def recorded(files, rows):
        asked.append((files is data.test_x, len(rows)))
        return read(files, rows)

    monkeypatch.setattr(ShardFiles, "__getitem__", recorded)
    trained = train(made, data, folder / "run")

    assert not any(is_test for is_test, _ in asked)
    sizes = [size for _, size in asked]
    assert max(sizes) <= 15  # the samples held out, at once
    assert sum(sizes) == 2 * (45 + 15)
    assert len(trained.test) == 30


def test_mixed_images_are_another_training(folder):
    for mixup in (0.0, 0.2):
        made = recipe(folder, "npz", mixup=mixup)
        train(made, load_dataset(made.data), folder / str(mixup))

    wanted, found = weights(folder / "0.0"), weights(folder / "0.2")
    assert any(not torch.equal(wanted[name], found[name]) for name in wanted)


def test_a_file_that_cannot_be_read_on_the_way_stops_training(folder, monkeypatch):
    made = recipe(folder, "shards")

    def broken(files, rows):
        raise InputDataError("is no image that can be read", node="x.png")

    data = load_dataset(made.data)
    monkeypatch.setattr(ShardFiles, "__getitem__", broken)

    with pytest.raises(InputDataError) as error:
        train(made, data, folder / "run")

    assert error.value.node == "x.png"


def test_samples_that_are_kept_show_all_classes(folder):
    path = folder / "recipe.toml"
    path.write_text(
        '[data]\nsource = "shards"\npath = "train"\ntest = "test"\nvalidation = 15\n'
        '[network]\nname = "mlp"\nwidths = [4]\n[training]\nepochs = 1\n'
    )

    assert main([str(path), "--output", str(folder / "run"), "--quiet"]) == 0

    for name in ("calibration", "test"):
        with np.load(folder / "run" / f"{name}.npz") as held:
            assert set(held["y"]) == {0, 1, 2}
    assert typical(np.repeat(np.arange(10), 100), 20).tolist()[:3] == [0, 52, 105]
    assert typical(np.array([3, 1, 2, 0]), 2).tolist() == [0, 1]
