"""Plays a bag without rosbag2: raw messages to their topics, and /clock.

In lock-step nothing is lost and nothing depends on the machine's speed: a message is held back until the memory node
has published the tracks of the frames before it.
"""

from __future__ import annotations

import argparse
import importlib
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from dsr_core.errors import DsrError, SourceError
from dsr_core.sources.bag_file import BagFile
from dsr_ros import convert, qos
from dsr_ros.msg import TrackArray
from dsr_ros.node import use_image_transport
from dsr_ros.spinner import Spinner

#: Topics that the player or the nodes make anew.
_NOT_PLAYED = ("/clock", "/rosout", "/parameter_events", "/diagnostics")
_OWN_TYPES = {"dsr_ros/msg/TrackArray": "", "dsr_ros/msg/DetectionArray": "/observations"}
_FRAME_TYPES = ("dsr_ros/msg/DetectionArray", "vision_msgs/msg/Detection2DArray", "vision_msgs/msg/Detection3DArray")
#: Lock-step: a frame that needs later data (TF, depth) gets it after this pause, up to this much recorded time. It is
#: less than the observer's max_wait_s, so that the order in which topics arrive decides nothing.
_SOFT_WAIT_S = 0.05
_AHEAD_NS = 400_000_000
_GIVE_UP_AFTER = 3
_CLOCK_STEP_S = 0.01


class Player(Node):
    """Publishes a bag's messages.

    Args:
        bag: Path of the bag.
        rate: Recorded seconds a second; 0: as fast as possible.
        start_s, end_s: Part of the bag that is played, seconds from its beginning.
        lockstep: Wait for the tracks of each frame.
        reliable: Offer reliable QoS (serves best-effort subscribers as well).
        timeout_s: Longest wait for subscribers, and for one frame in lock-step.
        topics: Only these topics; empty: all.
        step_on: Topic whose messages make the frames that lock-step waits for; "": the detections.
    """

    def __init__(
        self,
        bag: str | Path,
        rate: float = 1.0,
        start_s: float = 0.0,
        end_s: float = float("inf"),
        lockstep: bool = False,
        reliable: bool = True,
        timeout_s: float = 15.0,
        topics: tuple[str, ...] = (),
        step_on: str = "",
        name: str = "player",
        **kwargs,
    ):
        super().__init__(name, **kwargs)
        if rate < 0 or not start_s < end_s:
            raise SourceError(f"rate {rate} must not be negative and start {start_s} s must lie before end {end_s} s")
        self.rate, self.start_s, self.end_s, self.lockstep, self.timeout_s = rate, start_s, end_s, lockstep, timeout_s
        self._bag = BagFile(bag)
        self._kinds: dict[str, str] = {}
        self._publishers_by_topic = {}
        for topic, (kind, _) in sorted(self._bag.topics.items()):
            if (topics and topic not in topics) or topic in _NOT_PLAYED or topic.endswith(_OWN_TYPES.get(kind, "/ no")):
                continue
            try:
                package, _, name_ = kind.split("/")
                message_class = getattr(importlib.import_module(f"{package}.msg"), name_)
            except (ImportError, AttributeError):
                self.get_logger().warning(f"{topic} is left out: its type {kind} is not installed")
                continue
            self._kinds[topic] = kind
            static = topic.endswith("tf_static")
            self._publishers_by_topic[topic] = self.create_publisher(message_class, topic, qos.replay(static, reliable))
        if not self._kinds:
            raise SourceError(f"{bag} holds nothing to play; topics there: {self._bag.topics_text()}")
        if step_on and step_on not in self._kinds:
            raise SourceError(f"{step_on!r} is not played; topics there: {self._bag.topics_text()}")
        # What makes the frames: detections, or the images that a detector of ours looks at.
        self._frame_topics = [step_on] if step_on else [t for t, kind in self._kinds.items() if kind in _FRAME_TYPES]
        if lockstep and not self._frame_topics:
            self.get_logger().warning("the bag has no detections: nothing to keep step with (see --step-on)")
            self.lockstep = False
        self._clock = self.create_publisher(Clock, "/clock", qos.clock())
        self._clock_ns = 0
        self._outstanding: deque[tuple[int, int, float]] = deque()
        self._tracked_ns = -1
        self._tracked = threading.Condition()
        self.given_up = 0
        self.played = 0
        if self.lockstep:
            self.create_subscription(TrackArray, "tracks", self._on_tracks, qos.observations())

    def _on_tracks(self, message: TrackArray) -> None:
        with self._tracked:
            self._tracked_ns = convert.from_time(message.header.stamp)
            self._tracked.notify_all()

    # --- playing

    def wait_for_subscribers(self) -> bool:
        """Waits until what the nodes need is subscribed and no more subscribers come; bounded."""
        needed = self._frame_topics + [t for t in self._kinds if t.endswith(("/tf", "/tf_static"))]
        end, steady_since, before = time.monotonic() + self.timeout_s, time.monotonic(), None
        while time.monotonic() < end:
            counts = {t: p.get_subscription_count() for t, p in self._publishers_by_topic.items()}
            complete = any(counts.values()) and all(counts[t] for t in needed)
            if self.lockstep:
                complete = complete and self.count_publishers(self.resolve_topic_name("tracks")) > 0
            if counts != before or not complete:
                steady_since, before = time.monotonic(), counts
            elif time.monotonic() - steady_since > 0.6:
                return True
            time.sleep(0.02)
        missing = [t for t in needed if not self._publishers_by_topic[t].get_subscription_count()]
        self.get_logger().warning(
            f"nobody listens to {', '.join(missing) or 'the bag'} after {self.timeout_s:g} s; playing all the same"
        )
        return False

    def messages(self) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time in nanoseconds and raw CDR of the chosen part."""
        first_ns = None
        for topic, stamp_ns, raw in self._bag.raw_messages(list(self._kinds)):
            first_ns = stamp_ns if first_ns is None else first_ns
            if self.start_s * 1e9 <= stamp_ns - first_ns <= self.end_s * 1e9:
                yield topic, stamp_ns, raw
            elif topic.endswith("tf_static"):
                # What holds for ever holds for the part that is played, too.
                yield topic, max(stamp_ns, first_ns + round(self.start_s * 1e9)), raw

    def play(self) -> int:
        """Plays once; returns the number of messages."""
        count, begun, first_ns = 0, 0.0, None
        self._outstanding.clear()
        self._tracked_ns = -1
        for topic, stamp_ns, raw in self.messages():
            if first_ns is None:
                first_ns, begun = stamp_ns, time.monotonic()
            if not rclpy.ok(context=self.context):
                break
            if self.lockstep:
                self._keep_step(stamp_ns)
            if self.rate:
                self._pace(stamp_ns, begun + (stamp_ns - first_ns) * 1e-9 / self.rate)
            self._tick(stamp_ns, back=count == 0)
            self._publishers_by_topic[topic].publish(bytes(raw))
            count += 1
            if self.lockstep and topic == self._frame_topics[0]:
                self._outstanding.append((_header_stamp_ns(raw), stamp_ns, time.monotonic()))
        if self.lockstep:
            self._keep_step(None)
        self.played += count
        return count

    def _pace(self, stamp_ns: int, due: float) -> None:
        while (left := due - time.monotonic()) > 0:
            time.sleep(min(left, _CLOCK_STEP_S))
            if left > _CLOCK_STEP_S:
                self._tick(stamp_ns - round((due - time.monotonic()) * self.rate * 1e9))

    def _tick(self, stamp_ns: int, back: bool = False) -> None:
        """Publishes /clock; only the first message of a lap may set it back."""
        if stamp_ns > self._clock_ns or back:
            self._clock_ns = stamp_ns
            self._clock.publish(Clock(clock=convert.to_time(stamp_ns)))

    def _keep_step(self, next_ns: int | None) -> None:
        """Waits for the tracks of outstanding frames; `next_ns` is the time of the next message, None at the end."""
        with self._tracked:
            while self._outstanding and rclpy.ok(context=self.context):
                stamp_ns, recorded_ns, sent = self._outstanding[0]
                if self._tracked_ns >= stamp_ns:
                    self._outstanding.popleft()
                    self.given_up = 0
                    continue
                must = next_ns is None or next_ns - recorded_ns > _AHEAD_NS
                patience_s = self.timeout_s if must and self.given_up < _GIVE_UP_AFTER else _SOFT_WAIT_S
                left = sent + patience_s - time.monotonic()
                if left > 0:
                    self._tracked.wait(min(left, 0.5))
                elif must:
                    self._outstanding.popleft()
                    self.given_up += 1
                    if self.given_up <= _GIVE_UP_AFTER:
                        self.get_logger().warning(
                            f"no tracks for the frame at {stamp_ns * 1e-9:.3f} s after {patience_s:g} s;"
                            " /diagnostics says why"
                        )
                else:
                    return


def _header_stamp_ns(raw: bytes) -> int:
    """Stamp of a raw message that begins with a header."""
    order = "<" if raw[1] & 1 else ">"
    sec, nanosec = struct.unpack_from(f"{order}iI", raw, 4)
    return sec * 1_000_000_000 + nanosec


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    p = argparse.ArgumentParser(prog="player", description="Plays a ROS 2 bag (mcap, sqlite3) with /clock.")
    p.add_argument("--bag", required=True, help="folder or file of the bag")
    p.add_argument("--rate", type=float, default=1.0, help="recorded seconds a second; 0: as fast as possible")
    p.add_argument("--loop", type=int, default=1, help="how often; 0: for ever")
    p.add_argument("--start", type=float, default=0.0, help="seconds from the bag's beginning")
    p.add_argument("--end", type=float, default=float("inf"), help="seconds from the bag's beginning")
    p.add_argument("--lockstep", type=_yes, default=False, help="true: wait for the tracks of each frame")
    p.add_argument("--step-on", default="", help="lock-step: topic that makes the frames; default: the detections")
    p.add_argument("--reliability", choices=qos.RELIABILITY, default="reliable", help="QoS that is offered")
    p.add_argument("--timeout", type=float, default=15.0, help="longest wait for subscribers and for a frame, seconds")
    p.add_argument("--topics", nargs="*", default=[], help="only these topics")
    return p


def _yes(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")


def main(args: list[str] | None = None) -> int:
    """Entry point of `ros2 run dsr_ros player` and `python -m dsr_ros.player`."""
    arguments = list(sys.argv[1:] if args is None else args)
    cut = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    given = parser().parse_args(arguments[:cut])
    use_image_transport()
    rclpy.init(args=arguments[cut:])
    try:
        node = Player(
            given.bag,
            given.rate,
            given.start,
            given.end,
            given.lockstep,
            given.reliability == "reliable",
            given.timeout,
            tuple(given.topics),
            given.step_on,
        )
    except DsrError as error:
        print(f"player: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    spinner = Spinner(node)
    try:
        node.wait_for_subscribers()
        lap = 0
        while rclpy.ok() and (given.loop <= 0 or lap < given.loop):
            begun = time.monotonic()
            count = node.play()
            lap += 1
            node.get_logger().info(f"played {count} messages in {time.monotonic() - begun:.1f} s")
        # Reliable messages still in flight need the publisher.
        time.sleep(0.5)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except DsrError as error:
        node.get_logger().error(str(error))
        return 2
    finally:
        spinner.close()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
