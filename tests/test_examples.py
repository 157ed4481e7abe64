"""The examples run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_a_recording_is_asked():
    command = [sys.executable, EXAMPLES / "ask_recording.py", "sim:duration=8,render=0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("person 2: decreasing") and "it is moving" in line for line in lines), done.stdout
    assert any(line.startswith("pallet truck 3") and "it is still" in line for line in lines), done.stdout


def test_a_planner_waits_for_the_service():
    pytest.importorskip("rclpy")
    pytest.importorskip("dsr_ros.srv")
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "planner_node.py", "forklift"],
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "RCUTILS_LOGGING_USE_STDOUT": "0"},
    )
    try:
        assert "no /dsr/ask yet" in process.stderr.readline()
    finally:
        process.terminate()
        process.communicate(timeout=20)
