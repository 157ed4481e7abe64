"""`dsr demo`: the main job on real ROS 2 nodes, asked by service from this process while a recording plays.

Three processes of the launch file (player, observer, memory) are started and ended here; this one is the planner.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rclpy
from rclpy.context import Context
from std_srvs.srv import Trigger

from dsr_core import demo
from dsr_core.errors import DsrError
from dsr_core.reasoning.answer import Answer
from dsr_core.scene import Scene
from dsr_ros import convert, qos
from dsr_ros.client import AskClient
from dsr_ros.msg import TrackArray
from dsr_ros.spinner import Spinner

NAMESPACE = "/dsr"
START_S, SILENCE_S, END_S = 40.0, 20.0, 8.0
#: The replay may end a few frames early for what is still on its way.
LAST_FRAMES_S = 0.35


class DemoError(DsrError):
    """The demo's nodes did not do what they should."""


class Watcher:
    """Follows the memory node's time in this process.

    Args:
        context: rclpy context.
        origin_ns: Stamp of the recording's first frame, second 0.
        namespace: Of the nodes.
    """

    def __init__(self, context: Context, origin_ns: int, namespace: str = NAMESPACE):
        self._origin_ns, self._newest_ns = origin_ns, origin_ns - 1_000_000_000
        self.node = rclpy.create_node(f"dsr_demo_{os.getpid()}", context=context, start_parameter_services=False)
        self.node.create_subscription(TrackArray, f"{namespace}/tracks", self._on_tracks, qos.observations())
        self.save = self.node.create_client(Trigger, f"{namespace}/memory/save_scene")
        self._changed = threading.Condition()
        self._spinner = Spinner(self.node, context)

    def close(self) -> None:
        self._spinner.close()

    def _on_tracks(self, message: TrackArray) -> None:
        with self._changed:
            self._newest_ns = convert.from_time(message.header.stamp)
            self._changed.notify_all()

    @property
    def second(self) -> float:
        """Newest second of the recording that the memory node knows; -1 before the first."""
        return (self._newest_ns - self._origin_ns) * 1e-9

    def wait_until(self, second: float, nodes: subprocess.Popen) -> None:
        """Waits until the memory node has come to a second of the recording.

        Raises:
            DemoError: the nodes ended, or nothing came for a while.
        """
        with self._changed:
            last, since = self.second, time.monotonic()
            patience_s = START_S if last < 0 else SILENCE_S
            while self.second < second:
                self._changed.wait(0.2)
                if self.second > last:
                    last, since, patience_s = self.second, time.monotonic(), SILENCE_S
                if nodes.poll() is not None and self.second < second:
                    raise DemoError(
                        f"the nodes ended (status {nodes.returncode}) at second {last:.1f} of the recording"
                    )
                if time.monotonic() - since > patience_s:
                    raise DemoError(f"no tracks for {patience_s:.0f} s, at second {last:.1f} of the recording")

    def save_scene(self, goal: Path) -> Scene:
        """Has the memory node save what it knows, and reads it.

        Raises:
            DemoError: the service is missing or says no.
        """
        if not self.save.wait_for_service(5.0):
            raise DemoError(f"no service {NAMESPACE}/memory/save_scene")
        done = threading.Event()
        future = self.save.call_async(Trigger.Request())
        future.add_done_callback(lambda _: done.set())
        if not done.wait(15.0) or not future.result().success:
            raise DemoError(f"the scene was not saved: {future.result().message if future.done() else 'no response'}")
        shutil.move(future.result().message, goal)
        return Scene.load(goal)


@contextmanager
def running_nodes(
    bag: Path, rate: float, log: Path, namespace: str = NAMESPACE, more: Sequence[str] = ()
) -> Iterator[subprocess.Popen]:
    """The launch file's processes, with `more` arguments; they are gone when the block ends, however it ends."""
    launch_file = Path(__file__).resolve().parents[1] / "launch" / "replay.launch.py"
    if not launch_file.exists():
        from ament_index_python.packages import get_package_share_directory

        launch_file = Path(get_package_share_directory("dsr_ros")) / "launch" / "replay.launch.py"
    command = [sys.executable, "-m", "dsr_ros.launch_runner", str(launch_file)]
    command += [
        f"bag:={bag.resolve()}",
        f"rate:={rate:g}",
        "lockstep:=true",
        f"namespace:={namespace.lstrip('/')}",
        *more,
    ]
    with running(command, log) as nodes:
        yield nodes


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen]:
    """A process in a group of its own; the group is gone when the block ends, however it ends."""
    with log.open("w") as output:
        nodes = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield nodes
        finally:
            _end(nodes)


def _end(nodes: subprocess.Popen) -> None:
    """Ends a process and all of its group: politely, then firmly."""
    for step in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(nodes.pid, step)
        except ProcessLookupError:
            return
        end = time.monotonic() + END_S
        while time.monotonic() < end:
            nodes.poll()
            try:
                os.killpg(nodes.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)


def ask_nodes(watcher: Watcher, client: AskClient, nodes: subprocess.Popen, duration_s: float) -> list[demo.Asked]:
    """Asks the live questions in their seconds of the replay and the others at its end."""
    asked = []
    for at_s, question in demo.LIVE_QUESTIONS:
        if at_s > duration_s - LAST_FRAMES_S:
            break
        watcher.wait_until(at_s, nodes)
        asked.append(_ask(client, question, live=True))
        last = asked[-1]
        print(f"  at {last.at_s:4.1f} s  {question}\n             {last.answer.answer}", flush=True)
    watcher.wait_until(duration_s - LAST_FRAMES_S, nodes)
    print(f"  at {watcher.second:4.1f} s  the replay has ended\n", flush=True)
    return asked + [_ask(client, question, live=False) for question in demo.FINAL_QUESTIONS]


def _ask(client: AskClient, question: str, live: bool) -> demo.Asked:
    message = client.ask(question).answer
    answer: Answer = convert.answer_from_message(message)
    newest_s = (convert.from_time(message.header.stamp) - convert.from_time(message.origin)) * 1e-9
    return demo.Asked(question, newest_s if live else None, answer)


def latency_ms(client: AskClient, count: int = 50) -> tuple[float, float]:
    """Median and 95 % quantile of the service's round trip."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        client.ask(demo.FINAL_QUESTIONS[0])
        times.append(1e3 * (time.perf_counter() - started))
    times.sort()
    return times[count // 2], times[int(0.95 * count)]


def run(out: Path, seed: int, duration_s: float, rate_hz: float, speed: float) -> int:
    """The whole demo; see `main`."""
    out.mkdir(parents=True, exist_ok=True)
    bag, truth = demo.make_recording(out, seed, duration_s, rate_hz)
    log = out / "nodes.log"
    print(f"Nodes:     player, observer and memory by launch/replay.launch.py, {speed:g} times as fast (log: {log})")
    print(f"Asking:    {NAMESPACE}/ask by service from this process (pid {os.getpid()}), while the recording plays\n")
    context = Context()
    with running_nodes(bag, speed, log) as nodes:
        print(f"           launch runner is pid {nodes.pid}", flush=True)
        rclpy.init(context=context)
        watcher = Watcher(context, truth.origin_ns)
        try:
            with AskClient(f"{NAMESPACE}/ask", context) as client:
                asked = ask_nodes(watcher, client, nodes, truth.end_s)
                middle, slow = latency_ms(client)
                scene = watcher.save_scene(out / "memory.scene.npz")
        except DsrError as error:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise DemoError(f"{error}; the end of {log}:\n{tail}") from error
        finally:
            watcher.close()
            rclpy.try_shutdown(context=context)
    mean = demo.show_all(asked, truth)
    print(f"Service round trip: {middle:.1f} ms median, {slow:.1f} ms 95 %.\n")
    (out / "answers.json").write_text(
        json.dumps([{"question": a.question, "at": a.at_s, "answer": a.answer.to_dict()} for a in asked], indent=1)
    )
    demo.save_views(out, scene, asked, bag)
    print(f"Answers:   {out / 'answers.json'}\nScene:     {out / 'memory.scene.npz'}")
    return 0 if mean >= demo.LEAST_AGREEMENT else 1


def main(args: list[str] | None = None) -> int:
    """Entry point of `dsr demo` where ROS 2 is installed.

    Returns:
        Exit status: 0 when the answers agree with the truth; 1 when they do not; 2 when the demo could not run.
    """
    parser = argparse.ArgumentParser(
        prog="dsr demo", description="The main job, end to end, on a recording it makes itself."
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for everything that is made")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulated recording")
    parser.add_argument("--duration", type=float, default=40.0, help="length of the recording, seconds")
    parser.add_argument("--rate", type=float, default=10.0, help="frames a second of the recording")
    parser.add_argument("--speed", type=float, default=2.0, help="replay this many times as fast")
    given = parser.parse_args(args)
    # Other robots on the network shall not hear the demo, nor the demo them.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(20 + os.getpid() % 80))
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        return run(given.out, given.seed, given.duration, given.rate, given.speed)
    except KeyboardInterrupt:
        print("\nInterrupted; the nodes have been ended.", file=sys.stderr)
        return 130
    except DsrError as error:
        print(f"dsr demo: {error}", file=sys.stderr)
        return 2


def _interrupted(signum, frame) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
