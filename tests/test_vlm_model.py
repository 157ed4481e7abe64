"""GeometryVLM on tiny random Qwen-VLs: what it computes, and that the base stays what it is."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from vlm_rows import BASES, QUERIES, clip, folder, last_logits, model, rows, tokens

from dsr_core.vlm import sources
from dsr_core.vlm.config import MODES, GeometryConfig
from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.values import Asked, Context, GeometryTokens, VlmError

WITH = [mode for mode in MODES if mode != "none"]
OWN = ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw", "pixel_values_videos",
       "video_grid_thw", "second_per_grid_ts")  # fmt: skip


@pytest.fixture(scope="module", params=list(BASES))
def path(request, tmp_path_factory):
    return folder(tmp_path_factory, request.param)


def own(batch):
    return {key: value for key, value in batch.items() if key in OWN}


def bare(asked):
    return Asked(asked.question, asked.options, asked.clips, asked.images, key=asked.key)


@pytest.mark.parametrize("mode", MODES)
def test_without_geometry_it_is_the_base_bit_for_bit(path, mode):
    made = model(path, mode, awake=True)
    batch = made.inputs([bare(a) for a in rows()])
    with torch.no_grad():
        ours, base = made(batch).logits, made.base(**own(batch)).logits
    assert torch.equal(ours, base)


@pytest.mark.parametrize("mode", WITH)
def test_rows_without_geometry_are_the_base_beside_rows_with(path, mode):
    made, asked = model(path, mode, awake=True), rows()
    batch = made.inputs(asked)
    with torch.no_grad():
        ours, base = made(batch).logits, made.base(**own(batch)).logits
    without = ~batch["geometry_rows"]
    assert without.tolist() == [True, False, True, False, False, False]
    assert torch.equal(ours[without], base[without])
    assert not torch.allclose(ours[1, -1], base[1, -1], atol=1e-3)


@pytest.mark.parametrize("mode", ["add", "gated"])
def test_shut_gates_leave_the_base_exactly(path, mode):
    made = model(path, mode)
    batch = made.inputs(rows())
    with torch.no_grad():
        assert torch.equal(made(batch).logits, made.base(**own(batch)).logits)
    assert made.change_at_start(rows()[1:]) == 0.0


@pytest.mark.parametrize("mode", ["gsm", "concat"])
def test_the_change_at_the_start_is_told(path, mode):
    changed = model(path, mode).change_at_start([a for a in rows() if a.geometry])
    assert 0.0 < changed < 20.0


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_is_what_its_rows_are_alone(path, mode):
    made, asked = model(path, mode, awake=True), rows()
    together, alone = last_logits(made, asked), torch.cat([last_logits(made, [a]) for a in asked])
    assert torch.allclose(together, alone, atol=1e-5)
    said = made.generate(made.inputs(asked), max_new_tokens=6)
    for i, a in enumerate(asked):
        one = made.generate(made.inputs([a]), max_new_tokens=6)[0]
        assert torch.equal(said[i, : len(one)], one)
    assert len({tuple(row.tolist()) for row in said}) > 1
    assert torch.equal(said, made.generate(made.inputs(asked), max_new_tokens=6, use_cache=False))


@pytest.mark.parametrize("mode", ["gsm", "gated", "concat"])
def test_beams_and_samples(path, mode):
    made, asked = model(path, mode, awake=True), rows()
    beams = made.generate(made.inputs(asked), max_new_tokens=4, num_beams=2)
    for i in (1, 3):
        one = made.generate(made.inputs([asked[i]]), max_new_tokens=4, num_beams=2)[0]
        assert torch.equal(beams[i, : len(one)], one)
    torch.manual_seed(0)
    drawn = made.generate(made.inputs(asked), max_new_tokens=3, do_sample=True, num_return_sequences=3, temperature=9.0)
    assert drawn.shape == (3 * len(asked), 3)
    assert not set(drawn.flatten().tolist()) & set(made.unsaid_ids)


def test_special_tokens_are_never_said(path):
    made = model(path)
    special = [made.tokenizer.convert_tokens_to_ids(t) for t in ("<|vision_pad|>", "<|video_pad|>", "<|vision_start|>")]
    assert set(special) < set(made.unsaid_ids) and not set(made.end_ids) & set(made.unsaid_ids)
    torch.manual_seed(0)
    said = made.generate(made.inputs(rows()[:2]), max_new_tokens=40, min_new_tokens=40, do_sample=True,
                         num_return_sequences=20, temperature=100.0)  # fmt: skip
    assert said.shape == (40, 40) and not set(said.flatten().tolist()) & set(made.unsaid_ids)
    loose = made.generate(made.inputs(rows()[:2]), max_new_tokens=40, min_new_tokens=40, do_sample=True, top_k=0,
                          num_return_sequences=20, temperature=100.0, suppress_tokens=None)  # fmt: skip
    assert set(loose.flatten().tolist()) & set(made.unsaid_ids)


def trained(made, asked, steps=2, **replies):
    """Names of the geometry module's tensors that have had a gradient, after each step."""
    made.train()
    learning = torch.optim.SGD(made.geometry.parameters(), lr=0.1)
    batch = made.inputs(asked, [made.inputs.prompt.true_reply(a) for a in asked])
    told = []
    for _ in range(steps):
        torch.manual_seed(1)
        learning.zero_grad()
        made(batch).loss.backward()
        told.append({n for n, p in made.geometry.named_parameters() if p.grad is not None and bool(p.grad.any())})
        learning.step()
    return told


@pytest.mark.parametrize("mode", WITH)
def test_gradients_reach_every_tensor_of_the_module(path, mode):
    # Nothing is masked: what masks a token is a decision, which has no gradient.
    made = model(path, mode, mask_probability=0.0)
    every = {name for name, _ in made.geometry.named_parameters()}
    first, second = trained(made, [a for a in rows() if a.geometry])
    if made.config.inserts:
        assert first == every
    else:
        assert first == {"fusion.gate"}
    assert second == every


@pytest.mark.parametrize("mode", WITH)
def test_every_parameter_takes_part_in_a_step_without_geometry(path, mode):
    made = model(path, mode).train()
    batch = made.inputs([rows()[0]], ["A"])
    loss = made(batch).loss
    loss.backward()
    assert all(p.grad is not None and not bool(p.grad.any()) for p in made.geometry.parameters())
    assert all(p.grad is not None for p in made.base.parameters() if p.requires_grad)
    with torch.no_grad():
        assert torch.equal(loss, made(batch).loss)


@pytest.mark.parametrize("mode", ["gsm", "add"])
def test_gradient_checkpointing_changes_no_gradient(path, mode):
    asked, told = [a for a in rows() if a.geometry], []
    for again in (False, True):
        made = model(path, mode, awake=True, mask_probability=0.0)
        made.add_lora(2)
        with torch.no_grad():
            for name, parameter in made.base.named_parameters():
                if "lora_B" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
                if "lora_A" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
        if again:
            made.checkpoint_gradients()
        made.train()
        loss = made(made.inputs(asked, ["A"] * len(asked))).loss
        loss.backward()
        told.append((loss.detach(), {n: p.grad for n, p in made.named_parameters() if p.requires_grad}))
    (loss, gradients), (same_loss, same) = told
    assert torch.allclose(loss, same_loss, atol=1e-6) and gradients.keys() == same.keys()
    assert all(torch.allclose(gradients[n], same[n], rtol=1e-4, atol=1e-5) for n in same)
    assert any("lora" in n for n in same) and all(bool(g.any()) for g in same.values())


@pytest.mark.parametrize("mode", MODES)
def test_a_base_in_bf16_beside_a_module_in_float32(path, mode):
    plain = GeometryVLM.load(path, device="cpu", dtype="bfloat16")
    made = model(path, mode, awake=True, base=plain.base)
    assert next(made.base.parameters()).dtype == torch.bfloat16
    kinds = set() if made.geometry is None else {p.dtype for p in made.geometry.parameters()}
    assert kinds <= {torch.float32}
    asked = [a for a in rows() if a.geometry]
    loss = made(made.inputs(asked, ["A"] * len(asked))).loss
    loss.backward()
    assert bool(torch.isfinite(loss)) and made.generate(made.inputs(asked), max_new_tokens=2).shape[0] == len(asked)
    batch = made.inputs([bare(a) for a in asked])
    with torch.no_grad():
        assert torch.equal(made(batch).logits, made.base(**own(batch)).logits)


def test_sdpa_is_eager(path):
    asked, told = rows(), []
    for attention in ("sdpa", "eager"):
        plain = GeometryVLM.load(path, device="cpu", attention=attention)
        assert plain.base.config._attn_implementation == attention
        told.append(last_logits(model(path, "gsm", awake=True, base=plain.base), asked))
    assert torch.allclose(*told, atol=1e-4)


@pytest.mark.parametrize("mode", ["none", "gsm", "gated"])
def test_a_clip_is_encoded_once_for_many_questions(path, mode, monkeypatch):
    made, shown = model(path, mode, awake=True), clip()
    asked = [Asked(q, ("left", "right"), (shown,), geometry=tokens(n)) for q, n in (("Which way?", 3), ("Up or?", 6))]
    alone = [made.generate(made.inputs([a]), max_new_tokens=5) for a in asked]
    calls, tower = [], made.core.model.visual
    monkeypatch.setattr(tower, "forward", lambda *args, _was=tower.forward, **kw: calls.append(1) or _was(*args, **kw))
    encoded = made.encode(made.inputs([asked[0]]))
    assert len(calls) == 1
    for a, said in zip(asked, alone, strict=True):
        batch = made.inputs([a], pixels=False)
        assert not any(key.startswith("pixel") for key in batch)
        assert torch.equal(made.generate({**batch, "encoded": encoded}, max_new_tokens=5), said)
        beams = made.generate({**batch, "encoded": encoded}, max_new_tokens=3, num_beams=3)
        assert torch.equal(beams, made.generate({**batch, "encoded": encoded}, max_new_tokens=3, num_beams=3))
    both = {**made.inputs(asked, pixels=False), "encoded": encoded.repeated(2)}
    said = made.generate(both, max_new_tokens=5)
    assert all(torch.equal(said[i, : one.shape[1]], one[0]) for i, one in enumerate(alone))
    assert len(calls) == 1


def test_what_does_not_fit_is_told(path):
    made, asked = model(path), rows()[1]
    batch = made.inputs([asked])
    wrong = dict(batch, input_ids=batch["input_ids"].clone())
    wrong["input_ids"][0, -1] = made.inputs.placeholder_id
    with pytest.raises(VlmError, match=rf"\[{QUERIES + 1}\] placeholders for \[{QUERIES}\]"):
        made(wrong)
    with pytest.raises(VlmError, match="padded on the left"):
        made.generate(made.inputs(rows()[:2], side="right"))
    other = made.encode(made.inputs([Asked("Which?", clips=(clip(8),))]))
    with pytest.raises(VlmError, match="encoded for other clips"):
        gated = model(path, "gated")
        gated({**gated.inputs([asked], pixels=False), "encoded": other})
    with pytest.raises(VlmError, match="known layers"):
        made.add_lora(layers=("x",))


def test_a_mode_needs_what_it_needs(path):
    plain = GeometryVLM.load(path, device="cpu")
    with pytest.raises(VlmError, match="no token '<geo>'"):
        GeometryVLM.of(plain.base, plain.tokenizer, GeometryConfig(width=32, heads=4, placeholder="<geo>"))
    plain.tokenizer.chat_template = None
    with pytest.raises(VlmError, match="chat template"):
        GeometryVLM.of(plain.base, plain.tokenizer)


class PerToken(GeometrySource):
    """Tokens that stand one for one for the visual tokens of a clip: the mean colour of each."""

    name, features, looks_at, aligned = "per_token", 3, "clip", True

    def tokens(self, context):
        frames = np.stack(context.clip.frames)
        frames = np.concatenate([frames, frames[-1:]])[: 2 * -(-len(frames) // 2)]
        count, height, width = len(frames) // 2, frames.shape[1] // 28, frames.shape[2] // 28
        cells = frames.reshape(count, 2, height, 28, width, 28, 3).mean(axis=(1, 3, 5)) / 255
        return GeometryTokens(cells.reshape(-1, 3), grid=(count, height, width))

    def settings(self):
        return {}


@pytest.fixture
def per_token(monkeypatch):
    monkeypatch.setitem(sources.SOURCES, "per_token", (__name__, "PerToken"))
    return PerToken()


def seen(source, shown, **geometry):
    made = source.tokens(Context(clip=shown))
    return Asked("Which way?", ("left", "right"), (shown,), geometry={"per_token": made, **geometry})


@pytest.mark.parametrize("mode", ["add", "gsm", "concat"])
def test_geometry_that_stands_for_each_visual_token(path, per_token, mode):
    made = model(path, mode, awake=True, sources={"per_token": {}})
    asked = [
        seen(per_token, clip(3, seed=5)),
        Asked("Up?", ("left", "right")),
        seen(per_token, clip(4, 84, 56, seed=6)),
    ]
    together, alone = last_logits(made, asked), torch.cat([last_logits(made, [a]) for a in asked])
    assert torch.allclose(together, alone, atol=1e-5)
    assert made.change_at_start(asked) > 1e-3
    if mode == "add":
        assert made.geometry.fusion.aligned
        wrong = Asked("Up?", clips=(clip(8),), geometry=asked[0].geometry)
        with pytest.raises(VlmError, match="one for each"):
            last_logits(made, [wrong])


@pytest.mark.parametrize("mode", ["add", "gsm"])
def test_tokens_of_a_clip_are_encoded_once_for_many_questions(path, per_token, mode, monkeypatch):
    made = model(path, mode, awake=True, sources={"scene": {}, "per_token": {}})
    shown, calls = clip(seed=7), []
    asked = [seen(per_token, shown, **tokens(n, n)) for n in (3, 8)]
    alone = [last_logits(made, [a]) for a in asked]
    was = made.geometry.encoders["per_token"].forward
    monkeypatch.setattr(
        made.geometry.encoders["per_token"], "forward", lambda *args: calls.append(len(args[0])) or was(*args)
    )
    encoded = made.encode(made.inputs(asked[:1]))
    assert set(encoded.tokens) == {"per_token"}  # those of the scene depend on the question
    for a, logits in zip(asked, alone, strict=True):
        with torch.no_grad():
            again = made({**made.inputs([a], pixels=False), "encoded": encoded}, logits_to_keep=1).logits[:, -1]
        assert torch.allclose(again, logits, atol=1e-5)
    both = {**made.inputs(asked, pixels=False), "encoded": encoded.repeated(2)}
    with torch.no_grad():
        assert torch.allclose(made(both, logits_to_keep=1).logits[:, -1], torch.cat(alone), atol=1e-5)
    assert calls == [1]


@pytest.mark.parametrize("mode", ["add", "gsm", "gated", "concat"])
def test_sources_combine(path, per_token, mode):
    made = model(path, mode, awake=True, sources={"scene": {}, "per_token": {}}, mask_probability=0.0)
    asked = [
        seen(per_token, clip(seed=8), **tokens(4)),
        seen(per_token, clip(2, seed=9)),
        Asked("Up?", ("left", "right"), (clip(2, 56, 56),), geometry=tokens(6), answer_index=0),
    ]
    together, alone = last_logits(made, asked), torch.cat([last_logits(made, [a]) for a in asked])
    assert torch.allclose(together, alone, atol=1e-5)
    without = [Asked(a.question, a.options, a.clips, geometry={"scene": tokens(4)["scene"]}) for a in asked[:1]]
    assert not torch.allclose(last_logits(made, without)[0], together[0], atol=1e-4)
    made.train()
    # A batch that lacks a source: every parameter has a gradient all the same.
    made(made.inputs([asked[2]], ["A"])).loss.backward()
    assert all(p.grad is not None for p in made.geometry.parameters())
    assert not any(p.grad.any() for p in made.geometry.encoders["per_token"].parameters())


@pytest.mark.parametrize("mode", ["gsm", "gated"])
def test_mixed_precision_leaves_the_module_in_float32(path, mode, monkeypatch):
    made, told = model(path, mode, awake=True), []
    name = "inserted" if made.config.inserts else "fused"
    was = getattr(made.geometry, name)
    monkeypatch.setattr(made.geometry, name, lambda *args: told.append(was(*args)) or told[-1])
    batch = made.inputs([Asked("Up?", ("left", "right"), (clip(),), geometry=tokens(4))])
    encoded = made.encode(batch)  # the vision tower itself does compute in half precision
    with torch.no_grad():
        plain = made({**batch, "encoded": encoded}).logits
        with torch.autocast("cpu", torch.bfloat16):
            mixed = made({**batch, "encoded": encoded}).logits
    assert told[0].dtype == torch.float32 and torch.equal(*told)
    assert not torch.equal(plain, mixed.float()) and torch.allclose(plain, mixed.float(), atol=0.5)
