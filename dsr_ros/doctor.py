"""What `dsr doctor` tells about ROS: packages, transport, nodes, topics expected and present, why nothing comes out."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.node import Node

from dsr_ros import parameters, qos
from dsr_ros.spinner import Spinner

#: Package, what it is for, what stands in for it where it is absent.
_OPTIONAL = (
    ("tf2_ros", "transforms", "our own buffer is used"),
    ("launch_ros", "launch files", "python -m dsr_ros.launch_runner runs them"),
    ("vision_msgs", "detections and tracks of other programs", "dsr_ros/DetectionArray is read"),
)
_LISTEN_S = 4.0
_SHM_MB = 40


def checks(listen_s: float = _LISTEN_S) -> list[dict]:
    """Everything that was looked at: dicts of name, ok, detail, fix.

    Args:
        listen_s: How long to listen to the graph; up to twice that for nodes that have not been heard yet.
    """
    return _packages() + _transport() + _graph(listen_s)


def _check(name: str, ok: bool, detail: str = "", fix: str = "") -> dict:
    return {"name": name, "ok": ok, "detail": detail, "fix": fix}


def _packages() -> list[dict]:
    has_tf = importlib.util.find_spec("tf2_msgs") is not None
    found = [
        _check(
            "tf2_msgs",
            has_tf,
            "importable" if has_tf else "not installed",
            "run `make`, or apt install ros-<distro>-tf2-msgs",
        )
    ]
    for package, purpose, instead in _OPTIONAL:
        there = importlib.util.find_spec(package) is not None
        found.append(_check(f"{package} (optional)", True, purpose if there else f"not installed: {instead}"))
    return found


def _transport() -> list[dict]:
    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    profile = next((os.environ[n] for n in names if os.environ.get(n)), "")
    whole = not profile or os.path.exists(profile)
    detail = profile or "our nodes and launch files set config/fastdds_images.xml; camera drivers need it too"
    found = [
        _check(
            "Fast DDS profile", whole, detail if whole else f"{profile} does not exist", f"correct or unset {names[0]}"
        )
    ]
    try:
        free_mb = shutil.disk_usage("/dev/shm").free / 1e6
    except OSError:
        free_mb = 0.0
    fix = "start the container with --shm-size=256m, or run `fastdds shm clean` after crashed programs"
    found.append(_check("shared memory", free_mb > _SHM_MB, f"{free_mb:.0f} MB free in /dev/shm", fix))
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    reach = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    found.append(
        _check(
            "ROS domain", True, f"ROS_DOMAIN_ID {domain}, discovery {reach}: robot and this terminal must have the same"
        )
    )
    return found


def _graph(listen_s: float) -> list[dict]:
    """What runs, and what it says about itself."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node(f"dsr_doctor_{os.getpid()}", context=context, start_parameter_services=False)
    heard: dict[str, DiagnosticStatus] = {}

    def listen(message: DiagnosticArray) -> None:
        heard.update({s.name: s for s in message.status if s.hardware_id == "dsr_ros"})

    node.create_subscription(DiagnosticArray, "/diagnostics", listen, qos.diagnostics())
    spinner = Spinner(node, context)
    try:
        begun = time.monotonic()
        time.sleep(listen_s)
        # Nodes that are known but have not been heard yet speak once a second.
        while _silent(node, heard) and time.monotonic() - begun < 2.0 * listen_s:
            time.sleep(0.1)
        return _nodes(node, dict(heard))
    finally:
        spinner.close()
        rclpy.try_shutdown(context=context)


def _silent(node: Node, heard: dict[str, DiagnosticStatus]) -> bool:
    publishers = node.get_publishers_info_by_topic("/diagnostics")
    names = {f"{p.node_namespace}/{p.node_name}".strip("/") for p in publishers}
    return any(name not in heard for name in names if name.endswith(("observer", "memory")))


def _nodes(node: Node, heard: dict[str, DiagnosticStatus]) -> list[dict]:
    if not heard:
        running = [n for n in node.get_node_names() if n != node.get_name()]
        asleep = [n for n in running if n in ("observer", "memory")]
        detail = f"no observer or memory node is heard ({len(running)} other nodes)"
        fix = "ros2 launch dsr_ros dsr.launch.py (or python -m dsr_ros.launch_runner launch/dsr.launch.py)"
        if asleep:
            detail, fix = (
                f"{', '.join(asleep)} is there but silent",
                "it is not configured: autostart:=true, or activate it",
            )
        return [
            _check("nodes", False, detail, fix),
            *_topics(node, {}, [p for p in parameters.CAMERA if p.name.endswith("_topic")]),
        ]
    found = []
    for name, status in sorted(heard.items()):
        fine = status.level == DiagnosticStatus.OK
        found.append(
            _check(f"/{name}", fine, status.message, "" if fine else "see the lines of its topics, and its log")
        )
        values = {v.key: v.value for v in status.values}
        found += _topics(node, {k: v for k, v in values.items() if " topic " in k}, [])
        found += _model(values)
        if _seconds(values.get("data age (s)")) < -1.0:
            fix = "the clocks differ: set use_sim_time, or synchronise the computers (chrony)"
            found.append(
                _check(f"/{name} clock", False, f"data is {values['data age (s)']} s old, from the future", fix)
            )
    for label in ("observer", "memory"):
        if not any(name.endswith(label) for name in heard):
            found.append(
                _check(label, False, "not running or not configured", "launch/dsr.launch.py starts both nodes")
            )
    return found


def _model(values: dict[str, str]) -> list[dict]:
    """What a memory node says of its vision-language model, where it has one."""
    if "vlm" not in values:
        return []
    told, topic = values["vlm"], values.get("vlm image topic", "")
    fine = "cannot be used" not in told
    asked = f", {values.get('vlm questions', '0')} questions" if fine else ""
    found = [_check("  vlm", fine, told + asked, "see vlm.model, vlm.device and vlm.dtype, and the memory node's log")]
    if topic:
        seen = not topic.startswith("no node")
        found.append(_check("  vlm pictures", seen, topic, "start the camera driver, or set vlm.image_topic"))
    return found


def _seconds(text: str | None) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return 0.0


def _topics(node: Node, named: dict[str, str], defaults: list[parameters.Parameter]) -> list[dict]:
    """Publishers of the topics that an observer waits for."""
    wanted = named or {p.name.removesuffix("_topic"): p.default for p in defaults if p.default}
    found = []
    for purpose, topic in wanted.items():
        names = [topic, *(f"{topic}/{t}" for t in ("compressed", "compressedDepth"))]
        publishers = [(n, info) for n in names for info in node.get_publishers_info_by_topic(n)]
        detail = ", ".join(sorted({f"{n} ({i.topic_type})" for n, i in publishers})) or f"{topic}: no publisher"
        needed = "detections" in purpose
        fix = (
            f"start what publishes {topic}, or set the observer's parameter for it"
            if needed
            else "needed for 2D detections only"
        )
        found.append(_check(f"  {purpose}", bool(publishers) or not needed, detail, fix))
    return found
