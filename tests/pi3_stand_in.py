"""A checkout with the calls of pi3, whose network is one linear layer: it proves what calls it, not the network."""

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path

STAND_IN = """
import torch
from huggingface_hub import PyTorchModelHubMixin


class Pi3(torch.nn.Module, PyTorchModelHubMixin):
    def __init__(self, width: int = 1):
        super().__init__()
        self.layer = torch.nn.Linear(3, width)

    def forward(self, imgs):
        B, N, C, H, W = imgs.shape
        assert C == 3 and H % 14 == 0 and W % 14 == 0 and 0 <= imgs.min() and imgs.max() <= 1
        z = 2 + imgs.mean(dim=2)
        v, u = torch.meshgrid(torch.linspace(-0.4, 0.4, H), torch.linspace(-0.5, 0.5, W), indexing="ij")
        local = torch.stack([u * z, v * z, z], dim=-1)
        poses = torch.eye(4).repeat(B, N, 1, 1)
        poses[:, :, 0, 3] = torch.arange(N) * 0.1
        conf = self.layer(imgs.permute(0, 1, 3, 4, 2)) * 0 + torch.where(u > 0, 3.0, -3.0)[..., None]
        world = local + poses[:, :, None, None, :3, 3]
        return {"points": world, "local_points": local, "conf": conf, "camera_poses": poses}
"""


@contextmanager
def pi3_checkout(folder: Path):
    """A folder that holds the package `pi3`; what was imported of it is forgotten afterwards."""
    package = folder / "pi3" / "models"
    package.mkdir(parents=True)
    for place in (package, package.parent):
        (place / "__init__.py").write_text("")
    (package / "pi3.py").write_text(STAND_IN)
    path = list(sys.path)
    try:
        yield folder
    finally:
        sys.path[:] = path
        for name in [n for n in sys.modules if n == "pi3" or n.startswith("pi3.")]:
            del sys.modules[name]


def save_weights(checkout: Path, folder: Path) -> None:
    """Writes weights of the stand-in, which must not be imported yet."""
    sys.path.insert(0, str(checkout))
    importlib.import_module("pi3.models.pi3").Pi3().save_pretrained(folder)
