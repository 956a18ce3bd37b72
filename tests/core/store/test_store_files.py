import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnlab.core.errors import StoreError
from nnlab.core.store import files
from tests.core.store.store_training import Faults

EVIL = [
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:\\x",
    "x\0",
    "",
    ".",
    "..",
    ".hidden",
    "a" * 300,
    "x\n",
    "é",
    "~",
    "x#../y",
]


@pytest.mark.parametrize("name", EVIL)
def test_no_text_becomes_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="not a file name"):
        files.inside(tmp_path, name)


def test_a_file_is_synced_before_its_name_is_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Faults(monkeypatch)
    files.write_file(tmp_path / "x", b"data")
    files.sync_folders([tmp_path])
    assert faults.log == ["open", "write", "fsync", "replace", "open", "fsync"]


def test_written_files_obey_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_file(tmp_path / "x", b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("kind", ["eio", "full", "short"])
def test_every_failing_call_leaves_the_old_file_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    faults = Faults(monkeypatch)
    path = tmp_path / "x"
    files.write_file(path, b"old" * 1000)
    for at in range(1, 100):
        faults.arm(at, kind)
        try:
            files.write_file(path, b"new" * 1000)
            assert not faults.hit
            break
        except OSError:
            assert path.read_bytes() == b"old" * 1000
            assert os.listdir(tmp_path) == ["x"], "no temporary file is left"
    assert at == 5, "open, write, fsync and replace were made to fail"


@pytest.mark.parametrize("kind", ["eio", "full", "short"])
def test_a_failed_append_leaves_only_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    faults = Faults(monkeypatch)
    for at in range(1, 100):
        path = tmp_path / f"lines-{at}"
        journal = files.LineFile(path)
        journal.append(["first"], os.fsync)
        faults.arm(at, kind)
        try:
            journal.append(["second line"], os.fsync)
        except OSError:
            assert files.whole_lines(path.read_bytes())[0] == "first"
            journal.append(["second line"], os.fsync)
        assert path.read_text() == "first\nsecond line\n"
        if not faults.hit:
            break
    assert at == 6, "open, ftruncate, lseek, write and fsync were made to fail"


def test_a_torn_last_line_is_left_out_at_every_byte(tmp_path: Path) -> None:
    text = b'{"epoch": 1}\n{"epoch": 2}\n'
    for cut in range(13, len(text)):
        assert files.whole_lines(text[:cut]) == ['{"epoch": 1}']


def test_sealed_json_comes_back_and_a_flipped_byte_is_refused(tmp_path: Path) -> None:
    value = {
        "name": "x\0'); DROP TABLE runs;--\ud800",
        "numbers": [1, 2.5, float("inf"), None],
        "deep": {"a": {"b": 1}},
    }
    data = files.seal(value)
    assert files.unseal(data, "file") == value
    refused = 0
    for place in range(len(data)):
        torn = bytearray(data)
        torn[place] ^= 1
        try:
            assert files.unseal(bytes(torn), "file") == value, "only a flip that changes nothing may pass"
        except StoreError as error:
            assert "file" in str(error)
            refused += 1
    assert refused > 0.8 * len(data)


def test_what_is_sealed_has_the_sum_of_what_a_reader_finds() -> None:
    value = {
        "rows": ((1, -0.5), ()),
        "tables": [{"b": 1, "a": (2,)}, {10: "x", 9: "y"}],
        "pair": {"\ud83d\ude00": 1, "\uffff": 2},
    }
    plain = json.loads(json.dumps(value))
    data = files.seal(value)
    assert files.unseal(data, "file") == plain
    assert list(json.loads(data)["tables"][0]) == ["b", "a"], "the order of names is kept"
    assert data.splitlines()[3] == b'  {"b": 1, "a": [2]},', "people find a line for each table"
    assert files.unseal(files.seal({}), "file") == {}
    # as every version so far has written it
    old = b'{\n "rows": [\n  [1, -0.5],\n  []\n ],\n "sha256": "%s"\n}'
    digest = hashlib.sha256(b'{"rows":[[1,-0.5],[]]}').hexdigest().encode()
    assert files.unseal(old % digest, "file") == {"rows": plain["rows"]}
    assert digest in files.seal({"rows": value["rows"]})


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"sha256": 1}'])
def test_what_is_no_sealed_json_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(StoreError, match=r"x\.json"):
        files.read_json(tmp_path / "x.json")


def test_only_plain_files_of_a_bearable_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder", "nothing"):
        with pytest.raises(StoreError, match=name):
            files.read_file(tmp_path / name)
    with pytest.raises(StoreError, match="6 bytes; at most 5"):
        files.read_file(tmp_path / "secret", limit=5)


KILLED = """
import os, sys
from pathlib import Path
from nnlab.core.store import files
left = int(sys.argv[2])
def dying(real):
    def call(*args, **options):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return real(*args, **options)
    return call
for name in ("open", "write", "fsync", "replace"):
    setattr(os, name, dying(getattr(os, name)))
for content in (b"2" * 5000, b"3" * 5000):
    files.write_file(Path(sys.argv[1]) / "x", content)
"""


def test_a_process_that_dies_at_any_call_leaves_a_whole_file(tmp_path: Path) -> None:
    for at in range(1, 100):
        (tmp_path / "x").write_bytes(b"1" * 5000)
        code = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(at)], check=False).returncode
        content = (tmp_path / "x").read_bytes()
        assert content in (b"1" * 5000, b"2" * 5000, b"3" * 5000)
        if code == 0:
            break
    assert at == 9
    assert content == b"3" * 5000
