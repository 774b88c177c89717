"""A build takes its place as a whole or not at all, and only ever that of a build of ours."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from toolchain.build_folder import (
    WRITTEN_BY,
    default_folder,
    model_name,
    read_report,
    require_replaceable,
    writing_build,
)
from toolchain.errors import InputDataError, OutputFolderError


def write(folder, **files):
    """Write a build of a report and more files, whose names have ``_`` for ``.``."""
    with writing_build(folder) as aside:
        for name, text in files.items():
            (aside / name.replace("_", ".")).write_text(text)
        (aside / "report.json").write_text('{"target": "loihi2"}')


def held(folder):
    """Return all paths below a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def refusal(folder):
    """Return the problem that a build to a folder meets, and check that nothing was touched."""
    top = next(parent for parent in folder.parents if parent.is_dir())
    before = held(top)
    with pytest.raises(OutputFolderError) as error:
        write(folder)
    assert held(top) == before
    assert error.value.node == str(folder)
    assert error.value.hint == "name a new folder with --output"
    return error.value.problem


def test_a_build_appears_with_all_its_files(tmp_path):
    write(tmp_path / "a" / "build", network_net="weights")

    assert held(tmp_path / "a") == ["build", "build/network.net", "build/report.json"]


def test_the_report_says_who_wrote_it_and_what_belongs_to_it(tmp_path):
    write(tmp_path / "build", network_net="weights")

    assert read_report(tmp_path / "build") == {
        "target": "loihi2",
        "written_by": WRITTEN_BY,
        "manifest": ["network.net", "report.json"],
        "sha256": {"network.net": hashlib.sha256(b"weights").hexdigest()},
    }


def test_a_build_is_not_there_before_it_is_whole(tmp_path):
    with writing_build(tmp_path / "build") as aside:
        (aside / "report.json").write_text("{}")

        assert not (tmp_path / "build").exists()

    assert (tmp_path / "build").exists()


def test_a_build_is_as_readable_as_any_folder(tmp_path):
    (tmp_path / "plain").mkdir()

    write(tmp_path / "build")

    assert (tmp_path / "build").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_build_of_ours_is_replaced_as_a_whole(tmp_path):
    write(tmp_path / "build", old_txt="old", both_txt="old")

    write(tmp_path / "build", new_txt="new", both_txt="new")

    assert held(tmp_path) == [
        "build", "build/both.txt", "build/new.txt", "build/report.json"
    ]  # fmt: skip
    assert (tmp_path / "build/both.txt").read_text() == "new"


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "build").mkdir()

    write(tmp_path / "build")

    assert held(tmp_path / "build") == ["report.json"]


def test_a_build_that_lost_files_is_replaced(tmp_path):
    with writing_build(tmp_path / "build") as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "weights").touch()
        (aside / "report.json").write_text("{}")
    (tmp_path / "build/sub/weights").unlink()

    write(tmp_path / "build")

    assert held(tmp_path / "build") == ["report.json"]


def test_what_python_keeps_of_scripts_does_not_count(tmp_path):
    write(tmp_path / "build")
    (tmp_path / "build/__pycache__").mkdir()
    (tmp_path / "build/__pycache__/script.pyc").touch()

    write(tmp_path / "build")

    assert held(tmp_path / "build") == ["report.json"]


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "build").symlink_to(tmp_path / "disk")

    write(tmp_path / "build")

    assert (tmp_path / "build").is_symlink()
    assert held(tmp_path / "disk") == ["report.json"]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_no_trace(tmp_path, kind):
    def fail():
        with writing_build(tmp_path / "a" / "b" / "build") as aside:
            (aside / "report.json").write_text("{}")
            raise kind

    with pytest.raises(kind):
        fail()

    assert held(tmp_path) == []


def test_a_failure_leaves_the_build_before(tmp_path):
    write(tmp_path / "build", old_txt="old")

    with pytest.raises(ZeroDivisionError), writing_build(tmp_path / "build"):
        raise ZeroDivisionError

    assert held(tmp_path) == ["build", "build/old.txt", "build/report.json"]


def test_a_failure_between_the_renames_puts_the_build_before_back(tmp_path, monkeypatch):
    write(tmp_path / "build", old_txt="old")
    rename = Path.rename

    def fail(path, target):
        if path.suffix == ".partial":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "build", new_txt="new")

    assert held(tmp_path) == ["build", "build/old.txt", "build/report.json"]


def test_a_build_that_a_dead_process_set_aside_is_put_back(tmp_path):
    write(tmp_path / "build", old_txt="old")
    (tmp_path / "build").rename(tmp_path / ".build.0123abcd.old")

    with pytest.raises(ZeroDivisionError), writing_build(tmp_path / "build"):
        raise ZeroDivisionError

    assert held(tmp_path) == ["build", "build/old.txt", "build/report.json"]


def test_what_a_dead_process_did_not_remove_is_removed(tmp_path):
    write(tmp_path / "old", old_txt="old")
    (tmp_path / "old").rename(tmp_path / ".build.0123abcd.old")
    write(tmp_path / "build", new_txt="new")

    write(tmp_path / "build", newer_txt="newer")

    assert held(tmp_path) == ["build", "build/newer.txt", "build/report.json"]


def test_a_folder_of_someone_else_is_left_alone(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.tex").touch()

    assert refusal(tmp_path / "home") == "holds 'thesis.tex', which no build of ours wrote"


def test_a_report_of_someone_else_is_not_ours(tmp_path):
    (tmp_path / "build").mkdir()
    (tmp_path / "build/report.json").write_text('{"target": "loihi2"}')

    assert refusal(tmp_path / "build") == "holds 'report.json', which no build of ours wrote"


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"written_by": 3}', "\udcff"])
def test_a_report_that_is_none_is_not_ours(tmp_path, text):
    (tmp_path / "build").mkdir()
    (tmp_path / "build/report.json").write_text(text, errors="surrogateescape")

    assert refusal(tmp_path / "build") == "holds 'report.json', which no build of ours wrote"


def test_files_put_into_a_build_are_named_and_kept(tmp_path):
    write(tmp_path / "build")
    (tmp_path / "build/notes").mkdir()
    (tmp_path / "build/notes/results.csv").touch()
    (tmp_path / "build/y.npz").touch()

    assert refusal(tmp_path / "build") == (
        "holds 'notes/results.csv' and 1 more, which no build of ours wrote"
    )


def test_an_empty_folder_put_into_a_build_is_named(tmp_path):
    write(tmp_path / "build")
    (tmp_path / "build/results").mkdir()

    assert refusal(tmp_path / "build") == "holds 'results', which no build of ours wrote"


def test_a_link_put_into_a_build_is_named_and_not_followed(tmp_path):
    write(tmp_path / "build")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/precious").touch()
    (tmp_path / "build/data").symlink_to(tmp_path / "data")

    assert refusal(tmp_path / "build") == "holds 'data', which no build of ours wrote"


def test_a_file_put_into_a_build_meanwhile_is_kept(tmp_path):
    write(tmp_path / "build", old_txt="old")

    def write_while_someone_else_does():
        with writing_build(tmp_path / "build") as aside:
            (aside / "report.json").write_text("{}")
            (tmp_path / "build/notes.txt").touch()

    with pytest.raises(OutputFolderError):
        write_while_someone_else_does()

    assert held(tmp_path / "build") == ["notes.txt", "old.txt", "report.json"]


def test_a_file_is_no_place_for_a_build(tmp_path):
    (tmp_path / "build").touch()

    assert refusal(tmp_path / "build") == "is a file; a folder is written"


def test_a_place_below_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()

    assert refusal(tmp_path / "file" / "sub" / "build") == (
        f"is below {str(tmp_path / 'file')!r}, which is a file"
    )


def test_the_current_folder_is_refused(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    assert refusal(tmp_path / "here") == "is the current folder or holds it"


def test_a_circle_of_links_is_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    assert refusal(tmp_path / "a").startswith("cannot be used: ")


def test_a_name_that_the_file_system_cannot_hold_is_refused(tmp_path):
    assert "File name too long" in refusal(tmp_path / ("x" * 300))


def test_a_parent_that_cannot_be_made_is_refused(tmp_path, monkeypatch):
    def deny(path, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "mkdir", deny)

    assert refusal(tmp_path / "new" / "build") == "cannot be made: Permission denied"


def test_a_full_disk_is_an_error_of_the_folder(tmp_path):
    with pytest.raises(OutputFolderError) as error, writing_build(tmp_path / "build"):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert error.value.problem == "cannot be written: No space left on device"
    assert held(tmp_path) == []


def test_an_error_about_another_file_is_not_blamed_on_the_folder(tmp_path):
    with pytest.raises(PermissionError), writing_build(tmp_path / "build"):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/model.onnx")


def test_a_build_without_a_report_is_a_mistake_of_ours(tmp_path):
    with (
        pytest.raises(ValueError, match=r"without report\.json"),
        writing_build(tmp_path / "b"),
    ):
        pass

    assert held(tmp_path) == []


def test_a_place_can_be_looked_at_before_work_begins(tmp_path):
    (tmp_path / "file").touch()

    require_replaceable(tmp_path / "new" / "build")

    with pytest.raises(OutputFolderError):
        require_replaceable(tmp_path / "file")
    assert held(tmp_path) == ["file"]


def test_what_is_no_build_has_no_report(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps({"written_by": "someone"}))

    with pytest.raises(InputDataError) as error:
        read_report(tmp_path)

    assert error.value.problem == "is not a build of ours: it has no report.json that says so"


@pytest.mark.parametrize(
    ("path", "name"),
    [("nets/lenet.onnx", "lenet"), ("nets/lenet/model.onnx", "lenet"), ("v1.2.onnx", "v1.2")],
)
def test_a_model_is_called_after_its_file_or_its_folder(path, name):
    assert model_name(Path(path)) == name
    assert default_folder(Path(path), "loihi2") == Path("build") / f"{name}-loihi2"
