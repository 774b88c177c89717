"""The folder of a build: written aside, then put in its place as a whole.

A build is known by ``written_by`` in its ``report.json``, which also lists all its files. Only
such a folder is ever replaced, and only while it holds nothing else: a folder of someone else,
or a build that someone put a file into, is left as it is and named.

The new folder is complete before the old one is renamed away; then it takes the name, and only
then the old one is removed. Whatever fails in between, one of the two is there: a build that
was renamed away by a process that died then is put back by the next one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from toolchain import __version__
from toolchain.digest import digest_of
from toolchain.errors import InputDataError, OutputFolderError

REPORT = "report.json"
"""Name of the file that says what a build is."""

MANIFEST = "partial.json"
"""Name of the file that says what the segments of a build are, if it has any."""

WRITTEN_BY = f"snn-compile {__version__}"
"""Marks a build as ours; the word before the space is what counts."""

_DISPOSABLE = "__pycache__"
_NAME_MAX = 255
_NAMELESS = ("model", "network")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EIO)


def model_name(model: Path) -> str:
    """Return the name of a model: its file's, or its folder's if the file's says nothing.

    ``nets/lenet.onnx`` is ``lenet``, and so is ``nets/lenet/model.onnx``.
    """
    folder = model.absolute().parent.name
    return folder if model.stem in _NAMELESS and folder else model.stem


def default_folder(model: Path, target: str) -> Path:
    """Return where a build goes if the user does not say: ``build/<model>-<target>``."""
    return Path("build") / f"{model_name(model)}-{target}"


@contextlib.contextmanager
def writing_build(folder: Path) -> Iterator[Path]:
    """Give a new folder to write a build into, which becomes ``folder`` at the end.

    An exception removes the new folder and leaves everything as it was. What is written must
    hold a ``report.json`` with an object, which gets ``written_by``, ``manifest`` and
    ``sha256``.

    Raises:
        OutputFolderError: The folder cannot be written or holds something else; the message
            says what.
        ValueError: No ``report.json`` was written.
    """
    folder = _resolved(folder)
    missing = [parent for parent in folder.parents if not parent.exists()]
    try:
        _put_back(folder)
        require_replaceable(folder)
        aside = _make_aside(folder)
        try:
            yield aside
            _sign(aside)
            require_replaceable(folder)
            _replace(folder, aside)
        except OSError as error:
            if _is_about(error, aside, folder):
                raise _failed("written", error, folder) from error
            raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except BaseException:
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def require_replaceable(folder: Path) -> None:
    """Refuse a place that a build cannot go to; nothing is touched.

    Raises:
        OutputFolderError: It is a file, the current folder, or holds something that is not a
            build of ours.
    """
    folder = _resolved(folder)
    above = next(parent for parent in folder.parents if parent.exists())
    if not above.is_dir():
        raise _refused(f"is below {str(above)!r}, which is a file", folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise _refused("is a file; a folder is written", folder)
    if Path.cwd().is_relative_to(folder):
        raise _refused("is the current folder or holds it", folder)
    try:
        strange = _strange(folder)
    except OSError as error:
        raise _failed("read", error, folder) from None
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise _refused(f"holds {strange[0]!r}{more}, which no build of ours wrote", folder)


def is_partial(folder: Path) -> bool:
    """Tell whether a folder holds a build in segments."""
    try:
        return (folder / MANIFEST).is_file()
    except OSError:
        return False


def read_report(folder: Path) -> dict[str, Any]:
    """Return ``report.json`` of a finished build.

    Raises:
        InputDataError: The folder is not a build of ours.
    """
    report = _report(folder)
    if report is None:
        raise InputDataError(
            f"is not a build of ours: it has no {REPORT} that says so",
            node=str(folder),
            hint="give the folder that snn-compile has written",
        )
    return report


def listed_files(report: dict[str, Any], folder: Path) -> list[str]:
    """Return the files that a build says it holds, relative to its folder.

    Raises:
        InputDataError: The list is missing, or names what cannot be in the folder.
    """
    names = report.get("manifest")
    if not isinstance(names, list) or not all(map(_is_inside, names)):
        raise InputDataError(
            "is missing or damaged",
            node=str(folder / REPORT),
            hint="compile the network again",
        )
    return names


def _is_inside(name: Any) -> bool:
    """Tell whether a name is a path of a file in a folder, and none that leads out of it."""
    if not isinstance(name, str) or "\0" in name:
        return False
    path = PurePosixPath(name)
    is_short = all(len(part.encode(errors="replace")) <= _NAME_MAX for part in path.parts)
    return bool(path.parts) and is_short and not path.is_absolute() and ".." not in path.parts


def _report(folder: Path) -> dict[str, Any] | None:
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(report, dict):
        return None
    name = str(report.get("written_by", "")).split(" ")[0]
    return report if name == WRITTEN_BY.split(" ", maxsplit=1)[0] else None


def _manifest(folder: Path) -> list[str]:
    """Return the files that a build says it holds; none if it is no build."""
    manifest = (_report(folder) or {}).get("manifest", [])
    return [str(name) for name in manifest] if isinstance(manifest, list) else []


def _strange(folder: Path) -> list[str]:
    """Return what is in a folder and not of a build, as `_files` does."""
    paths = [PurePosixPath(name) for name in _manifest(folder)]
    known = {str(part) for path in paths for part in (path, *path.parents)}
    return [name for name in _files(folder) if name not in known]


def _files(folder: Path) -> list[str]:
    """Return all that is in a folder, as paths relative to it, sorted.

    Folders are named if they are empty, or links. What Python keeps of scripts that ran is not.
    """
    found = []
    for root, folders, files in os.walk(folder, onerror=_raise):
        here = Path(root).relative_to(folder)
        folders[:] = [name for name in folders if name != _DISPOSABLE]
        links = [name for name in folders if (folder / here / name).is_symlink()]
        found += [(here / name).as_posix() for name in (*files, *links)]
        if not files and not folders and here.parts:
            found.append(here.as_posix())
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _sign(folder: Path) -> None:
    """Note in the report of a new build that it is ours, and what belongs to it."""
    path = folder / REPORT
    if not path.is_file():
        raise ValueError(f"a build without {REPORT}")
    report = json.loads(path.read_text(encoding="utf-8"))
    names = _files(folder)
    digests = {name: digest_of(folder / name) for name in names if name != REPORT}
    report |= {"written_by": WRITTEN_BY, "manifest": names, "sha256": digests}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _resolved(folder: Path) -> Path:
    try:
        folder = folder.resolve()
        folder.exists()
    except (OSError, RuntimeError) as error:
        raise _failed("used", error, folder) from None
    return folder


def _make_aside(folder: Path) -> Path:
    aside = _beside(folder, "partial")
    try:
        aside.mkdir(parents=True)
    except OSError as error:
        raise _failed("made", error, folder) from None
    return aside


def _beside(folder: Path, purpose: str) -> Path:
    return folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.{purpose}")


def _replace(folder: Path, new: Path) -> None:
    """Give ``new`` the place of ``folder``, and remove what was there."""
    old = _beside(folder, "old")
    try:
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _put_back(folder: Path) -> None:
    """Finish what a process that died between two renames has left."""
    with contextlib.suppress(OSError):
        for old in sorted(folder.parent.iterdir()):
            is_aside = old.name.startswith(f".{folder.name}.") and old.suffix == ".old"
            if not is_aside or _report(old) is None or _strange(old):
                continue
            if folder.exists():
                shutil.rmtree(old)
            else:
                old.rename(folder)


def _is_about(error: OSError, aside: Path, folder: Path) -> bool:
    """Tell whether the file system refused to hold the build, and it is no bug of ours."""
    is_inside = str(error.filename or "").startswith((str(aside), str(folder)))
    return error.errno in _FULL or (error.errno in _FORBIDDEN and is_inside)


def _failed(done: str, error: Exception, folder: Path) -> OutputFolderError:
    return _refused(f"cannot be {done}: {getattr(error, 'strerror', None) or error}", folder)


def _refused(problem: str, folder: Path) -> OutputFolderError:
    return OutputFolderError(problem, node=str(folder), hint="name a new folder with --output")


def files_in(folder: Path) -> list[str]:
    """Return the names of all files in a folder and below, relative to it."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in found]


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON; what JSON lacks is written as text."""
    text = json.dumps(value, indent=2, default=str)
    path.write_text(text + "\n", encoding="utf-8")
