"""Real nodes in processes of their own, and a peer in the test's process that talks to them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from dsr_ros import convert, qos
from dsr_ros.client import AskClient
from dsr_ros.msg import Answer, TrackArray

REPO = Path(__file__).resolve().parents[1]


def _yaml(value):
    return str(value).lower() if isinstance(value, bool) else "''" if value == "" else value


class Graph:
    """Starts nodes and ends them all; their output is kept for assertions.

    Use as a context manager; `with Graph(tmp_path) as g: g.nodes(); g.play(bag)`.
    """

    def __init__(self, folder, namespace="dsr"):
        self.folder, self.namespace = Path(folder), namespace
        self.processes = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process, _ in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for name, (process, log) in self.processes.items():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                # PYTHONFAULTHANDLER: where each thread stands goes into the log.
                process.send_signal(signal.SIGABRT)
                process.wait(5)
                raise AssertionError(f"{name} did not end by SIGINT; its output: {log.read_text()[-5000:]}") from None

    def start(self, module, *arguments, namespace=None, name=None, **parameters):
        """Starts `python -m dsr_ros.<module>` and returns the process."""
        namespace = namespace or self.namespace
        name = name or f"{namespace}-{module}-{len(self.processes)}"
        command = [
            sys.executable,
            "-m",
            f"dsr_ros.{module}",
            *map(str, arguments),
            "--ros-args",
            "-r",
            f"__ns:=/{namespace}",
        ]
        for key, value in parameters.items():
            command += [
                "-p",
                f"{key.replace('__', '.')}:={_yaml(value)}",
            ]
        log = self.folder / f"{name}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=REPO,
                env={**os.environ, "PYTHONFAULTHANDLER": "1"},
            )
        self.processes[name] = (process, log)
        return process

    def nodes(self, namespace=None, sim_time=True, reliability="reliable", observer=None, memory=None):
        """Starts observer and memory."""
        common = {"use_sim_time": sim_time, "reliability": reliability}
        self.start("observer", namespace=namespace, **common, **(observer or {}))
        self.start("memory", namespace=namespace, **common, **(memory or {}))

    def play(self, bag, *arguments, rate=0, lockstep=True, timeout=60):
        """Plays a bag to its end and checks that the player was content."""
        process = self.start("player", "--bag", bag, "--rate", rate, "--lockstep", str(lockstep).lower(), *arguments)
        assert process.wait(timeout) == 0, self.output()
        assert "no tracks for the frame" not in self.output() and "nobody listens" not in self.output(), self.output()

    def output(self):
        """What all processes have printed."""
        return "\n".join(log.read_text() for _, log in self.processes.values())

    def wait_for_output(self, text, timeout=15.0, count=1):
        wait_until(
            lambda: self.output().count(text) >= count,
            timeout,
            lambda: f"{text!r} in the output of the nodes:\n{self.output()}",
        )

    def alive(self):
        return all(p.poll() is None for name, (p, _) in self.processes.items() if "player" not in name)


def wait_until(condition, timeout=15.0, what="the condition"):
    """Waits for a condition and returns its value; fails with a message."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout} s in vain for {what() if callable(what) else what}")


class Peer:
    """A node in the test's process, spinning in a thread."""

    def __init__(self, namespace="dsr"):
        self.namespace = namespace
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("peer", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.received = {}
        self.nodes = []
        self.client = None
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        try:
            self.executor.spin()
        except ExternalShutdownException:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.client is not None:
            self.client.close()
        self.executor.shutdown(2.0)
        self._thread.join(5.0)
        for node in self.nodes:
            node.stop()
            node.destroy_node()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def add(self, node_class, **parameters):
        """Runs a node of ours in this process, configured and active."""
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in parameters.items()]
        node = node_class(context=self.context, namespace=f"/{self.namespace}", parameter_overrides=overrides)
        self.nodes.append(node)
        self.executor.add_node(node)
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        return node

    def name(self, name):
        return name if name.startswith("/") else f"/{self.namespace}/{name}"

    def listen(self, kind, topic, profile=None):
        """Collects a topic's messages in `received[topic]`, which is returned."""
        out = self.received.setdefault(topic, [])
        self.node.create_subscription(kind, self.name(topic), out.append, profile or qos.observations())
        return out

    def tracks(self):
        return self.listen(TrackArray, "tracks", qos.results())

    def publisher(self, kind, topic, subscribers=1, profile=None, timeout=15.0):
        """A publisher that has its subscribers."""
        made = self.node.create_publisher(kind, self.name(topic), profile or qos.replay())
        wait_until(
            lambda: made.get_subscription_count() >= subscribers, timeout, f"{subscribers} subscribers of {topic}"
        )
        return made

    def call(self, kind, service, request, timeout=20.0):
        """Calls a service."""
        client = self.node.create_client(kind, self.name(service))
        assert client.wait_for_service(timeout), f"no service {service}"
        future = client.call_async(request)
        wait_until(future.done, timeout, f"a response of {service}")
        self.node.destroy_client(client)
        return future.result()

    def ask(self, question="", timeout_s=20.0, **fields) -> Answer:
        if self.client is None:
            self.client = AskClient(self.name("ask"))
        return self.client.ask(question, timeout_s=timeout_s, **fields).answer


def document(answer: Answer) -> dict:
    """The answer's JSON without the age of the data, which depends on when it was asked."""
    out = json.loads(answer.json)
    out["evidence"].pop("data_age_s")
    return out


def without_age(answer) -> dict:
    """`document` of an answer of the library."""
    out = answer.to_dict()
    out["evidence"].pop("data_age_s")
    return out


def seconds(answer: Answer, time_message) -> float:
    """A time of an answer on the memory's clock."""
    return (convert.from_time(time_message) - convert.from_time(answer.origin)) / 1e9
