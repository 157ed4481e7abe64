"""A lane: the newest frame first, nothing lost in replays, an error costs one frame, nothing old after a reset."""

import threading
import time
from collections import Counter

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from ros_helpers import wait_until

from dsr_core.errors import GeometryError
from dsr_core.values import Frame
from dsr_ros.in_order import InOrder
from dsr_ros.lane import Lane


class Gate:
    """A perception that works on a frame until the test lets it go on."""

    def __init__(self, is_open=False):
        self.counts = Counter()
        self.seen, self.resets, self.threads = [], [], set()
        self.go = threading.Semaphore(0)
        self.open = is_open
        self.raises = {}

    def step(self, frame):
        self.threads.add(threading.current_thread())
        self.seen.append(frame.stamp_ns)
        if not self.open:
            assert self.go.acquire(timeout=10)
        if frame.stamp_ns in self.raises:
            self.counts["frames that this network dislikes"] += 1
            raise self.raises[frame.stamp_ns]
        return Frame(frame.stamp_ns, detections=("made",))

    def reset(self):
        self.threads.add(threading.current_thread())
        self.resets.append(len(self.seen))


@pytest.fixture
def lane_of():
    lanes = []

    def make(gate, **arguments):
        out = []
        lane = Lane("front", gate, out.append, now_ns=lambda: 5_000_000_000, **arguments)
        lanes.append((lane, gate))
        lane.start()
        return lane, out

    yield make
    for lane, gate in lanes:
        lane.stop()
        for _ in range(20):
            gate.go.release()
        assert lane.join(5.0)


def stamps(outcomes):
    return [outcome.given.stamp_ns for outcome in outcomes]


def test_the_newest_frame_comes_first_and_older_ones_are_shed(lane_of):
    gate = Gate()
    lane, out = lane_of(gate)
    assert lane.put(Frame(1)) is None
    wait_until(lambda: gate.seen == [1])
    gave_way = [lane.put(Frame(stamp)) for stamp in (2, 3, 4)]
    assert [f and f.stamp_ns for f in gave_way] == [None, 2, 3]
    gate.go.release(2)
    wait_until(lambda: len(out) == 2)
    assert stamps(out) == [1, 4] == gate.seen and out[1].frame.detections == ("made",)
    assert (lane.processed, lane.shed, lane.failed) == (2, 2, 0)
    assert not lane.occupied and gate.threads == {lane._thread}


def test_what_is_not_newer_is_left_alone(lane_of):
    lane, out = lane_of(Gate(is_open=True))
    lane.put(Frame(10))
    wait_until(lambda: len(out) == 1)
    assert [lane.put(Frame(stamp)).stamp_ns for stamp in (10, 9)] == [10, 9]
    assert lane.put(Frame(11)) is None
    wait_until(lambda: len(out) == 2)
    assert stamps(out) == [10, 11]


def test_nothing_is_lost_where_all_counts_and_the_sender_waits(lane_of):
    gate = Gate()
    lane, out = lane_of(gate, reliable=True)
    sent = []

    def send():
        for stamp in range(1, 41):
            assert lane.put(Frame(stamp)) is None
            sent.append(stamp)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    wait_until(lambda: len(sent) == 9)
    time.sleep(0.1)
    assert len(sent) == 9, "one is worked on, eight wait, and the sender with them"
    gate.open = True
    gate.go.release()
    wait_until(lambda: len(out) == 40)
    assert stamps(out) == list(range(1, 41)) and lane.shed == 0


def test_a_stop_frees_a_sender_that_waits(lane_of):
    gate = Gate()
    lane, out = lane_of(gate, reliable=True)
    back = []
    sender = threading.Thread(target=lambda: back.extend(lane.put(Frame(s)) for s in range(1, 12)), daemon=True)
    sender.start()
    wait_until(lambda: len(back) == 9)
    begun = time.monotonic()
    lane.stop()
    sender.join(5.0)
    assert [f.stamp_ns for f in back[9:]] == [10, 11]
    assert not lane.join(0.05) and time.monotonic() - begun < 5.0, "it is at its frame still, and nobody waits for ever"
    gate.go.release()
    assert lane.join(5.0) and out == [] and gate.seen == [1]


@pytest.mark.parametrize("reliable", [False, True])
def test_a_period_leaves_frames_out(lane_of, reliable):
    lane, out = lane_of(Gate(is_open=True), period_s=0.25, reliable=reliable)
    for i in range(11):
        lane.put(Frame(1_000_000_000 + i * 100_000_000))
        wait_until(lambda: not lane.occupied)
    wait_until(lambda: len(out) == 4)
    assert stamps(out) == [1_000_000_000 + i * 100_000_000 for i in (0, 3, 6, 9)] and lane.shed == 0


def test_an_error_costs_one_frame(lane_of):
    gate = Gate(is_open=True)
    gate.raises = {2: RuntimeError("CUDA out of memory"), 4: GeometryError("frame lacks depth")}
    lane, out = lane_of(gate, reliable=True)
    for stamp in range(1, 6):
        lane.put(Frame(stamp))
    wait_until(lambda: len(out) == 5)
    assert [bool(outcome.frame) for outcome in out] == [True, False, True, False, True]
    assert out[1].error == "RuntimeError: CUDA out of memory" and out[3].error == "frame lacks depth"
    assert out[1].counts == {"frames that this network dislikes": 1} and not out[2].counts
    assert (lane.processed, lane.failed, lane.last_error) == (3, 2, "frame lacks depth")
    assert lane.why_nothing() == ""
    gate.raises = {6: MemoryError()}
    lane.put(Frame(6))
    wait_until(lambda: len(out) == 6)
    assert "MemoryError" in lane.why_nothing()


def test_a_reset_drops_what_waits_and_what_is_worked_on(lane_of):
    gate = Gate()
    lane, out = lane_of(gate)
    lane.put(Frame(100))
    wait_until(lambda: gate.seen == [100])
    lane.put(Frame(101))
    lane.reset()
    assert lane.put(Frame(50)) is None, "stamps may begin anew"
    gate.go.release(2)
    wait_until(lambda: len(out) == 1)
    assert stamps(out) == [50] and gate.seen == [100, 50]
    assert gate.resets == [0, 1] and gate.threads == {lane._thread}
    assert lane.is_current(out[0])
    lane.reset()
    assert not lane.is_current(out[0]), "an outcome that nobody has looked at yet is stale, too"


def test_a_lane_stopped_at_work_and_started_again_never_works_twice_at_once(lane_of):
    gate = Gate()
    lane, out = lane_of(gate)
    lane.put(Frame(1))
    wait_until(lambda: gate.seen == [1])
    lane.stop()
    lane.start()
    assert lane.put(Frame(2)) is None
    time.sleep(0.1)
    assert gate.seen == [1]
    gate.go.release(2)
    wait_until(lambda: len(out) == 1)
    assert stamps(out) == [2] and gate.resets == [0, 1]


def test_the_state_is_told(lane_of):
    gate = Gate(is_open=True)
    lane, out = lane_of(gate)
    idle = lane.status()
    assert idle["front processed"] == 0 and idle["front result age p50 (s)"] is None and idle["front last error"] == "-"
    for i in range(1, 4):
        lane.put(Frame(i * 1_000_000_000))
        wait_until(lambda i=i: len(out) == i)
    state = lane.status()
    assert state["front processed"] == 3 and state["front rate (Hz)"] > 0
    # the clock stands at 5 s, the stamps were 1, 2 and 3 s
    assert state["front result age p50 (s)"] == pytest.approx(3.0)
    assert 0 <= state["front busy share"] <= 1 and state["front last duration (s)"] >= 0
    gate.open = False
    lane.put(Frame(4_000_000_000))
    wait_until(lambda: lane.occupied)
    wait_until(lambda: lane.status()["front busy share"] > state["front busy share"])


def test_results_of_different_speed_go_on_in_order():
    order = InOrder(longest_s=2.0)
    order.put("fast", 10, "a")
    assert order.take() == [("fast", "a")], "nothing is at work"
    for stamp in (20, 40):
        order.begin("slow", stamp)
    for stamp, item in ((15, "b"), (20, "c"), (30, "d")):
        order.put("fast", stamp, item)
    assert order.take() == [("fast", "b")]
    order.end("slow", 20)
    order.put("slow", 20, "e")
    assert order.take() == [("fast", "c"), ("slow", "e"), ("fast", "d")]
    order.put("fast", 50, "f")
    order.put("fast", 2_000_000_041, "g")
    assert order.take() == [("fast", "f"), ("fast", "g")], "nobody waits for ever"
    order.put("fast", 2_000_000_042, "h")
    order.end("slow", 40)
    order.end("slow", 40)
    order.begin("slow", 2_000_000_000)
    order.put("fast", 2_000_000_042, "i")
    assert order.take() == []
    order.forget("fast")
    order.forget("slow")
    assert order.take() == []
