"""Runs a *.launch.py where the packages `launch` and `launch_ros` are not installed (ROS 2 from wheels, CI).

    python -m dsr_ros.launch_runner launch/dsr.launch.py namespace:=robot1
    python -m dsr_ros.launch_runner launch/dsr.launch.py --show-args

Understands the part of the launch API that this package's launch files use; where the real packages are installed it
hands over to `ros2 launch`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import types
from abc import ABC, abstractmethod
from pathlib import Path

from dsr_core.errors import DsrError

#: How a process is ended: signal, and how long it gets.
_END = ((signal.SIGINT, 6.0), (signal.SIGTERM, 4.0), (signal.SIGKILL, 4.0))


class LaunchError(DsrError):
    """A launch file or its arguments cannot be used."""


def _value(x, run: Runner) -> str:
    """Text of a substitution, of a list of them, or of a plain value."""
    if isinstance(x, Substitution):
        return x.perform(run)
    if isinstance(x, (list, tuple)):
        return "".join(_value(i, run) for i in x)
    return str(x)


class Substitution:
    """Something that becomes text when the file is run."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs


class LaunchConfiguration(Substitution):
    def perform(self, run: Runner) -> str:
        name = self.args[0]
        if name not in run.values:
            if "default" in self.kwargs:
                return _value(self.kwargs["default"], run)
            raise LaunchError(f"launch argument {name!r} is used but not declared")
        return run.values[name]


class EnvironmentVariable(Substitution):
    def perform(self, run: Runner) -> str:
        return run.environment.get(self.args[0], _value(self.kwargs.get("default_value", ""), run))


class PathJoinSubstitution(Substitution):
    def perform(self, run: Runner) -> str:
        return os.path.join(*[_value(i, run) for i in self.args[0]])


class IfCondition:
    def __init__(self, predicate):
        self.predicate = predicate

    def evaluate(self, run: Runner) -> bool:
        return _value(self.predicate, run).lower() in ("1", "true")


class UnlessCondition(IfCondition):
    def evaluate(self, run: Runner) -> bool:
        return not super().evaluate(run)


class Action(ABC):
    """One entry of a launch description."""

    def __init__(self, *args, condition: IfCondition | None = None, **kwargs):
        self.args, self.kwargs, self.condition = args, kwargs, condition

    @abstractmethod
    def visit(self, run: Runner) -> None:
        """Does what the entry says."""


class DeclareLaunchArgument(Action):
    def visit(self, run: Runner) -> None:
        name, default = self.args[0], self.kwargs.get("default_value")
        run.declared[name] = (None if default is None else _value(default, run), self.kwargs.get("description", ""))
        if run.show_only:
            run.values.setdefault(name, run.declared[name][0] or "")
            return
        if name not in run.values:
            if default is None:
                raise LaunchError(
                    f"launch argument {name} is required: {name}:=... ({self.kwargs.get('description', '')})"
                )
            run.values[name] = _value(default, run)
        choices = self.kwargs.get("choices")
        if choices and run.values[name] not in choices:
            raise LaunchError(f"{name}:={run.values[name]} is not one of {', '.join(choices)}")


class SetEnvironmentVariable(Action):
    def visit(self, run: Runner) -> None:
        run.environment[_value(self.args[0], run)] = _value(self.args[1], run)


class LogInfo(Action):
    def visit(self, run: Runner) -> None:
        print("[launch]", _value(self.kwargs["msg"], run), flush=True)


class GroupAction(Action):
    def visit(self, run: Runner) -> None:
        run.visit(self.args[0])


class PythonLaunchDescriptionSource:
    def __init__(self, path):
        self.path = path


class IncludeLaunchDescription(Action):
    def visit(self, run: Runner) -> None:
        given = self.kwargs.get("launch_arguments") or []
        run.values.update({_value(k, run): _value(v, run) for k, v in given})
        run.visit(load(_value(self.args[0].path, run)).entities)


class Node(Action):
    """A process of a package; its name, namespace, parameters and remappings become command-line arguments."""

    def visit(self, run: Runner) -> None:
        given = self.kwargs
        package, program = _value(given["package"], run), _value(given["executable"], run)
        command = [*_program(package, program), *(_value(a, run) for a in given.get("arguments") or [])]
        ros = [_value(a, run) for a in given.get("ros_arguments") or []]
        if given.get("name"):
            ros += ["-r", f"__node:={_value(given['name'], run)}"]
        namespace = _value(given.get("namespace") or "", run).strip("/")
        if namespace:
            ros += ["-r", f"__ns:=/{namespace}"]
        for a, b in given.get("remappings") or []:
            ros += ["-r", f"{_value(a, run)}:={_value(b, run)}"]
        for parameters in given.get("parameters") or []:
            if isinstance(parameters, dict):
                for name, value in parameters.items():
                    ros += ["-p", f"{_value(name, run)}:={_yaml(value, run)}"]
            else:
                ros += ["--params-file", _value(parameters, run)]
        environment = {_value(k, run): _value(v, run) for k, v in (given.get("additional_env") or {}).items()}
        run.start(
            [*command, "--ros-args", *ros],
            _value(given.get("name") or program, run),
            environment,
            bool(given.get("respawn")),
        )


class LaunchDescription:
    def __init__(self, entities=None):
        self.entities = list(entities or [])


def _yaml(value, run: Runner) -> str:
    """A parameter's value as the command line wants it."""
    text = str(value).lower() if isinstance(value, bool) else _value(value, run)
    return text or "''"


def _program(package: str, program: str) -> list[str]:
    """The command of an installed executable, or of this package's module of that name."""
    for prefix in [*os.environ.get("AMENT_PREFIX_PATH", "").split(":"), sys.prefix]:
        file = os.path.join(prefix, "lib", package, program)
        if prefix and os.access(file, os.X_OK):
            return [file]
    return [sys.executable, "-m", f"{package}.{program}"]


def load(path: str | Path) -> LaunchDescription:
    """The description that a launch file generates.

    Raises:
        LaunchError: no such file.
    """
    if not Path(path).is_file():
        raise LaunchError(f"no launch file at {path}")
    spec = importlib.util.spec_from_file_location("launch_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def install_stand_ins() -> None:
    """Puts this module's classes where launch files import them from."""

    def module(name: str, **members) -> types.ModuleType:
        sys.modules[name] = made = types.ModuleType(name)
        made.__dict__.update(members)
        return made

    def named(*classes) -> dict:
        return {c.__name__: c for c in classes}

    actions = named(DeclareLaunchArgument, SetEnvironmentVariable, LogInfo, GroupAction, IncludeLaunchDescription)
    substitutions = named(LaunchConfiguration, EnvironmentVariable, PathJoinSubstitution)
    module(
        "launch",
        LaunchDescription=LaunchDescription,
        actions=module("launch.actions", **actions),
        substitutions=module("launch.substitutions", **substitutions),
        conditions=module("launch.conditions", **named(IfCondition, UnlessCondition)),
        launch_description_sources=module("launch.launch_description_sources", **named(PythonLaunchDescriptionSource)),
    )
    module("launch_ros", actions=module("launch_ros.actions", **named(Node)))


class Runner:
    """Starts what a launch file describes, and ends it when it is interrupted.

    Args:
        values: Launch arguments.
        show_only: Only collect the declared arguments.
    """

    def __init__(self, values: dict[str, str], show_only: bool = False):
        self.values, self.show_only = dict(values), show_only
        self.declared: dict[str, tuple[str | None, str]] = {}
        self.environment = dict(os.environ)
        self.processes: list[tuple[subprocess.Popen, list[str], str, dict, bool]] = []

    def start(self, command: list[str], name: str, environment: dict[str, str], respawn: bool) -> None:
        """Starts a process."""
        if self.show_only:
            return
        process = subprocess.Popen(command, env={**self.environment, **environment})
        print(f"[launch] {name}: pid {process.pid}: {' '.join(command)}", flush=True)
        self.processes.append((process, command, name, environment, respawn))

    def visit(self, entities) -> None:
        """Works through entries of a description."""
        for entity in entities:
            if self.show_only or entity.condition is None or entity.condition.evaluate(self):
                entity.visit(self)

    def run(self, path: str | Path) -> int:
        """Runs a launch file until all its processes have ended or this one is interrupted; returns the exit code.

        Raises:
            LaunchError: the file or an argument cannot be used.
        """
        stop: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda signum, _: stop.append(signum))
        code = 0
        try:
            self.visit(load(path).entities)
            unknown = sorted(set(self.values) - set(self.declared))
            if unknown:
                raise LaunchError(f"no launch argument {', '.join(unknown)}; there are: {', '.join(self.declared)}")
            while not stop and self.processes:
                code = self._collect() or code
                time.sleep(0.05)
        finally:
            self._end()
        return code

    def _collect(self) -> int:
        """Takes out processes that have ended; the exit code of one that failed."""
        code = 0
        for entry in list(self.processes):
            process, command, name, environment, respawn = entry
            if process.poll() is None:
                continue
            self.processes.remove(entry)
            print(f"[launch] {name} ended with {process.returncode}", flush=True)
            if respawn:
                self.start(command, name, environment, respawn)
            else:
                code = code or process.returncode
        return code

    def _end(self) -> None:
        for number, patience_s in _END:
            alive = [p for p, *_ in self.processes if p.poll() is None]
            for process in alive:
                process.send_signal(number)
            end = time.monotonic() + patience_s
            while time.monotonic() < end and any(p.poll() is None for p in alive):
                time.sleep(0.05)


def _hand_over(path: str, arguments: list[str]) -> None:
    """Becomes `ros2 launch` where that is installed."""
    if importlib.util.find_spec("launch_ros") and importlib.util.find_spec("launch") and shutil.which("ros2"):
        os.execvp("ros2", ["ros2", "launch", path, *arguments])


def main(arguments: list[str] | None = None) -> int:
    """`python -m dsr_ros.launch_runner FILE [name:=value ...] [--show-args]`."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    path, given = arguments[0], arguments[1:]
    show_only = "--show-args" in given
    given = [a for a in given if a != "--show-args"]
    wrong = [a for a in given if ":=" not in a]
    if wrong:
        print(f"launch: {' '.join(wrong)}: arguments are given as name:=value", file=sys.stderr)
        return 2
    _hand_over(path, arguments[1:])
    install_stand_ins()
    runner = Runner(dict(a.split(":=", 1) for a in given), show_only)
    try:
        if not show_only:
            return runner.run(path)
        runner.visit(load(path).entities)
    except DsrError as error:
        print(f"launch: {error}", file=sys.stderr)
        return 2
    for name, (default, description) in runner.declared.items():
        print(f"  {name}  ({'required' if default is None else f'default {default!r}'})\n      {description}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
