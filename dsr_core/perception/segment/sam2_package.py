"""SAM 2 by its authors' package `sam2` (Apache-2.0), one image at a time.

Ravi et al., "SAM 2: Segment Anything in Images and Videos" (2024); https://github.com/facebookresearch/sam2. The
package follows things through a video that is a folder of JPEG files. Here its state is filled by hand instead: it
holds the current image alone, and a number of images that never ends, so that masks are those of a long video.

The package's requirements name torchvision, which following things does not use, and a torch that pip may replace yours
with: `pip install --no-deps sam2 && pip install hydra-core iopath` is enough.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError, ModelError
from dsr_core.perception import networks
from dsr_core.perception.detect.protocol import Detector
from dsr_core.perception.segment.prompted import Kept, PromptedSegmenter, Sam2Config

DEFAULT = "facebook/sam2.1-hiera-large"

_INSTALL = "pip install --no-deps sam2 && pip install hydra-core iopath"

#: The number of a session's only thing.
_THING = 0

#: Images of a video that never ends; the package reads it to bound how far back it looks.
_ENDLESS = 2**31


class Sam2PackageSegmenter(PromptedSegmenter[dict]):
    """Follows what a detector finds.

    Args:
        predictor: SAM2VideoPredictor, as `sam2.build_sam.build_sam2_video_predictor` gives it.
        detector: What to follow; only `box_px`, `label` and `score` of its detections are used.
        config: Constants, the defaults where None is given.
        device: Where to run, the GPU if there is one by default.
        dtype: "bfloat16" or "float16" compute in it where that is safe, which halves the time on a GPU.
    """

    def __init__(
        self,
        predictor,
        detector: Detector,
        config: Sam2Config | None = None,
        device: str | None = None,
        dtype: str = "float32",
    ):
        self.device, self._dtype = networks.choose_device(device), networks.choose_dtype(dtype)
        self.predictor = predictor.to(self.device).eval()
        if self.device == "cpu" or not _has_extension():
            self.predictor.fill_hole_area = 0  # needs the package's CUDA extension, and would warn in every image
        seen = (predictor.num_maskmem - 1) * predictor.memory_temporal_stride_for_eval + 1
        super().__init__(detector, config, max(seen, predictor.max_obj_ptrs_in_encoder))

    @classmethod
    def from_pretrained(
        cls,
        detector: Detector,
        source: str | Path = DEFAULT,
        config: Sam2Config | None = None,
        device: str | None = None,
        dtype: str = "float32",
        model_config: str = "",
        overrides: Sequence[str] = (),
    ) -> Sam2PackageSegmenter:
        """Loads a checkpoint (.pt): a file, the one in a folder, or that of a hub id out of the hub's cache.

        Args:
            detector: What to follow.
            source: File, folder or hub id.
            config: Constants of the segmentation.
            device: Where to run, the GPU if there is one by default.
            dtype: Type to compute in.
            model_config: Name of the network's configuration within the package, e.g.
                "configs/sam2.1/sam2.1_hiera_t.yaml"; "" finds it by the hub id or the name of the file.
            overrides: Changes to that configuration in Hydra's words, e.g. "++model.image_size=512".

        Raises:
            DependencyError: torch or sam2 is missing, or too old.
            ModelError: the weights are missing, do not fit, or nothing tells their configuration.
        """
        networks.choose_dtype(dtype)
        build_sam = import_sam2()
        known_config, name = _published(str(source), build_sam.HF_MODEL_ID_TO_FILENAMES)
        model_config = model_config or known_config
        if not model_config:
            raise ModelError(
                f"{source} does not tell which network it is of: pass model_config, e.g."
                " 'configs/sam2.1/sam2.1_hiera_t.yaml'"
            )
        path = networks.weight_file(source, name)
        device = networks.choose_device(device)
        try:
            predictor = build_sam.build_sam2_video_predictor(
                model_config, str(path), device, hydra_overrides_extra=list(overrides)
            )
        except Exception as error:  # Hydra's, a pickle's, or a bare RuntimeError where weights do not fit
            reason = str(error) or "its weights do not fit the configuration"
            raise ModelError(f"{path} with {model_config} cannot be loaded: {reason}") from error
        return cls(predictor, detector, config, device, dtype)

    def reset(self) -> None:
        """Forgets what was followed: the next image begins a new video. Identities go on counting."""
        super().reset()
        self._images: dict[int, object] = {}
        self._features: dict[int, object] = {}
        self._constants: dict[str, object] = {}

    def prepare(self, rgb: np.ndarray):
        """An image (H, W, 3) uint8 as the network's input (1, 3, S, S)."""
        side = self.predictor.image_size
        return networks.normalise(networks.resize_image(rgb, (side, side), "bicubic").to(self.device))

    def _next_image(self, pixels) -> None:
        self._images.clear()
        self._images[self._index] = pixels[0]
        self._features = {}

    def _new_session(self) -> dict:
        """What `SAM2VideoPredictor.init_state` makes, but for the images, which are shared and come one by one."""
        device = networks.import_torch().device(self.device)
        height, width = self._size_hw
        state = {
            "images": self._images,
            "num_frames": _ENDLESS,
            "offload_video_to_cpu": False,
            "offload_state_to_cpu": False,
            "video_height": height,
            "video_width": width,
            "device": device,
            "storage_device": device,
            "point_inputs_per_obj": {},
            "mask_inputs_per_obj": {},
            "cached_features": {},
            "constants": self._constants,
            "obj_id_to_idx": OrderedDict(),
            "obj_idx_to_id": OrderedDict(),
            "obj_ids": [],
            "output_dict_per_obj": {},
            "temp_output_dict_per_obj": {},
            "frames_tracked_per_obj": {},
        }
        self.predictor._obj_id_to_idx(state, _THING)
        return state

    def _kept(self, session: dict) -> Kept:
        outputs = session["output_dict_per_obj"][_THING]
        return Kept(
            outputs["cond_frame_outputs"],
            outputs["non_cond_frame_outputs"],
            session["frames_tracked_per_obj"][_THING],
            session["point_inputs_per_obj"][_THING],
        )

    def _infer(self, session: dict, pixels, box_px: np.ndarray | None) -> tuple[object, float]:
        torch = networks.import_torch()
        kind, lower = torch.device(self.device).type, self._dtype is not torch.float32
        session["cached_features"] = self._features
        kept = self._kept(session)
        with torch.inference_mode(), torch.autocast(kind, self._dtype if lower else None, enabled=lower):
            if box_px is None:
                # What `propagate_in_video` does for one thing and one image, less its progress bar.
                out, logits = self.predictor._run_single_frame_inference(
                    inference_state=session,
                    output_dict=session["output_dict_per_obj"][_THING],
                    frame_idx=self._index,
                    batch_size=1,
                    is_init_cond_frame=False,
                    point_inputs=None,
                    mask_inputs=None,
                    reverse=False,
                    run_mem_encoder=True,
                )
                kept.followed[self._index] = out
            else:
                self.predictor.add_new_points_or_box(session, self._index, _THING, box=box_px.astype(np.float32))
                self.predictor.propagate_in_video_preflight(session)
                out = kept.prompted[self._index]
                logits = out["pred_masks"]
        kept.tracked[self._index] = {"reverse": False}
        self._features = session.pop("cached_features")
        return logits, float(out["object_score_logits"].float().sigmoid().reshape(-1)[0])


def import_sam2():
    """The module sam2.build_sam.

    Raises:
        DependencyError: sam2 is not installed, or follows all things together as its first release did.
    """
    networks.import_torch()
    try:
        from sam2 import build_sam, sam2_video_predictor
    except ImportError as error:
        raise DependencyError(f"the package sam2 cannot be imported ({error}): {_INSTALL}") from error
    if not hasattr(sam2_video_predictor, "SAM2VideoPredictorVOS"):
        raise DependencyError(f"this sam2 is older than release 1.1, which follows each thing by itself: {_INSTALL}")
    return build_sam


def _has_extension() -> bool:
    try:
        from sam2 import _C  # noqa: F401
    except ImportError:
        return False
    return True


def _published(source: str, by_id: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """Configuration and file name of a published network by its hub id, its file's name or the one in a folder.

    Both are empty where the source is none of them; the name of a file that is given is its own.
    """
    if source in by_id:
        return by_id[source]
    path = Path(source).expanduser()
    names = [path.name] if path.suffix == ".pt" else sorted(p.name for p in path.glob("*.pt"))
    for config, name in by_id.values():
        if name in names:
            return config, name
    return "", names[0] if names else "*.pt"
