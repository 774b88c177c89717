"""snn-train follows a recipe to files that the compiler reads, and says what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from toolchain.training.command import main


def without_torch(code):
    """Run code in an interpreter that has no torch."""
    lines = ["import sys", "sys.modules['torch'] = None", code]
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )


@pytest.fixture
def recipe(tmp_path):
    random = np.random.default_rng(0)
    for name, count in (("train", 80), ("test", 30)):
        x = random.normal(size=(count, 6)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[data]\nsource = "npz"\npath = "train.npz"\ntest = "test.npz"\nvalidation = 20\n'
        '[network]\nname = "mlp"\nwidths = [8]\n'
        "[training]\nepochs = 2\nlearning_rate = 0.01\n"
    )
    return path


def test_a_run_leaves_what_the_compiler_reads(recipe, tmp_path, capsys):
    pytest.importorskip("torch", reason="training needs torch")

    code = main([str(recipe), "--output", str(tmp_path / "run")])

    assert code == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "best.pt",
        "calibration.npz",
        "last.pt",
        "metrics.json",
        "model.onnx",
        "recipe.toml",
        "test.npz",
    ]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert len(metrics["history"]) == 2
    assert f"test accuracy {metrics['test_accuracy']:.2%}" in capsys.readouterr().out


def test_a_run_measures_what_the_papers_tables_have(recipe, tmp_path, capsys):
    pytest.importorskip("torch", reason="training needs torch")
    run = tmp_path / "run"
    main([str(recipe), "--output", str(run), "--quiet"])

    assert main(["--table", str(run), str(run)]) == 0

    metrics = json.loads((run / "metrics.json").read_text())
    found = metrics["reparameterization"]
    assert metrics["network"] == {
        "name": "mlp", "activation": "lm-ht", "levels": 2, "windows": 2, "mixing": "full",
    }  # fmt: skip
    assert list(found) == ["before", "exact", "uniform"]
    assert found["exact"]["differing"] == 0
    assert found["exact"]["accuracy"] == found["before"]["accuracy"]
    assert found["before"]["accuracy"] == pytest.approx(metrics["test_accuracy"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| run | network | L | T | mixing | accuracy, % | SOPs, M |")
    assert len(lines) == 2 + 2 + 1 + 2 + 2 * 3


def test_an_analogue_network_has_nothing_to_reparameterize(recipe, tmp_path, capsys):
    pytest.importorskip("torch", reason="training needs torch")
    text = recipe.read_text().replace("widths", 'activation = "relu"\nwidths')
    recipe.write_text(text)
    main([str(recipe), "--output", str(tmp_path / "run"), "--quiet"])

    assert main(["--table", str(tmp_path / "run")]) == 0

    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "reparameterization" not in metrics
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "there is no finished run"), ("{", "is not what a run"), ("{}", "is not what")],
)
def test_a_table_of_what_is_no_run_is_refused(content, problem, tmp_path, capsys):
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)

    assert main(["--table", str(tmp_path)]) == 2

    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["recipe.toml"], ["--output", "run"]])
def test_a_recipe_and_a_folder_are_needed(words, capsys):
    with pytest.raises(SystemExit) as error:
        main(words)

    assert error.value.code == 2
    assert "RECIPE.toml and --output DIR are needed" in capsys.readouterr().err


def test_the_file_gives_the_accuracy_that_is_printed(recipe, tmp_path):
    pytest.importorskip("torch", reason="training needs torch")
    import onnxruntime

    main([str(recipe), "--output", str(tmp_path / "run"), "--quiet"])

    session = onnxruntime.InferenceSession(
        (tmp_path / "run" / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"]
    )
    with np.load(tmp_path / "run" / "test.npz") as test:
        logits = session.run(None, {"x": test["x"]})[0]
        right = (logits.argmax(axis=1) == test["y"]).mean()
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert right == pytest.approx(metrics["test_accuracy"])


def test_a_second_run_is_refused_and_resuming_is_not(recipe, tmp_path, capsys):
    pytest.importorskip("torch", reason="training needs torch")
    words = [str(recipe), "--output", str(tmp_path / "run"), "--quiet"]
    assert main(words) == 0

    assert main(words) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0


def test_a_wrong_recipe_is_exit_code_2_with_the_reason(recipe, tmp_path, capsys):
    pytest.importorskip("torch", reason="training needs torch")
    recipe.write_text(recipe.read_text().replace("epochs", "epoch"))

    code = main([str(recipe), "--output", str(tmp_path / "run")])

    assert code == 2
    assert "did you mean 'epochs'?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_interrupting_is_exit_code_130(recipe, tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch", reason="training needs torch")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("toolchain.training.loop.train", interrupt)

    assert main([str(recipe), "--output", str(tmp_path / "run")]) == 130
    assert "--resume" in capsys.readouterr().err


def test_without_torch_the_command_says_what_to_install(recipe, tmp_path):
    words = [str(recipe), "--output", str(tmp_path / "run")]

    done = without_torch(
        f"from toolchain.training.command import main\nsys.exit(main({words!r}))"
    )

    assert done.returncode == 2
    assert done.stderr == (
        "environment: training needs torch, which is not installed\n"
        "  hint: install it with: pip install 'snn-compile[train]'\n"
    )


def test_the_package_can_be_imported_without_torch():
    done = without_torch("import toolchain.training, toolchain.training.command")

    assert done.returncode == 0, done.stderr
