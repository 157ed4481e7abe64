"""/diagnostics at 1 Hz: what came in, how old, what was left out, and one line that says why there is no answer."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from dsr_ros import qos

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Meter:
    """Rate and age of one kind of message.

    Args:
        now_ns: The steady clock that rates are measured by (a replayed clock may stand still).
        over_s: Time that the rate is averaged over.
    """

    def __init__(self, now_ns: Callable[[], int], over_s: float = 5.0):
        self._now_ns, self._over_ns = now_ns, round(over_s * 1e9)
        self._arrivals: deque[int] = deque(maxlen=1000)
        self.count = 0
        self._last_ns: int | None = None
        self.newest_ns: int | None = None

    def tick(self, stamp_ns: int) -> None:
        """Counts a message with that stamp."""
        self._last_ns = self._now_ns()
        self._arrivals.append(self._last_ns)
        self.count += 1
        self.newest_ns = stamp_ns

    def rate_hz(self) -> float:
        """Messages a second of the last seconds."""
        since = self._now_ns() - self._over_ns
        while self._arrivals and self._arrivals[0] < since:
            self._arrivals.popleft()
        if len(self._arrivals) < 2:
            return 0.0
        return (len(self._arrivals) - 1) / max((self._arrivals[-1] - self._arrivals[0]) * 1e-9, 1e-9)

    def silent_s(self) -> float | None:
        """Seconds since the last message came, None before the first."""
        return None if self._last_ns is None else (self._now_ns() - self._last_ns) * 1e-9

    def age_s(self, clock_ns: int) -> float | None:
        """Age of the newest stamp by the node's clock, None before the first."""
        return None if self.newest_ns is None else (clock_ns - self.newest_ns) * 1e-9


class Diagnostics:
    """Publishes a node's state once a second.

    Args:
        node: A DsrNode.
        status: Gives level, the one-line summary and the values.
        counts: Reason -> number of things left out; shown after the values.
    """

    def __init__(self, node, status: Callable[[], tuple[bytes, str, dict]], counts: Counter):
        self._node, self._status, self._counts = node, status, counts
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", qos.diagnostics())
        self._timer = node.steady_timer(1.0, self.publish, "diagnostics")

    def publish(self) -> None:
        """Sends the state now."""
        level, summary, values = self._status()
        name = self._node.get_fully_qualified_name().lstrip("/")
        state = DiagnosticStatus(level=level, name=name, message=summary, hardware_id="dsr_ros")
        state.values = [KeyValue(key=k, value=_text(v)) for k, v in {**values, **dict(self._counts)}.items()]
        out = DiagnosticArray(status=[state])
        out.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(out)

    def destroy(self) -> None:
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)


def _text(value) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
