import json
import os
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nnlab.core.errors import StoreError
from nnlab.core.store import facts as facts_module
from nnlab.core.store import files, reading, trash
from nnlab.core.store.numbers import numbers_of
from nnlab.core.store.reading import RunInfo, read_run
from nnlab.core.store.runs import Store
from tests.core.store.store_training import SPEC, Training

EVIL_NAMES = [
    "../x",
    "/etc/passwd",
    "C:\\x",
    "a\0b",
    "CON",
    "x" * 300,
    "x\n",
    "%2e%2e",
    "x#../..",
    "'); DROP TABLE runs;--",
    "<script>alert(1)</script>",
    "\u202eevil",
    "\ud800",
    "last",
    "",
    " ",
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "a folder with é" / "store")


def add(store: Store, training: Training, name: str | None = None, epochs: int = 2) -> RunInfo:
    """A run that ended."""
    folder = store.create_run(SPEC, training.data, name=name, code="class Net: ...", line="%nn_train data")
    for event in training.events(epochs):
        folder(event)
    folder.complete(None)
    assert folder.warnings == []
    return next(info for info in store.runs() if info.id == folder.facts.id)


def test_a_new_store_holds_nothing_and_writes_nothing(store: Store) -> None:
    assert store.runs() == []
    assert store.studies() == []
    assert not store.root.exists()
    with pytest.raises(StoreError, match="no runs"):
        store.find("last")


def test_the_default_place_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Store().root == Path(os.environ["NNLAB_HOME"])
    monkeypatch.delenv("NNLAB_HOME")
    monkeypatch.chdir(tmp_path)
    store = Store()
    monkeypatch.chdir("/")
    assert store.root == tmp_path / ".nnlab"


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        Store(tmp_path / "file")


def test_a_working_directory_that_is_gone_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NNLAB_HOME")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(StoreError, match="place of the store"):
        Store()


def test_the_list_tells_the_newest_first(store: Store, training: Training) -> None:
    ids = [add(store, training, name).id for name in ("one", "two", None)]
    runs = store.runs()
    assert [info.id for info in runs] == ids[::-1]
    info = runs[1]
    assert (info.name, info.state, info.task, info.target) == ("two", "completed", "binary", "label")
    assert (info.epochs, info.best_epoch, info.metrics) == (2, 2, {"loss": 0.5, "accuracy": 0.5})
    assert (info.spec, info.line, info.monitor) == (SPEC, "%nn_train data", "loss")
    assert info.path == store.root / "runs" / info.id
    assert abs((datetime.now(UTC) - info.started).total_seconds()) < 60


@pytest.mark.parametrize("name", EVIL_NAMES)
def test_a_name_is_a_label_and_never_a_path(store: Store, training: Training, name: str) -> None:
    info = add(store, training, name)
    assert info.name == name
    assert store.find(name).id == info.id
    assert set(os.listdir(store.root)) == {"runs"}
    assert os.listdir(store.root / "runs") == [info.id]
    folder = store.study_folder(name)
    assert folder.parent == store.root / "studies"
    assert len(folder.name) < 60
    assert store.studies() == [name]
    assert store.study_folder(name) == folder


def test_names_that_look_alike_have_their_own_study_folders(store: Store) -> None:
    names = ["a b", "a-b", "A B", "a/b", "é", "e\u0301"]
    assert len({store.study_folder(name) for name in names}) == len(names)
    assert sorted(store.studies()) == sorted(names)


def test_a_run_is_found_by_id_beginning_name_and_last(store: Store, training: Training) -> None:
    first, second = add(store, training, "wide"), add(store, training, "wide")
    assert store.find("last").id == second.id
    assert store.find("wide").id == second.id
    assert store.find(first.id).id == first.id
    assert store.find(first.id[-8:]).id == first.id
    assert store.find(first.id[-8:-3]).id == first.id
    with pytest.raises(StoreError, match="begins 2 runs"):
        store.find(first.id[:8])
    with pytest.raises(StoreError, match="did you mean 'wide'"):
        store.find("wied")
    with pytest.raises(StoreError, match="no run"):
        store.find("../../etc/passwd")


def test_a_run_is_found_by_its_number_which_it_keeps(store: Store, training: Training) -> None:
    oldest, middle, newest = (add(store, training, epochs=1) for _ in range(3))  # within a second or two
    assert [store.find(word).id for word in "123"] == [oldest.id, middle.id, newest.id]
    trash.delete(store.root, [middle])
    assert store.find("3").id == newest.id
    with pytest.raises(StoreError, match=rf"run 2 \({middle.id}\) was deleted"):
        store.find("2")
    for digit in "456789":  # an id may begin with it
        with pytest.raises(StoreError, match=rf"no run {digit} .* newest is number 3"):
            store.find(digit)
    named = add(store, training, name="1", epochs=1)
    assert store.find("1").id == named.id  # a name is meant first
    trash.undo(store.root)
    assert numbers_of([middle.path, named.path, None]) == {middle.path: 2, named.path: 4}


def test_many_threads_get_folders_of_their_own(
    store: Store, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = iter([f"{number % 40:08x}" for number in range(10_000)])  # so that ids collide
    monkeypatch.setattr(facts_module.secrets, "token_hex", lambda _: next(few))
    made: list[Path] = []

    def work() -> None:
        made.extend(store.create_run(SPEC, training.data).path for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 30
    assert all(path.is_dir() for path in made)


def test_a_place_that_cannot_be_written_is_a_warning_and_no_error(tmp_path: Path, training: Training) -> None:
    (tmp_path / "file").write_text("")
    folder = Store(tmp_path / "file" / "below").create_run(SPEC, training.data)
    for event in training.events(3):
        folder(event)
    folder.complete(None)
    assert len(folder.warnings) == 1
    assert "run.save(folder)" in folder.warnings[0]
    assert not folder.kept


def test_each_missing_file_is_named_and_the_list_goes_on(store: Store, training: Training) -> None:
    whole, other = add(store, training), add(store, training)
    harmless = {"manifest.json"}
    for name in sorted(os.listdir(whole.path)):
        aside = store.root / "aside"
        (whole.path / name).rename(aside)
        assert other.id in [info.id for info in store.runs() if info.state == "completed"]
        assert len(store.runs()) == 2
        if name in harmless:
            read_run(whole.path)
        else:
            with pytest.raises(StoreError, match=name):
                read_run(whole.path)
        aside.rename(whole.path / name)
    read_run(whole.path)


def test_a_flipped_byte_in_any_file_is_refused_by_name(store: Store, training: Training) -> None:
    info = add(store, training)
    refused = 0
    for name in sorted(os.listdir(info.path)):
        path = info.path / name
        data = path.read_bytes()
        for place in range(0, len(data), max(1, len(data) // 25)):
            path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
            assert len(store.runs()) == 1
            with pytest.raises(StoreError) as caught:
                read_run(info.path)
            assert name in str(caught.value) or info.id in str(caught.value)
            refused += 1
        path.write_bytes(data)
    assert refused > 150
    read_run(info.path)


@pytest.mark.parametrize("junk", [b"", b"{}", b"\0" * 100, b'{"format": 1}', b"[" * 99_999])
def test_broken_folders_are_listed_as_broken(store: Store, training: Training, junk: bytes) -> None:
    add(store, training)
    runs = store.root / "runs"
    (runs / "20200102T030405-0000000a").mkdir()
    (runs / "20200102T030405-0000000a" / "run.json").write_bytes(junk)
    (runs / "20200102T030405-0000000b").write_bytes(junk)
    (runs / "20200102T030405-0000000c").symlink_to(store.runs()[0].path)
    (runs / "20209999T999999-0000000d").mkdir()
    (runs / "20209999T999999-0000000d" / "x").write_bytes(junk)
    (runs / ".DS_Store").write_bytes(junk)
    (runs / "20200102T030405-0000000e").mkdir()  # empty: its process died before the run began
    listed = store.runs()
    assert [info.state for info in listed] == ["completed", "broken", "broken", "broken", "broken"]
    assert all(info.message for info in listed[1:])
    assert listed[1].started == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    for info in listed[1:]:
        with pytest.raises(StoreError):
            store.load(info.id)


def reseal(path: Path, **changes: object) -> None:
    """Change values of a sealed file, with a checksum that is right."""
    files.write_json(path, {**files.read_json(path), **changes})


def test_a_newer_format_is_told_by_its_version(store: Store, training: Training) -> None:
    info = add(store, training)
    reseal(info.path / "run.json", format=2, versions={"nnlab": "2.3"})
    assert store.runs()[0].state == "broken"
    assert store.runs()[0].message == f"run {info.id} was written by nnlab 2.3 (format 2); this reads 1"


HOSTILE = [
    ("BEST", {"file": "../../../../etc/passwd"}),
    ("BEST", {"file": 7}),
    ("BEST", {"bytes": "many"}),
    ("BEST", {"epoch": None}),
    ("run.json", {"spec": {"model": {"name": "os.system", "values": {}}}}),
    ("run.json", {"spec": {"epochs": 10**9}}),
    ("run.json", {"spec": [1]}),
    ("run.json", {"started": None}),
    ("run.json", {"began": "yesterday"}),
    ("run.json", {"files": 3}),
    ("status.json", {"state": "running", "owner": None}),
    ("status.json", {"state": "completed", "finished": {"reason": "x"}}),
    ("manifest.json", {"files": [1, 2]}),
]


@pytest.mark.parametrize(("name", "changes"), HOSTILE)
def test_sealed_files_that_lie_are_refused(
    store: Store, training: Training, name: str, changes: dict[str, object]
) -> None:
    info = add(store, training)
    if name != "manifest.json":
        (info.path / "manifest.json").unlink()
    reseal(info.path / name, **changes)
    assert len(store.runs()) == 1
    with pytest.raises(StoreError):
        read_run(info.path)


def test_a_time_without_its_zone_does_not_hide_the_other_runs(store: Store, training: Training) -> None:
    first, second = add(store, training), add(store, training)
    reseal(first.path / "run.json", began="2020-01-01T00:00:00")
    assert [info.id for info in store.runs()] == [second.id, first.id]


def test_a_pickle_under_our_names_is_not_opened(store: Store, training: Training, tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    info = add(store, training)
    bomb = pickle.dumps(Bomb())
    for name in os.listdir(info.path):
        data = (info.path / name).read_bytes()
        (info.path / name).write_bytes(bomb)
        store.runs()
        with pytest.raises(StoreError):
            read_run(info.path)
        (info.path / name).write_bytes(data)
    (info.path / "manifest.json").unlink()
    reseal(info.path / "run.json", files={})
    (info.path / "pipeline.safetensors").write_bytes(bomb)
    with pytest.raises(StoreError, match="not a safetensors file"):
        read_run(info.path)
    assert not (tmp_path / "exploded").exists()


def test_a_dead_owner_makes_a_crashed_run_whose_weights_load(store: Store, training: Training) -> None:
    folder = store.create_run(SPEC, training.data)
    folder(training.started())
    folder(training.epoch(1))
    (live,) = store.runs()
    assert (live.state, live.epochs, live.best_epoch) == ("running", 1, 1)
    status = files.read_json(folder.path / "status.json")
    reseal(folder.path / "status.json", owner={**status["owner"], "start": "1"})
    (dead,) = store.runs()
    assert (dead.state, dead.best_epoch) == ("crashed", 1)
    assert "the weights of epoch 1 are kept" in dead.message
    assert dead.metrics == {"loss": 1.0, "accuracy": 0.5}
    saved = read_run(dead.path)
    assert saved.record.finished is not None
    assert saved.record.finished.best_epoch == 1


def test_a_run_that_ends_while_it_is_read_has_not_crashed(
    store: Store, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.create_run(SPEC, training.data)
    started, *rest = training.events(2)
    folder(started)

    def ends_before_it_is_asked(owner: object, last_write: float) -> bool:
        for event in rest:
            folder(event)
        folder.complete(None)
        return False

    monkeypatch.setattr(reading, "is_alive", ends_before_it_is_asked)
    (info,) = store.runs()
    assert (info.state, info.epochs) == ("completed", 2)


def test_a_torn_line_of_a_crashed_run_is_left_out_at_every_byte(store: Store, training: Training) -> None:
    folder = store.create_run(SPEC, training.data)
    folder(training.started())
    folder(training.epoch(1))
    path = folder.path / "metrics.jsonl"
    whole = path.read_bytes()
    second = json.dumps({**json.loads(whole), "epoch": 2}).encode()
    for cut in range(len(second)):
        path.write_bytes(whole + second[:cut])
        assert [done.epoch for done in read_run(folder.path).record.epochs] == [1]
    path.write_bytes(whole + second + b"\n")
    assert [done.epoch for done in read_run(folder.path).record.epochs] == [1, 2]


def test_a_reader_sees_whole_weights_while_a_writer_replaces_them(store: Store, training: Training) -> None:
    folder = store.create_run(SPEC, training.data)
    now = [0.0]
    folder._clock = lambda: now[0]
    folder(training.started())
    folder(training.epoch(1))

    def write() -> None:
        for number in range(2, 150):
            now[0] += 1000.0
            folder(training.epoch(number))

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while writer.is_alive():
        saved = read_run(folder.path)
        (value,) = {tensor.unique().item() for tensor in saved.weights.values()}
        seen.append(value)
    writer.join()
    assert seen == sorted(seen)
    assert folder.warnings == []
