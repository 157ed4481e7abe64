"""dsr_core: dynamic spatial reasoning without ROS and, at import time, without torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Answer", "DsrError", "Query", "Scene", "Track", "ask", "load_scene"]

_HOMES = {
    "Answer": "dsr_core.reasoning.answer",
    "DsrError": "dsr_core.errors",
    "Query": "dsr_core.reasoning.query",
    "Scene": "dsr_core.scene",
    "Track": "dsr_core.scene",
    "ask": "dsr_core.api",
    "load_scene": "dsr_core.api",
}

if TYPE_CHECKING:
    from dsr_core.api import ask, load_scene
    from dsr_core.errors import DsrError
    from dsr_core.reasoning.answer import Answer
    from dsr_core.reasoning.query import Query
    from dsr_core.scene import Scene, Track


def __getattr__(name: str):
    if name in _HOMES:
        found = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
        return found
    raise AttributeError(f"module 'dsr_core' has no attribute {name!r}")
