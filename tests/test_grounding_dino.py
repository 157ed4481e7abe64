"""GroundingDINO and MM-GroundingDINO: prompts, pre-processing, detection, saving, against transformers' processor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_core.errors import GeometryError, ModelError
from dsr_core.perception import networks
from dsr_core.perception.boxes import iou_matrix, mask_box, suppress
from dsr_core.perception.detect.grounding_dino import GroundingDino, GroundingDinoConfig, write_prompts
from tests import tiny_networks as tiny
from tests.tiny_networks import torch, transformers

CONFIG = GroundingDinoConfig(box_threshold=0.0, max_iou=1.0, shortest_px=64, longest_px=96)


def image(height=120, width=160):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def processor():
    size = {"shortest_edge": 64, "longest_edge": 96}
    images = transformers.GroundingDinoImageProcessorPil(size=size)
    return transformers.GroundingDinoProcessor(images, tiny.bert_tokenizer())


def test_prompt_reads_as_the_original_does_and_knows_its_names():
    tokenizer = tiny.bert_tokenizer()
    (prompt,) = write_prompts(tokenizer, ["Red mug", "forklift", "chair", "chair"], 256)
    assert list(prompt.input_ids) == tokenizer("red mug. forklift. chair.")["input_ids"]
    assert prompt.names == ("Red mug", "forklift", "chair")
    words = [tokenizer.convert_ids_to_tokens(prompt.input_ids[a:b]) for a, b in prompt.spans]
    assert words == [["red", "mug"], ["fork", "##lift"], ["chair"]]


def test_many_names_take_several_prompts():
    prompts = write_prompts(tiny.bert_tokenizer(), ["red mug", "forklift", "chair", "table"], 8)
    assert [p.names for p in prompts] == [("red mug", "forklift"), ("chair", "table")]
    assert all(len(p.input_ids) <= 8 for p in prompts)


@pytest.mark.parametrize("names", [[], [""], ["a. chair"], ["red " * 20]])
def test_a_name_that_cannot_be_asked_for_is_refused(names):
    with pytest.raises(ModelError, match="name"):
        write_prompts(tiny.bert_tokenizer(), names, 16)


@pytest.mark.parametrize("size", [(120, 160), (160, 120), (64, 64), (48, 200), (37, 41), (64, 96)])
def test_pre_processing_equals_the_original(size):
    rgb = image(*size)
    theirs = processor()(images=rgb, text="chair.", return_tensors="pt")["pixel_values"]
    ours = GroundingDino(tiny.grounding_dino(), tiny.bert_tokenizer(), ["chair"], CONFIG, "cpu").prepare(rgb)
    assert ours.shape == theirs.shape
    # Pillow rounds the intermediate of its two passes to whole grey values.
    assert (ours - theirs).abs().max() < 1.01 / 255 / min(networks.IMAGENET_STD)


@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.sampled_from([(800, 1333), (64, 96), (518, 518), (480, 2000)]),
)
def test_size_is_that_of_transformers(height, width, edges):
    from transformers.image_transforms import get_size_with_aspect_ratio

    shortest, longest = edges
    theirs = get_size_with_aspect_ratio((height, width), shortest, longest)
    if min(theirs) > 0:  # a strip of one pixel's width is scaled to none
        assert np.abs(np.subtract(networks.size_within(height, width, shortest, longest), theirs)).max() <= 1


@pytest.mark.parametrize("kind", ["", "MM"])
def test_detections_are_those_of_the_original_with_our_names(kind):
    model, rgb = tiny.grounding_dino(kind), image()
    found = GroundingDino(model, tiny.bert_tokenizer(), ["red mug", "chair"], CONFIG, "cpu").detect(rgb)
    assert len(found) == 20 and {d.label for d in found} <= {"red mug", "chair"}
    scores = np.array([d.score for d in found])
    assert (np.diff(scores) <= 0).all() and (scores > 0).all() and (scores < 1).all()

    inputs = processor()(images=rgb, text=[["red mug", "chair"]], return_tensors="pt")
    with torch.inference_mode():
        out = model(**inputs)
    theirs = (
        processor()
        .post_process_grounded_object_detection(
            out, inputs["input_ids"], threshold=0.0, text_threshold=0.0, target_sizes=[rgb.shape[:2]]
        )[0]["boxes"]
        .numpy()
    )
    ours = np.stack([d.box_px for d in found])
    nearest = np.abs(ours[:, None] - np.clip(theirs, 0, [160, 120, 160, 120])[None]).max(axis=2).min(axis=1)
    assert nearest.max() < 1.0  # pixels; the two pre-processings differ by a grey value


def test_thresholds_and_overlap_are_applied():
    model, rgb = tiny.grounding_dino(), image()
    every = GroundingDino(model, tiny.bert_tokenizer(), ["chair"], CONFIG, "cpu").detect(rgb)
    middle = float(np.median([d.score for d in every]))
    strict = GroundingDinoConfig(box_threshold=middle, max_iou=0.3, shortest_px=64, longest_px=96)
    few = GroundingDino(model, tiny.bert_tokenizer(), ["chair"], strict, "cpu").detect(rgb)
    assert 0 < len(few) < len(every) and min(d.score for d in few) > middle
    boxes = np.stack([d.box_px for d in few])
    assert (iou_matrix(boxes, boxes) - np.eye(len(few))).max() <= 0.3


def test_names_over_several_prompts_are_all_looked_for():
    names = ["red mug", "forklift", "chair", "table"]
    detector = GroundingDino(tiny.grounding_dino(max_text_len=8), tiny.bert_tokenizer(), names, CONFIG, "cpu")
    assert len(detector.prompts) == 2
    found = detector.detect(image())
    assert len(found) == 40 and {d.label for d in found} & {"chair", "table"}


@pytest.mark.parametrize("kind", ["", "MM"])
def test_saved_and_loaded_is_the_same(tmp_path, kind):
    before = GroundingDino(tiny.grounding_dino(kind), tiny.bert_tokenizer(), ["forklift"], CONFIG, "cpu")
    before.save(tmp_path)
    after = GroundingDino.from_pretrained(["forklift"], tmp_path, CONFIG, "cpu")
    assert type(after.model).__name__.startswith("MM") == (kind == "MM")
    for a, b in zip(before.detect(image()), after.detect(image()), strict=True):
        assert a.label == b.label and a.score == b.score and (a.box_px == b.box_px).all()


def test_missing_weights_name_the_command_and_the_licence(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"`hf download IDEA-Research/grounding-dino-base` \(licence: Apache-2.0\)"):
        GroundingDino.from_pretrained(["chair"], "IDEA-Research/grounding-dino-base")
    with pytest.raises(ModelError, match="does not hold the weights"):
        GroundingDino.from_pretrained(["chair"], tmp_path)


def test_what_is_no_image_is_refused():
    detector = GroundingDino(tiny.grounding_dino(), tiny.bert_tokenizer(), ["chair"], CONFIG, "cpu")
    with pytest.raises(GeometryError, match="uint8"):
        detector.detect(np.zeros((10, 10), np.uint8))


def test_suppression_keeps_the_best_of_what_overlaps():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [5, 5, 5, 5]], float)
    assert suppress(boxes, np.array([0.5, 0.9, 0.1, 0.2]), 0.6).tolist() == [1, 3, 2]
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.6).tolist() == []
    assert iou_matrix(boxes[:1], boxes)[0] == pytest.approx([1.0, 90 / 110, 0.0, 0.0])
    mask = np.zeros((6, 8), bool)
    assert mask_box(mask) is None
    mask[2:4, 5] = True
    assert mask_box(mask).tolist() == [5, 2, 6, 4]
