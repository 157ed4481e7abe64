"""A language model as a blind attacker: how likely it finds each option after the question, without any training."""

from __future__ import annotations

from collections.abc import Sequence

from dsr_core.errors import DependencyError, ModelError
from dsr_core.qa.audit.records import Record


class LanguageModel:
    """Scores options by their log-likelihood a token; call it with a `Record`.

    Args:
        name: Name or folder of a causal language model of transformers.
        calibrated: Take off what the option is worth without the question, so that common words win nothing.

    Raises:
        DependencyError: torch or transformers is missing.
        ModelError: the model cannot be loaded.
    """

    def __init__(self, name: str, calibrated: bool = False):
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise DependencyError(
                "a language model needs torch and transformers: pip install 'dsr_ros[vlm]'"
            ) from error
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(name)
            self._model = AutoModelForCausalLM.from_pretrained(name).eval()
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"no language model {name!r}: {error}; give a folder or a name of a causal model"
            ) from error
        self._torch, self._calibrated = torch, calibrated

    def __call__(self, record: Record) -> Sequence[float]:
        """(options,) mean log-likelihood of each option's tokens."""
        listed = "\n".join(f"- {option}" for option in record.options)
        told = self._scores(f"Question: {record.question}\nPossible answers:\n{listed}\nAnswer:", record.options)
        if not self._calibrated:
            return told
        bare = self._scores(f"Possible answers:\n{listed}\nAnswer:", record.options)
        return [a - b for a, b in zip(told, bare, strict=True)]

    def _scores(self, prompt: str, options: Sequence[str]) -> list[float]:
        torch = self._torch
        scores = []
        start = self._tokenizer(prompt, return_tensors="pt").input_ids
        for option in options:
            end = self._tokenizer(f" {option}", return_tensors="pt", add_special_tokens=False).input_ids
            with torch.inference_mode():
                logits = self._model(torch.cat([start, end], dim=1)).logits[0, start.shape[1] - 1 : -1]
            likely = torch.log_softmax(logits.float(), dim=-1).gather(1, end[0][:, None])
            scores.append(float(likely.mean()))
        return scores
