"""Networks in TensorFlow Lite's format, run by LiteRT (`ai-edge-litert`) on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError, ModelError


class LiteRtNet:
    """One network with one input.

    Args:
        path: The .tflite file.
        outputs: Shapes of the outputs that it must have, in the order in which a call gives them.
        threads: CPU threads.

    Attributes:
        input_shape: Of the input, e.g. (1, 300, 300, 3).

    Raises:
        DependencyError: LiteRT is not installed.
        ModelError: the file is no network, or another one.
    """

    def __init__(self, path: str | Path, outputs: tuple[tuple[int, ...], ...], threads: int = 2):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise DependencyError(
                "the embedded detector is run by LiteRT: pip install 'dsr_ros[embedded]' (or ai-edge-litert)"
            ) from None
        try:
            self._net = Interpreter(model_path=str(path), num_threads=threads)
            self._net.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{path} is no network that LiteRT can run: {error}") from error
        (entry,) = self._net.get_input_details()
        self.input_shape = tuple(int(n) for n in entry["shape"])
        self._input = entry["index"]
        by_shape = {tuple(int(n) for n in d["shape"]): d["index"] for d in self._net.get_output_details()}
        if not set(outputs) <= set(by_shape):
            raise ModelError(f"{path} gives {sorted(by_shape)}, expected {sorted(outputs)}; is it another network?")
        self._outputs = [by_shape[shape] for shape in outputs]

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """The outputs (copies) for an image of the input's shape without its first axis, float32."""
        self._net.set_tensor(self._input, np.ascontiguousarray(image[None], np.float32))
        self._net.invoke()
        return [self._net.get_tensor(index) for index in self._outputs]
