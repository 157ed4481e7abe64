"""The Open Images detector: anchors, pre- and post-processing, and the network itself where it is fetched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import need

from dsr_core.errors import ModelError
from dsr_core.perception.boxes import iou_matrix
from dsr_core.perception.detect.ssd_openimages import LABELS, SsdOpenImages, decode, findings, make_anchors, prepare


def code_of(box: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """The network's code for a box in parts of the image: the inverse of `decode`."""
    centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    (dx, dy), (w, h) = (centre - anchor[:2]) / anchor[2:] * 10, np.log(size / anchor[2:]) * 5
    return np.array([dy, dx, h, w])


def outputs(*things, background=-8.0):
    """Outputs of a network that sees `things` = (label, score, box) at anchors that fit them best."""
    anchors = make_anchors()
    codes, logits = np.zeros((len(anchors), 4)), np.full((len(anchors), len(LABELS) + 1), background)
    used = []
    for label, score, box in things:
        box = np.array(box, float)
        boxes = np.concatenate([anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2], axis=1)
        fit = iou_matrix(box[None], boxes)[0]
        fit[used] = -1
        used.append(int(fit.argmax()))
        codes[used[-1]] = code_of(box, anchors[used[-1]])
        logits[used[-1], 1 + LABELS.index(label)] = np.log(score / (1 - score))
    return codes, logits, anchors


def test_anchors_are_those_of_the_network():
    anchors = make_anchors()
    assert anchors.shape == (1917, 4)
    # 19x19 cells with 3 anchors, then 10, 5, 3, 2, 1 squared with 6
    np.testing.assert_allclose(anchors[0], [0.5 / 19, 0.5 / 19, 0.1, 0.1])
    np.testing.assert_allclose(anchors[1, 2:], [0.2 * np.sqrt(2), 0.2 / np.sqrt(2)])
    np.testing.assert_allclose(anchors[3, :2], [1.5 / 19, 0.5 / 19], err_msg="x runs faster than y")
    np.testing.assert_allclose(anchors[19 * 19 * 3], [0.05, 0.05, 0.35, 0.35])
    np.testing.assert_allclose(anchors[-1], [0.5, 0.5, np.sqrt(0.95), np.sqrt(0.95)])


boxes = st.tuples(*[st.floats(0.05, 0.6)] * 2, *[st.floats(0.05, 0.39)] * 2).map(
    lambda b: np.array([b[0], b[1], b[0] + b[2], b[1] + b[3]])
)


@settings(max_examples=50, deadline=None)
@given(box=boxes, index=st.integers(0, 1916))
def test_decoding_inverts_the_box_code(box, index):
    anchor = make_anchors()[index]
    np.testing.assert_allclose(decode(code_of(box, anchor)[None], anchor[None])[0], box, atol=1e-9)


def test_findings_are_sorted_named_and_apart():
    codes, logits, anchors = outputs(
        ("chair", 0.6, [0.1, 0.4, 0.4, 0.9]),
        ("mug", 0.7, [0.6, 0.6, 0.7, 0.72]),
        ("coffee cup", 0.65, [0.6, 0.6, 0.71, 0.72]),
        ("chair", 0.3, [0.7, 0.1, 0.9, 0.4]),
    )
    rect, scores, labels = findings(codes, logits, anchors, 0.4, 0.5)
    assert [LABELS[i] for i in labels] == ["mug", "chair"], "a mug that is a coffee cup, too, is one thing"
    np.testing.assert_allclose(scores, [0.7, 0.6])
    np.testing.assert_allclose(rect[1], [0.1, 0.4, 0.4, 0.9])
    assert len(findings(codes, logits, anchors, 0.9, 0.5)[0]) == 0


def test_boxes_outside_and_without_area_are_left_out():
    codes, logits, anchors = outputs(("dog", 0.9, [0.4, 0.4, 0.8, 0.8]), ("cat", 0.9, [1.2, 0.2, 1.5, 0.5]))
    assert [LABELS[i] for i in findings(codes, logits, anchors, 0.5, 0.5)[2]] == ["dog"]


@pytest.mark.parametrize("shape", [(480, 640, 3), (100, 50, 3), (300, 300, 3)])
def test_the_image_is_stretched_to_the_input(shape):
    image = np.zeros(shape, np.uint8)
    image[: shape[0] // 2, :, 0] = 255
    small = prepare(image)
    assert small.shape == (300, 300, 3) and small.dtype == np.float32
    np.testing.assert_allclose(small[:145, :, 0], 1.0)
    np.testing.assert_allclose(small[155:, :, 0], -1.0)
    np.testing.assert_allclose(small[:, :, 1:], -1.0)


def test_another_network_is_refused(tmp_path):
    pytest.importorskip("ai_edge_litert")
    path = tmp_path / "no.tflite"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=r"no\.tflite is no network"):
        SsdOpenImages(path)


def test_the_network_sees_nothing_in_noise_and_is_the_same_twice():
    need("ssd-openimages")
    detector = SsdOpenImages(threads=1)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    assert detector.detect(noise) == ()
    loose = SsdOpenImages(threads=1, min_score=0.02, max_detections=5)
    first, second = loose.detect(noise), loose.detect(noise)
    assert 0 < len(first) <= 5
    for a, b in zip(first, second, strict=True):
        assert a.label == b.label and a.score == b.score and (a.box_px == b.box_px).all()
        assert (a.box_px >= 0).all() and (a.box_px[[0, 2]] <= 640).all() and (a.box_px[[1, 3]] <= 480).all()
