"""The model's thread: bounded, shared, stopped, and alive whatever a model does. No model is needed for that."""

import threading
import time

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from ros_helpers import wait_until

from dsr_core.errors import DeclineError
from dsr_core.reasoning.answer import Answer, Declined
from dsr_core.vlm.values import VlmError
from dsr_ros.vlm_worker import Pending, VlmWorker


class Gate:
    """A model whose answers wait to be let through; what it is asked is counted."""

    def __init__(self):
        self.open, self.inside, self.jobs = threading.Event(), threading.Event(), 0

    def job(self, name, deaf=False):
        def work(model, check, report):
            assert model is self
            self.jobs += 1
            report("answering")
            self.inside.set()
            while not self.open.wait(0.005):
                if not deaf:
                    check()
            return Answer(name, backend="vlm")

        return work


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def worker(gate):
    made = VlmWorker("gate", lambda: gate, 1)
    wait_until(lambda: made.ready, 5)
    yield made
    gate.open.set()
    assert made.stop()


def soon(seconds=20.0):
    return time.monotonic() + seconds


def answered(asking):
    return wait_until(lambda: asking.answer, 5)


def test_one_question_at_a_time_in_their_order(worker, gate):
    first = worker.ask(gate.job("first"), soon())
    assert gate.inside.wait(5) and first.stage == "answering"
    second = worker.ask(gate.job("second"), soon())
    assert second.stage == "waiting" and gate.jobs == 1
    gate.open.set()
    assert answered(first).answer == "first" and answered(second).answer == "second"
    wait_until(lambda: worker.status()["vlm questions"] == 2, 5)
    assert worker.status()["vlm"] == "gate" and worker.status()["vlm waiting"] == 0


def test_more_than_may_wait_are_declined_and_those_that_gave_up_make_room(worker, gate):
    worker.ask(gate.job("first"), soon())
    assert gate.inside.wait(5)
    second = worker.ask(gate.job("second"), soon())
    third = worker.ask(gate.job("third"), soon())
    assert third.answer.declined.code == "BACKEND_UNAVAILABLE" and "gate" in third.answer.declined.message
    second.withdraw()
    fourth = worker.ask(gate.job("fourth"), soon())
    assert second.answer.declined.code == "TIMEOUT" and fourth.answer is None
    gate.open.set()
    assert answered(fourth).answer == "fourth" and gate.jobs == 2


def test_no_room_at_all_still_takes_one(gate):
    worker = VlmWorker("gate", lambda: gate, 0)
    wait_until(lambda: worker.ready, 5)
    first = worker.ask(gate.job("first"), soon())
    assert gate.inside.wait(5) and worker.ask(gate.job("second"), soon()).answer.declined is not None
    gate.open.set()
    assert answered(first).answer == "first" and worker.stop()


def test_the_same_question_is_worked_on_once(worker, gate):
    first = worker.ask(gate.job("first"), soon(), "key")
    assert worker.ask(gate.job("again"), soon(), "key") is first
    assert worker.ask(gate.job("other"), soon(), "other key") is not first
    gate.open.set()
    answered(first)
    wait_until(lambda: worker.status()["vlm waiting"] == 0, 5)
    assert worker.ask(gate.job("later"), soon(), "key") is not first


def test_time_that_is_over_stops_the_work(worker, gate):
    asking = worker.ask(gate.job("slow"), soon(0.2))
    declined = answered(asking).declined
    assert declined.code == "TIMEOUT" and "0.2 s (it was answering)" in declined.message
    gate.open.set()
    assert answered(worker.ask(gate.job("next"), soon())).answer == "next"


def test_a_withdrawn_question_stops(worker, gate):
    asking = worker.ask(gate.job("long"), soon())
    assert gate.inside.wait(5)
    asking.withdraw()
    assert answered(asking).declined.code == "TIMEOUT"


def test_a_model_that_does_not_look_up_is_not_waited_for(worker, gate):
    pending = Pending(None, worker.ask(gate.job("deaf", deaf=True), soon(0.1)))
    assert pending.answer() is None and pending.stage in ("waiting", "answering")
    said = wait_until(pending.answer, 5)
    assert said.declined.code == "TIMEOUT" and worker.status()["vlm waiting"] == 1
    gate.open.set()
    assert answered(worker.ask(gate.job("next"), soon())).answer == "next"


@pytest.mark.parametrize("error", [ValueError("broken"), DeclineError("NOT_OBSERVED", "nothing there", ("look",))])
def test_what_a_job_raises_costs_one_question(worker, gate, error):
    def fail(model, check, report):
        raise error

    declined = answered(worker.ask(fail, soon())).declined
    if isinstance(error, DeclineError):
        assert declined == Declined("NOT_OBSERVED", "nothing there", ("look",))
    else:
        assert declined.code == "BACKEND_UNAVAILABLE" and "ValueError: broken" in declined.message
    gate.open.set()
    assert answered(worker.ask(gate.job("next"), soon())).answer == "next"


def test_until_it_is_loaded_questions_are_declined_at_once():
    loads = threading.Event()
    news = []
    worker = VlmWorker("gate", lambda: loads.wait(10) and Gate(), 4, lambda: news.append(1))
    declined = worker.ask(None, soon()).answer.declined
    assert declined.code == "BACKEND_UNAVAILABLE" and "still being loaded" in declined.message
    assert "still being loaded" in worker.status()["vlm"] and not news
    loads.set()
    wait_until(lambda: worker.ready and news, 5)
    assert worker.unavailable() == "" and worker.stop()


@pytest.mark.parametrize(("error", "said"), [(VlmError("no such folder"), "no such folder"), (KeyError(3), "KeyError")])
def test_a_model_that_cannot_be_loaded_says_why(error, said):
    def load():
        raise error

    worker = VlmWorker("gate", load, 4)
    wait_until(lambda: worker.failed, 5)
    declined = worker.ask(None, soon()).answer.declined
    assert declined.code == "BACKEND_UNAVAILABLE" and said in declined.message and not worker.ready
    assert worker.stop()


def test_stopping_ends_what_waits(gate):
    worker = VlmWorker("gate", lambda: gate, 4)
    wait_until(lambda: worker.ready, 5)
    asked = [worker.ask(gate.job(str(i)), soon()) for i in range(3)]
    assert gate.inside.wait(5) and worker.stop()
    assert [asking.answer.declined.code for asking in asked] == ["TIMEOUT"] * 3 and gate.jobs == 1
    assert worker.ask(gate.job("late"), soon()).answer.declined.code == "BACKEND_UNAVAILABLE"


def test_an_answer_of_the_geometry_waits_for_nothing():
    geometry = Answer("Yes.", confidence=0.9)
    assert Pending(geometry).answer() is geometry and Pending(geometry).stage == ""
    Pending(geometry).withdraw()
