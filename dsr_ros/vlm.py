"""The vision-language model of a memory node: its parameters, its thread, its pictures, and questions put to it."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import time
from collections.abc import Callable, Hashable

import dsr_core
from dsr_core.answerers import Answerer, wanted
from dsr_core.reasoning.answer import Answer
from dsr_ros import parameters
from dsr_ros.vlm_frames import VlmFrames
from dsr_ros.vlm_worker import Pending, VlmWorker


class Vlm:
    """Made when the node is configured; without the parameter `vlm.model` it does nothing and loads nothing.

    Args:
        node: The memory node.
        on_change: Called from the model's thread when there is news.

    Raises:
        ParameterError: a parameter cannot be used.
    """

    def __init__(self, node, on_change: Callable[[], None]):
        self._node = node
        self.settings = parameters.read(node, parameters.VLM, "vlm.")
        s = self.settings
        self.pictures: VlmFrames | None = None
        self.worker: VlmWorker | None = None
        if not s.model.strip():
            return
        if s.frames:
            if not s.image_topic.strip():
                raise parameters.ParameterError(f"vlm.image_topic is empty, and vlm.frames = {s.frames} needs it")
            self.pictures = VlmFrames(node, s.image_topic, s.frames, s.memory_s, s.max_pixels)
        node.get_logger().info(f"loading the model {s.model}")
        # Not in the worker's thread: scipy asks a torch that is half imported for its Tensor, and the callback fails.
        with contextlib.suppress(ImportError):  # the worker meets it too, and says what to install
            importlib.import_module("dsr_core.vlm.model")
        self.worker = VlmWorker(s.model, self._load, s.queue, on_change)

    @property
    def enabled(self) -> bool:
        """Whether a model is asked for."""
        return self.worker is not None

    @property
    def failed(self) -> str:
        """Why the model cannot be used, or ""; "" as long as it is being loaded."""
        return self.worker.unavailable() if self.enabled and self.worker.failed else ""

    def start(self) -> None:
        """Subscribes pictures where the model is shown some."""
        if self.pictures is not None:
            self.pictures.subscribe()

    def stop(self) -> None:
        """Ends what `start` began, and all questions."""
        if self.pictures is not None:
            self.pictures.unsubscribe()
        if self.worker is not None:
            self.worker.withdraw_all()

    def close(self) -> None:
        """Drops the model."""
        if self.worker is not None and not self.worker.stop():
            self._node.get_logger().warning("the model is still at work; it ends after its layer")
        gc.collect()  # a model takes gigabytes

    def clear(self) -> None:
        """Forgets the pictures: the memory was cleared."""
        if self.pictures is not None:
            self.pictures.frames.clear()

    def pending(
        self, geometry: Answer | None, given: dict, origin_ns: int, most_s: float, key: Hashable = None
    ) -> Pending:
        """Puts a question to the model where it is wanted.

        Args:
            geometry: What the geometry says; None: the model alone is asked.
            given: Arguments of `dsr_core.ask`, with the question as a text.
            origin_ns: Time of second 0.
            most_s: How long the model may take, from now.
            key: See `VlmWorker.ask`.
        """
        if not self.enabled:
            return Pending(dsr_core.ask(**given | {"backend": "vlm"}) if geometry is None else geometry)
        if geometry is not None and not wanted(geometry, self.settings.second_opinion):
            return Pending(geometry)
        pictures = self.pictures

        def clip(window):
            return None if pictures is None else pictures.frames.clip(origin_ns, window)

        def job(answerer: Answerer, check, report) -> Answer:
            return dsr_core.ask(**given | {"backend": "vlm"}, answerer=answerer.given(clip, check, report))

        return Pending(geometry, self.worker.ask(job, time.monotonic() + most_s, key))

    def status(self) -> dict[str, object]:
        """What /diagnostics shows."""
        if not self.enabled:
            return {}
        return self.worker.status() | ({} if self.pictures is None else self.pictures.status())

    def _load(self):
        """In the worker's thread: the model, with its first question answered."""
        from dsr_core.vlm.answering import AnsweringConfig, VlmAnswerer

        s, log, begun = self.settings, self._node.get_logger(), time.monotonic()
        try:
            threads = s.threads or max((os.cpu_count() or 1) // 2, 1)
            config = AnsweringConfig(memory_s=s.memory_s, min_confidence=s.min_confidence, threads=threads)
            dtype = None if s.dtype == "auto" else s.dtype
            answerer = VlmAnswerer.load(s.model.strip(), s.device or None, dtype, config)
            answerer.warm_up(s.frames, s.max_pixels)
        except Exception as error:
            log.error(f"the model {s.model} cannot be used: {error}")
            raise
        log.info(f"the model {s.model} is ready after {time.monotonic() - begun:.1f} s")
        return answerer
