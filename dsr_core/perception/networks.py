"""What all network backends share: lazy imports with a hint, weights from a folder or the hub's cache, images.

Nothing here downloads: weights are looked for in the folder that is named, or in the cache of the Hugging Face hub, and
where they are missing the error says which command gets them and under which licence. Images are prepared without
torchvision, which many robots lack.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError, GeometryError, ModelError

log = logging.getLogger(__name__)

#: Licence of the weights by hub id, as their model cards state it.
LICENCES = {
    "IDEA-Research/grounding-dino-tiny": "Apache-2.0",
    "IDEA-Research/grounding-dino-base": "Apache-2.0",
    "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg": "Apache-2.0",
    "facebook/sam2.1-hiera-tiny": "Apache-2.0",
    "facebook/sam2.1-hiera-small": "Apache-2.0",
    "facebook/sam2.1-hiera-base-plus": "Apache-2.0",
    "facebook/sam2.1-hiera-large": "Apache-2.0",
    "facebook/sam3": "SAM License (accept it on the model's page first)",
    "facebook/dinov2-large": "Apache-2.0",
    "Viglong/Orient-Anything": "CC-BY-4.0",
    "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf": "Apache-2.0",
    "depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf": "Apache-2.0",
    "depth-anything/Depth-Anything-V2-Metric-Indoor-Large-hf": "CC-BY-NC-4.0",
    "depth-anything/Depth-Anything-V2-Metric-Outdoor-Large-hf": "CC-BY-NC-4.0",
    "depth-anything/DA3-SMALL": "Apache-2.0",
    "yyfz233/Pi3": "BSD-2-Clause",
    "yyfz233/Pi3X": "CC-BY-NC-4.0",
}

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def import_torch():
    """The module torch.

    Raises:
        DependencyError: it is not installed, or broken.
    """
    try:
        import torch
    except (ImportError, OSError) as error:
        raise DependencyError(
            f"networks run on PyTorch, which cannot be imported ({error}): pip install torch"
            " (on a Jetson take NVIDIA's wheel)"
        ) from error
    return torch


def import_transformers():
    """The module transformers (5 or later), with torch behind it.

    Raises:
        DependencyError: one of them is not installed, or too old.
    """
    import_torch()
    try:
        import transformers
    except ImportError as error:
        raise DependencyError(
            f"this network comes from transformers, which cannot be imported ({error}): pip install 'transformers>=5'"
        ) from error
    if int(transformers.__version__.split(".")[0]) < 5:
        raise DependencyError(f"transformers {transformers.__version__} is too old: pip install 'transformers>=5'")
    return transformers


def choose_device(device: str | None = None) -> str:
    """The given device, else the first GPU where there is one, else the CPU."""
    if device is not None:
        return str(device)
    return "cuda" if import_torch().cuda.is_available() else "cpu"


def choose_dtype(name: str):
    """The torch type called `name`.

    Raises:
        ModelError: it is none of float32, float16, bfloat16.
    """
    if name not in ("float32", "float16", "bfloat16"):
        raise ModelError(f"dtype {name!r} is none of float32, float16, bfloat16")
    return getattr(import_torch(), name)


def missing_weights(source: str, files: tuple[str, ...] = ()) -> ModelError:
    """The error for weights that are not on this machine: which command gets them, and their licence."""
    if Path(source).expanduser().is_dir():
        return ModelError(
            f"the folder {source} does not hold the weights; it needs {', '.join(files) or 'config.json'}"
        )
    licence = LICENCES.get(source, "see the model's page")
    command = " ".join(["hf download", source, *files])
    return ModelError(
        f"the weights of {source} are not on this machine: run `{command}` (licence: {licence}), or name a folder"
    )


def load_pretrained(cls, source: str | Path, **options):
    """`cls.from_pretrained` of a folder or of what lies in the hub's cache; never downloads.

    Args:
        cls: A class of transformers.
        source: Folder, or hub id.
        options: Passed on.

    Raises:
        ModelError: it is not there, or damaged; the message says which command gets it, and its licence.
    """
    folder = Path(source).expanduser()
    source = str(folder if folder.is_dir() else source)
    try:
        loaded = cls.from_pretrained(source, local_files_only=True, **options)
    except (OSError, ValueError) as error:
        if folder.is_dir() and (folder / "config.json").exists():
            raise ModelError(f"{cls.__name__} cannot be loaded from {source}: {error}") from error
        raise missing_weights(source) from error
    log.info("%s from %s (licence: %s)", cls.__name__, source, LICENCES.get(source, "not known here"))
    return loaded


def weight_file(source: str | Path, name: str) -> Path:
    """A single file of weights: `source` itself, `source/name`, or `name` in the hub's cache of the id `source`.

    Raises:
        ModelError: it is not there; the message says which command gets it, and its licence.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if (path / name).is_file():
        return path / name
    if path.is_dir():
        raise missing_weights(str(source), (name,))
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(str(source), name, local_files_only=True))
    except ImportError as error:
        raise DependencyError("hub ids are resolved by huggingface_hub: pip install huggingface_hub") from error
    except (OSError, ValueError) as error:
        raise missing_weights(str(source), (name,)) from error


def check_image(rgb: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) uint8, contiguous.

    Raises:
        GeometryError: it is none.
    """
    rgb = np.asarray(rgb)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise GeometryError(f"image of shape {rgb.shape} and type {rgb.dtype}; (H, W, 3) uint8 is needed")
    return np.ascontiguousarray(rgb)


def resize_image(rgb: np.ndarray, size_hw: tuple[int, int], mode: str = "bilinear"):
    """An image (H, W, 3) uint8 as a tensor (1, 3, height, width) uint8 of another size, anti-aliased."""
    torch = import_torch()
    image = torch.from_numpy(check_image(rgb).copy()).permute(2, 0, 1)[None]
    if tuple(image.shape[-2:]) == tuple(size_hw):
        return image
    return torch.nn.functional.interpolate(image, tuple(size_hw), mode=mode, align_corners=False, antialias=True)


def normalise(image, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    """A tensor (N, 3, H, W) of 0..255 as float32, less the mean and over the deviation (both of 0..1)."""
    torch = import_torch()
    scale = 255.0 * torch.tensor(std, dtype=torch.float32, device=image.device).view(1, 3, 1, 1)
    offset = 255.0 * torch.tensor(mean, dtype=torch.float32, device=image.device).view(1, 3, 1, 1)
    return (image.to(torch.float32) - offset) / scale


def size_within(height: int, width: int, shortest: int, longest: int) -> tuple[int, int]:
    """Height and width with the aspect kept: the shorter side `shortest`, unless the longer would exceed `longest`."""
    short, long = min(height, width), max(height, width)
    edge = float(shortest)
    if long / short * shortest > longest:
        edge = longest * short / long
    side, other = round(edge), int(edge * long / short)
    if short == side:
        return height, width
    return (other, side) if width < height else (side, other)
