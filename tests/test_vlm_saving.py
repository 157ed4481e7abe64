"""Checkpoints of a GeometryVLM: the same answers after reading back, and a name for all that does not fit."""

import json
import shutil

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from safetensors.torch import load_file, save_file
from vlm_rows import BASES, folder, last_logits, model, rows

from dsr_core.vlm.config import MODES
from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.prompts import PromptConfig
from dsr_core.vlm.values import VlmError


@pytest.fixture(scope="module", params=list(BASES))
def path(request, tmp_path_factory):
    return folder(tmp_path_factory, request.param)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return folder(tmp_path_factory, "qwen2_5_vl")


def loaded(where, **options):
    return GeometryVLM.load(where, device="cpu", **options)


def with_lora(made, seed=3):
    """LoRA as training would leave it: both factors other than zero."""
    made.add_lora(2, alpha=4.0)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in made.base.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn_like(parameter))
    return made.eval()


def same(one, other):
    """Every weight to the bit. Sums may differ in the last one by where in memory a file was mapped."""
    ours, theirs = one.state_dict(), other.state_dict()
    exact = ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    return exact and torch.allclose(last_logits(one, rows()), last_logits(other, rows()), atol=1e-5)


def edit(where, **changed):
    told = json.loads((where / "geometry.json").read_text())
    (where / "geometry.json").write_text(json.dumps({**told, **changed}))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("whole", [False, True])
def test_the_module_alone(path, tmp_path, mode, whole):
    made = model(path, mode, awake=True, prompt=PromptConfig("text", system="Be short."))
    made.save(tmp_path / "kept", whole)
    names = {p.name for p in (tmp_path / "kept").iterdir()}
    assert names == {"geometry.json", "tokenizer"} | ({"base"} if whole else set()) | (
        {"geometry.safetensors"} if mode != "none" else set()
    )
    again = loaded(tmp_path / "kept")
    assert torch.equal(last_logits(again, rows()), last_logits(made, rows()))
    assert (again.config, again.inputs.prompt, again.inputs.video) == (
        made.config,
        made.inputs.prompt,
        made.inputs.video,
    )
    assert not again.training and {p.name for p in tmp_path.iterdir()} == {"kept"}


@pytest.mark.parametrize("whole", [False, True])
def test_with_lora(path, tmp_path, whole):
    made = with_lora(model(path, awake=True))
    bare = last_logits(model(path, awake=True), rows())
    logits = last_logits(made, rows())
    assert (logits - bare).abs().max() > 0.1
    made.save(tmp_path / "kept", whole)
    again = loaded(tmp_path / "kept")
    assert same(again, made)
    assert not any("lora" in n for n, p in again.named_parameters() if p.requires_grad)
    trainable = {n for n, p in loaded(tmp_path / "kept", trainable=True).base.named_parameters() if p.requires_grad}
    assert trainable and all("lora_" in name for name in trainable)
    assert any("gate_proj" in name for name in trainable) and not any("visual" in name for name in trainable)


def test_merged(path, tmp_path):
    made = with_lora(model(path, awake=True))
    logits = last_logits(made, rows())
    merged = made.merged()
    assert torch.allclose(last_logits(merged, rows()), logits, atol=1e-5)
    assert not any("lora" in name for name, _ in merged.named_parameters())
    merged.save(tmp_path / "kept", whole=True)
    assert same(loaded(tmp_path / "kept"), merged)
    plain = model(path)
    assert plain.merged().base is plain.base


def test_a_plain_checkpoint_is_mode_none(path):
    made = loaded(path)
    assert made.config.mode == "none" and made.geometry is None and not made.training
    batch = made.inputs(rows())
    assert "geometry" not in batch and made.inputs.placeholder_id is None


def test_another_base_by_path_or_as_a_model(one, tmp_path):
    made = model(one, awake=True)
    made.save(tmp_path / "kept")
    shutil.copytree(one, tmp_path / "base")
    edit(tmp_path / "kept", base={**json.loads((tmp_path / "kept/geometry.json").read_text())["base"], "name": "gone"})
    for base in (tmp_path / "base", made.base):
        assert same(loaded(tmp_path / "kept", base=base), made)


def test_a_base_from_the_cache_of_the_hub(one, tmp_path, monkeypatch):
    commit, kept = "a" * 40, tmp_path / "hub" / "models--nobody--tiny"
    shutil.copytree(one, kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    plain = loaded("nobody/tiny")
    made = model(one, awake=True, base=plain.base)
    made.save(tmp_path / "kept")
    assert json.loads((tmp_path / "kept/geometry.json").read_text())["base"]["name"] == "nobody/tiny"
    assert same(loaded(tmp_path / "kept"), made)


def test_a_base_that_is_not_here(one, tmp_path):
    model(one).save(tmp_path / "kept")
    base = json.loads((tmp_path / "kept/geometry.json").read_text())["base"]
    for name, said in (
        ("", "base="),
        ("Nobody/nothing", "hf download Nobody/nothing"),
        (str(tmp_path), "no checkpoint"),
    ):
        edit(tmp_path / "kept", base={**base, "name": name})
        with pytest.raises(VlmError, match=said):
            loaded(tmp_path / "kept")
    with pytest.raises(VlmError, match="hf download"):
        loaded("Nobody/nothing")
    edit(tmp_path / "kept", base={**base, "hidden": 128})
    with pytest.raises(VlmError, match="128"):
        loaded(tmp_path / "kept")


def test_a_base_of_memory_is_kept_whole(one, tmp_path):
    made = model(one, awake=True)
    made.base.name_or_path = made.base.config._name_or_path = ""
    made.save(tmp_path / "small")
    with pytest.raises(VlmError, match="whole=True"):
        loaded(tmp_path / "small")
    made.save(tmp_path / "whole", whole=True)
    assert same(loaded(tmp_path / "whole"), made)


def test_folders_that_were_tampered_with(one, tmp_path):
    made = with_lora(model(one))
    made.save(tmp_path / "kept")
    told = json.loads((tmp_path / "kept/geometry.json").read_text())
    wrong = {
        "format 7": {"format": 7},
        "colour": {"colour": 1},
        "no setting widht": {"geometry": {**told["geometry"], "widht": 3}},
        "no setting tone": {"prompt": {**told["prompt"], "tone": 3}},
    }
    for said, changed in wrong.items():
        edit(tmp_path / "kept", **changed)
        with pytest.raises(VlmError, match=said):
            loaded(tmp_path / "kept")
        (tmp_path / "kept/geometry.json").write_text(json.dumps(told))
    (tmp_path / "kept/geometry.json").write_text("{")
    with pytest.raises(VlmError, match="damaged"):
        loaded(tmp_path / "kept")


@pytest.mark.parametrize("file", ["geometry.safetensors", "adapter/adapter_model.safetensors"])
def test_tensors_are_all_accounted_for(one, tmp_path, file):
    with_lora(model(one)).save(tmp_path / "kept")
    tensors = tmp_path / "kept" / file
    state = load_file(tensors)
    name = sorted(state)[0]
    save_file({key: value for key, value in state.items() if key != name}, tensors)
    with pytest.raises(VlmError, match=f"1 missing: {name}"):
        loaded(tmp_path / "kept")
    save_file({**state, "more.lora_A.weight": torch.zeros(2)}, tensors)
    with pytest.raises(VlmError, match=r"more\.lora_A\.weight"):
        loaded(tmp_path / "kept")
    save_file({**state, name: torch.zeros(3, 5, 7)}, tensors)
    with pytest.raises(VlmError, match=r"3, 5, 7"):
        loaded(tmp_path / "kept")
    tensors.unlink()
    with pytest.raises(VlmError, match="there is no file"):
        loaded(tmp_path / "kept")


def test_saving_is_whole_or_nothing(one, tmp_path, monkeypatch):
    made = model(one, awake=True)

    def fails(*args, **kwargs):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(made.tokenizer, "save_pretrained", fails)
        with pytest.raises(OSError, match="disk full"):
            made.save(tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []
    made.save(tmp_path / "kept")
    before = (tmp_path / "kept/geometry.safetensors").read_bytes()
    with torch.no_grad():
        made.geometry.out[-1].bias.fill_(1.0)
    with monkeypatch.context() as patch:
        patch.setattr(made.tokenizer, "save_pretrained", fails)
        with pytest.raises(OSError, match="disk full"):
            made.save(tmp_path / "kept")
    assert (tmp_path / "kept/geometry.safetensors").read_bytes() == before
    made.save(tmp_path / "kept")
    assert (tmp_path / "kept/geometry.safetensors").read_bytes() != before
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
