"""SAM 2 streaming: equal to transformers' own propagation, identities through loss and re-detection, bounded memory."""

import numpy as np
import pytest

from dsr_core.errors import GeometryError, ModelError
from dsr_core.perception import networks
from dsr_core.perception.segment.identities import IdentityConfig
from dsr_core.perception.segment.sam2_video import Sam2Config, Sam2VideoSegmenter
from dsr_core.values import Detection
from tests import tiny_networks as tiny
from tests.tiny_networks import torch

BOXES = {"mug": np.array([10.0, 12.0, 60.0, 70.0]), "chair": np.array([80.0, 30.0, 150.0, 110.0])}


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


def video(frames=6, height=120, width=160):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def always_there(model, bias=50.0):
    """Sets what the model says about the presence of every thing."""
    last = model.mask_decoder.pred_obj_score_head.proj_out
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(bias)
    return model


def test_streaming_equals_the_propagation_through_a_whole_video():
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    model, images = always_there(tiny.sam2_video()), video()
    model.config.max_object_pointers_in_encoder = len(images)  # a whole video counts its frames where they are fewer
    apart = Sam2Config(interval=100, identities=IdentityConfig(max_same_masks=1.0))
    segmenter = Sam2VideoSegmenter(model, Script(named("mug", "chair")), apart, "cpu")
    ours = [segmenter.step(rgb) for rgb in images]

    session = Sam2VideoInferenceSession(
        video=torch.cat([segmenter.prepare(rgb) for rgb in images]),
        video_height=120,
        video_width=160,
        dtype=torch.float32,
    )
    for number, box in enumerate(BOXES.values()):
        corners = torch.tensor(box.reshape(1, 1, 2, 2) * [64 / 160, 64 / 120], dtype=torch.float32)
        labels = torch.tensor([[[2, 3]]], dtype=torch.int32)
        session.add_point_inputs(session.obj_id_to_idx(number), 0, {"point_coords": corners, "point_labels": labels})
    session.obj_with_new_inputs = [0, 1]
    for found, out in zip(ours, model.propagate_in_video_iterator(session, start_frame_idx=0), strict=True):
        logits = torch.nn.functional.interpolate(out.pred_masks, (120, 160), mode="bilinear")
        theirs = (logits[:, 0] > 0).numpy()
        masks = {d.label: d.mask for d in found}
        for number, label in enumerate(BOXES):
            mine = masks.get(label, np.zeros((120, 160), bool))
            assert theirs[number].any() and (mine != theirs[number]).mean() < 1e-4


def test_pre_processing_equals_the_original():
    try:
        from transformers import Sam2VideoVideoProcessor

        processor = Sam2VideoVideoProcessor(size={"height": 64, "width": 64})
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"the original needs torchvision: {error}")
    images = video(2)
    theirs = processor(videos=images, return_tensors="pt")["pixel_values_videos"][0]
    segmenter = Sam2VideoSegmenter(tiny.sam2_video(), Script([]), device="cpu")
    assert (torch.cat([segmenter.prepare(rgb) for rgb in images]) - theirs).abs().max() < 1e-5


def test_identities_survive_a_loss_that_the_network_ends():
    model = always_there(tiny.sam2_video())
    segmenter = Sam2VideoSegmenter(model, Script(named("mug"), []), Sam2Config(interval=100), "cpu")
    images = video(9)
    (first,) = segmenter.step(images[0])
    assert first.id == "1" and first.label == "mug" and first.mask.shape == (120, 160) and first.mask.any()
    always_there(model, -50.0)
    assert [segmenter.step(rgb) for rgb in images[1:5]] == [(), (), (), ()]
    always_there(model)
    (again,) = segmenter.step(images[5])
    assert again.id == "1" and again.score == pytest.approx(0.8)


def test_what_stays_lost_is_forgotten_and_its_number_is_not_given_again():
    model = always_there(tiny.sam2_video())
    config = Sam2Config(interval=4, identities=IdentityConfig(max_lost_frames=2))
    segmenter = Sam2VideoSegmenter(model, Script(named("mug"), named("mug")), config, "cpu")
    images = video(5)
    assert [d.id for d in segmenter.step(images[0])] == ["1"]
    always_there(model, -50.0)
    for rgb in images[1:4]:
        assert segmenter.step(rgb) == ()
    always_there(model)
    assert [d.id for d in segmenter.step(images[4])] == ["2"]
    segmenter.reset()
    assert [d.id for d in segmenter.step(video(1, 100, 80)[0])] == ["3"]


class Drawn(Sam2VideoSegmenter):
    """The segmenter with the truth in the place of the network, to test the bookkeeping: squares that move."""

    def __init__(self, truth, detector, config):
        super().__init__(tiny.sam2_video(), detector, config, "cpu")
        self.truth, self.owner = truth, {}

    def _run(self, thing_id, pixels, box_px=None):
        squares = self.truth(self._index)
        if box_px is not None:
            middle = (box_px[:2] + box_px[2:]) / 2
            self.owner[thing_id] = min(squares, key=lambda k: np.linalg.norm(np.add(squares[k], 10) - middle))
        mask = np.zeros(self._size_hw, bool)
        if self.owner[thing_id] in squares:
            x, y = squares[self.owner[thing_id]]
            mask[y : y + 20, x : x + 20] = True
        return mask, 0.9 if mask.any() else 0.1


class Squares:
    """A detector that sees the squares of the truth that are in view, except in the looks that it misses."""

    def __init__(self, truth, interval, blind=()):
        self.truth, self.interval, self.blind, self.look = truth, interval, blind, -1

    def detect(self, rgb):
        self.look += 1
        if self.look in self.blind:
            return ()
        squares = self.truth(self.look * self.interval)
        return tuple(
            Detection(label="box", score=0.7, box_px=np.array([x, y, x + 20, y + 20], float))
            for x, y in squares.values()
        )


def test_things_that_enter_are_found_and_identities_survive_blind_looks_and_occlusion():
    def truth(t):
        squares = {"a": (t, 10)}
        if t >= 7:
            squares["b"] = (200 - t, 50)
        if not 20 <= t < 26:
            squares["c"] = (60 + t, 90)
        return squares

    segmenter = Drawn(truth, Squares(truth, 5, blind=(2, 3)), Sam2Config(interval=5))
    seen = {}
    for t, rgb in enumerate(np.zeros((40, 120, 240, 3), np.uint8)):
        for found in segmenter.step(rgb):
            x, y = found.box_px[:2]
            name = next(k for k, v in truth(t).items() if v == (x, y))
            seen.setdefault(name, {}).setdefault(found.id, []).append(t)
    assert {name: list(ids) for name, ids in seen.items()} == {"a": ["1"], "c": ["2"], "b": ["3"]}
    assert seen["a"]["1"] == list(range(40))
    # b came at 7 and the detector, which looks at 10 and 15 with closed eyes, found it at 20.
    assert seen["b"]["3"] == list(range(20, 40))
    assert seen["c"]["2"] == [*range(20), *range(26, 40)]


def test_a_mask_that_no_detection_confirms_is_dropped():
    def truth(t):
        return {"a": (10, 10)}

    config = Sam2Config(interval=1, identities=IdentityConfig(max_missed_detections=3))
    segmenter = Drawn(truth, Squares(truth, 1, blind=range(1, 100)), config)
    counts = [len(segmenter.step(np.zeros((60, 60, 3), np.uint8))) for _ in range(6)]
    assert counts == [1, 1, 1, 0, 0, 0]


def test_two_masks_of_one_thing_become_one():
    def truth(t):
        return {"a": (10, 10)}

    twice = [Detection(label="box", box_px=np.array([x, 10.0, x + 20.0, 30.0])) for x in (10.0, 35.0)]
    segmenter = Drawn(truth, Script(twice), Sam2Config(interval=100))
    assert [d.id for d in segmenter.step(np.zeros((60, 60, 3), np.uint8))] == ["1"]


def test_memory_does_not_grow():
    model = always_there(tiny.sam2_video())
    model.config.max_object_pointers_in_encoder = 4
    apart = IdentityConfig(max_same_masks=1.0, max_missed_detections=1000)
    config = Sam2Config(interval=3, max_prompts=2, identities=apart)
    segmenter = Sam2VideoSegmenter(model, Script(named("mug", "chair"), []), config, "cpu")

    def stored():
        seen, stack = {}, [[s.__dict__ for s in segmenter._sessions.values()]]
        while stack:
            item = stack.pop()
            if isinstance(item, torch.Tensor):
                seen[id(item)] = item.numel()
            elif isinstance(item, dict):
                stack.extend(item.values())
            elif isinstance(item, (list, tuple)):
                stack.extend(item)
            elif hasattr(item, "__dict__"):
                stack.append(item.__dict__)
        return sum(seen.values())

    sizes = []
    for rgb in video(24):
        segmenter.step(rgb)
        sizes.append(stored())
    assert sizes[8] > 0 and sizes[-1] <= sizes[8]


def test_saved_and_loaded_is_the_same(tmp_path):
    before = Sam2VideoSegmenter(always_there(tiny.sam2_video()), Script(named("mug")), device="cpu")
    before.save(tmp_path)
    after = Sam2VideoSegmenter.from_pretrained(Script(named("mug")), tmp_path, device="cpu")
    for rgb in video(3):
        (a,), (b,) = before.step(rgb), after.step(rgb)
        assert (a.mask == b.mask).all() and a.score == b.score


def test_errors_name_the_next_step(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"hf download facebook/sam2\.1-hiera-large` .*Apache-2\.0"):
        Sam2VideoSegmenter.from_pretrained(Script([]))
    segmenter = Sam2VideoSegmenter(tiny.sam2_video(), Script([]), device="cpu")
    segmenter.step(video(1)[0])
    with pytest.raises(GeometryError, match="reset"):
        segmenter.step(video(1, 60, 80)[0])
    with pytest.raises(ModelError, match="interval"):
        Sam2Config(interval=0)
    assert networks.choose_device("cpu") == "cpu"
