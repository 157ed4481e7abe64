"""Processes of this machine as an engine: nothing is lost or doubled when some of them are killed."""

from __future__ import annotations

import pytest

from dsr_core.qa.files.readers import read_rows
from dsr_core.qa.item import QaError
from dsr_core.qa.running.engine import Lost, Task
from dsr_core.qa.running.engine_local import Here, LocalEngine
from dsr_core.qa.running.run import make_questions
from tests.qa_sets import CONFIG, Killed, made, save_scenes, square


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return save_scenes(tmp_path_factory.mktemp("scenes"))


def test_a_pool_gives_the_same_file_also_when_a_worker_is_killed(scenes, tmp_path):
    whole = made(scenes, tmp_path / "whole.parquet")
    opener = Killed(str(tmp_path / "log"), at="room04")
    assert made(scenes, tmp_path / "set.parquet", engine=LocalEngine(2), opener=opener, size=3) == whole
    assert opener.opened().count("room04") == 2


def test_a_recording_that_kills_every_process_is_reported_and_costs_nobody_else(scenes, tmp_path):
    opener = Killed(str(tmp_path / "log"), at="room04", times=99)
    with LocalEngine(1) as engine:
        report = make_questions(scenes, tmp_path / "set.parquet", CONFIG, engine, opener, size=3)
    assert list(report["failed"]) == ["room04"] and "SIGKILL" in report["failed"]["room04"]
    assert report["scenes"] == len(scenes) - 1
    rest = [r for r in scenes if r.name != "room04"]
    with Here() as engine:
        make_questions(rest, tmp_path / "rest.parquet", CONFIG, engine)
    questions = [r.question for r in read_rows(tmp_path / "rest.parquet")]
    assert questions == [r.question for r in read_rows(tmp_path / "set.parquet")]


def test_a_pool_works_everything_off_and_takes_tasks_as_it_goes():
    taken = []

    def tasks():
        for number in range(20):
            taken.append(number)
            yield Task(str(number), square, (number,))

    with LocalEngine(2) as engine:
        found, ahead = {}, 0
        for task, result in engine.run(tasks()):
            found[task.name] = result
            ahead = max(ahead, len(taken) - len(found))
        assert ahead <= 3
        assert isinstance(found.pop("13"), Lost)
        assert found == {str(n): str(n * n).encode() for n in range(20) if n != 13}
        with pytest.raises(QaError, match="-1 has no root"):
            list(engine.run([Task("bad", square, (-1,))]))
        processes = [worker.process for worker in engine._workers]
    assert processes and not any(process.is_alive() for process in processes)
