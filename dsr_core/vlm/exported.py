"""An exported geometry module on ONNX Runtime, without torch: what runs beside a served or compiled language model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError
from dsr_core.vlm.values import VlmError


class ExportedGeometry:
    """Runs a file of `export.export_geometry`; inputs are padded to the sizes that it was exported with.

    Args:
        path: The .onnx file; `<path>.json` and `<path>.data` lie beside it.
        providers: Execution providers of ONNX Runtime, the best first.

    Raises:
        DependencyError: onnxruntime is not installed.
        VlmError: the file is not one of `export_geometry`.
    """

    def __init__(self, path: str | Path, providers: Sequence[str] = ("CPUExecutionProvider",)):
        try:
            import onnxruntime
        except ImportError as error:
            raise DependencyError(
                f"exported geometry runs on onnxruntime ({error}): pip install onnxruntime"
            ) from error
        path = Path(path)
        try:
            self.told = json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
            self._session = onnxruntime.InferenceSession(str(path), providers=list(providers))
        except Exception as error:  # onnxruntime raises types of its own
            raise VlmError(f"{path} cannot be run as exported geometry: {error}") from error

    def __call__(
        self,
        question: np.ndarray,
        features: Mapping[str, np.ndarray],
        labels: Mapping[str, Sequence[np.ndarray]] | None = None,
    ) -> np.ndarray:
        """Tokens to insert into the text of one question.

        Args:
            question: (L, H) embeddings of the question's words.
            features: Source -> (V, F). labels: Source -> V arrays (W, H) of embedded words, the first ones of each.

        Returns:
            (N, H) float32; of `concat` as many as there are tokens.

        Raises:
            VlmError: something is larger than what was exported.
        """
        told, labels = self.told, labels or {}
        feed, there = {}, []
        feed["question"], feed["question_mask"] = self._padded("question", question, told["question"], told["hidden"])
        for name, source in told["sources"].items():
            rows = np.asarray(features.get(name, np.zeros((0, source["features"]))))
            size = (told["batch"], source["tokens"], told["label_words"])
            padded, mask = self._padded(name, rows, source["tokens"], source["features"])
            words, said = np.zeros((*size, told["hidden"]), np.float32), np.zeros(size, bool)
            for row, label in enumerate(labels.get(name, ())):
                label = label[: told["label_words"]]
                words[0, row, : len(label)], said[0, row, : len(label)] = label, True
            feed |= {f"{name}_features": padded, f"{name}_mask": mask}
            feed |= {f"{name}_labels": words, f"{name}_label_mask": said}
            there.append(mask[0])
        tokens = self._session.run(["tokens"], feed)[0][0]
        return tokens if told["mode"] == "gsm" else tokens[np.concatenate(there)]

    def _padded(self, what: str, rows: np.ndarray, most: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        if rows.ndim != 2 or rows.shape[1] != width or len(rows) > most:
            raise VlmError(f"{what} of shape {rows.shape}; exported for at most ({most}, {width}): export it larger")
        padded = np.zeros((self.told["batch"], most, width), np.float32)
        mask = np.zeros(padded.shape[:2], bool)
        padded[0, : len(rows)], mask[0, : len(rows)] = rows, True
        return padded, mask
