"""SAM 2 by its authors' package: equal to the package's own propagation, prompts that come later, bounded memory.

The package is optional (pip install --no-deps sam2; pip install hydra-core iopath); what needs it is skipped without.
"""

import sys

import numpy as np
import pytest

from dsr_core.errors import DependencyError, GeometryError, ModelError
from dsr_core.perception import networks
from dsr_core.perception.segment.identities import IdentityConfig
from dsr_core.perception.segment.prompted import Sam2Config
from dsr_core.perception.segment.sam2_package import Sam2PackageSegmenter
from dsr_core.values import Detection
from tests.tiny_networks import torch

CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
SIDE = 64
#: The smallest SAM 2.1 that the package can build: 6 M parameters.
TINY = [
    f"++model.image_size={SIDE}",
    "++model.image_encoder.trunk.embed_dim=12",
    "++model.image_encoder.trunk.stages=[1,1,2,1]",
    "++model.image_encoder.trunk.global_att_blocks=[3]",
    "++model.image_encoder.trunk.window_spec=[8,4,8,4]",
    "++model.image_encoder.trunk.window_pos_embed_bkg_spatial_size=[4,4]",
    "++model.image_encoder.neck.backbone_channel_list=[96,48,24,12]",
    "++model.memory_attention.num_layers=1",
    "++model.memory_attention.layer.dim_feedforward=64",
    "++model.memory_encoder.fuser.num_layers=1",
]
BOXES = {"mug": np.array([6.0, 8.0, 30.0, 34.0]), "chair": np.array([34.0, 20.0, 60.0, 58.0])}
APART = IdentityConfig(max_same_masks=1.0, max_missed_detections=1000)


@pytest.fixture
def predictor():
    """A predictor with random weights that says of every thing that it is there."""
    build_sam = pytest.importorskip(
        "sam2.build_sam", reason="optional: pip install --no-deps sam2; pip install hydra-core iopath"
    )
    torch.manual_seed(0)
    return presence(build_sam.build_sam2_video_predictor(CONFIG, None, "cpu", hydra_overrides_extra=TINY), 50.0)


def presence(predictor, logit):
    """Sets what the network says about the presence of every thing."""
    last = predictor.sam_mask_decoder.pred_obj_score_head.layers[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(logit)
    return predictor


class Script:
    """A detector that finds what is written down for each of its looks."""

    def __init__(self, *looks):
        self.looks, self.count = looks, 0

    def detect(self, rgb):
        found = self.looks[min(self.count, len(self.looks) - 1)]
        self.count += 1
        return tuple(found)


def named(*labels):
    return [Detection(label=label, score=0.8, box_px=BOXES[label]) for label in labels]


def video(frames, height=SIDE, width=SIDE):
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def jpegs(folder, images):
    """Writes images as the package reads them, and gives what is read back."""
    from PIL import Image

    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:05d}.jpg", quality=95)
    return np.stack([np.asarray(Image.open(folder / f"{i:05d}.jpg")) for i in range(len(images))])


def test_streaming_equals_the_propagation_through_a_folder_of_pictures(predictor, tmp_path):
    images = jpegs(tmp_path, video(20))
    segmenter = Sam2PackageSegmenter(
        predictor, Script(named("mug"), named("chair"), []), Sam2Config(interval=4, identities=APART), "cpu"
    )
    ours = [{d.label: d.mask for d in segmenter.step(rgb)} for rgb in images]

    differing = []
    for label, first in (("mug", 0), ("chair", 4)):
        state = predictor.init_state(str(tmp_path))
        predictor.add_new_points_or_box(state, first, 1, box=BOXES[label].astype(np.float32))
        for t, _, logits in predictor.propagate_in_video(state, start_frame_idx=first):
            theirs = (logits[0, 0] > 0).numpy()
            assert theirs.any()
            differing.append((ours[t].get(label, np.zeros((SIDE, SIDE), bool)) != theirs).mean())
    assert len(differing) == 36
    assert max(differing) < 1e-3


def test_pre_processing_equals_the_original(predictor, tmp_path):
    images = jpegs(tmp_path, video(2, 120, 160) // 4 + 60)
    theirs = predictor.init_state(str(tmp_path))["images"]
    segmenter = Sam2PackageSegmenter(predictor, Script([]), device="cpu")
    ours = torch.cat([segmenter.prepare(rgb) for rgb in images])
    assert (ours - theirs).abs().max() < 1.5 / 255 / min(networks.IMAGENET_STD)


def test_identities_survive_a_loss_that_the_network_ends(predictor):
    segmenter = Sam2PackageSegmenter(predictor, Script(named("mug"), []), Sam2Config(interval=100), "cpu")
    images = video(7, 120, 160)
    (first,) = segmenter.step(images[0])
    assert first.id == "1" and first.label == "mug" and first.mask.shape == (120, 160) and first.mask.any()
    presence(predictor, -50.0)
    assert [segmenter.step(rgb) for rgb in images[1:4]] == [(), (), ()]
    presence(predictor, 50.0)
    (again,) = segmenter.step(images[4])
    assert again.id == "1" and again.score == pytest.approx(0.8)
    segmenter.reset()
    assert segmenter.step(images[5]) == ()  # the next look finds nothing


def test_a_lost_thing_is_prompted_anew_with_its_identity(predictor):
    rules = Sam2Config(interval=3, identities=APART)
    segmenter = Sam2PackageSegmenter(predictor, Script(named("mug")), rules, "cpu")
    images = video(4)
    (first,) = segmenter.step(images[0])
    presence(predictor, -50.0)
    assert segmenter.step(images[1]) == segmenter.step(images[2]) == ()
    segmenter._things[0].box_px = BOXES["mug"]  # random weights drew it elsewhere
    prompted = []
    add = predictor.add_new_points_or_box

    def there_again(*args, **kwargs):
        presence(predictor, 50.0)
        prompted.append(args[1])
        return add(*args, **kwargs)

    predictor.add_new_points_or_box = there_again
    (again,) = segmenter.step(images[3])
    assert again.id == first.id and prompted == [3]


def test_memory_does_not_grow(predictor):
    predictor.max_obj_ptrs_in_encoder = 4
    config = Sam2Config(interval=3, max_prompts=2, identities=APART)
    segmenter = Sam2PackageSegmenter(predictor, Script(named("mug", "chair"), []), config, "cpu")

    def stored():
        seen, stack = {}, [segmenter._sessions, segmenter._images, segmenter._features, segmenter._constants]
        while stack:
            item = stack.pop()
            if isinstance(item, torch.Tensor):
                seen[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
            elif isinstance(item, dict):
                stack.extend(item.values())
            elif isinstance(item, (list, tuple)):
                stack.extend(item)
        return sum(seen.values())

    sizes = []
    for rgb in video(24):
        segmenter.step(rgb)
        sizes.append(stored())
    assert len(segmenter._sessions) == 2 and len(segmenter._images) == 1
    assert sizes[8] > 0 and sizes[-1] <= sizes[8]


def test_checkpoints_are_loaded_by_their_name_or_by_a_configuration(predictor, tmp_path):
    weights = {"model": predictor.state_dict()}
    torch.save(weights, tmp_path / "sam2.1_hiera_tiny.pt")
    torch.save(weights, tmp_path / "ours.pt")
    load = Sam2PackageSegmenter.from_pretrained
    made = [
        Sam2PackageSegmenter(predictor, Script(named("mug")), device="cpu"),
        load(Script(named("mug")), tmp_path, device="cpu", overrides=TINY),
        load(Script(named("mug")), tmp_path / "ours.pt", device="cpu", model_config=CONFIG, overrides=TINY),
    ]
    for rgb in video(3):
        first, *others = [segmenter.step(rgb)[0] for segmenter in made]
        assert all((first.mask == other.mask).all() and first.score == other.score for other in others)
    with pytest.raises(ModelError, match="pass model_config"):
        load(Script([]), tmp_path / "ours.pt")
    with pytest.raises(ModelError, match=r"ours\.pt with .*hiera_t.* cannot be loaded"):
        load(Script([]), tmp_path / "ours.pt", device="cpu", model_config=CONFIG, overrides=[*TINY[:-1]])
    (tmp_path / "ours.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(Script([]), tmp_path / "ours.pt", device="cpu", model_config=CONFIG, overrides=TINY)


def test_errors_name_the_next_step(predictor, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"hf download facebook/sam2\.1-hiera-large sam2\.1_hiera_large\.pt` .*Apache"):
        Sam2PackageSegmenter.from_pretrained(Script([]))
    segmenter = Sam2PackageSegmenter(predictor, Script([]), device="cpu")
    segmenter.step(video(1)[0])
    with pytest.raises(GeometryError, match="reset"):
        segmenter.step(video(1, 60, 80)[0])


def test_computing_in_bfloat16_gives_masks(predictor):
    segmenter = Sam2PackageSegmenter(predictor, Script(named("mug")), device="cpu", dtype="bfloat16")
    for rgb in video(3):
        (found,) = segmenter.step(rgb)
        assert found.mask.dtype == bool and found.mask.any()
    with pytest.raises(ModelError, match="int8"):
        Sam2PackageSegmenter(predictor, Script([]), device="cpu", dtype="int8")


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sam2", None)
    with pytest.raises(DependencyError, match="pip install --no-deps sam2"):
        Sam2PackageSegmenter.from_pretrained(Script([]))


def test_a_package_that_is_too_old_is_refused(monkeypatch):
    from types import ModuleType

    old = {name: ModuleType(name) for name in ("sam2", "sam2.build_sam", "sam2.sam2_video_predictor")}
    for name, module in old.items():
        monkeypatch.setitem(sys.modules, name, module)
    old["sam2"].build_sam, old["sam2"].sam2_video_predictor = (old[n] for n in list(old)[1:])
    with pytest.raises(DependencyError, match=r"older than release 1\.1"):
        Sam2PackageSegmenter.from_pretrained(Script([]))
