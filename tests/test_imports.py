"""The rooms of docs/architecture.md: who may import whom, and what a bare `import` may load."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
# what a light or ROS-free machine lacks; they are loaded inside the function that needs them
HEAVY = ("ai_edge_litert", "cv2", "matplotlib", "mujoco", "pyarrow", "ray", "rerun", "rosbags", "torch", "transformers")
# the model side is torch throughout, but for what composes questions and what names sources
VLM_WITHOUT_TORCH = (
    "", ".values", ".config", ".compose", ".exported", ".prompts", ".sources", ".sources.scene", ".rows", ".recordings",
    ".faults", ".disk_cache", ".frames_cache", ".token_cache",
)  # fmt: skip
ROS = ("ament_index_python", "dsr_ros", "launch", "message_filters", "rclpy", "sensor_msgs", "std_msgs", "tf2_ros")


def _python(code: str) -> subprocess.CompletedProcess:
    """Runs `code` in a fresh interpreter from the root of the repository, with `BLOCKED` modules made unimportable."""
    block = f"""
import sys
from importlib.abc import MetaPathFinder

class Blocker(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY + ROS!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked by this test", name=name)

sys.meta_path.insert(0, Blocker())
"""
    return subprocess.run([sys.executable, "-c", block + code], cwd=REPO, capture_output=True, text=True, timeout=120)


def test_every_folder_of_a_package_has_an_init():
    """A folder without one would escape the import linter, and setuptools' older versions."""
    without = [
        str(folder.relative_to(REPO))
        for package in ("dsr_core", "dsr_ros", "training")
        for folder in {f.parent for f in (REPO / package).rglob("*.py")}
        if not (folder / "__init__.py").is_file()
    ]
    assert without == []


def test_imports_run_one_way():
    pytest.importorskip("importlinter")
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=REPO, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_of_the_library_loads_without_ros_and_heavy_packages():
    done = _python(
        f"""
import importlib, pkgutil, dsr_core
names = [m.name for m in pkgutil.walk_packages(dsr_core.__path__, "dsr_core.")]
light = ["dsr_core.vlm" + part for part in {VLM_WITHOUT_TORCH}]
for name in names:
    if name.endswith("__main__"):
        continue
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers") or not name.startswith("dsr_core.vlm.") or name in light:
            raise
print(len(names))
"""
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


def test_the_library_answers_without_the_nodes():
    done = _python(
        """
sys.path.insert(0, "tests")
from dsr_core import ask
from fakes import fake_scene, fake_track
scene = fake_scene(fake_track(start=(30.0, 0.0, 0.0), velocity=(-3.0, 0.0, 0.0)))
answer = ask(scene, "is the car getting closer to me?")
print(answer.to_dict()["states"][-1]["label"])
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "decreasing"
