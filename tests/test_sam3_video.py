"""SAM 3 streaming by names: equal to transformers' own propagation, identities, bounded memory, saving."""

import numpy as np
import pytest

from dsr_core.errors import GeometryError, ModelError
from dsr_core.perception.segment.sam3_video import Sam3Config, Sam3VideoSegmenter
from tests import tiny_networks as tiny
from tests.tiny_networks import torch

ALL = Sam3Config(min_score=0.0, max_same_masks=1.0)


@pytest.fixture(scope="module")
def model():
    return tiny.sam3_video()


def segmenter(model, config=ALL, names=("red mug", "chair")):
    return Sam3VideoSegmenter(model, tiny.bert_tokenizer(), names, config, "cpu")


def video(frames=4, height=90, width=120):
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def test_streaming_equals_the_networks_own_session(model):
    from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoInferenceSession

    ours, images = segmenter(model), video()
    session = Sam3VideoInferenceSession(video_height=90, video_width=120, dtype=torch.float32)
    for prompt in ("red mug", "chair"):
        number = session.add_prompt(prompt)
        text = tiny.bert_tokenizer()(prompt, padding="max_length", max_length=32, return_tensors="pt")
        session.prompt_input_ids[number] = text["input_ids"]
        session.prompt_attention_masks[number] = text["attention_mask"]
    total = 0
    for rgb in images:
        found = ours.step(rgb)
        out = model(inference_session=session, frame=ours.prepare(rgb))
        theirs = {}
        for number in sorted(out.obj_id_to_mask):
            logits = torch.nn.functional.interpolate(
                out.obj_id_to_mask[number].float()[None], (90, 120), mode="bilinear"
            )
            if (logits > 0).any() and number not in out.suppressed_obj_ids:
                theirs[str(number + 1)] = (logits[0, 0] > 0).numpy()
        assert {d.id for d in found} == set(theirs)
        for d in found:
            assert (d.mask == theirs[d.id]).all() and d.label in ("red mug", "chair")
            assert d.mask[int(d.box_px[1]), :].any() and d.mask.sum() > 0
        total += len(found)
    assert total > 0


def test_identities_last_and_are_never_given_twice(model):
    follower = segmenter(model)
    first = [{d.id: d.label for d in follower.step(rgb)} for rgb in video(3)]
    assert first[0] and set(first[0]) <= set(first[1]) | set(first[2])
    names = {}
    for frame in first:
        for number, label in frame.items():
            assert names.setdefault(number, label) == label
    follower.reset()
    again = {d.id for d in follower.step(video(1, 60, 80)[0])}
    assert again and not again & set(names)


def test_memory_does_not_grow_and_what_stays_lost_is_forgotten(model):
    follower = segmenter(model, Sam3Config(min_score=0.0, max_same_masks=1.0, max_lost_frames=2, max_prompts=2))

    def stored():
        seen, stack = {}, [follower._session.__dict__]
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
    for rgb in video(14):
        follower.step(rgb)
        sizes.append(stored())
        assert len(follower._ids) == len(follower._seen)
    assert sizes[-1] <= 1.02 * max(sizes[:9])
    for number in list(follower._seen):
        follower._seen[number] = -100
    follower._trim()
    assert not follower._ids and not follower._session.obj_ids
    assert follower.step(video(1)[0]) is not None


def test_saved_and_loaded_is_the_same(tmp_path, model):
    before = segmenter(model)
    before.save(tmp_path)
    after = Sam3VideoSegmenter.from_pretrained(("red mug", "chair"), tmp_path, ALL, "cpu")
    a, b = before.step(video(1)[0]), after.step(video(1)[0])
    assert a and [d.id for d in a] == [d.id for d in b]
    assert all((x.mask == y.mask).all() and x.score == pytest.approx(y.score) for x, y in zip(a, b, strict=True))


def test_errors_name_the_next_step(tmp_path, monkeypatch, model):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"`hf download facebook/sam3` \(licence: SAM License"):
        Sam3VideoSegmenter.from_pretrained(["chair"])
    with pytest.raises(ModelError, match="names"):
        segmenter(model, names=[" "])
    follower = segmenter(model)
    follower.step(video(1)[0])
    with pytest.raises(GeometryError, match="reset"):
        follower.step(video(1, 60, 80)[0])


def test_pre_processing_equals_the_original(model):
    try:
        from transformers import Sam3ImageProcessor

        processor = Sam3ImageProcessor(size={"height": 112, "width": 112})
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"the original needs torchvision: {error}")
    theirs = processor(images=video(1)[0], return_tensors="pt")["pixel_values"]
    assert (segmenter(model).prepare(video(1)[0]) - theirs).abs().max() < 1e-5
