"""Asks a running memory node: one call for the command line, a reusable client for planners.

A request that met a dying server is never answered, so every wait has an end and the request is sent again; asking
changes nothing, so asking twice does no harm.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence

import rclpy
from rclpy.context import Context

from dsr_core.errors import DsrError
from dsr_core.reasoning.answer import Answer, Declined
from dsr_ros import convert
from dsr_ros.spinner import Spinner
from dsr_ros.srv import Ask

_RESEND_S = 2.0
#: What a decline needs to come in time.
_WAY_S = 0.5


class AskError(DsrError):
    """The service was not there, or did not answer in time."""


class AskClient:
    """A client of one `ask` service with its own executor thread; use it as a context manager.

    Args:
        service: Name, e.g. "/dsr/ask".
        context: rclpy context; None makes one (and ends it).
    """

    def __init__(self, service: str = "/dsr/ask", context: Context | None = None):
        self.service = service
        self._own_context = context is None
        if context is None:
            context = Context()
            rclpy.init(context=context)
        self._context = context
        self._node = rclpy.create_node(f"dsr_ask_{os.getpid()}", context=context, start_parameter_services=False)
        self._client = self._node.create_client(Ask, service)
        self._spinner = Spinner(self._node, context)

    def __enter__(self) -> AskClient:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Ends the client."""
        self._spinner.close()
        if self._own_context:
            rclpy.try_shutdown(context=self._context)

    def ask(
        self,
        question: str = "",
        *,
        query: dict | str | None = None,
        choices: Sequence[str] = (),
        viewpoint: str = "",
        start_ns: int = 0,
        end_ns: int = 0,
        backend: str = "",
        rules: str = "",
        timeout_s: float = 10.0,
    ) -> Ask.Response:
        """Asks and waits.

        Args:
            question: English.
            query: A query (its JSON form or JSON text) in place of the question.
            choices: Options of a multiple-choice question.
            viewpoint: Whose eyes.
            start_ns, end_ns: Window in ROS time, nanoseconds; 0, 0 for none.
            backend, rules: As for `dsr_core.ask`; "" for the default.
            timeout_s: Longest wait, discovery of the service included.

        Raises:
            AskError: no such service, or no response in time.
        """
        request = Ask.Request(
            question=question,
            query_json=query if isinstance(query, str) else "" if query is None else json.dumps(query),
            choices=list(choices),
            viewpoint=viewpoint,
            start=convert.to_time(start_ns),
            end=convert.to_time(end_ns),
            backend=backend,
            rules=rules,
        )
        if backend == "vlm":  # a model shall not go on with what nobody waits for any more
            request.timeout = convert.to_duration(max(timeout_s - _WAY_S, 0.5 * timeout_s))
        return self.call(request, timeout_s)

    def call(self, request: Ask.Request, timeout_s: float = 10.0) -> Ask.Response:
        """Sends a request and waits; see `ask`."""
        end = time.monotonic() + timeout_s
        if not self._client.wait_for_service(timeout_s):
            raise AskError(
                f"no service {self.service} after {timeout_s:g} s; is the memory node running and active? (dsr doctor)"
            )
        while (left := end - time.monotonic()) > 0:
            future, done = self._client.call_async(request), threading.Event()
            future.add_done_callback(lambda _, done=done: done.set())
            if done.wait(min(left, _RESEND_S)):
                return future.result()
            self._client.remove_pending_request(future)
        raise AskError(f"{self.service} did not answer within {timeout_s:g} s")


def ask_service(service: str, question: str = "", **fields) -> dict:
    """Asks a running node; returns the answer's JSON form, a TIMEOUT decline where there is no response.

    Args:
        service: Name, e.g. "/dsr/ask".
        question: English.
        **fields: As for `AskClient.ask`.
    """
    with AskClient(service) as client:
        try:
            return json.loads(client.ask(question, **fields).answer.json)
        except AskError as error:
            return Answer(answer=f"No answer: {error}.", declined=Declined("TIMEOUT", str(error))).to_dict()
