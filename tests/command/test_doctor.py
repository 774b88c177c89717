"""``snn-compile doctor`` says what is here, and ends with a code of its own if it must."""

from __future__ import annotations

import json
import subprocess
import sys

from toolchain import environment
from toolchain.cli import main
from toolchain.engine import ENGINES


def test_it_names_versions_engines_and_the_processor(capsys, monkeypatch):
    monkeypatch.setattr(environment, "_gpu", lambda _: (None, []))
    monkeypatch.setattr(ENGINES, "_things", {name: ENGINES[name] for name in ("count", "step")})

    code = main(["doctor"])

    out = capsys.readouterr().out
    assert code == 0
    for name in ("Python", "numpy", "onnxruntime", "openvino", "engine count", "cores", "GPU"):
        assert name in out
    assert out.endswith("nothing has to be mended\n")


def test_what_has_to_be_mended_has_an_exit_code(capsys, monkeypatch):
    monkeypatch.setattr(environment, "_gpu", lambda _: (None, ["torch is broken"]))

    code = main(["doctor"])

    assert code == 4
    assert "to mend: torch is broken\n" in capsys.readouterr().out


def test_json_is_one_document_with_the_same_content(capsys, monkeypatch):
    monkeypatch.setattr(environment, "_gpu", lambda _: ("H100, 80 GiB", []))

    main(["doctor", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert found["gpu"] == "H100, 80 GiB"
    assert set(found["engines"]) == set(ENGINES)


def test_nothing_of_torch_is_imported_by_another_command():
    code = (
        "import sys\n"
        "from toolchain.cli import main\n"
        "main(['ops']), main(['explain'])\n"
        "print('torch' in sys.modules, file=sys.stderr)\n"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert ended.stderr == b"False\n"
