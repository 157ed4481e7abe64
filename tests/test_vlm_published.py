"""The published checkpoint of DSR Suite, against a plain writing-down of its description."""

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the model side needs torch: run tools/setup.sh")
pytest.importorskip("transformers", reason="the model side needs transformers: run tools/setup.sh")

from safetensors.torch import load_file, save_file  # noqa: E402

from dsr_core.errors import ModelError  # noqa: E402
from dsr_core.vlm.published import is_published, load_published  # noqa: E402
from dsr_core.vlm.published_module import PublishedModule  # noqa: E402
from dsr_core.vlm.values import Asked, Clip, VlmError  # noqa: E402
from tests import published_reference  # noqa: E402

OPTIONS = ("left", "right", "up", "down")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return published_reference.write(tmp_path_factory.mktemp("dsr_suite"))


@pytest.fixture(scope="module")
def model(place):
    return load_published(place, device="cpu")


@pytest.fixture(scope="module")
def reference(place, model):
    def tower(patches, grid):
        return model.base.model.get_video_features(patches, torch.tensor([grid])).pooler_output[0]

    return published_reference.Reference(place, tower)


def clip(count=6, height=56, width=84, seed=0, step_s=0.7):
    frames = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)
    return Clip(list(frames), [step_s * i for i in range(count)])


def asked(question="which way does it go?", *clips, **fields):
    return Asked(question, OPTIONS, clips=clips, **fields)


def expected(reference, batch, row=0, asked=None):
    """What the reference makes of a batch of one video."""
    ids = batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist()
    grid, seconds = tuple(batch["video_grid_thw"][0].tolist()), float(batch["second_per_grid_ts"][0])
    with torch.no_grad():
        return reference.logits(ids, batch["pixel_values_videos"], grid, seconds, asked)


def logits(model, batch):
    with torch.no_grad():
        return model(batch).logits


# --- its arithmetic


@pytest.mark.parametrize(
    "shown", [clip(), clip(count=7, height=84, width=84, seed=1), clip(count=8, step_s=2.9, seed=2), clip(count=1)]
)
def test_logits_are_those_of_the_original(model, reference, shown):
    batch = model.inputs([asked("does the dog turn left or right?", shown)])
    torch.testing.assert_close(logits(model, batch)[0], expected(reference, batch), atol=1e-5, rtol=1e-5)


def test_text_goes_on_after_the_last_moment_of_a_long_video(model, reference):
    """Its time steps reach farther than its rows and columns; transformers 5 counts these alone."""
    batch = model.inputs([asked("which way does it go?", clip(count=8, step_s=8.0))])
    given, _ = model._expanded(batch)
    ids, grid = batch["input_ids"][0].tolist(), batch["video_grid_thw"][0]
    first = ids.index(reference.video)
    last = first + int(float(batch["second_per_grid_ts"][0]) * (int(grid[0]) - 1) * 2)
    assert last - first > int(grid[1:].max())
    after = given["position_ids"][:, 0, first + int(grid.prod()) // 4 :]
    assert torch.equal(after, last + 1 + torch.arange(after.shape[1]).expand(3, -1))
    torch.testing.assert_close(logits(model, batch)[0], expected(reference, batch), atol=1e-5, rtol=1e-5)


def test_it_says_what_the_original_would(model, reference):
    batch = model.inputs([asked("which way does it go?", clip())])
    said = model.generate(batch, max_new_tokens=4, suppress_tokens=None, eos_token_id=None)[0].tolist()
    ids, grown = batch["input_ids"][0].tolist(), []
    for _ in range(4):
        with torch.no_grad():
            grid, seconds = tuple(batch["video_grid_thw"][0].tolist()), float(batch["second_per_grid_ts"][0])
            told = reference.logits(ids + grown, batch["pixel_values_videos"], grid, seconds, asked=len(ids))
        grown.append(int(told[-1].argmax()))
    assert said == grown


def test_what_was_said_is_no_part_of_the_question_in_training(model, reference):
    """Nor is the header of the assistant's turn, which is its part in an answer."""
    batch = model.inputs([asked("which way does it go?", clip())], replies=["B"])
    prompt = int((batch["labels"][0] == -100).sum())
    told = expected(reference, batch, asked=prompt - 3)
    with torch.no_grad():
        out = model(batch)
    torch.testing.assert_close(out.logits[0], told, atol=1e-5, rtol=1e-5)
    loss = torch.nn.functional.cross_entropy(told[:-1], batch["labels"][0, 1:], ignore_index=-100)
    torch.testing.assert_close(out.loss, loss, atol=1e-5, rtol=1e-5)
    answering = logits(model, model.inputs([asked("which way does it go?", clip())]))[0, -1]
    assert (out.logits[0, prompt - 1] - answering).abs().max() > 1e-4


def test_pixels_get_back_what_the_original_gives_them(model, reference):
    batch = model.inputs([asked("?", clip())])
    grid = batch["video_grid_thw"][0]
    made = model.module.pictures(batch["pixel_values_videos"], grid)
    plain = reference.frames(batch["pixel_values_videos"], tuple(grid.tolist()))
    torch.testing.assert_close(made, plain, atol=1e-6, rtol=1e-6)
    true = torch.from_numpy(np.stack(clip().frames)).permute(0, 3, 1, 2) / 255.0
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (published_reference.MEAN, published_reference.STD))
    off = (made - (true - mean) / std).abs().amax((0, 2, 3))
    assert off[0] < 1e-5 and off[2] < 1e-5 and 0.0008 < off[1] < 0.001  # 0.4576275 is no mean of CLIP's


def test_positions_are_rounded_as_the_original_does_in_half_precision(place):
    module = load_published(place, device="cpu", dtype=torch.bfloat16).module
    question, seen = torch.randn(300, 64).bfloat16(), []
    rope, module.rope = module.rope, lambda places, dtype: seen.append(places) or rope(places, dtype)
    module.condensed(question)
    places = next(p[0].float() for p in seen if p.shape[1] == 300)
    assert torch.equal(places[:257], torch.arange(257.0)) and not torch.equal(places, torch.arange(300.0))


def test_half_precision_comes_near(model, place):
    batch = model.inputs([asked("left?", clip()), asked("does it go up?", clip(seed=1))])
    half, full = logits(load_published(place, device="cpu", dtype=torch.bfloat16), batch), logits(model, batch)
    assert half.dtype == torch.bfloat16 and 0 < (half.float() - full).abs().mean() < 0.05 * full.abs().mean()


def test_the_real_module_is_as_large_as_told():
    """562.8 M parameters beside the encoder: 233.1 M a Q-Former, 96.5 M the merger, 0.11 M queries."""
    from transformers import Qwen2_5_VLConfig

    text = {"hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_key_value_heads": 4}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    config = Qwen2_5_VLConfig(text_config={**text, "rope_parameters": rope})
    with torch.device("meta"):
        module = PublishedModule(None, 1024, 32, config.text_config, config.vision_config)

    def millions(part):
        return round(sum(p.numel() for p in part.parameters()) / 1e6, 1)

    assert millions(module) == 562.8 and millions(module.spatial_merger) == 96.5
    assert millions(module.q_former_1) == millions(module.q_former_2) == 233.1


# --- what the original could not do


def test_a_batch_is_answered_as_its_rows_alone(model):
    rows = [
        asked("which way does it go?", clip()),
        asked("up or down?"),
        asked("does it turn left or right, seconds 1 to 4?", clip(count=3, seed=1), clip(height=84, seed=2)),
        asked("up?", images=(clip(count=1, seed=4).frames[0],)),
        asked("left?", clip(count=2, seed=3)),
    ]
    for side in ("left", "right"):
        batch = model.inputs(rows, side=side)
        together = logits(model, batch)
        for i, row in enumerate(rows):
            alone = logits(model, model.inputs([row]))[0]
            torch.testing.assert_close(together[i, batch["attention_mask"][i].bool()], alone, atol=2e-5, rtol=1e-5)
    said = model.generate(model.inputs(rows), max_new_tokens=3)
    for i, row in enumerate(rows):
        alone = model.generate(model.inputs([row]), max_new_tokens=3)[0].tolist()
        assert said[i].tolist()[: len(alone)] == alone


def test_without_a_video_it_is_the_base(model):
    batch = model.inputs([asked("which way does it go?")])
    with torch.no_grad():
        base = model.base(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(logits(model, batch), base, atol=1e-6, rtol=1e-6)


def test_two_videos_are_selected_from_by_themselves(model):
    both = model._expanded(model.inputs([asked("left?", clip(seed=1), clip(count=4, seed=2))]))[0]["inputs_embeds"][0]
    first, second = model.inputs([asked("left?", clip(seed=1))]), model.inputs([asked("left?", clip(count=4, seed=2))])
    tokens = [model._expanded(batch)[0]["inputs_embeds"][0] for batch in (first, second)]
    at = int((first["input_ids"][0] == model.inputs.video_id).nonzero()[0])
    end = at + 18 + 32  # 6 x 2 x 3 / 2 visual tokens, then what was selected
    torch.testing.assert_close(both[at:end], tokens[0][at:end], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(both[end + 2 : end + 2 + 44], tokens[1][at : at + 44], atol=1e-5, rtol=1e-5)


def test_a_video_is_encoded_once_for_many_questions(model, monkeypatch):
    questions = [asked(text, clip()) for text in ("left?", "does it go right?")]
    encoded = model.encode(model.inputs(questions[:1]))
    monkeypatch.setattr(model.module, "geometry", None)
    for one in questions:
        told = logits(model, model.inputs([one], pixels=False) | {"encoded": encoded})
        monkeypatch.undo()
        torch.testing.assert_close(told, logits(model, model.inputs([one])), atol=1e-5, rtol=1e-5)
        monkeypatch.setattr(model.module, "geometry", None)
    monkeypatch.undo()
    together = model.inputs(questions, pixels=False)
    told = logits(model, together | {"encoded": encoded.repeated(2)})
    torch.testing.assert_close(told, logits(model, model.inputs(questions)), atol=1e-5, rtol=1e-5)


def test_the_question_and_the_frames_choose(model):
    """What is inserted changes with the question's words and with the pixels."""

    def inserted(question, shown):
        batch = model.inputs([asked(question, shown)])
        at = int((batch["input_ids"][0] == model.inputs.video_id).nonzero()[-1]) + 1
        return model._expanded(batch)[0]["inputs_embeds"][0, at : at + 32]

    one = inserted("left?", clip())
    torch.testing.assert_close(one, inserted("left?", clip()))
    assert (one - inserted("right?", clip())).abs().max() > 1e-2
    assert (one - inserted("left?", clip(seed=5))).abs().max() > 1e-2


def test_last_logits_alone_are_the_same(model):
    batch = model.inputs([asked("left?", clip()), asked("which way does it go?")])
    with torch.no_grad():
        assert torch.allclose(model(batch, logits_to_keep=1).logits[:, 0], logits(model, batch)[:, -1], atol=1e-6)


def test_options_are_weighed_as_the_original_would(model, reference):
    from dsr_core.vlm.prompts import PromptConfig
    from dsr_core.vlm.published_model import PublishedModel
    from dsr_core.vlm.replies import option_log_probabilities, say

    questions = [asked("which way does it go?", clip()), asked("does it go left or right?", clip(count=3, seed=1))]
    for one, told in zip(questions, option_log_probabilities(model, questions), strict=True):
        letters = [model.tokenizer.convert_tokens_to_ids(letter) for letter in "ABCD"]
        plain = expected(reference, model.inputs([one]))[-1, letters]
        np.testing.assert_allclose(told, torch.log_softmax(plain, 0), atol=2e-5)
    encoded = model.encode(model.inputs(questions[:1]))
    alone = option_log_probabilities(model, questions[:1])[0]
    again = [Asked(text, OPTIONS, questions[0].clips) for text in ("which way does it go?", "up or down?")]
    np.testing.assert_allclose(option_log_probabilities(model, again, encoded=encoded)[0], alone, atol=2e-5)
    assert len(say(model, questions, max_new_tokens=2)) == 2
    with pytest.raises(VlmError, match="leave reply = letter"):
        PublishedModel(model.base, model.module, model.tokenizer, PromptConfig(reply="text"))


def test_placeholders_that_do_not_fit_are_told(model):
    batch, video = model.inputs([asked("left?", clip())]), model.inputs.video_id
    more = batch["input_ids"].clone()
    more[0, -1] = video
    with pytest.raises(VlmError, match="placeholders for more videos than there are"):
        model(batch | {"input_ids": more})
    fewer = batch["input_ids"].clone()
    fewer[0, (fewer[0] == video).nonzero()[0]] = 5
    with pytest.raises(VlmError, match="17 placeholders stand in the text for 18 tokens"):
        model(batch | {"input_ids": fewer})
    with pytest.raises(VlmError, match="no placeholders for 1 of the pictures"):
        model(batch | {"input_ids": torch.where(batch["input_ids"] == video, 5, batch["input_ids"])})
    with pytest.raises(VlmError, match="padded on the left"):
        model.generate(model.inputs([asked("left?", clip()), asked("left?")], side="right"))


# --- loading


def changed(place, folder, change, config=None):
    """A copy of the checkpoint with other tensors."""
    shutil.copytree(place, folder)
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    if config is not None:
        told = json.loads((folder / "config.json").read_text())
        config(told)
        (folder / "config.json").write_text(json.dumps(told))
    return folder


def test_it_is_known_wherever_a_model_is_loaded(model, place):
    from dsr_core.vlm.model import GeometryVLM
    from dsr_core.vlm.published_model import PublishedModel

    loaded = GeometryVLM.load(place, device="cpu")
    assert isinstance(loaded, PublishedModel)
    batch = model.inputs([asked("left?", clip())])
    assert torch.equal(logits(loaded, batch), logits(model, batch))
    assert not isinstance(GeometryVLM.load(place.parent / "base", device="cpu"), PublishedModel)


def test_every_tensor_has_its_place(model, place):
    state = load_file(place / "model.safetensors")
    assert set(model.loaded.loaded) == set(state)
    assert model.loaded.loaded["visual.q_former_1.attn.q_proj.weight"] == ("module:q_former_1.attn.q_proj.weight",)
    assert len(model.loaded.loaded["visual.spatial_encoder.blocks.0.attn.qkv.weight"]) == 3
    assert not any(p.requires_grad for p in model.parameters())


def test_newer_names_and_shards_are_read_too(model, place, tmp_path):
    def renamed(name):
        if name.startswith("visual."):
            return f"model.{name}"
        return name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name

    shutil.copytree(place, tmp_path / "new")
    state = load_file(tmp_path / "new" / "model.safetensors")
    (tmp_path / "new" / "model.safetensors").unlink()
    weight_map = {}
    for number, names in enumerate((sorted(state)[::2], sorted(state)[1::2])):
        file = f"model-{number + 1:05d}-of-00002.safetensors"
        save_file({renamed(name): state[name] for name in names}, tmp_path / "new" / file)
        weight_map |= {renamed(name): file for name in names}
    (tmp_path / "new" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    again = load_published(tmp_path / "new", device="cpu").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda s: s.pop("visual.q_former_1.norm1.weight"), "1 missing: module:q_former_1.norm1.weight"),
        (lambda s: s.pop("visual.spatial_encoder.blocks.1.ls2.gamma"), "1 missing: encoder:.*layer_scale2.lambda1"),
        (lambda s: s.pop("model.layers.1.self_attn.k_proj.bias"), "1 missing: base:model.language_model.layers.1"),
        (lambda s: s.pop("lm_head.weight"), "1 missing: base:lm_head.weight"),
        (lambda s: s.update({"visual.q_former_2.gate": torch.ones(1)}), "1 unexpected: visual.q_former_2.gate"),
        (lambda s: s.update({"language.x": torch.ones(1)}), "1 unexpected: language.x"),
        (
            lambda s: s.update({"visual.q_former_2.attn.k_proj.weight": torch.ones(64, 64)}),
            r"1 of another shape: visual.q_former_2.attn.k_proj.weight: \(64, 64\), \(32, 64\)",
        ),
        (
            lambda s: s.update({"visual.spatial_merger.mlp.0.bias": torch.ones(8)}),
            r"of another shape: visual.spatial_merger.mlp.0.bias: \(8,\), \(1024,\)",
        ),
    ],
)
def test_tensors_without_a_place_and_places_without_a_tensor_are_told(place, tmp_path, change, told):
    with pytest.raises(VlmError, match=told):
        load_published(changed(place, tmp_path / "changed", change), device="cpu")


def test_two_names_of_one_tensor_are_told(place, tmp_path):
    twice = changed(
        place, tmp_path / "twice", lambda s: s.update({"model.visual.q_former_norm.weight": torch.ones(64)})
    )
    with pytest.raises(VlmError, match=r"two tensors of the file are module:q_former_norm\.weight"):
        load_published(twice, device="cpu")


def test_a_plain_qwen_is_no_checkpoint_of_dsr_suite(place):
    base = place.parent / "base"
    assert is_published(place) and not is_published(base) and not is_published(place / "nothing")
    with pytest.raises(VlmError, match="the encoder has no tensor"):
        load_published(base, device="cpu")


def test_another_model_is_told(place, tmp_path):
    other = changed(place, tmp_path / "other", lambda s: None, lambda told: told.update(model_type="qwen3_vl"))
    with pytest.raises(VlmError, match="'qwen3_vl'; DSR Suite's is of a qwen2_5_vl"):
        load_published(other, device="cpu")
    with pytest.raises(ModelError, match="hf download TencentARC/DSR_Suite-Model"):
        load_published(device="cpu")


def test_a_tied_head_need_not_be_in_the_file(place, tmp_path):
    tied = changed(
        place, tmp_path / "tied", lambda s: s.pop("lm_head.weight"), lambda told: told.update(tie_word_embeddings=True)
    )
    base = load_published(tied, device="cpu").base
    assert torch.equal(base.lm_head.weight, base.get_input_embeddings().weight)


def test_it_is_never_written(model, tmp_path):
    with pytest.raises(VlmError, match="read only"):
        model.save(tmp_path / "copy")
