"""The message types of bags: ROS 2 Jazzy's own and this package's, read from its `msg/` folder."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

from dsr_core.errors import DependencyError, SourceError

PACKAGE = "dsr_ros"


def message_folder() -> Path:
    """Folder of this package's .msg files: the checkout's, or `share/dsr_ros/msg` of an installation.

    Raises:
        SourceError: there is none.
    """
    prefixes = [sys.prefix, *filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))]
    folders = [Path(__file__).resolve().parents[2] / "msg"]
    folders += [Path(prefix) / "share" / PACKAGE / "msg" for prefix in prefixes]
    for folder in folders:
        if (folder / "DetectionArray.msg").is_file():
            return folder
    raise SourceError(
        f"no message definitions of {PACKAGE} in {', '.join(map(str, folders))};"
        " run from the checkout, or source the workspace that the package is installed in"
    )


@lru_cache(maxsize=1)
def typestore():
    """A rosbags typestore with ROS 2 Jazzy's messages and this package's.

    Raises:
        DependencyError: rosbags is not installed.
        SourceError: this package's message definitions are nowhere to be found.
    """
    try:
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError:
        raise DependencyError("bags are read and written by rosbags: pip install rosbags") from None
    store = get_typestore(Stores.ROS2_JAZZY)
    types = {}
    for path in sorted(message_folder().glob("*.msg")):
        types.update(get_types_from_msg(path.read_text(), f"{PACKAGE}/msg/{path.stem}"))
    store.register(types)
    return store
