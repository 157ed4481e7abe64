"""Orient Anything: which way a thing faces, from its cut-out (DINOv2 and a head of 722 outputs, transformers).

Each thing is cut out by its mask, which is applied: its background is black, as in training. The network tells how a
thing is turned towards the ray on which it is seen, so that with known intrinsics the ray's own direction is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dsr_core.errors import GeometryError, ModelError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.perception import networks
from dsr_core.perception.boxes import mask_box
from dsr_core.perception.orientation.decode import OUTPUTS, decode, rotation_camera_object
from dsr_core.perception.orientation.protocol import OrientationEstimate
from dsr_core.values import Detection

WEIGHTS = "Viglong/Orient-Anything"
WEIGHTS_FILE = "croplargeEX2/dino_weight.pt"
BACKBONE = "facebook/dinov2-large"

#: Part of the cut-out's side that the thing fills, and the sizes to which it is scaled and cropped.
FOREGROUND = 0.85
RESIZED_PX, CROPPED_PX = 256, 224


def make_network(backbone):
    """DINOv2 with the head on its class token; layers are named as in the published weights.

    Args:
        backbone: Dinov2Model.
    """
    nn = networks.import_torch().nn

    class Head(nn.Module):
        def __init__(self, width: int):
            super().__init__()
            self.net1 = nn.Sequential(nn.Linear(width, OUTPUTS), nn.BatchNorm1d(OUTPUTS), nn.ReLU())
            self.net2 = nn.Sequential(nn.Linear(OUTPUTS, OUTPUTS), nn.BatchNorm1d(OUTPUTS))

        def forward(self, features):
            return self.net2(self.net1(features))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.dinov2 = backbone
            self.down_sampler = Head(backbone.config.hidden_size)

        def forward(self, pixel_values):
            return self.down_sampler(self.dinov2(pixel_values=pixel_values).last_hidden_state[:, 0])

    return Network()


class OrientAnything:
    """Tells which way things face.

    Args:
        network: What `make_network` gives, with weights.
        min_confidence: Things whose front is less certain get no estimate (the authors take 0.6).
        batch: Most cut-outs at a time.
        device: Where to run, the GPU if there is one by default.
    """

    def __init__(self, network, min_confidence: float = 0.6, batch: int = 16, device: str | None = None):
        if not 0 <= min_confidence <= 1 or batch < 1:
            raise ModelError(f"min_confidence = {min_confidence} must be in 0..1 and batch = {batch} positive")
        self.device = networks.choose_device(device)
        self.network = network.to(self.device).eval()
        self.min_confidence, self.batch = min_confidence, batch

    @classmethod
    def from_pretrained(
        cls, source: str | Path = WEIGHTS, backbone: str | Path = BACKBONE, device: str | None = None, **options
    ) -> OrientAnything:
        """Loads the weights of a file, a folder, or a hub id out of the hub's cache.

        Args:
            source: Where `dino_weight.pt` is.
            backbone: Folder or hub id of DINOv2, for its configuration alone.
            device: Where to run.
            options: Of the constructor.

        Raises:
            DependencyError: torch or transformers is missing.
            ModelError: weights are missing; the message says which command gets them, and their licence.
        """
        transformers = networks.import_transformers()
        torch = networks.import_torch()
        path = networks.weight_file(source, WEIGHTS_FILE)
        config = networks.load_pretrained(transformers.Dinov2Config, backbone)
        network = make_network(transformers.Dinov2Model(config))
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except (RuntimeError, OSError, ValueError) as error:
            raise ModelError(f"{path} does not fit Orient Anything on {backbone}: {error}") from error
        return cls(network, device=device, **options)

    def save(self, folder: str | Path) -> None:
        """Writes weights and configuration into a folder that serves as both `source` and `backbone`."""
        path = Path(folder) / WEIGHTS_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        networks.import_torch().save(self.network.state_dict(), path)
        self.network.dinov2.config.save_pretrained(folder)

    def prepare(self, cutouts: Sequence[np.ndarray]):
        """Square cut-outs (S, S, 3) uint8 as the network's input (N, 3, 224, 224) float32."""
        torch = networks.import_torch()
        size = (RESIZED_PX, RESIZED_PX)
        images = torch.cat([networks.resize_image(c, size, "bicubic") for c in cutouts]).to(self.device)
        edge = (RESIZED_PX - CROPPED_PX) // 2
        return networks.normalise(images[..., edge : edge + CROPPED_PX, edge : edge + CROPPED_PX])

    def estimate(
        self, rgb: np.ndarray, detections: Sequence[Detection], camera: Camera | None = None
    ) -> tuple[OrientationEstimate | None, ...]:
        """One estimate for each detection in an image (H, W, 3) uint8, None where nothing can be said.

        Args:
            rgb: The image.
            detections: With `mask`, or at least `box_px` (then the background is seen, too).
            camera: Intrinsics of the image; without them things are taken to lie straight ahead.

        Raises:
            GeometryError: `rgb` is no such image, or a mask has another size.
        """
        rgb = networks.check_image(rgb)
        boxes = [_box(d) for d in detections]
        cutouts = [
            None if box is None else cut_out(rgb, box, detection.mask)
            for box, detection in zip(boxes, detections, strict=True)
        ]
        usable = [i for i, cutout in enumerate(cutouts) if cutout is not None]
        estimates: list[OrientationEstimate | None] = [None] * len(detections)
        if not usable:
            return tuple(estimates)
        decoded = decode(self.run([cutouts[i] for i in usable]))
        R_camera_object = rotation_camera_object(decoded.azimuth_rad, decoded.polar_rad, decoded.rotation_rad)
        for k, i in enumerate(usable):
            if decoded.confidence[k] < self.min_confidence:
                continue
            R = R_camera_object[k] if camera is None else _ray_rotation(boxes[i], camera) @ R_camera_object[k]
            estimates[i] = OrientationEstimate(
                orientation_camera_xyzw=tf.quaternions_from_matrices(R),
                sigma_rad=float(decoded.azimuth_sigma_rad[k]),
                confidence=float(decoded.confidence[k]),
                density=_around(decoded.azimuth_density[k], float(decoded.azimuth_rad[k])),
            )
        return tuple(estimates)

    def run(self, cutouts: Sequence[np.ndarray]) -> np.ndarray:
        """Logits (N, 722) of square cut-outs."""
        torch = networks.import_torch()
        dtype = next(self.network.parameters()).dtype
        out = []
        with torch.inference_mode():
            for start in range(0, len(cutouts), self.batch):
                pixels = self.prepare(cutouts[start : start + self.batch]).to(dtype)
                out.append(self.network(pixels).float().cpu().numpy())
        return np.concatenate(out)


def cut_out(rgb: np.ndarray, box_px: np.ndarray, mask: np.ndarray | None) -> np.ndarray | None:
    """A thing in the middle of a black square (S, S, 3), with nothing around it; None if it is outside the image.

    Raises:
        GeometryError: the mask (H, W) has not the size of the image.
    """
    height, width = rgb.shape[:2]
    if mask is not None and mask.shape != (height, width):
        raise GeometryError(f"mask of shape {mask.shape} on an image of {(height, width)}")
    x1, y1 = np.floor(np.clip(box_px[:2], 0, [width, height])).astype(int)
    x2, y2 = np.ceil(np.clip(box_px[2:], 0, [width, height])).astype(int)
    if x2 <= x1 or y2 <= y1:
        return None
    part = rgb[y1:y2, x1:x2]
    if mask is not None:
        part = part * mask[y1:y2, x1:x2, None]
    side = int(np.ceil(max(part.shape[:2]) / FOREGROUND))
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - part.shape[0]) // 2, (side - part.shape[1]) // 2
    square[top : top + part.shape[0], left : left + part.shape[1]] = part
    return square


def _box(detection: Detection) -> np.ndarray | None:
    """Box (4,) of a detection's mask, else its own."""
    if detection.mask is not None:
        return mask_box(detection.mask)
    return None if detection.box_px is None else np.asarray(detection.box_px, float)


def _ray_rotation(box_px: np.ndarray, camera: Camera) -> np.ndarray:
    """(3, 3) the shortest turn of the optical axis onto the ray through the middle of a box."""
    ray = camera.rays((box_px[None, :2] + box_px[None, 2:]) / 2)[0]
    x, y, z = ray / np.linalg.norm(ray)
    return np.array(
        [
            [1 - x * x / (1 + z), -x * y / (1 + z), x],
            [-x * y / (1 + z), 1 - y * y / (1 + z), y],
            [-x, -y, z],
        ]
    )


def _around(density: np.ndarray, azimuth_rad: float) -> np.ndarray:
    """A density (360,) over azimuths, which run clockwise, as one counter-clockwise from the heading of an azimuth."""
    degrees = np.rad2deg(azimuth_rad) - np.arange(len(density))
    low = np.floor(degrees).astype(int)
    part = degrees - low
    return (1 - part) * density[low % len(density)] + part * density[(low + 1) % len(density)]
