"""Ray as an engine: a local cluster of several processes gives the file that one process gives."""

from __future__ import annotations

import os

import pytest

from dsr_core.qa.item import QaError
from dsr_core.qa.running.engine import Task
from dsr_core.qa.running.run import make_questions
from tests.qa_sets import CONFIG, Killed, made, save_scenes, square

ray = pytest.importorskip("ray", reason="Ray is an optional extra: pip install 'dsr_ros[scale]'")

from dsr_core.qa.running.engine_ray import RayEngine, call  # noqa: E402


@pytest.fixture(scope="module")
def engine():
    """Workers of one small cluster on this machine; everything that it started ends with it."""
    before = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED")}
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    try:
        with RayEngine(workers=2, object_store_memory=100 * 1024**2) as engine:
            yield engine
    finally:
        ray.shutdown()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def test_a_cluster_gives_the_same_file_when_a_worker_is_killed_midway(engine, tmp_path):
    scenes = save_scenes(tmp_path / "scenes")
    alone = made(scenes, tmp_path / "alone.parquet", size=2)
    opener = Killed(str(tmp_path / "log"), at="room04")
    assert _made_on(engine, scenes, tmp_path / "set.parquet", opener) == alone
    assert opener.opened().count("room04") == 2  # it was killed there, and Ray asked again


def _made_on(engine, scenes, out, opener) -> bytes:
    make_questions(scenes, out, CONFIG, engine, opener, size=2)
    return out.read_bytes()


def test_tasks_are_taken_as_they_are_worked_off_and_their_errors_arrive(engine):
    taken = []

    def tasks():
        for number in range(13):
            taken.append(number)
            yield Task(str(number), square, (number,))

    found, ahead = {}, 0
    for task, result in engine.run(tasks()):
        found[task.name] = result
        ahead = max(ahead, len(taken) - len(found))
    assert found == {str(n): str(n * n).encode() for n in range(13)}
    assert ahead <= 4
    with pytest.raises(QaError, match="-7 has no root"):
        list(engine.run([Task("bad", square, (-7,))]))


def test_other_code_on_another_machine_is_refused():
    with pytest.raises(QaError, match="install the same version on every machine"):
        call("0" * 64, square, 1)


def test_a_cluster_that_is_not_there_is_told():
    ray.shutdown()
    with pytest.raises(QaError, match=r"no Ray cluster at '127\.0\.0\.1:1'"), RayEngine("127.0.0.1:1"):
        pass
