"""Every QoS profile of the package, by purpose; nobody spells QoS elsewhere.

Sensors follow the parameter `reliability`: `best_effort` (the newest data counts, nothing blocks the robot) or
`reliable` (replays and tests: nothing is lost).
"""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

RELIABILITY = ("best_effort", "reliable")
#: Messages that wait in the middleware: a second at 5 Hz live; in a replay more than a lock-step player runs ahead.
_SENSOR_DEPTH = {"best_effort": 5, "reliable": 100}


def _keep_last(depth: int, reliable: bool, durable: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if durable else DurabilityPolicy.VOLATILE,
    )


def sensor(reliability: str = "best_effort") -> QoSProfile:
    """Images, camera_info, detections and odometry."""
    return _keep_last(_SENSOR_DEPTH[reliability], reliability == "reliable")


def camera_info(reliability: str = "best_effort") -> QoSProfile:
    """Calibration: the newest one counts."""
    return _keep_last(2, reliability == "reliable")


def transforms() -> QoSProfile:
    """/tf, as tf2 does it."""
    return _keep_last(100, True)


def static_transforms() -> QoSProfile:
    """/tf_static, as tf2 does it: late subscribers get what was sent."""
    return _keep_last(100, True, durable=True)


def observations() -> QoSProfile:
    """From the observer to the memory: nothing may be lost."""
    return _keep_last(100, True)


def results() -> QoSProfile:
    """Tracks and markers: late subscribers get the last one."""
    return _keep_last(10, True, durable=True)


def diagnostics() -> QoSProfile:
    """/diagnostics, as diagnostic_updater does it."""
    return _keep_last(10, True)


def clock() -> QoSProfile:
    """/clock from the player; subscribers of simulated time ask for best effort, depth 1."""
    return _keep_last(1, True)


def replay(static: bool = False, reliable: bool = True) -> QoSProfile:
    """What the player publishes: reliable serves best-effort and reliable subscribers alike."""
    return _keep_last(100, reliable, durable=static)
