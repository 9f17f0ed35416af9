"""The Ray engine on a real cluster of two nodes: results, failures, lost workers and nodes, and what is refused."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import clusters, tasks
from tests.engines.clusters import PATIENCE, SMALL, begun, cluster, wait_until
from undertow.engines import ray_nodes, ray_post
from undertow.engines.ray_cluster import RETRIES, Ray, room
from undertow.engines.ray_data import RayData, spread_of
from undertow.engines.work_progress import Announcement, listening
from undertow.errors import (
    InputError,
    MissingExtraError,
    ModelError,
    UndertowError,
    UnknownNameError,
)

long = pytest.mark.long


two_nodes = pytest.fixture(scope="module")(clusters.two_nodes)


@pytest.fixture
def engine(two_nodes: Any) -> Iterator[Ray]:
    """An engine on them."""
    with Ray(address=two_nodes.address) as joined:
        yield joined


@long
def test_every_task_gives_its_result_on_both_nodes(engine: Ray, tmp_path: Path) -> None:
    """All results arrive; two jobs that wait for each other's end run at the same time, on a node each."""
    assert dict(engine.map(tasks.Power(2), range(20))) == {n: n**2 for n in range(20)}
    work = engine.map(tasks.Held(tmp_path), [1, 2])
    results: dict[int, int] = {}
    thread = threading.Thread(target=lambda: results.update(work), daemon=True)
    thread.start()
    wait_until(lambda: begun(tmp_path, 1) and begun(tmp_path, 2))
    for number in (1, 2):
        (tmp_path / f"go-{number}").touch()
    thread.join(PATIENCE)

    nodes = {begun(tmp_path, n)[0].split()[1] for n in (1, 2)}
    assert len(nodes) == 2
    assert results == {0: 1, 1: 2}


@long
def test_an_actor_keeps_the_callable_and_its_caches(engine: Ray) -> None:
    """Eight tasks on two actors: each process counts on, in one object."""
    calls = list(engine.map(tasks.Counting(), range(8)))
    last = dict(sorted(value for _, value in calls))

    assert sum(last.values()) == 8
    assert len(last) <= 2


@long
def test_what_jobs_tell_is_heard_here(engine: Ray) -> None:
    """Each job's notice arrives under its name, as from a process."""
    told: list[Any] = []
    with listening(told.append):
        list(engine.map(tasks.Telling(), ["a", "b"]))
        # News travels beside results; what comes late is heard during later work.
        deadline = time.monotonic() + PATIENCE
        while len({one.job for one in told}) < 2 and time.monotonic() < deadline:
            list(engine.map(tasks.Power(2), [1]))

    assert {(one.job, one.text) for one in told} == {("a", "at work"), ("b", "at work")}


@long
def test_a_failed_task_stops_the_rest_and_raises_the_original(engine: Ray, tmp_path: Path) -> None:
    """The error arrives with its class, message and hint, at once; no other task finishes, and the engine goes on."""
    with pytest.raises(UnknownNameError, match="did you mean 'owl'") as caught:
        list(engine.map(tasks.Marker(tmp_path, 300.0), [1, 0, 2]))

    assert caught.value.hint == "undertow traits"
    assert list(tmp_path.glob("finished-*")) == []
    assert dict(engine.map(tasks.Power(2), [3])) == {0: 9}


@long
def test_a_killed_worker_repeats_its_job_alone(engine: Ray, tmp_path: Path) -> None:
    """One of two running jobs loses its process: that job begins twice, the other once, and a notice says so."""
    told: list[Any] = []
    results: dict[int, int] = {}
    work = engine.map(tasks.Held(tmp_path), [1, 2])

    def drive() -> None:
        with listening(told.append):
            results.update(work)

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    wait_until(lambda: begun(tmp_path, 1) and begun(tmp_path, 2))
    os.kill(int(begun(tmp_path, 1)[0].split()[0]), signal.SIGKILL)
    wait_until(lambda: len(begun(tmp_path, 1)) == 2)
    for number in (1, 2):
        (tmp_path / f"go-{number}").touch()
    thread.join(PATIENCE)

    assert results == {0: 1, 1: 2}
    assert len(begun(tmp_path, 2)) == 1
    [notice] = [one for one in told if isinstance(one, Announcement)]
    assert "'task 1' ran on was lost" in notice.text


@long
def test_a_job_that_kills_its_worker_each_time_is_given_up(engine: Ray) -> None:
    """After RETRIES repetitions the error names the job, how often it was lost, and what to do."""
    with pytest.raises(UndertowError, match=f"'task 1' was lost {RETRIES + 1} times") as caught:
        list(engine.map(tasks.Doomed(by_signal=True), [0]))

    assert "--memory-per-job" in caught.value.hint


@long
def test_a_node_that_is_removed_repeats_its_jobs_alone(two_nodes: Any, tmp_path: Path) -> None:
    """Three jobs on three nodes; one node goes: its job begins again elsewhere, the others do not."""
    third = two_nodes.add_node(num_cpus=1, **SMALL)
    two_nodes.wait_for_nodes()
    results: dict[int, int] = {}
    with Ray(address=two_nodes.address) as engine:
        work = engine.map(tasks.Held(tmp_path), [1, 2, 3, 4])
        thread = threading.Thread(target=lambda: results.update(work), daemon=True)
        thread.start()
        wait_until(lambda: all(begun(tmp_path, number) for number in (1, 2, 3)))
        lost = [n for n in (1, 2, 3) if begun(tmp_path, n)[0].split()[1] == third.node_id]
        two_nodes.remove_node(third)
        for number in {1, 2, 3, 4} - set(lost):
            (tmp_path / f"go-{number}").touch()
        wait_until(lambda: len(begun(tmp_path, lost[0])) == 2)
        (tmp_path / f"go-{lost[0]}").touch()
        thread.join(PATIENCE)

    times = {n: len(begun(tmp_path, n)) for n in (1, 2, 3, 4)}
    assert results == {0: 1, 1: 2, 2: 3, 3: 4}
    assert times == {n: 1 + (n in lost) for n in (1, 2, 3, 4)}
    assert len(lost) == 1


@long
def test_folders_travel_where_nodes_do_not_see_them(
    engine: Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the driver's mark each job gets the folder that it reads and gives back the one that it makes."""
    monkeypatch.setattr(
        "undertow.engines.ray_cluster._marked", lambda directory: Path("/nowhere/mark")
    )
    for number in (0, 10, 20):
        (tmp_path / f"made/{number}").mkdir(parents=True)
        (tmp_path / f"made/{number}/value").write_text(str(number))

    assert dict(engine.map(tasks.InFolders(tmp_path), [1, 11, 21])) == {0: 1, 1: 11, 2: 21}
    made = {n: int((tmp_path / f"made/{n}/value").read_text()) for n in (1, 11, 21)}
    assert made == {1: 1, 11: 21, 21: 41}
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == sorted(
        map(str, (0, 1, 10, 11, 20, 21))
    )


@long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_node_without_the_models_files_is_named(engine: Ray) -> None:
    """What a job raises on another node than the driver's says on which."""
    engine.join()
    here = tasks.Unloadable(tasks.ray_node())
    told = f"no such folder \\(on node {socket.gethostname()}\\)"
    with pytest.raises(ModelError, match=told):
        list(engine.map(here, [1, 2, 3, 4]))
    with pytest.raises(ModelError, match=told):
        list(RayData(2, engine.address).map(here, [1, 2, 3, 4]))


@long
def test_a_full_disk_of_a_node_is_told(engine: Ray, tmp_path: Path) -> None:
    """The error says what was made, and that finished work is kept."""
    with pytest.raises(UndertowError, match=r"no space left in .* while making 'full'"):
        list(engine.map(tasks.Full(), [str(tmp_path)]))


@long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_full_store_of_a_node_is_told() -> None:
    """A result that neither Ray's store nor the disk behind it takes, and rows and folders of the driver: where, and what to do."""
    full = clusters.SLOW | {"local_fs_capacity_threshold": 0.01}
    with cluster(object_store_memory=80 << 20, _system_config=full) as made:
        with Ray(1, made.address) as engine:
            with pytest.raises(
                UndertowError, match=r"no space left on the Ray node [\d.]+: "
            ) as caught:
                list(engine.map(tasks.Large(), [200 << 20]))
            with pytest.raises(UndertowError, match="no space left on this machine: neither Ray's"):
                list(engine.map(tasks.Heavy(200 << 20), [1]))
        with pytest.raises(UndertowError, match=r"no space left on the Ray node [\d.]+: "):
            list(RayData(1, made.address).map(tasks.Large(), [200 << 20]))

    assert "RAY_TMPDIR" in caught.value.hint


@long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_full_disk_that_a_reader_of_rows_meets_is_told() -> None:
    """What the system refused a worker of Ray Data beside this process is what it would have refused this process."""
    with cluster() as made, pytest.raises(OSError, match="No space left on device") as caught:
        list(RayData(1, made.address).map(tasks.FullDevice(), [1]))

    assert caught.value.errno == errno.ENOSPC


@long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cluster_is_left_when_no_thread_of_a_stream_asks_it_anything(
    two_nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are read up to a task that fails leave no thread behind: one would end the whole process."""
    left: list[list[str]] = []

    def watched(*asked: Any) -> Callable[[], None]:
        leave = ray_nodes.connect(*asked)
        before = set(threading.enumerate())

        def leave_and_tell() -> None:
            # The one that fetches ahead waits for something to do for ever.
            begun = [thread.name for thread in threading.enumerate() if thread not in before]
            left.append([name for name in begun if name != "Prefetcher"])
            leave()

        return leave_and_tell

    monkeypatch.setattr("undertow.engines.ray_data.connect", watched)
    with pytest.raises((OSError, UndertowError), match="No space left on device"):
        list(RayData(1, two_nodes.address).map(tasks.FullDevice(), list(range(40))))

    assert left == [[]]


@long
def test_a_job_that_no_node_has_room_for_is_refused(two_nodes: Any) -> None:
    """The error states what a job asks for and what the nodes have."""
    with (
        Ray(address=two_nodes.address, gpus=0.5) as engine,
        pytest.raises(InputError, match=r"\(CPU 1, GPU 0.5\); its nodes have: CPU 1, GPU 0; CPU 1"),
    ):
        list(engine.map(tasks.Power(2), [1]))


@long
def test_gpus_are_shared_by_fractions() -> None:
    """Of a node that says it has one GPU, three jobs of a third run at a time, and no fourth."""
    with cluster(num_cpus=4, num_gpus=1) as made, Ray(address=made.address, gpus=1 / 3) as engine:
        ray, _ = engine._connected()

        assert room([node["Resources"] for node in ray.nodes()], engine.demand(ray)) == 3
        assert Ray().demand(ray) == {"CPU": 1.0, "GPU": 1.0}
        assert dict(engine.map(tasks.Power(2), range(4))) == {n: n**2 for n in range(4)}


def test_an_address_where_nobody_listens_is_refused_at_once() -> None:
    """One error with the address and a hint."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InputError, match=f"no Ray cluster answers at '{address}'") as caught:
            list(Ray(address=address).map(tasks.Power(2), [1]))

    assert "ray start --head" in caught.value.hint


def test_rows_of_one_part_do_not_hide_a_wrong_address() -> None:
    """They would be read in this process: the cluster that was named is asked for all the same."""
    with pytest.raises(InputError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        spread_of("ray://127.0.0.1:1", None, 10)
    with pytest.raises(InputError, match="'head' is no address of a Ray cluster"):
        spread_of("ray://head", None, 10)


def without_connection(words: str) -> Any:
    """A Ray whose connection fails with these words."""

    class Library:
        exceptions = ray_nodes.ray_library().exceptions

        @staticmethod
        def init(**given: object) -> None:
            raise ConnectionError(words)

        @staticmethod
        def shutdown() -> None:
            pass

    return Library


def test_a_machine_that_is_no_node_is_told_in_our_words() -> None:
    """Of what Ray says there, it names an option that no verb has."""
    ray = without_connection("Could not find any running Ray instance. Set the `--address` flag")
    with pytest.raises(InputError, match="answers at 'auto': this machine is a node of none"):
        ray_nodes.connect(ray, "auto", None)


def test_a_cluster_that_lets_nobody_in_is_asked_for_its_token() -> None:
    """Its head listens and refuses, for which Ray has the words of a lost connection: the help names both variables."""
    ray = without_connection("Failed to connect to Ray cluster at 10.0.0.1:6379")
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        with pytest.raises(InputError, match="Failed to connect") as caught:
            ray_nodes.connect(ray, address, None)

    assert "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN" in caught.value.hint


@long
def test_a_job_that_no_node_has_room_for_is_refused_when_the_cluster_is_joined(
    two_nodes: Any,
) -> None:
    """Before anything long is done, with what it asks for and what the nodes have."""
    with (
        Ray(address=two_nodes.address, gpus=1) as engine,
        pytest.raises(InputError, match=r"a job \(CPU 1, GPU 1\); its nodes have: CPU 1, GPU 0"),
    ):
        engine.join()


@long
def test_an_address_where_something_else_listens_is_refused_in_bounded_time() -> None:
    """A server that is no Ray's: the same error within two minutes."""
    with socket.create_server(("0.0.0.0", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(InputError, match=f"no Ray cluster answers at '{address}'"):
            list(Ray(address=address).map(tasks.Power(2), [1]))


def test_an_address_of_the_environment_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody typed it; `local` there is none, as for Ray itself."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(InputError, match=r"at '127\.0\.0\.1:1'.*variable RAY_ADDRESS"):
        Ray().join()


def test_an_address_that_is_none_is_refused() -> None:
    """The error shows the form of one."""
    with pytest.raises(
        InputError, match="'head' is no address of a Ray cluster; allowed: HOST:PORT"
    ):
        list(Ray(address="head").map(tasks.Power(2), [1]))


@long
def test_a_local_cluster_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ray keeps of its session goes with the cluster; that of a killed command with the next one."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="r") as place:
        monkeypatch.setenv("RAY_TMPDIR", place)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        (Path(place) / "undertow-ray-killed").mkdir()
        with Ray(jobs=1) as engine:
            assert dict(engine.map(tasks.Power(2), [3])) == {0: 9}
            [session] = Path(place).iterdir()
            assert list(session.glob("session_*"))

        assert list(Path(place).iterdir()) == []


def test_a_session_that_is_held_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of two commands at once, each has a folder of its own; where paths are too long for sockets, elsewhere."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="r") as place:
        monkeypatch.setenv("RAY_TMPDIR", place)
        (first, one), (second, other) = ray_nodes._held_session(), ray_nodes._held_session()
        assert {first, second} == set(Path(place).iterdir())
        os.close(one)
        third, more = ray_nodes._held_session()
        assert {second, third} == set(Path(place).iterdir())
        os.close(other)
        os.close(more)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "a-folder-with-a-long-name"))
    folder, handle = ray_nodes._held_session()
    folder.rmdir()
    os.close(handle)

    assert folder.parent == Path("/tmp")


def test_a_command_without_work_removes_what_a_killed_one_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It begins no cluster, and is the last that is typed where all was done before the kill; what is held stays."""
    (tmp_path / ".seen-killed").touch()
    (tmp_path / "made").mkdir()
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="r") as place:
        monkeypatch.setenv("RAY_TMPDIR", place)
        held, handle = ray_nodes._held_session()
        (Path(place) / "undertow-ray-killed" / "session_1").mkdir(parents=True)
        with Ray(jobs=1) as engine:
            assert dict(engine.map(tasks.InFolders(tmp_path), [])) == {}

        assert list(Path(place).iterdir()) == [held]
        os.close(handle)
    assert list(tmp_path.iterdir()) == [tmp_path / "made"]


def test_a_session_without_a_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the folder and the variable."""
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/none-there")

    with pytest.raises(InputError, match="cannot make a folder in '/tmp/none-there'") as caught:
        ray_nodes._held_session()

    assert "RAY_TMPDIR" in caught.value.hint


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to install it."""
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(MissingExtraError) as caught:
        list(Ray().map(tasks.Power(2), [1]))

    assert caught.value.hint == "pip install 'undertow[ray]'"


def test_an_archive_that_cannot_be_stored_is_an_error(tmp_path: Path) -> None:
    """The folder is not there, rather than in part, and the error says which."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made/value").write_text("1")
    content = ray_post.packed(tmp_path / "made")
    assert content is not None
    (tmp_path / "other").mkdir()
    ray_post.unpack(content, tmp_path / "other/made")
    with pytest.raises(UndertowError, match="cannot be stored"):
        ray_post.unpack(content[: len(content) // 4], tmp_path / "other/torn")

    assert [path.name for path in (tmp_path / "other").iterdir()] == ["made"]
