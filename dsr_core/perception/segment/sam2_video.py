"""SAM 2 in streaming mode (transformers): masks of what a detector found, followed from image to image.

Ravi et al., "SAM 2: Segment Anything in Images and Videos" (2024).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr_core.perception import networks
from dsr_core.perception.detect.protocol import Detector
from dsr_core.perception.segment.prompted import Kept, PromptedSegmenter, Sam2Config

DEFAULT = "facebook/sam2.1-hiera-large"

#: Labels of a box's two corners among SAM 2's point prompts.
_CORNERS = (2, 3)


class Sam2VideoSegmenter(PromptedSegmenter):
    """Follows what a detector finds.

    Args:
        model: Sam2VideoModel.
        detector: What to follow; only `box_px`, `label` and `score` of its detections are used.
        config: Constants, the defaults where None is given.
        device: Where to run, the GPU if there is one by default.
    """

    def __init__(self, model, detector: Detector, config: Sam2Config | None = None, device: str | None = None):
        self.device = networks.choose_device(device)
        self.model = model.to(self.device).eval()
        super().__init__(detector, config, max(model.config.num_maskmem, model.config.max_object_pointers_in_encoder))

    @classmethod
    def from_pretrained(
        cls,
        detector: Detector,
        source: str | Path = DEFAULT,
        config: Sam2Config | None = None,
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
        super().reset()
        self._frames: dict[int, object] = {}
        self._features = None

    def prepare(self, rgb: np.ndarray):
        """An image (H, W, 3) uint8 as the network's input (1, 3, S, S)."""
        side = self.model.config.image_size
        return networks.normalise(networks.resize_image(rgb, (side, side)).to(self.device)).to(self.model.dtype)

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

    def _next_image(self, pixels) -> None:
        self._frames.clear()

    def _kept(self, session) -> Kept:
        outputs = session.output_dict_per_obj[0]
        return Kept(
            outputs["cond_frame_outputs"],
            outputs["non_cond_frame_outputs"],
            session.frames_tracked_per_obj[0],
            session.point_inputs_per_obj[0],
        )

    def _infer(self, session, pixels, box_px: np.ndarray | None) -> tuple[object, float]:
        torch = networks.import_torch()
        if box_px is not None:
            (height, width), side = self._size_hw, self.model.config.image_size
            corners = torch.tensor(box_px.reshape(1, 1, 2, 2) * [side / width, side / height], dtype=torch.float32)
            points = {"point_coords": corners, "point_labels": torch.tensor([[_CORNERS]], dtype=torch.int32)}
            session.add_point_inputs(0, self._index, points)
            session.obj_with_new_inputs = [0]
        out = self.model(inference_session=session, frame_idx=self._index, frame=pixels)
        for outputs in session.output_dict_per_obj[0].values():
            if self._index in outputs:  # read by the memory encoder of this image alone
                outputs[self._index].pop("high_res_masks", None)
        return out.pred_masks, float(out.object_score_logits.float().sigmoid().reshape(-1)[0])
