"""Open-vocabulary detection by GroundingDINO or MM-GroundingDINO (transformers): things called by name.

Liu et al., "Grounding DINO" (ECCV 2024); Zhao et al., "An Open and Comprehensive Pipeline for Unified Object Grounding
and Detection" (2024). Each name is a phrase of the prompt, and a box scores for a phrase what its tokens score on
average, so that every box carries one of the names that were asked for (the network's own decoding may return parts of
names). Names that do not fit into one prompt are asked for in several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsr_core.errors import ModelError
from dsr_core.perception import networks
from dsr_core.perception.boxes import suppress
from dsr_core.values import Detection

DEFAULT = "IDEA-Research/grounding-dino-tiny"


@dataclass(frozen=True)
class GroundingDinoConfig:
    """Constants of the detection.

    Attributes:
        box_threshold: Least score of a box for a name.
        max_iou: Of boxes that overlap more, whatever their names, the best is kept.
        shortest_px: The image's shorter side as the network sees it.
        longest_px: Most pixels of its longer side.
    """

    box_threshold: float = 0.35
    max_iou: float = 0.6
    shortest_px: int = 800
    longest_px: int = 1333

    def __post_init__(self):
        if not (0 <= self.box_threshold < 1 and 0 < self.max_iou <= 1):
            raise ModelError(f"{self}: box_threshold must be in [0, 1) and max_iou in (0, 1]")
        if not 0 < self.shortest_px <= self.longest_px:
            raise ModelError(f"{self}: 0 < shortest_px <= longest_px is needed")


@dataclass(frozen=True)
class Prompt:
    """One text for the network.

    Attributes:
        input_ids: Token ids.
        names: The names in it.
        spans: First token of each name and the one after its last.
    """

    input_ids: tuple[int, ...]
    names: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]


class GroundingDino:
    """Detector of whatever is named.

    Args:
        model: GroundingDinoForObjectDetection or MMGroundingDinoForObjectDetection.
        tokenizer: Its tokenizer.
        names: What to look for, as in "forklift".
        config: Constants.
        device: Where to run, the GPU if there is one by default.

    Raises:
        ModelError: no name is given, or one cannot be read by the tokenizer.
    """

    def __init__(self, model, tokenizer, names: Sequence[str], config=GroundingDinoConfig(), device=None):
        self.device = networks.choose_device(device)
        self.model = model.to(self.device).eval()
        self.tokenizer, self.config = tokenizer, config
        self.prompts = write_prompts(tokenizer, names, min(model.config.max_text_len, 256))

    @classmethod
    def from_pretrained(
        cls, names: Sequence[str], source: str | Path = DEFAULT, config=GroundingDinoConfig(), device=None
    ) -> GroundingDino:
        """Loads a folder, or a hub id out of the hub's cache.

        Raises:
            DependencyError: torch or transformers is missing.
            ModelError: the weights are missing; the message says which command gets them, and their licence.
        """
        transformers = networks.import_transformers()
        model = networks.load_pretrained(transformers.AutoModelForZeroShotObjectDetection, source)
        tokenizer = networks.load_pretrained(transformers.AutoTokenizer, source)
        return cls(model, tokenizer, names, config, device)

    def save(self, folder: str | Path) -> None:
        """Writes weights and tokenizer into a folder that `from_pretrained` reads."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def prepare(self, rgb: np.ndarray):
        """An image (H, W, 3) uint8 as the network's input (1, 3, h, w) float32."""
        rgb = networks.check_image(rgb)
        size = networks.size_within(*rgb.shape[:2], self.config.shortest_px, self.config.longest_px)
        return networks.normalise(networks.resize_image(rgb, size).to(self.device))

    def detect(self, rgb: np.ndarray) -> tuple[Detection, ...]:
        """Things in an image (H, W, 3) uint8 that are called by one of the names, the surest first.

        Raises:
            GeometryError: `rgb` is no such image.
        """
        pixels = self.prepare(rgb)
        boxes, scores, labels = [], [], []
        for prompt in self.prompts:
            prompt_boxes, per_name = self._ask(pixels, prompt)
            best = per_name.argmax(axis=1)
            boxes.append(prompt_boxes)
            scores.append(per_name[np.arange(len(best)), best])
            labels.extend(prompt.names[i] for i in best)
        height, width = rgb.shape[:2]
        boxes_px = np.concatenate(boxes) * [width, height, width, height]
        score = np.concatenate(scores)
        sure = np.flatnonzero(score > self.config.box_threshold)
        kept = sure[suppress(boxes_px[sure], score[sure], self.config.max_iou)]
        return tuple(Detection(label=labels[i], score=float(score[i]), box_px=boxes_px[i]) for i in kept)

    def _ask(self, pixels, prompt: Prompt) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (Q, 4) in parts of the image, clipped to it, and scores (Q, N) of the prompt's names."""
        torch = networks.import_torch()
        ids = torch.tensor([prompt.input_ids], device=self.device)
        with torch.inference_mode():
            out = self.model(
                pixel_values=pixels.to(self.model.dtype),
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                token_type_ids=torch.zeros_like(ids),
            )
        tokens = out.logits[0].float().sigmoid().cpu().numpy()
        centre, size = np.split(out.pred_boxes[0].float().cpu().numpy().astype(float), 2, axis=1)
        corners = np.clip(np.concatenate([centre - size / 2, centre + size / 2], axis=1), 0.0, 1.0)
        return corners, np.stack([tokens[:, a:b].mean(axis=1) for a, b in prompt.spans], axis=1)


def write_prompts(tokenizer, names: Sequence[str], max_tokens: int) -> tuple[Prompt, ...]:
    """Texts "name. name. name." of at most `max_tokens` tokens each, with where each name stands.

    Raises:
        ModelError: there is no name, or one is empty, too long, or holds a full stop.
    """
    if not names:
        raise ModelError("an open-vocabulary detector needs names of what to look for, as in ['person', 'forklift']")
    start, end, stop = (tokenizer.convert_tokens_to_ids(t) for t in ("[CLS]", "[SEP]", "."))
    prompts, ids, written, spans = [], [start], [], []
    for name in dict.fromkeys(names):
        tokens = tokenizer(name.strip().lower(), add_special_tokens=False)["input_ids"]
        if not tokens or stop in tokens or len(tokens) + 3 > max_tokens:
            raise ModelError(
                f"cannot look for {name!r}: a name has words, no full stop, and fits in {max_tokens} tokens"
            )
        if len(ids) + len(tokens) + 2 > max_tokens:
            prompts.append(Prompt((*ids, end), tuple(written), tuple(spans)))
            ids, written, spans = [start], [], []
        spans.append((len(ids), len(ids) + len(tokens)))
        written.append(name)
        ids += [*tokens, stop]
    prompts.append(Prompt((*ids, end), tuple(written), tuple(spans)))
    return tuple(prompts)
