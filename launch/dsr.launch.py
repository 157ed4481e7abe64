"""The two nodes: observer (places detections in the world) and memory (tracks, remembers, answers)."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

# The same in the checkout and in share/dsr_ros.
_CONFIG = Path(__file__).resolve().parents[1] / "config"

ARGUMENTS = [
    ("namespace", "dsr", "namespace of the nodes; questions go to /<namespace>/ask"),
    ("use_sim_time", "false", "true: take the time from /clock (simulators, replays)"),
    ("params_file", str(_CONFIG / "dsr.yaml"), "parameters of both nodes"),
    ("log_level", "info", "debug, info, warn, error"),
    ("reliability", "best_effort", "QoS of sensor topics: best_effort, or reliable (replays)"),
    ("world_frame", "odom", "continuous fixed frame that motion is judged in"),
    ("detections_topic", "/detections", "dsr_ros/DetectionArray (or vision_msgs, see detections_type)"),
    ("detections_type", "dsr", "dsr, vision_msgs_2d or vision_msgs_3d"),
    ("color_topic", "/camera/color/image_raw", "colour image; raw or compressed, whichever is published"),
    ("depth_topic", "/camera/depth/image_raw", "depth image; raw or compressedDepth, whichever is published"),
    ("right_topic", "", "rectified right image of a stereo camera, whose left one is color_topic: makes the depth"),
    ("info_topic", "/camera/color/camera_info", "calibration of the image that boxes refer to"),
    ("detector", "external", "external (detections_topic), embedded, grounding_dino, sam2 or sam3 (the colour image)"),
    ("names", "", "what grounding_dino, sam2 and sam3 look for: person,forklift"),
    ("depth_source", "sensor", "sensor (depth_topic), or depth_anything, pi3, depth_anything_3 (the colour image)"),
    ("slow_detector", "external", "the same, in a lane whose results come late and correct the memory"),
    ("slow_names", "", "what that one looks for"),
    ("slow_depth_source", "sensor", "where depth comes from in that lane"),
    ("vlm_model", "", "folder of a vision-language model that answers backend vlm, and what the geometry declines"),
    ("vlm_frames", "0", "pictures of color_topic that it is shown; 0: none"),
    ("odom_topic", "", "nav_msgs/Odometry, for robots without TF from base to world_frame"),
    ("tf_topic", "/tf", "transforms (give tf for robots that have their own in their namespace)"),
    ("tf_static_topic", "/tf_static", "static transforms"),
    ("autostart", "true", "false: wait for a lifecycle manager"),
]


def _big_shared_memory() -> dict:
    """Fast DDS loses images in its default segment; the first name is Jazzy's, the second that of later ones."""
    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    profile = str(_CONFIG / "fastdds_images.xml")
    return {name: EnvironmentVariable(name, default_value=profile) for name in names}


def generate_launch_description():
    given = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    common = {
        "package": "dsr_ros",
        "namespace": given["namespace"],
        "output": "screen",
        "remappings": [("/tf", given["tf_topic"]), ("/tf_static", given["tf_static_topic"])],
        "ros_arguments": ["--log-level", given["log_level"]],
        "additional_env": _big_shared_memory(),
    }
    both = {name: given[name] for name in ("use_sim_time", "reliability", "world_frame", "autostart")}
    camera = {
        f"camera.{name}": given[name]
        for name in (
            "detections_topic", "detections_type", "color_topic", "depth_topic", "right_topic", "info_topic",
            "detector", "names", "depth_source",
        )
    }  # fmt: skip
    camera |= {f"camera.slow.{name}": given[f"slow_{name}"] for name in ("detector", "names", "depth_source")}
    vlm = {
        "vlm.model": given["vlm_model"],
        "vlm.frames": given["vlm_frames"],
        "vlm.image_topic": given["color_topic"],
    }
    return LaunchDescription(
        [DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS]
        + [
            Node(
                executable="observer",
                name="observer",
                parameters=[given["params_file"], {**both, **camera, "odom_topic": given["odom_topic"]}],
                **common,
            ),
            Node(executable="memory", name="memory", parameters=[given["params_file"], {**both, **vlm}], **common),
        ]
    )
