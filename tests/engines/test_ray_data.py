"""Ray Data on a real cluster: what a lost worker or node had in hand is done again, not without end, and GPUs are asked for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import clusters, tasks
from tests.engines.clusters import PATIENCE, SMALL, begun, cluster, wait_until
from undertow.engines.ray_cluster import RETRIES
from undertow.engines.ray_data import RayData
from undertow.errors import InputError, UndertowError

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

two_nodes = pytest.fixture(scope="module")(clusters.two_nodes)


def let_go(folder: Path, *numbers: int) -> None:
    """Held tasks may end."""
    for number in numbers:
        (folder / f"go-{number}").touch()


@pytest.fixture
def following() -> Iterator[Any]:
    """Reads results in a thread, into a dictionary that is given back at once with the thread."""
    threads: list[threading.Thread] = []

    def follow(work: Iterator[tuple[int, int]]) -> tuple[dict[int, int], threading.Thread]:
        results: dict[int, int] = {}
        threads.append(threading.Thread(target=lambda: results.update(work), daemon=True))
        threads[-1].start()
        return results, threads[-1]

    yield follow
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_killed_worker_repeats_what_it_had_begun(
    two_nodes: Any, tmp_path: Path, following: Any
) -> None:
    """Of six tasks one loses its process: it begins twice, the others once, and all results arrive."""
    let_go(tmp_path, 2, 3, 4, 5, 6)
    numbers = [1, 2, 3, 4, 5, 6]
    results, thread = following(RayData(2, two_nodes.address).map(tasks.Held(tmp_path), numbers))
    wait_until(lambda: begun(tmp_path, 1))
    os.kill(int(begun(tmp_path, 1)[0].split()[0]), signal.SIGKILL)
    wait_until(lambda: len(begun(tmp_path, 1)) == 2)
    let_go(tmp_path, 1)
    thread.join(PATIENCE)

    assert results == dict(enumerate(numbers))
    assert {n: len(begun(tmp_path, n)) for n in numbers} == dict.fromkeys(numbers, 1) | {1: 2}


def test_a_node_that_is_removed_repeats_its_unfinished_parts_alone(
    two_nodes: Any, tmp_path: Path, following: Any
) -> None:
    """A third node goes with one task done and one begun: that one begins again on those that are left, no other does."""
    third = two_nodes.add_node(num_cpus=1, **SMALL)
    two_nodes.wait_for_nodes()
    numbers = list(range(1, 17))

    def there() -> list[int]:
        return [n for n in numbers if any(third.node_id in line for line in begun(tmp_path, n))]

    results, thread = following(RayData(3, two_nodes.address).map(tasks.Held(tmp_path), numbers))
    wait_until(there)
    [first] = there()
    let_go(tmp_path, first)
    wait_until(lambda: first - 1 in results and len(there()) == 2)
    [lost] = set(there()) - {first}
    two_nodes.remove_node(third)
    let_go(tmp_path, *numbers)
    thread.join(PATIENCE)

    assert results == dict(enumerate(numbers))
    assert {n: len(begun(tmp_path, n)) for n in numbers} == dict.fromkeys(numbers, 1) | {lost: 2}


def test_a_part_whose_every_worker_is_lost_is_given_up(
    two_nodes: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is begun RETRIES times again; one error names it and says what to do, and Ray Data adds no traceback."""
    with pytest.raises(UndertowError) as caught:
        list(RayData(2, two_nodes.address).map(tasks.Deadly(tmp_path), [1, 0, 2]))

    told = f"'task 2' was lost {RETRIES + 1} times with its worker or node"
    assert (caught.value.message, "lower --jobs" in caught.value.hint) == (told, True)
    assert len(begun(tmp_path, 0)) == RETRIES + 1
    assert "Traceback" not in capfd.readouterr().err


def test_a_worker_that_ends_in_its_own_start_is_given_up(tmp_path: Path) -> None:
    """What a node imports ends its process each time: it starts RETRIES times again, and one error says on which node."""
    deadly = f"""import os
with open({str(tmp_path / "started-0")!r}, "a") as file:
    file.write("start\\n")
os._exit(3)
"""
    (tmp_path / "undertow").mkdir()
    (tmp_path / "undertow" / "__init__.py").write_text(deadly)
    with cluster(num_cpus=0) as made:
        made.add_node(num_cpus=1, env_vars={"PYTHONPATH": str(tmp_path)}, **SMALL)
        made.wait_for_nodes()
        told = rf"^{RETRIES + 1} workers of the Ray cluster ended before they began on node \S+$"
        with pytest.raises(UndertowError, match=told) as caught:
            list(RayData(1, made.address).map(tasks.Power(2), [1, 2]))

    # Once more when the cluster was joined, and its nodes were asked for their versions.
    assert len(begun(tmp_path, 0)) == 1 + RETRIES + 1
    assert "ray status" in caught.value.hint


def test_a_gpu_is_asked_for_where_models_are_opened() -> None:
    """A worker has one of its own if the cluster has any and nothing else is said, none if rows are read, and no more than there are."""
    with cluster(num_cpus=2, num_gpus=1) as made:

        def seen(gpus: float | None) -> str | None:
            work = RayData(None, made.address, gpus).map(
                tasks.Environment(), ["CUDA_VISIBLE_DEVICES"]
            )
            return next(result for _, (_, result) in work)

        assert (seen(None), seen(0.0)) == ("0", "")
        with pytest.raises(InputError, match=r"\(CPU 1, GPU 2\); its nodes have: CPU 2, GPU 1$"):
            seen(2.0)
