"""DsrNode: what both nodes share. Lifecycle, the guard around every callback, clock jumps, diagnostics, running."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import rclpy
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from dsr_core.errors import DsrError
from dsr_core.sources.base import BACKWARD_JUMP_NS
from dsr_ros import parameters
from dsr_ros.diagnostics import OK, Diagnostics

#: Several errors of one kind a second would drown the log.
_LOG_EVERY_S = 5.0
#: Longest time that a node takes to end.
_TIDY_S = 7.0


class DsrNode(LifecycleNode):
    """A lifecycle node that survives bad messages and tells why nothing comes out.

    A subclass gives `table` (its parameters) and the hooks `start`, `stop`, `forget`, `status`.
    """

    table: tuple[parameters.Parameter, ...] = ()

    def __init__(self, name: str, **kwargs):
        super().__init__(name, **kwargs)
        self._answer_impossible_transitions()
        parameters.declare(self, self.table)
        self.settings = parameters.read(self, (self.table[0],))
        self.counts: Counter[str] = Counter()
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._jump_handle = None
        self._diagnostics: Diagnostics | None = None
        self._logged: dict[str, float] = {}

    # --- hooks

    def configure(self) -> None:
        """Checks settings and makes what lives from configure to cleanup.

        Raises:
            DsrError: a setting cannot be used; the node stays unconfigured.
        """

    def start(self) -> None:
        """Makes subscriptions, publishers and services."""

    def stop(self) -> None:
        """Destroys what `start` made; harmless when nothing was made."""

    def cleanup(self) -> None:
        """Drops what `configure` made."""

    def clock_jumped_back(self, now_ns: int) -> None:
        """Called when the node's clock went back by more than a second."""

    def status(self) -> tuple[bytes, str, dict]:
        """Level, one line, values; for /diagnostics."""
        return OK, "active", {}

    # --- lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self.settings = parameters.read(self, self.table)
            self.configure()
        except Exception as error:  # rclpy would swallow it without a word
            self.get_logger().error(f"cannot be configured: {_named(error)}")
            return TransitionCallbackReturn.FAILURE
        parameters.guard_updates(self, self.table, self.settings)
        self._diagnostics = Diagnostics(self, self.status, self.counts)
        threshold = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-BACKWARD_JUMP_NS), on_clock_change=False
        )
        self._jump_handle = self.get_clock().create_jump_callback(
            threshold, post_callback=self.guarded(self._on_jump, "clock")
        )
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        try:
            self.start()
        except Exception as error:
            self.get_logger().error(f"cannot be activated: {_named(error)}")
            self.stop()
            return TransitionCallbackReturn.FAILURE
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._end()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.stop()
        self._end()
        return TransitionCallbackReturn.SUCCESS

    def _end(self) -> None:
        if self._jump_handle is not None:
            self._jump_handle.unregister()
            self._jump_handle = None
        if self._diagnostics is not None:
            self._diagnostics.destroy()
            self._diagnostics = None
        self.cleanup()

    def _on_jump(self, jump: TimeJump) -> None:
        self.get_logger().warning(f"the clock jumped back by {-jump.delta.nanoseconds * 1e-9:.3f} s")
        self.clock_jumped_back(self.now_ns())

    def _answer_impossible_transitions(self) -> None:
        """In Jazzy a transition that the state does not allow raises through the executor: say no instead."""
        for service in self.services:
            if service.srv_name.endswith("/change_state"):
                service.callback = self._or_no(service.callback)

    def _or_no(self, callback: Callable) -> Callable:
        def change_state(request, response):
            try:
                return callback(request, response)
            except Exception as error:  # RCLError is no public name
                self.get_logger().error(f"no transition {request.transition.id} {request.transition.label}: {error}")
                response.success = False
                return response

        return change_state

    # --- helpers

    def steady_timer(self, period_s: float, callback: Callable, what: str):
        """A guarded timer of the steady clock: a simulated clock may stand still, go fast or not have begun."""
        return self.create_timer(period_s, self.guarded(callback, what), clock=self._steady)

    def now_ns(self) -> int:
        """The node's clock (simulated where use_sim_time is set) in nanoseconds."""
        return self.get_clock().now().nanoseconds

    def count(self, reason: str, number: int = 1, log: str = "warning") -> None:
        """Counts something left out and logs it, at most every few seconds a reason."""
        if not number:
            return
        # The newest reason stands last: it is the one that is told first.
        self.counts[reason] = self.counts.pop(reason, 0) + number
        now = time.monotonic()
        if now - self._logged.get(reason, -_LOG_EVERY_S) >= _LOG_EVERY_S:
            self._logged[reason] = now
            total = self.counts[reason]
            text = reason if total == number else f"{reason} ({total} times)"
            # rclpy raises where one line of code logs at two severities.
            if log == "error":
                self.get_logger().error(text)
            else:
                self.get_logger().warning(text)

    def guarded(self, callback: Callable, what: str) -> Callable:
        """`callback`, with whatever it raises logged and counted: a node never dies of one bad message."""

        def guard(*args):
            try:
                return callback(*args)
            except DsrError as error:
                self.count(f"{what}: {error}")
            except Exception as error:  # the last line of defence of a running robot
                self.count(f"{what}: unexpected {type(error).__name__}: {error}", log="error")
            return None

        return guard


def _named(error: Exception) -> str:
    """The message of one of our errors; that of any other with its type."""
    return str(error) if isinstance(error, DsrError) else f"{type(error).__name__}: {error}"


def use_image_transport() -> None:
    """Gives this process shared memory large enough for images, unless the user has set a profile; before rclpy.init.

    Fast DDS' default segment of 512 kB loses most best-effort images. Jazzy reads the first name, later distributions
    the second.
    """
    here = Path(__file__).resolve()
    for folder in (here.parents[1] / "config", Path(sys.prefix) / "share" / "dsr_ros" / "config"):
        profile = folder / "fastdds_images.xml"
        if profile.exists():
            os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(profile))
            os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(profile))
            return
    try:
        from ament_index_python.packages import get_package_share_directory

        profile = str(Path(get_package_share_directory("dsr_ros")) / "config" / "fastdds_images.xml")
    except (ImportError, LookupError, OSError):
        return
    os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", profile)
    os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", profile)


def run(node_class: type[DsrNode], args: list[str] | None = None, images: bool = False) -> int:
    """Runs a node until it is interrupted; returns the exit code."""
    if images:
        use_image_transport()
    rclpy.init(args=args)
    try:
        node = node_class()
    except DsrError as error:
        print(f"{node_class.__name__}: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    # Not the multi-threaded one: it halves the rate of images in Jazzy.
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.settings.autostart:
            done = TransitionCallbackReturn.SUCCESS
            if node.trigger_configure() != done or node.trigger_activate() != done:
                return 1
        _spin(node, executor)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # A second Ctrl-C (a terminal sends it to every process of the group) must not cut the tidying up short.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # The middleware has been seen to wait for ever for peers that ended at the same moment: show where, and end.
        faulthandler.dump_traceback_later(_TIDY_S, exit=True)
        node.stop()
        node.destroy_node()
        rclpy.try_shutdown()
        faulthandler.cancel_dump_traceback_later()
    return 0


def _spin(node: DsrNode, executor: SingleThreadedExecutor) -> None:
    """Spins until shutdown; what a callback of rclpy itself raises is logged and survived."""
    while True:
        try:
            executor.spin()
            return
        except ExternalShutdownException:
            raise
        except Exception as error:  # the last line of defence of a running robot
            node.count(f"executor: unexpected {type(error).__name__}: {error}", log="error")
            if not rclpy.ok():
                return
