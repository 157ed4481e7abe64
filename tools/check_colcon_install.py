"""Checks a sourced colcon install of dsr_ros: what is imported comes from it, and its executables run.

Usage: python3 tools/check_colcon_install.py INSTALL-FOLDER
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("observer", "memory", "player", "dsr")


def check_imports(install: Path) -> None:
    """The package, its interfaces and the library are the installed ones."""
    import ament_index_python.packages

    import dsr_core
    import dsr_ros
    import dsr_ros.action
    import dsr_ros.msg
    import dsr_ros.srv

    for module in (dsr_core, dsr_ros, dsr_ros.msg, dsr_ros.srv, dsr_ros.action):
        assert install in Path(module.__file__).absolute().parents, f"{module.__name__} comes from {module.__file__}"
    dsr_ros.srv.Ask.__import_type_support__()
    share = Path(ament_index_python.packages.get_package_share_directory("dsr_ros"))
    assert install in share.absolute().parents, f"share folder is {share}"
    for name in ("package.xml", "launch/dsr.launch.py", "srv/Ask.srv"):
        assert (share / name).is_file(), f"{share / name} is not installed"


def check_help(program: Path) -> None:
    """`--help` prints usage and ends well."""
    done = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "usage" in done.stdout.lower(), f"{program} --help: {done.stdout}{done.stderr}"


def check_node(program: Path, name: str) -> None:
    """The node becomes active under its name and ends with 0 on SIGINT."""
    import rclpy
    from lifecycle_msgs.srv import GetState

    process = subprocess.Popen([program])
    rclpy.init()
    probe = rclpy.create_node("probe")
    client = probe.create_client(GetState, f"/{name}/get_state")
    state, deadline = "absent", time.monotonic() + 60
    try:
        while state != "active" and process.poll() is None and time.monotonic() < deadline:
            if client.wait_for_service(1.0):
                future = client.call_async(GetState.Request())
                rclpy.spin_until_future_complete(probe, future, timeout_sec=1.0)
                state = future.result().current_state.label if future.done() else "silent"
    finally:
        probe.destroy_node()
        rclpy.try_shutdown()
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert state == "active", f"{program}: node {name!r} is {state}"
    assert code == 0, f"{program} ended with {code} on SIGINT"


def main() -> int:
    """Runs every check; a failure is an AssertionError that names it."""
    install = Path(sys.argv[1]).absolute()
    check_imports(install)
    programs = {path.name: path for path in install.glob("**/lib/dsr_ros/*")}
    assert set(PROGRAMS) <= set(programs), f"lib/dsr_ros has only {sorted(programs)}"
    for name in PROGRAMS:
        assert os.access(programs[name], os.X_OK), f"{programs[name]} is not executable"
    for name in ("player", "dsr"):
        check_help(programs[name])
    for name in ("observer", "memory"):
        check_node(programs[name], name)
    print(f"installed and running: imports from {install}, {', '.join(PROGRAMS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
