"""A node that is spun by a thread of its own, for clients that wait on futures and events.

`rclpy.spin_until_future_complete` would cost 10 ms a call in Jazzy.
"""

from __future__ import annotations

import threading

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


class Spinner:
    """Spins `node` until `close`.

    Args:
        node: Node to spin; `close` destroys it.
        context: Its context; None is the default one.
    """

    def __init__(self, node: Node, context: Context | None = None):
        self._node = node
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def close(self) -> None:
        """Stops the thread and destroys the node."""
        self._executor.shutdown(2.0)
        self._thread.join(5.0)
        self._node.destroy_node()
