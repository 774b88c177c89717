"""A digest is that of all bytes, however many pieces they are read in."""

import hashlib

import pytest

from toolchain.digest import add_files, digest_of


@pytest.mark.parametrize("size", [0, 3, 2**20, 2**20 + 1])
def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path, size):
    content = bytes(range(256)) * (size // 256) + b"\1" * (size % 256)
    (tmp_path / "file").write_bytes(content)

    assert digest_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_files_are_added_one_behind_the_other(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    digest = hashlib.sha256(b"0")

    add_files(digest, [tmp_path / "a", tmp_path / "b"])

    assert digest.hexdigest() == hashlib.sha256(b"0ab").hexdigest()
