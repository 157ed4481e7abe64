"""One version, one list of dependencies and one set of programs, whichever tool installs the package."""

import ast
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPO = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
PACKAGE = ElementTree.parse(REPO / "package.xml").getroot()
CMAKE = (REPO / "CMakeLists.txt").read_text()
# import name -> rosdep key, where they differ
ROSDEP = {"cv2": "python3-opencv", "numpy": "python3-numpy", "scipy": "python3-scipy", "yaml": "python3-yaml"}


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement.strip(), maxsplit=1)[0]).lower()


def _requirements(path: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in (REPO / path).read_text().splitlines())
    return [line for line in lines if line]


def test_every_file_says_the_same_version():
    import dsr_core

    version = PROJECT["version"]
    assert PACKAGE.findtext("version") == version
    assert dsr_core.__version__ == version
    newest = re.search(r"^## \[([^]]+)]", (REPO / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest[1] == version
    assert "version" not in (REPO / "setup.py").read_text(), "setup.py takes the version from pyproject.toml"


def test_the_installed_distribution_is_this_one():
    found = metadata.distributions(name="dsr_ros")
    installed = next((d for d in found if (d.read_text("INSTALLER") or "").strip() == "pip"), None)
    if installed is None:
        pytest.skip("dsr_ros is not installed by pip here (a colcon workspace)")
    assert installed.version == PROJECT["version"]
    assert {e.name for e in installed.entry_points if e.group == "console_scripts"} == set(PROJECT["scripts"])


def test_package_xml_names_the_same_project():
    assert PACKAGE.get("format") == "3"
    assert PACKAGE.findtext("name") == PROJECT["name"]
    assert PACKAGE.findtext("license") == PROJECT["license"] == "Apache-2.0"
    maintainer = PACKAGE.find("maintainer")
    assert [{"name": maintainer.text, "email": maintainer.get("email")}] == PROJECT["maintainers"]
    assert PACKAGE.findtext("export/build_type") == "ament_cmake"
    assert "Version 2.0, January 2004" in (REPO / "LICENSE").read_text()
    assert PROJECT["requires-python"] == ">=3.10"


def test_base_install_is_light_and_nothing_pins_a_robot():
    names = {_name(r) for r in PROJECT["dependencies"]}
    assert names.isdisjoint({"torch", "transformers", "mujoco", "matplotlib", "rerun-sdk", "pyarrow", "ray", "pytest"})
    everything = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    assert [r for part in everything for r in part if re.search(r"==|<|~=", r)] == []
    assert set(PROJECT["optional-dependencies"]) == {
        "ros",
        "perception",
        "export",
        "reconstruction",
        "vlm",
        "train",
        "sim",
        "qa",
        "scale",
        "view",
        "names",
        "embedded",
        "dev",
    }


def test_ros_extra_is_the_list_of_the_set_up():
    assert PROJECT["optional-dependencies"]["ros"] == _requirements("requirements-ros.txt")


def test_constraints_pin_all_that_make_installs():
    constraints = _requirements("constraints-cpu.txt")
    assert all(re.match(r"[\w.-]+==[\w.!+-]+(; python_version (<|>=) \"3\.\d+\")?$", line) for line in constraints)
    wanted = list(PROJECT["dependencies"])
    for extra in ("ros", "sim", "view", "names", "embedded", "dev", "perception", "export", "vlm", "train"):
        wanted += PROJECT["optional-dependencies"][extra]
    assert {_name(r) for r in wanted} - {_name(c) for c in constraints} == {"dsr-ros"}


def test_every_program_has_its_main_and_both_installers_know_it():
    programs = {name.removeprefix("dsr-"): target for name, target in PROJECT["scripts"].items()}
    for target in programs.values():
        module, _, function = target.partition(":")
        path = REPO / (module.replace(".", "/") + ".py")
        functions = {n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)}
        assert function in functions, f"{path} has no function {function}"
    (listed,) = re.findall(r"foreach\(_program ([^)]+)\)", CMAKE)
    assert set(listed.split()) == set(programs)


def test_interfaces_declare_the_packages_that_they_use():
    used = set()
    for path in [*REPO.glob("msg/*.msg"), *REPO.glob("srv/*.srv"), *REPO.glob("action/*.action")]:
        used |= set(re.findall(r"^([a-z]\w*)/\w+", path.read_text(), re.MULTILINE))
    used -= {"dsr_ros"}
    assert used <= {d.text for d in PACKAGE.findall("depend")}
    (listed,) = re.findall(r"rosidl_generate_interfaces\(.*?DEPENDENCIES ([^)]+)\)", CMAKE, re.DOTALL)
    assert used <= set(listed.split())


def test_package_xml_declares_what_the_nodes_import():
    """At module level and inside functions; rosbags has no rosdep key and only the player and the reader need it."""
    declared = {d.text for tag in ("depend", "exec_depend") for d in PACKAGE.findall(tag)}
    own = {"dsr_ros", "dsr_core", "rosbags"} | set(sys.stdlib_module_names)
    undeclared = {}
    for path in [*(REPO / "dsr_ros").rglob("*.py"), *(REPO / "launch").glob("*.py")]:
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.partition(".")[0])
        missing = {n for n in names - own if ROSDEP.get(n, n) not in declared}
        if missing:
            undeclared[path.name] = missing
    assert undeclared == {}


def test_the_spare_tf2_msgs_is_the_real_one_and_colcon_leaves_it_alone():
    folder = REPO / "interfaces" / "tf2_msgs"
    assert (folder / "COLCON_IGNORE").exists() and (folder / "AMENT_IGNORE").exists()
    types = pytest.importorskip("rosbags.typesys")
    described = Path(sys.prefix) / "share" / "tf2_msgs" / "msg" / "TFMessage.json"
    if not described.is_file():
        pytest.skip(f"ROS 2 does not come from wheels here: no {described}")
    hashes = {h["type_name"]: h["hash_string"] for h in json.loads(described.read_text())["type_hashes"]}
    official = types.get_typestore(types.Stores.ROS2_JAZZY).hash_rihs01("tf2_msgs/msg/TFMessage")
    assert hashes["tf2_msgs/msg/TFMessage"] == official


def test_scripts_are_executable_and_right_bash():
    for path in [REPO / ".ci" / "run", *(REPO / "tools").glob("*.sh")]:
        assert os.access(path, os.X_OK), f"{path} is not executable"
        done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
