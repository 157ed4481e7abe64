"""Each run of the tests has its own ROS domain on this machine, so that runs side by side do not hear each other."""

import os
import socket
from pathlib import Path

_REPO = Path(__file__).resolve().parents[1]


def _lock_free_domain() -> tuple[int, socket.socket]:
    """A ROS_DOMAIN_ID that no other run on this machine holds; it is held as long as the socket lives."""
    for offset in range(100):
        domain = 1 + (os.getpid() + offset) % 100
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0dsr_ros_domain_{domain}")
        except OSError:
            lock.close()
            continue
        return domain, lock
    raise RuntimeError("no free ROS domain between 1 and 100: other test runs hold them all, end them first")


# set on import: before any test module can load rclpy, and inherited by the processes that tests start
_DOMAIN, _LOCK = _lock_free_domain()
os.environ.update(
    ROS_DOMAIN_ID=str(_DOMAIN),
    ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
    FASTRTPS_DEFAULT_PROFILES_FILE=str(_REPO / "config" / "fastdds_images.xml"),
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
