"""The action `ask_long`: the question of `ask`, for what takes seconds. It can be cancelled and reports its stage.

A window that ends in the future is waited for: "does the cart come closer within the next five seconds?"; so is the
language model, where one reads the question, and the vision-language model, where one answers it. Nothing blocks:
waiting goals are looked at when a frame comes and ten times a second.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle

from dsr_core.errors import DsrError
from dsr_ros import convert
from dsr_ros.action import AskLong
from dsr_ros.questions import Begun, Questions, declined
from dsr_ros.readings import Reading
from dsr_ros.vlm_worker import Pending

_MOST_WAITING = 32
#: How far a question is at the model's stages.
_PROGRESS = {"waiting": 0.0, "encoding": 0.3, "answering": 0.6}


@dataclass
class _Waiting:
    goal: ServerGoalHandle
    begun: float
    until_s: float | None
    from_s: float
    reading: Reading | None = None
    reported: float = -1.0
    asked: Begun | None = None
    stage: str = ""


class AskLongServer:
    """Serves `ask_long` for a memory node.

    Args:
        node: The memory node.
        questions: Does the work.
    """

    def __init__(self, node, questions: Questions):
        self._node, self._questions = node, questions
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
        for waiting in self._waiting:
            if waiting.asked is not None:
                waiting.asked.withdraw()
        self._node.destroy_timer(self._timer)
        self._server.destroy()

    def _on_goal(self, request) -> GoalResponse:
        if len(self._waiting) >= _MOST_WAITING:
            self._node.count(f"ask_long: goals refused because {_MOST_WAITING} are waiting")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_accepted(self, goal: ServerGoalHandle) -> None:
        now_s = self._node.model.newest_s
        reading = self._questions.reading(goal.request)
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
            if waiting.asked is not None:
                waiting.asked.withdraw()
            return self._declined("TIMEOUT", "the goal was cancelled")
        if waiting.asked is not None:
            return self._of_model(waiting)
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
        # The time of waiting was allowed; it is the work itself that is timed from here.
        waiting.asked = self._questions.begin(goal.request, waiting.reading, long=True)
        return self._of_model(waiting)

    def _of_model(self, waiting: _Waiting) -> AskLong.Result | None:
        """The result, or None as long as the model works on it; its stages are reported."""
        asked, goal = waiting.asked, waiting.goal
        answer = asked.answer()
        if answer is None:
            if asked.stage != waiting.stage:
                waiting.stage = asked.stage
                self._report(goal, waiting.stage, _PROGRESS.get(waiting.stage, 0.0))
            return None
        self._questions.tally(answer)
        self._report(goal, "wording", 1.0)
        return AskLong.Result(success=answer.declined is None, answer=asked.message(answer))

    def _declined(self, code: str, message: str) -> AskLong.Result:
        answer = declined(code, message)
        return AskLong.Result(success=False, answer=self._questions.now(Pending(answer)).message(answer))

    def _report(self, goal: ServerGoalHandle, stage: str, progress: float) -> None:
        goal.publish_feedback(AskLong.Feedback(stage=stage, progress=float(progress)))

    def _execute(self, goal: ServerGoalHandle) -> AskLong.Result:
        """Hands the finished result over; the executor calls it right after `execute`."""
        if goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.succeed()
        return self._results.pop(bytes(goal.goal_id.uuid))
