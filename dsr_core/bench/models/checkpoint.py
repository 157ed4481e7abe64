"""A vision-language checkpoint of transformers: a folder, or one that is in the hub's cache. Nothing is downloaded.

Qwen-VL models get the frames as a video, prepared by `qwen_video` (no torchvision); others get them as pictures through
their own processor.
"""

from __future__ import annotations

import inspect
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from dsr_core.bench.models.base import Decoding, Model, ModelStopped, NoReply, Request, Said
from dsr_core.bench.row import BenchError
from dsr_core.errors import DependencyError
from dsr_core.vlm import qwen_video

_INSTALL = "install it: pip install torch 'transformers>=4.57' (extra dsr_ros[vlm])"


class CheckpointModel(Model):
    """Answers by generating text, several rows at once.

    Args:
        path: Folder of the checkpoint, or its name in the hub ("Qwen/Qwen2.5-VL-7B-Instruct").
        batch_size: Rows at once.
        device: "cuda", "cpu", …; None takes the accelerator where there is one.
        seed: Of drawing words, where the temperature is not 0.

    Raises:
        BenchError: there is no such checkpoint here; the message names the command that fetches it.
        DependencyError: torch or transformers is missing.
    """

    #: While one batch is answered, the frames of the next are decoded.
    workers = 2

    def __init__(self, path: str, batch_size: int = 1, device: str | None = None, seed: int = 0):
        if batch_size < 1:
            raise BenchError(f"batch size {batch_size} must be at least 1")
        try:
            import torch
            from transformers import AutoConfig, AutoModelForImageTextToText
        except ImportError as error:
            raise DependencyError(f"a checkpoint needs torch and transformers ({error}); {_INSTALL}") from None
        self.path, self.batch_size, self.seed = str(path), batch_size, seed
        self.name = Path(self.path).name if Path(self.path).is_dir() else self.path
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = torch.float32 if self.device == "cpu" else torch.bfloat16
        config = self._load(AutoConfig)
        here = {"local_files_only": True}  # else transformers asks the network for LoRA of that name
        model = self._load(AutoModelForImageTextToText, dtype=self._dtype, adapter_kwargs=here)
        self._model = model.to(self.device).eval()
        self._type = config.model_type
        self._prepare = self._qwen(config) if self._type in qwen_video.TYPES else self._others()
        self._one_at_a_time, self._began_s, self._tokens = threading.Lock(), time.monotonic(), 0

    def settings(self) -> dict:
        return {
            "kind": "checkpoint",
            "name": self.name,
            "path": self.path,
            "model_type": self._type,
            "revision": getattr(self._model.config, "_commit_hash", None),
            "parameters": sum(p.numel() for p in self._model.parameters()),
            "dtype": str(self._dtype).removeprefix("torch."),
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def spent(self) -> str:
        return f"{self._tokens} tokens written, {time.monotonic() - self._began_s:.0f} s"

    def replies(self, requests: Sequence[Request], decoding: Decoding) -> list[Said | NoReply]:
        import torch

        with self._one_at_a_time, torch.inference_mode():
            begun = time.monotonic()
            inputs = {name: value.to(self.device) for name, value in self._prepare(requests).items()}
            for name, value in inputs.items():
                if value.is_floating_point() and name.startswith("pixel"):
                    inputs[name] = value.to(self._dtype)
            draws = decoding.temperature > 0
            chosen = {"do_sample": draws, "temperature": decoding.temperature if draws else None}
            if draws:
                torch.manual_seed(self.seed)
            else:
                chosen |= {"top_p": None, "top_k": None}
            try:
                ids = self._model.generate(**inputs, **chosen, max_new_tokens=decoding.max_tokens)
            except torch.OutOfMemoryError:
                raise ModelStopped(
                    f"{self.device} has too little memory for {len(requests)} rows of {len(requests[0].frames)} frames"
                    " at once; give a smaller --batch-size, or fewer --frames"
                ) from None
            written = ids[:, inputs["input_ids"].shape[1] :]
            texts = self._tokenizer.batch_decode(written, skip_special_tokens=True)
            counts = [int((row != self._tokenizer.pad_token_id).sum()) for row in written]
            self._tokens += sum(counts)
            took_s = round((time.monotonic() - begun) / len(requests), 3)
        return [
            Said(text.strip(), {"took_s": took_s, "completion_tokens": count})
            for text, count in zip(texts, counts, strict=True)
        ]

    # --- what a model takes

    def _qwen(self, config):
        from transformers import AutoTokenizer

        self._tokenizer = self._load(AutoTokenizer)
        self._tokenizer.padding_side = "left"
        video = qwen_video.QwenVideo.of(config, qwen_video.config_files(self._file))
        video_id, takes = config.video_token_id, inspect.signature(self._model.forward).parameters

        def prepare(requests: Sequence[Request]) -> dict:
            import torch

            texts, values, grids, seconds = [], [], [], []
            for request in requests:
                text = self._tokenizer.apply_chat_template(
                    _chat(request, [{"type": "video"}] if len(request.frames) else []),
                    tokenize=False,
                    add_generation_prompt=True,
                )
                if len(request.frames):
                    value, grid = video.patches(request.frames)
                    text = video.expanded(text, grid[0].tolist(), request.times_s)
                    values.append(value)
                    grids.append(grid)
                    seconds.append(video.seconds_a_grid(request.times_s))
                texts.append(text)
            out = dict(self._tokenizer(texts, return_tensors="pt", padding=True))
            out.pop("token_type_ids", None)
            if values:
                out |= {"pixel_values_videos": torch.cat(values), "video_grid_thw": torch.cat(grids)}
                if "mm_token_type_ids" in takes:  # transformers 5: which tokens are of a video
                    out["mm_token_type_ids"] = 2 * (out["input_ids"] == video_id).int()
                if self._type == "qwen2_5_vl":
                    out["second_per_grid_ts"] = torch.tensor(seconds)
            return out

        return prepare

    def _others(self):
        from transformers import AutoProcessor

        processor = self._load(AutoProcessor)
        self._tokenizer = processor.tokenizer
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

        def prepare(requests: Sequence[Request]) -> dict:
            from PIL import Image

            texts, pictures = [], []
            for request in requests:
                parts = [{"type": "image"}] * len(request.frames)
                texts.append(processor.apply_chat_template(_chat(request, parts), add_generation_prompt=True))
                pictures.append([Image.fromarray(frame) for frame in request.frames])
            images = pictures if any(pictures) else None
            return dict(processor(text=texts, images=images, return_tensors="pt", padding=True))

        return prepare

    # --- files

    def _load(self, what, **options):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        try:
            return what.from_pretrained(self.path, local_files_only=True, **options)
        except (OSError, ValueError, ImportError, AttributeError) as error:
            said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            if isinstance(error, ImportError) or "torchvision" in str(error):
                raise DependencyError(f"{self.path} needs more than is installed: {said}") from error
            if Path(self.path).is_dir():
                raise BenchError(f"{self.path} is no checkpoint that transformers reads: {said}") from error
            raise BenchError(
                f"{self.path} is neither a folder nor in the cache of the hub; fetch it first: hf download {self.path}"
                f" ({said})"
            ) from error

    def _file(self, name: str) -> Path | None:
        if Path(self.path).is_dir():
            path = Path(self.path) / name
            return path if path.is_file() else None
        from transformers.utils import cached_file

        found = cached_file(self.path, name, local_files_only=True, _raise_exceptions_for_missing_entries=False)
        return None if found is None else Path(found)


def _chat(request: Request, parts: list[dict]) -> list[dict]:
    """The conversation of a row: system, then what stands before the frames, the frames, and what stands after them."""
    message = request.message
    before = [{"type": "text", "text": message.before}] if message.before else []
    user = {"role": "user", "content": [*before, *parts, {"type": "text", "text": message.after}]}
    system = [{"role": "system", "content": [{"type": "text", "text": message.system}]}] if message.system else []
    return [*system, user]
