"""A planner's view of `/dsr/ask`: stop while anything named comes closer, drive on when it does not.

ros2 launch dsr_ros dsr.launch.py                  (or python -m dsr_ros.launch_runner launch/dsr.launch.py)
python examples/planner_node.py forklift person
"""

import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from dsr_ros.srv import Ask


class Planner(Node):
    """Asks once a second about each name and logs what it decides."""

    def __init__(self, names: list[str]):
        super().__init__("planner")
        self.names = names
        self.client = self.create_client(Ask, "/dsr/ask")
        self.create_timer(1.0, self.ask)

    def ask(self) -> None:
        if not self.client.service_is_ready():
            self.get_logger().warning("no /dsr/ask yet")
            return
        for name in self.names:
            request = Ask.Request(question=f"is the {name} getting closer to me?")
            self.client.call_async(request).add_done_callback(
                lambda future, name=name: self.decide(name, future.result())
            )

    def decide(self, name: str, response: Ask.Response) -> None:
        answer = response.answer
        if not response.success:
            # A decline says why; a careful planner treats "cannot tell" as a reason to slow down, not to go on.
            self.get_logger().info(f"{name}: {answer.declined_code}: {answer.declined_message}")
        elif answer.states[-1].label == "decreasing" and answer.object_motion == "moving" and answer.confidence > 0.9:
            self.get_logger().warning(f"{name}: stop, {answer.answer}")
        else:
            self.get_logger().info(f"{name}: drive on, {answer.answer}")


def main() -> None:
    rclpy.init()
    node = Planner(sys.argv[1:] or ["person"])
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
