"""SAM 2 in streaming mode (transformers): masks of what a detector found, followed from image to image.

Ravi et al., "SAM 2: Segment Anything in Images and Videos" (2024). A detector looks at every `interval`-th image:
what it finds anew is prompted by its box, what is already followed keeps its identity, and a thing that was lost takes
it up again. Each thing has a session of its own, which shares the image's features with the others; so things come and
go without touching each other, and what a session no longer reads is dropped, so that memory does not grow with time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dsr_core.errors import GeometryError, ModelError
from dsr_core.perception import networks
from dsr_core.perception.boxes import mask_box
from dsr_core.perception.detect.protocol import Detector
from dsr_core.perception.segment.identities import IdentityConfig, Thing, assign, duplicates
from dsr_core.values import Detection

DEFAULT = "facebook/sam2.1-hiera-large"

#: Labels of a box's two corners among SAM 2's point prompts.
_CORNERS = (2, 3)


@dataclass(frozen=True)
class Sam2Config:
    """Constants of the segmentation.

    Attributes:
        interval: The detector looks at every so many images, and at the first.
        max_prompts: Prompted images of a thing that are kept in its memory: the first and the newest.
        identities: Constants of telling which is which.
    """

    interval: int = 10
    max_prompts: int = 4
    identities: IdentityConfig = field(default_factory=IdentityConfig)

    def __post_init__(self):
        if self.interval < 1 or self.max_prompts < 1:
            raise ModelError(f"SAM 2: interval = {self.interval} and max_prompts = {self.max_prompts} must be positive")


class Sam2VideoSegmenter:
    """Follows what a detector finds.

    Args:
        model: Sam2VideoModel.
        detector: What to follow; only `box_px`, `label` and `score` of its detections are used.
        config: Constants.
        device: Where to run, the GPU if there is one by default.
    """

    def __init__(self, model, detector: Detector, config: Sam2Config = Sam2Config(), device: str | None = None):
        self.device = networks.choose_device(device)
        self.model = model.to(self.device).eval()
        self.detector, self.config = detector, config
        self._reads_back = max(model.config.num_maskmem, model.config.max_object_pointers_in_encoder)
        self._next_id = 1
        self.reset()

    @classmethod
    def from_pretrained(
        cls,
        detector: Detector,
        source: str | Path = DEFAULT,
        config: Sam2Config = Sam2Config(),
        device: str | None = None,
        dtype: str = "float32",
    ) -> Sam2VideoSegmenter:
        """Loads a folder, or a hub id out of the hub's cache; `dtype` "bfloat16" halves the time on a GPU.

        Raises:
            DependencyError: torch or transformers is missing.
            ModelError: the weights are missing; the message says which command gets them, and their licence.
        """
        transformers = networks.import_transformers()
        model = networks.load_pretrained(transformers.Sam2VideoModel, source, dtype=networks.choose_dtype(dtype))
        return cls(model, detector, config, device)

    def save(self, folder: str | Path) -> None:
        """Writes the weights into a folder that `from_pretrained` reads."""
        self.model.save_pretrained(folder)

    def reset(self) -> None:
        """Forgets what was followed: the next image begins a new video. Identities go on counting."""
        self._things: list[Thing] = []
        self._sessions: dict[int, object] = {}
        self._index = -1
        self._size_hw: tuple[int, int] | None = None
        self._frames: dict[int, object] = {}
        self._features = None

    def prepare(self, rgb: np.ndarray):
        """An image (H, W, 3) uint8 as the network's input (1, 3, S, S)."""
        side = self.model.config.image_size
        return networks.normalise(networks.resize_image(rgb, (side, side)).to(self.device)).to(self.model.dtype)

    def step(self, rgb: np.ndarray) -> tuple[Detection, ...]:
        """Things in the next image (H, W, 3) uint8, with masks, boxes and `id`, the oldest first.

        Raises:
            GeometryError: `rgb` is no such image, or its size is not that of the images before (call `reset` first).
        """
        rgb = networks.check_image(rgb)
        if self._size_hw not in (None, rgb.shape[:2]):
            raise GeometryError(
                f"image of {rgb.shape[:2]} after images of {self._size_hw} (height, width): call reset() first"
            )
        self._size_hw = rgb.shape[:2]
        self._index += 1
        pixels = self.prepare(rgb)
        self._frames.clear()
        masks, presence = {}, {}
        for thing in self._things:
            masks[thing.id], presence[thing.id] = self._run(thing.id, pixels)
            self._note(thing, masks[thing.id])
        if self._index % self.config.interval == 0:
            for thing, detection in self._take_up(self.detector.detect(rgb)):
                masks[thing.id], presence[thing.id] = self._run(thing.id, pixels, np.asarray(detection.box_px, float))
                self._note(thing, masks[thing.id])
        self._forget(masks)
        self._trim()
        return tuple(
            Detection(
                label=thing.label,
                score=min(thing.score, presence[thing.id]),
                box_px=thing.box_px.copy(),
                mask=masks[thing.id],
                id=str(thing.id),
            )
            for thing in self._things
            if thing.lost_frames == 0
        )

    def _take_up(self, detections: tuple[Detection, ...]) -> list[tuple[Thing, Detection]]:
        """Confirms what is visible; gives the things that must be prompted: those that came back, and new ones."""
        config = self.config.identities
        found = assign(self._things, tuple(d for d in detections if d.box_px is not None), config)
        confirmed = {thing.id for thing, _ in found.seen}
        for thing in self._things:
            thing.missed_detections += int(thing.lost_frames == 0 and thing.id not in confirmed)
        for thing, detection in (*found.seen, *found.regained):
            thing.confirm(detection)
        prompts = list(found.regained)
        room = max(config.max_things - len(self._things), 0)
        for detection in sorted(found.new, key=lambda d: -d.score)[:room]:
            thing = Thing(self._next_id, detection.score, np.asarray(detection.box_px, float))
            thing.confirm(detection)
            self._next_id += 1
            self._things.append(thing)
            self._sessions[thing.id] = self._new_session()
            prompts.append((thing, detection))
        return prompts

    def _new_session(self):
        """A session that shares images and features with the others of this video."""
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        height, width = self._size_hw
        session = Sam2VideoInferenceSession(
            video_height=height,
            video_width=width,
            inference_device=self.device,
            inference_state_device=self.device,
            video_storage_device=self.device,
            dtype=self.model.dtype,
        )
        if self._features is None:
            self._features = session.cache
        session.cache, session.processed_frames = self._features, self._frames
        session.obj_id_to_idx(0)
        return session

    def _run(self, thing_id: int, pixels, box_px: np.ndarray | None = None) -> tuple[np.ndarray, float]:
        """Mask (H, W) bool of a thing in the current image and the probability that it is there.

        Args:
            thing_id: The thing.
            pixels: The image as the network's input.
            box_px: (4,) a box around it that prompts it anew, or None.
        """
        torch = networks.import_torch()
        session, height, width = self._sessions[thing_id], *self._size_hw
        if box_px is not None:
            side = self.model.config.image_size
            corners = torch.tensor(box_px.reshape(1, 1, 2, 2) * [side / width, side / height], dtype=torch.float32)
            # What was followed in this image gives way, so that the prompt counts as a first sight.
            session.frames_tracked_per_obj[0].pop(self._index, None)
            session.output_dict_per_obj[0]["non_cond_frame_outputs"].pop(self._index, None)
            points = {"point_coords": corners, "point_labels": torch.tensor([[_CORNERS]], dtype=torch.int32)}
            session.add_point_inputs(0, self._index, points)
            session.obj_with_new_inputs = [0]
        out = self.model(inference_session=session, frame_idx=self._index, frame=pixels)
        presence = float(out.object_score_logits.float().sigmoid().reshape(-1)[0])
        if presence <= 0.5:
            return np.zeros((height, width), bool), presence
        logits = torch.nn.functional.interpolate(out.pred_masks.float(), (height, width), mode="bilinear")
        return (logits[0, 0] > 0).cpu().numpy(), presence

    def _note(self, thing: Thing, mask: np.ndarray) -> None:
        """Takes down where a thing was seen, or that it was not."""
        box = mask_box(mask)
        if box is None:
            thing.lost_frames += 1
        else:
            thing.box_px, thing.lost_frames = box, 0

    def _forget(self, masks: dict[int, np.ndarray]) -> None:
        """Drops what was lost for too long, what detections do not confirm, and the younger of two of the same."""
        config = self.config.identities
        visible = [t for t in self._things if t.lost_frames == 0]
        twice: set[int] = set()
        if len(visible) > 1:
            same = duplicates(np.stack([masks[t.id] for t in visible]), config.max_same_masks)
            twice = {t.id for t, double in zip(visible, same, strict=True) if double}
        self._things = [
            t
            for t in self._things
            if t.id not in twice
            and t.lost_frames <= config.max_lost_frames
            and t.missed_detections < config.max_missed_detections
        ]
        kept = {t.id for t in self._things}
        self._sessions = {i: session for i, session in self._sessions.items() if i in kept}

    def _trim(self) -> None:
        """Drops what the sessions no longer read."""
        oldest = self._index - self._reads_back
        for session in self._sessions.values():
            outputs = session.output_dict_per_obj[0]
            prompted = sorted(outputs["cond_frame_outputs"])
            for index in prompted[1 : len(prompted) - self.config.max_prompts + 1]:
                del outputs["cond_frame_outputs"][index]
            for kept in (outputs["non_cond_frame_outputs"], session.frames_tracked_per_obj[0]):
                for index in [i for i in kept if i < oldest]:
                    del kept[index]
            session.point_inputs_per_obj[0].clear()
            for part in outputs.values():
                if self._index in part:  # read by the memory encoder of this image alone
                    part[self._index].pop("high_res_masks", None)
