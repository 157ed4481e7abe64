"""RGB-D: frames a second of the library on one core, and what gets lost and used at 30 Hz through real nodes.

    python benchmarks/rgbd_pipeline.py [--seconds 10]

The library's figure is observe() plus the world model's step for 640x480 RGB-D with 10 boxes a frame. The nodes take
best-effort images; the camera's side (one process that publishes colour, depth, camera_info, TF and detections) runs on
the same machine. The last rows are transport alone: 1280x720 colour and depth to a process that only counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.perception.lift import observe
from dsr_core.pipeline import WorldModel
from dsr_core.values import Detection, Frame

ROOT = Path(__file__).resolve().parents[1]
RATE_HZ = 30
THINGS = 10
START_NS = 1_000 * 10**9
T_BASE_CAMERA = tf.make_transform(tf.R_BODY_OPTICAL, [0.0, 0.0, 1.0])
TICKS = os.sysconf("SC_CLK_TCK")


def camera_of(width: int, height: int) -> Camera:
    f = 0.9 * width
    return Camera(np.array([[f, 0.0, width / 2], [0.0, f, height / 2], [0.0, 0.0, 1.0]]), (width, height))


def picture(width: int, height: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) metres of ten plates that move before a wall, with noise, and their boxes (10, 4)."""
    rng = np.random.default_rng(index)
    depth = np.full((height, width), 6.0, np.float32)
    boxes = []
    for i in range(THINGS):
        x = (0.08 + 0.09 * i) * width + 5.0 * np.sin(index / 20 + i)
        y = (0.3 + 0.4 * (i % 2)) * height
        half = 0.035 * width
        boxes.append([x - half, y - half, x + half, y + half])
        x1, y1, x2, y2 = np.rint(boxes[-1]).astype(int)
        depth[y1:y2, x1:x2] = 2.0 + 0.3 * i
    depth += rng.normal(0.0, 0.004, depth.shape).astype(np.float32)
    depth[rng.random(depth.shape) < 0.02] = np.nan
    return depth, np.array(boxes)


def library_rate(width: int, height: int, count: int) -> float:
    """Frames a second of observe() and step() in this process."""
    camera = camera_of(width, height)
    pictures = [picture(width, height, i) for i in range(30)]
    rgb = np.zeros((height, width, 3), np.uint8)
    model, begun = WorldModel(), 0.0
    for i in range(count + 10):
        if i == 10:
            begun = time.perf_counter()
        depth, boxes = pictures[i % 30]
        seen = tuple(Detection("box", 0.9, box_px=b) for b in boxes)
        stamp_ns = START_NS + i * 10**9 // RATE_HZ
        model.step(observe(Frame(stamp_ns, T_BASE_CAMERA, np.eye(4), rgb, depth, camera, seen)))
    return count / (time.perf_counter() - begun)


# --- the camera's side, in a process of its own


def publish_frames(width: int, height: int, count: int, whole: bool) -> None:
    """Publishes `count` frames at 30 Hz, best effort; without `whole` colour and depth alone."""
    import rclpy
    from geometry_msgs.msg import TransformStamped
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import CameraInfo, Image
    from tf2_msgs.msg import TFMessage

    from dsr_core.sources.ros_image import depth_to_millimetres
    from dsr_ros import convert, image, qos
    from dsr_ros.msg import Detection as DetectionMessage
    from dsr_ros.msg import DetectionArray
    from dsr_ros.node import use_image_transport

    use_image_transport()
    rclpy.init()
    node = rclpy.create_node("benchmark_camera")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    color = node.create_publisher(Image, "/camera/color/image_raw", qos.sensor())
    depth = node.create_publisher(Image, "/camera/depth/image_raw", qos.sensor())
    info = node.create_publisher(CameraInfo, "/camera/color/camera_info", qos.camera_info("reliable"))
    found = node.create_publisher(DetectionArray, "/detections", qos.sensor("reliable"))
    moving = node.create_publisher(TFMessage, "/tf", qos.transforms())
    static = node.create_publisher(TFMessage, "/tf_static", qos.static_transforms())

    def header(message, stamp_ns, frame="camera_optical_frame"):
        message.header.stamp, message.header.frame_id = convert.to_time(stamp_ns), frame
        return message

    def transform(parent, child, stamp_ns, T):
        pose = convert.to_pose(T)
        out = header(TransformStamped(child_frame_id=child), stamp_ns, parent)
        out.transform.rotation, out.transform.translation = pose.orientation, convert.to_vector(T[:3, 3])
        return out

    static.publish(TFMessage(transforms=[transform("base_link", "camera_optical_frame", 0, T_BASE_CAMERA)]))
    camera = camera_of(width, height)
    calibration = CameraInfo(width=width, height=height, k=camera.K.ravel(), distortion_model="plumb_bob")
    pictures = []
    for i in range(10):
        metres, boxes = picture(width, height, i)
        arrays = [DetectionMessage(label="box", score=0.9, has_box=True, box=b) for b in boxes]
        message = image.fill(Image(), depth_to_millimetres(metres), "16UC1")
        pictures.append((message, DetectionArray(image_width=width, image_height=height, detections=arrays)))
    rgb = image.fill(Image(), np.zeros((height, width, 3), np.uint8), "rgb8")
    end = time.monotonic() + 20.0
    while depth.get_subscription_count() < 1 or color.get_subscription_count() < 1:
        if time.monotonic() > end:
            raise SystemExit("nobody listens to the camera")
        executor.spin_once(timeout_sec=0.05)
    time.sleep(1.0)
    due, first = time.monotonic(), time.time_ns()
    for i in range(count):
        stamp_ns = first + i * 10**9 // RATE_HZ
        message, detections = pictures[i % len(pictures)]
        if whole:
            moving.publish(TFMessage(transforms=[transform("odom", "base_link", stamp_ns, np.eye(4))]))
            info.publish(header(calibration, stamp_ns))
        color.publish(header(rgb, stamp_ns))
        depth.publish(header(message, stamp_ns))
        if whole:
            found.publish(header(detections, stamp_ns))
        due += 1.0 / RATE_HZ
        time.sleep(max(due - time.monotonic(), 0.0))
    time.sleep(2.0)
    rclpy.shutdown()


# --- what counts


class Counter:
    """Counts messages of topics in this process, and the time from stamp to arrival."""

    def __init__(self, topics: dict[str, type], profile):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        from dsr_ros import convert

        self._rclpy = rclpy
        rclpy.init()
        self._node = rclpy.create_node("benchmark_counter")
        self.seen: dict[str, list[float]] = {topic: [] for topic in topics}

        def on(topic, message):
            self.seen[topic].append(1e3 * (time.time_ns() - convert.from_time(message.header.stamp)) * 1e-9)

        for topic, kind in topics.items():
            self._node.create_subscription(kind, topic, lambda m, t=topic: on(t, m), profile)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)

    def spin_while(self, process: subprocess.Popen) -> None:
        while process.poll() is None:
            self._executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        self._rclpy.shutdown()


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def camera_process(width: int, height: int, count: int, whole: bool) -> subprocess.Popen:
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); import rgbd_pipeline;"
    code += f" rgbd_pipeline.publish_frames({width}, {height}, {count}, {whole})"
    return subprocess.Popen([sys.executable, "-c", code])


def nodes_row(width: int, height: int, seconds: float) -> None:
    """Frames through observer and memory."""
    from dsr_ros import qos
    from dsr_ros.msg import DetectionArray, TrackArray

    count = round(seconds * RATE_HZ)
    names = ("observer", "memory")
    nodes = {
        n: subprocess.Popen([sys.executable, "-m", f"dsr_ros.{n}", "--ros-args", "-r", "__ns:=/bench"], cwd=ROOT)
        for n in names
    }
    counter = Counter({"/bench/observations": DetectionArray, "/bench/tracks": TrackArray}, qos.observations())
    try:
        time.sleep(3.0)
        camera = camera_process(width, height, count, True)
        while not counter.seen["/bench/tracks"] and camera.poll() is None:
            counter._executor.spin_once(timeout_sec=0.05)
        processes = {**{n: p.pid for n, p in nodes.items()}, "camera": camera.pid}
        before, begun = {n: cpu_s(pid) for n, pid in processes.items()}, time.monotonic()
        used: dict[str, float] = {}
        while camera.poll() is None:
            counter._executor.spin_once(timeout_sec=0.1)
            if not used and time.monotonic() - begun > 0.7 * seconds:
                span = time.monotonic() - begun
                used = {n: 100 * (cpu_s(pid) - before[n]) / span for n, pid in processes.items()}
        out = counter.seen["/bench/tracks"]
        delay = np.quantile(out, [0.5, 0.95]) if out else [float("nan")] * 2
        print(
            f"nodes {width}x{height}: {count} frames sent, {len(counter.seen['/bench/observations'])} observed,"
            f" {len(out)} tracked, {count - len(out)} dropped; stamp to tracks {delay[0]:.0f} ms"
            f" (95 %: {delay[1]:.0f} ms)"
        )
        print("  CPU of one core: " + ", ".join(f"{n} {share:.0f} %" for n, share in used.items()))
    finally:
        for process in nodes.values():
            process.terminate()
        for process in nodes.values():
            process.wait(10)
        counter.close()


def transport_row(width: int, height: int, seconds: float) -> None:
    """Colour and depth to this process, which only counts."""
    from sensor_msgs.msg import Image

    from dsr_ros import qos

    count = round(seconds * RATE_HZ)
    topics = ("/camera/color/image_raw", "/camera/depth/image_raw")
    counter = Counter(dict.fromkeys(topics, Image), qos.sensor())
    try:
        camera = camera_process(width, height, count, False)
        counter.spin_while(camera)
        for topic in topics:
            got = counter.seen[topic]
            delay = np.quantile(got, [0.5, 0.95]) if got else [float("nan")] * 2
            print(
                f"transport {width}x{height} {topic}: {count} sent, {len(got)} came, {count - len(got)} lost;"
                f" {delay[0]:.0f} ms (95 %: {delay[1]:.0f} ms)"
            )
    finally:
        counter.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each run through ROS")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    print(f"library 640x480, {THINGS} boxes: {library_rate(640, 480, 300):.0f} frames a second on one core", flush=True)
    from dsr_ros.node import use_image_transport

    use_image_transport()
    nodes_row(640, 480, given.seconds)
    transport_row(1280, 720, given.seconds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
