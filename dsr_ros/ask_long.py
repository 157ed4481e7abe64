"""The action `ask_long`: the question of `ask`, for what takes seconds. It can be cancelled and reports its stage.

A window that ends in the future is waited for: "does the cart come closer within the next five seconds?"; so is the
language model, where one reads the question. Nothing blocks: waiting goals are looked at when a frame comes and ten
times a second.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle

from dsr_core.errors import DsrError
from dsr_ros import convert
from dsr_ros.action import AskLong
from dsr_ros.readings import Reading

_MOST_WAITING = 32


@dataclass
class _Waiting:
    goal: ServerGoalHandle
    begun: float
    until_s: float | None
    from_s: float
    reading: Reading | None = None
    reported: float = -1.0


class AskLongServer:
    """Serves `ask_long` for a memory node.

    Args:
        node: The memory node; its `answer(request)` does the work.
    """

    def __init__(self, node):
        self._node = node
        self._waiting: list[_Waiting] = []
        self._results: dict[bytes, AskLong.Result] = {}
        self._server = ActionServer(
            node,
            AskLong,
            "ask_long",
            execute_callback=self._execute,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )
        self._timer = node.steady_timer(0.1, self.advance, "ask_long")

    def destroy(self) -> None:
        self._node.destroy_timer(self._timer)
        self._server.destroy()

    def _on_goal(self, request) -> GoalResponse:
        if len(self._waiting) >= _MOST_WAITING:
            self._node.count(f"ask_long: goals refused because {_MOST_WAITING} are waiting")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_accepted(self, goal: ServerGoalHandle) -> None:
        now_s = self._node.model.newest_s
        reading = self._node.reading(goal.request)
        self._waiting.append(_Waiting(goal, time.monotonic(), self._window_end(goal.request), now_s, reading))
        self._report(goal, "understanding", 0.0)
        self.advance()

    def _window_end(self, request) -> float | None:
        """Second at which the asked window ends; None where none was asked (a malformed one: `answer` tells)."""
        model = self._node.model
        try:
            given = convert.question_from_request(request, model.origin_ns or 0, model.newest_s)
            window = given["question"].get("window") if isinstance(given["question"], dict) else given["window"]
            return None if window is None else float(window[1])
        except (DsrError, TypeError, ValueError, IndexError, KeyError):
            return None

    def advance(self) -> None:
        """Finishes the goals that are cancelled, due or out of time, and reports the progress of the others."""
        for waiting in list(self._waiting):
            result = self._result(waiting)
            if result is not None:
                self._waiting.remove(waiting)
                self._results[bytes(waiting.goal.goal_id.uuid)] = result
                waiting.goal.execute()

    def _result(self, waiting: _Waiting) -> AskLong.Result | None:
        node, goal, until_s = self._node, waiting.goal, waiting.until_s
        if goal.is_cancel_requested:
            return self._declined("TIMEOUT", "the goal was cancelled")
        newest_s = node.model.newest_s
        most_s = convert.from_time(goal.request.timeout) * 1e-9 or node.settings.ask_long_timeout_s
        unread = waiting.reading is not None and not waiting.reading.done
        if unread and time.monotonic() - waiting.begun < most_s:
            return None
        if not unread and until_s is not None and newest_s < until_s:
            if time.monotonic() - waiting.begun < most_s:
                if newest_s != waiting.reported:
                    waiting.reported = newest_s
                    span_s = max(until_s - waiting.from_s, 1e-9)
                    self._report(goal, "measuring", min(max((newest_s - waiting.from_s) / span_s, 0.0), 1.0))
                return None
            return self._declined(
                "TIMEOUT",
                f"the window ends at {until_s:.3f} s, but after {most_s:.1f} s of waiting the newest data is of"
                f" {newest_s:.3f} s",
            )
        request = goal.request
        # The time of waiting was allowed; it is the work itself that `answer` times.
        answer = node.answer(request, waiting.reading)
        self._report(goal, "wording", 1.0)
        return AskLong.Result(success=answer.declined is None, answer=node.to_message(answer))

    def _declined(self, code: str, message: str) -> AskLong.Result:
        from dsr_ros.memory import declined

        return AskLong.Result(success=False, answer=self._node.to_message(declined(code, message)))

    def _report(self, goal: ServerGoalHandle, stage: str, progress: float) -> None:
        goal.publish_feedback(AskLong.Feedback(stage=stage, progress=float(progress)))

    def _execute(self, goal: ServerGoalHandle) -> AskLong.Result:
        """Hands the finished result over; the executor calls it right after `execute`."""
        if goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.succeed()
        return self._results.pop(bytes(goal.goal_id.uuid))
