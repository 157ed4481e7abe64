"""A bag played into the two nodes, with /clock; ask /<namespace>/ask meanwhile or afterwards."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

_SHARE = Path(__file__).resolve().parents[1]

ARGUMENTS = [
    ("bag", None, "folder or file of the bag (mcap, sqlite3)"),
    ("rate", "1.0", "recorded seconds a second; 0: as fast as possible (with lockstep)"),
    ("loop", "1", "how often the bag is played; 0: for ever"),
    ("start", "0.0", "seconds from the bag's beginning"),
    ("end", "inf", "seconds from the bag's beginning"),
    ("lockstep", "true", "true: every frame is waited for, so that each run gives the same answers"),
    ("step_on", "", "topic whose messages are waited for in lock-step; empty: the detections"),
    ("namespace", "dsr", "namespace of the nodes"),
    ("reliability", "reliable", "QoS of sensor topics: reliable, so that nothing is lost, or best_effort"),
    ("use_sim_time", "true", "the nodes take the time from the player's /clock"),
    ("detector", "external", "as for dsr.launch.py; for all but external, give step_on the colour images' topic"),
    ("names", "", "what grounding_dino, sam2 and sam3 look for: person,forklift"),
    ("depth_source", "sensor", "as for dsr.launch.py"),
    ("slow_detector", "external", "the same, in a lane whose results come late and correct the memory"),
    ("slow_names", "", "what that one looks for"),
    ("slow_depth_source", "sensor", "where depth comes from in that lane"),
    ("vlm_model", "", "folder of a vision-language model, as for dsr.launch.py"),
    ("vlm_frames", "0", "pictures that it is shown"),
]
#: Handed on to dsr.launch.py.
_NODES = (
    "namespace", "reliability", "use_sim_time",
    "detector", "names", "depth_source", "slow_detector", "slow_names", "slow_depth_source", "vlm_model", "vlm_frames",
)  # fmt: skip


def generate_launch_description():
    given = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    player = [f"--{name}" for name in ("bag", "rate", "loop", "start", "end", "lockstep", "step-on", "reliability")]
    profile = str(_SHARE / "config" / "fastdds_images.xml")
    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    arguments = []
    for option in player:
        arguments += [option, given[option[2:].replace("-", "_")]]
    return LaunchDescription(
        [DeclareLaunchArgument(n, default_value=default, description=text) for n, default, text in ARGUMENTS]
        + [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(_SHARE / "launch" / "dsr.launch.py")),
                launch_arguments=[(n, given[n]) for n in _NODES],
            ),
            Node(
                package="dsr_ros",
                executable="player",
                name="player",
                namespace=given["namespace"],
                output="screen",
                arguments=arguments,
                additional_env={name: EnvironmentVariable(name, default_value=profile) for name in names},
            ),
        ]
    )
