"""SAM 3 in streaming mode (transformers): masks with identities of whatever is named, with no detector beside it.

Carion et al., "SAM 3: Segment Anything with Concepts" (2025). The network finds and follows in one; each name is a
prompt of its own. What it no longer reads is dropped here, and so is a thing that was not seen for long, so that memory
does not grow with time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsr_core.errors import GeometryError, ModelError
from dsr_core.perception import networks
from dsr_core.perception.boxes import mask_box
from dsr_core.perception.segment.identities import duplicates
from dsr_core.values import Detection

DEFAULT = "facebook/sam3"

#: Mean and deviation of 0..1 that SAM 3 was trained with, and the length to which a name is padded.
_MEAN = _STD = (0.5, 0.5, 0.5)
_TEXT_TOKENS = 32


@dataclass(frozen=True)
class Sam3Config:
    """Constants of the segmentation.

    Attributes:
        min_score: Least score of a thing.
        max_lost_frames: A thing that was not seen for longer is forgotten.
        max_same_masks: Of two masks whose intersection over union exceeds this, the younger is left out.
        max_prompts: Images with a thing's own mask prompt that are kept in its memory: the first and the newest.
    """

    min_score: float = 0.5
    max_lost_frames: int = 150
    max_same_masks: float = 0.8
    max_prompts: int = 4

    def __post_init__(self):
        if not (0 <= self.min_score < 1 and 0 < self.max_same_masks <= 1):
            raise ModelError(f"{self}: min_score must be in [0, 1) and max_same_masks in (0, 1]")
        if self.max_lost_frames < 1 or self.max_prompts < 1:
            raise ModelError(f"{self}: max_lost_frames and max_prompts must be positive")


class Sam3VideoSegmenter:
    """Follows whatever is named.

    Args:
        model: Sam3VideoModel.
        tokenizer: Its tokenizer.
        names: What to look for, as in "forklift".
        config: Constants.
        device: Where to run, the GPU if there is one by default.

    Raises:
        ModelError: no name is given.
    """

    def __init__(self, model, tokenizer, names: Sequence[str], config=Sam3Config(), device: str | None = None):
        self.names = tuple(dict.fromkeys(n.strip() for n in names))
        if not self.names or not all(self.names):
            raise ModelError(f"SAM 3 needs names of what to look for, as in ['person', 'forklift'], not {list(names)}")
        self.device = networks.choose_device(device)
        self.model = model.to(self.device).eval()
        self.tokenizer, self.config = tokenizer, config
        tracker = model.config.tracker_config
        self._reads_back = max(tracker.num_maskmem, tracker.max_object_pointers_in_encoder)
        self._next_id = 1
        self.reset()

    @classmethod
    def from_pretrained(
        cls,
        names: Sequence[str],
        source: str | Path = DEFAULT,
        config=Sam3Config(),
        device: str | None = None,
        dtype: str = "float32",
    ) -> Sam3VideoSegmenter:
        """Loads a folder, or a hub id out of the hub's cache; `dtype` "bfloat16" halves the time on a GPU.

        Raises:
            DependencyError: torch or transformers is missing.
            ModelError: the weights are missing; the message says which command gets them, and their licence.
        """
        transformers = networks.import_transformers()
        model = networks.load_pretrained(transformers.Sam3VideoModel, source, dtype=networks.choose_dtype(dtype))
        return cls(model, networks.load_pretrained(transformers.AutoTokenizer, source), names, config, device)

    def save(self, folder: str | Path) -> None:
        """Writes weights and tokenizer into a folder that `from_pretrained` reads."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def reset(self) -> None:
        """Forgets what was followed: the next image begins a new video. Identities go on counting."""
        self._session = None
        self._index = -1
        self._ids: dict[int, str] = {}
        self._seen: dict[int, int] = {}

    def prepare(self, rgb: np.ndarray):
        """An image (H, W, 3) uint8 as the network's input (1, 3, S, S)."""
        side = self.model.config.detector_config.vision_config.backbone_config.image_size
        pixels = networks.resize_image(rgb, (side, side)).to(self.device)
        return networks.normalise(pixels, _MEAN, _STD).to(self.model.dtype)

    def step(self, rgb: np.ndarray) -> tuple[Detection, ...]:
        """Things in the next image (H, W, 3) uint8, with masks, boxes and `id`, the oldest first.

        Raises:
            GeometryError: `rgb` is no such image, or its size is not that of the images before (call `reset` first).
        """
        rgb = networks.check_image(rgb)
        height, width = rgb.shape[:2]
        if self._session is None:
            self._session = self._new_session(height, width)
        session = self._session
        if (session.video_height, session.video_width) != (height, width):
            raise GeometryError(
                f"image of {(height, width)} after images of {(session.video_height, session.video_width)}"
                " (height, width): call reset() first"
            )
        self._index += 1
        if session.processed_frames is not None:
            session.processed_frames.clear()
        out = self.model(inference_session=session, frame=self.prepare(rgb), frame_idx=self._index)
        found = self._read(out, height, width)
        self._trim()
        return found

    def _new_session(self, height: int, width: int):
        from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoInferenceSession

        class Session(Sam3VideoInferenceSession):
            """Counts the images that were dropped, too: the network scales the age of its memories by their number."""

            num_frames = property(lambda _: self._index + 1)

        session = Session(
            video_height=height,
            video_width=width,
            inference_device=self.device,
            inference_state_device=self.device,
            video_storage_device=self.device,
            dtype=self.model.dtype,
        )
        for name in self.names:
            text = self.tokenizer(
                name, padding="max_length", max_length=_TEXT_TOKENS, truncation=True, return_tensors="pt"
            ).to(self.device)
            prompt = session.add_prompt(name)
            session.prompt_input_ids[prompt] = text["input_ids"]
            session.prompt_attention_masks[prompt] = text["attention_mask"]
        return session

    def _read(self, out, height: int, width: int) -> tuple[Detection, ...]:
        """The network's output as detections."""
        torch = networks.import_torch()
        hidden = set(out.suppressed_obj_ids or ()) | set(out.removed_obj_ids or ())
        detections = []
        for number in sorted(out.obj_id_to_mask):
            if number not in self._ids:
                self._ids[number], self._seen[number] = str(self._next_id), self._index
                self._next_id += 1
            score = float(out.obj_id_to_score.get(number, 0.0))
            if number in hidden or score < self.config.min_score:
                continue
            logits = out.obj_id_to_mask[number].float()[None]
            mask = torch.nn.functional.interpolate(logits, (height, width), mode="bilinear")[0, 0] > 0
            mask = mask.cpu().numpy()
            box = mask_box(mask)
            if box is None:
                continue
            self._seen[number] = self._index
            name = self.names[self._session.obj_id_to_prompt_id[number]]
            detections.append(Detection(label=name, score=score, box_px=box, mask=mask, id=self._ids[number]))
        if len(detections) > 1:
            same = duplicates(np.stack([d.mask for d in detections]), self.config.max_same_masks)
            detections = [d for d, double in zip(detections, same, strict=True) if not double]
        return tuple(detections)

    def _trim(self) -> None:
        """Forgets things that were not seen for long, and drops what the session no longer reads."""
        session, oldest = self._session, self._index - self._reads_back
        for number in [n for n, last in self._seen.items() if self._index - last > self.config.max_lost_frames]:
            session.remove_object(number)
            for kept in (self._seen, self._ids, session.obj_id_to_score, session.obj_id_to_last_occluded):
                kept.pop(number, None)
            for kept in (session.obj_first_frame_idx, session.unmatched_frame_inds, session.trk_keep_alive):
                kept.pop(number, None)
            for pair in [p for p in session.overlap_pair_to_frame_inds if number in p]:
                del session.overlap_pair_to_frame_inds[pair]
        for outputs in session.output_dict_per_obj.values():
            prompted = sorted(outputs["cond_frame_outputs"])
            for index in prompted[1 : len(prompted) - self.config.max_prompts + 1]:
                del outputs["cond_frame_outputs"][index]
            _drop_before(outputs["non_cond_frame_outputs"], oldest)
            for part in outputs.values():
                if self._index in part:  # read by the memory encoder of this image alone
                    part[self._index].pop("high_res_masks", None)
        for table in (session.frames_tracked_per_obj, session.mask_inputs_per_obj, session.point_inputs_per_obj):
            for kept in table.values():
                _drop_before(kept, oldest)
        _drop_before(session.obj_id_to_tracker_score_frame_wise, oldest)
        _drop_before(session.suppressed_obj_ids, oldest)
        for table in (session.unmatched_frame_inds, session.overlap_pair_to_frame_inds):
            for key in table:
                table[key] = [i for i in table[key] if i >= oldest]


def _drop_before(by_index: dict, oldest: int) -> None:
    for index in [i for i in by_index if i < oldest]:
        del by_index[index]
