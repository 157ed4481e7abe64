"""The encoder of pi3: its weights under other names, its grid, its frames one by one."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the encoder needs torch: run tools/setup.sh")
pytest.importorskip("transformers", reason="the encoder needs transformers: run tools/setup.sh")

from safetensors.torch import save_file  # noqa: E402

from dsr_core.errors import ModelError  # noqa: E402
from dsr_core.vlm import pi3_encoder  # noqa: E402
from dsr_core.vlm.qwen_video import QwenVideo  # noqa: E402
from dsr_core.vlm.sources import make_source  # noqa: E402
from dsr_core.vlm.values import Clip, Context, VlmError  # noqa: E402
from tests import dinov2_reference as reference  # noqa: E402

QWEN = QwenVideo(False, 14, 2, 2, (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(scope="module")
def state():
    return reference.random_state()


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    """A file as pi3's: the encoder among other tensors."""
    path = tmp_path_factory.mktemp("pi3") / "model.safetensors"
    others = {"register_token": torch.zeros(1, 1, 5, 8), "decoder.0.norm1.weight": torch.ones(8)}
    save_file({f"encoder.{name}": tensor for name, tensor in state.items()} | others, path)
    return path


@pytest.fixture(scope="module")
def network(weights):
    return pi3_encoder.load_network(weights)


def frames(count, height=56, width=84, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8))


def clip(*args, **options):
    shown = frames(*args, **options)
    return Context(clip=Clip(shown, [0.5 * i for i in range(len(shown))]))


def normalised(frame):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((torch.from_numpy(frame) / 255.0 - mean) / std).permute(2, 0, 1)


def source(weights, **settings):
    return make_source("pi3_encoder", {"weights": str(weights), "width": reference.WIDTH, "device": "cpu"} | settings)


def test_features_are_those_of_the_network_written_down_plainly(network, state):
    for height, width in ((56, 84), (70, 70), (28, 42)):
        frame = frames(1, height, width)[0]
        with torch.no_grad():
            got = pi3_encoder.patch_features(network, normalised(frame)[None])[0]
        torch.testing.assert_close(got, reference.patch_tokens(state, normalised(frame)), atol=2e-5, rtol=1e-5)


def test_names_go_there_and_back(state, network):
    held = network.state_dict()
    filled = [target for name in state for target in pi3_encoder.transformers_names(name)]
    assert sorted(filled) == sorted(set(held) - set(pi3_encoder.UNUSED))
    back = {
        name: torch.cat([held[target] for target in pi3_encoder.transformers_names(name)])
        if len(pi3_encoder.transformers_names(name)) > 1
        else held[pi3_encoder.transformers_names(name)[0]]
        for name in state
    }
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_the_real_network_has_three_hundred_million_parameters():
    from transformers import Dinov2WithRegistersModel

    with torch.device("meta"):
        network = Dinov2WithRegistersModel(pi3_encoder.large_config())
    assert sum(p.numel() for p in network.parameters()) == 304_372_736


@pytest.mark.parametrize("prefix", ["", "encoder.", "aggregator.patch_embed.", "model.visual.spatial_encoder."])
def test_the_encoder_is_found_in_files_of_several_makers(state, tmp_path, network, prefix):
    save_file({prefix + name: tensor.half() for name, tensor in state.items()}, tmp_path / "model.safetensors")
    loaded = pi3_encoder.load_network(tmp_path).state_dict()
    for name, tensor in network.state_dict().items():
        if name not in pi3_encoder.UNUSED:
            assert loaded[name].dtype == torch.float32 and torch.equal(loaded[name], tensor.half().float())


def test_other_files_are_read_too(state, network, tmp_path):
    torch.save({"state_dict": state}, tmp_path / "encoder.pth")
    network.save_pretrained(tmp_path / "transformers")
    for place in (tmp_path / "encoder.pth", tmp_path / "transformers"):
        loaded = pi3_encoder.load_network(place).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    "spoil, told",
    [
        (lambda s: s.pop("blocks.1.attn.qkv.bias"), "3 missing: encoder.layer.1.attention.q_proj.bias"),
        (lambda s: s.update({"blocks.0.attn.q_norm.weight": torch.ones(3)}), "1 unexpected: blocks.0.attn.q_norm"),
        (lambda s: s.update({"norm.weight": torch.ones(3)}), r"1 of another shape: norm.weight: \(3,\), \(128,\)"),
        (lambda s: s.pop("blocks.0.mlp.fc1.weight"), "no tensor 'blocks.0.mlp.fc1.weight'"),
        (lambda s: s.pop("register_tokens"), "0 encoders with register tokens"),
    ],
)
def test_weights_that_do_not_fit_are_told(state, tmp_path, spoil, told):
    spoilt = dict(state)
    spoil(spoilt)
    save_file({f"encoder.{name}": tensor for name, tensor in spoilt.items()}, tmp_path / "model.safetensors")
    with pytest.raises(VlmError, match=told):
        pi3_encoder.load_network(tmp_path)


def test_weights_that_are_not_here_are_told_how_to_fetch():
    with pytest.raises(ModelError, match=r"hf download yyfz233/Pi3 model.safetensors.*BSD-2-Clause"):
        pi3_encoder.load_network("yyfz233/Pi3")


def test_tokens_stand_in_the_order_of_the_visual_tokens(weights, state):
    shown = clip(5)
    tokens = source(weights, batch=2).tokens(shown)
    alone = torch.stack([reference.patch_tokens(state, normalised(frame)) for frame in shown.clip.frames])
    alone = torch.cat([alone, alone[-1:]])  # the last of an odd number is shown twice
    assert tokens.grid == (3, 2, 3) and tokens.features.shape == (18, 8 * reference.WIDTH)
    np.testing.assert_allclose(tokens.features, reference.merged(alone).numpy(), atol=3e-5)


def test_a_token_holds_what_the_visual_token_of_its_number_sees():
    """Marks in the pixels arrive at the same number among the visual tokens and among those of `merged`."""
    count, high, wide = 4, 4, 6
    marks = np.arange(count * high * wide).reshape(count, high, wide)
    pictures = np.repeat(marks, 14, axis=1).repeat(14, axis=2)[..., None].repeat(3, axis=3).astype(np.uint8)
    values, _ = QWEN.patches(list(pictures))
    # A visual token is `merge` x `merge` patches in a row; a patch holds (colour, frame, y, x).
    visual = values.view(-1, 4, 3, 2, 14, 14)[:, :, 0, :, 0, 0].transpose(1, 2).reshape(-1, 8) * 127.5 + 127.5
    own = pi3_encoder.merged(torch.from_numpy(marks).float()[..., None])
    torch.testing.assert_close(own, visual, atol=1e-3, rtol=0)


@pytest.mark.parametrize("patch, size", [(14, (60, 90)), (16, (64, 96)), (16, (100, 200))])
def test_there_are_as_many_tokens_as_visual_ones(weights, patch, size):
    """Also where the language model cuts other patches than the encoder, and frames do not divide."""
    qwen = QwenVideo(False, patch, 2, 2, (0.5,) * 3, (0.5,) * 3)
    shown = clip(3, *size)
    tokens = source(weights, patch=patch, max_pixels=6000).tokens(shown)
    _, grid = qwen.patches(shown.clip.frames, 6000)
    assert len(tokens) == int(grid.prod()) // 4
    assert tokens.grid == (grid[0, 0], grid[0, 1] // 2, grid[0, 2] // 2)


def test_each_frame_is_looked_at_alone(weights):
    made, shown, other = source(weights, temporal=1), clip(4), clip(4, seed=1)
    mixed = Context(clip=Clip([shown.clip.frames[0], *other.clip.frames[1:]], shown.clip.times_s))
    first = made.tokens(shown).features.reshape(4, -1)
    then = made.tokens(mixed).features.reshape(4, -1)
    assert np.abs(first[0] - then[0]).max() < 1e-5 < np.abs(first[1:] - then[1:]).max()


def test_the_number_of_frames_at_once_changes_nothing(weights):
    shown = clip(5)
    one, all_at_once = (source(weights, batch=batch).tokens(shown).features for batch in (1, 8))
    np.testing.assert_allclose(one, all_at_once, atol=1e-5)


def test_half_precision_comes_near(weights):
    shown = clip(2)
    full, half = (source(weights, dtype=dtype).tokens(shown).features for dtype in ("float32", "bfloat16"))
    assert half.dtype == np.float32 and 0 < np.abs(full - half).max() < 0.2


def test_frames_are_made_as_small_as_for_the_language_model(weights):
    from dsr_core.vlm.inputs import MAX_PIXELS

    frame = np.zeros((360, 640, 3), np.uint8)
    shown = Clip([frame, frame], [0.0, 0.5])
    assert source(weights).grid.max_pixels == MAX_PIXELS
    assert source(weights).grid.patches(shown) == tuple(QWEN.patches(shown.frames, MAX_PIXELS)[1][0])


@pytest.mark.parametrize("mode", ["gsm", "add", "gated", "concat"])
def test_its_tokens_go_into_a_model(weights, tmp_path, mode):
    """From frames to logits, which they change, in every mode that takes geometry."""
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    from dsr_core.vlm.compose import compose
    from dsr_core.vlm.config import GeometryConfig
    from dsr_core.vlm.model import GeometryVLM
    from tests.tiny_vlm import tiny_qwen25_vl

    folder = tiny_qwen25_vl(tmp_path)
    settings = {"weights": str(weights), "width": reference.WIDTH, "device": "cpu"}
    config = GeometryConfig(mode=mode, sources={"pi3_encoder": settings}, queries=4, width=32, heads=4)
    torch.manual_seed(0)
    base = AutoModelForImageTextToText.from_pretrained(folder)
    model = GeometryVLM.of(base, AutoTokenizer.from_pretrained(folder), config).eval()
    with torch.no_grad():
        for parameter in model.geometry.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))  # gates are shut at the start
    told = [
        compose("left or right?", ("left", "right"), clip=clip(3, seed=seed).clip, sources=model.sources, key=str(seed))
        for seed in (0, 1)
    ]
    with torch.no_grad():
        out = model(model.inputs(told)).logits
        bare = model(model.inputs([compose(t.question, t.options, clip=t.clips[0]) for t in told])).logits
    assert told[0].geometry["pi3_encoder"].grid == (2, 2, 3)
    assert torch.isfinite(out).all() and (out[:, -1] - bare[:, -1]).abs().max() > 1e-4


def test_settings_tell_what_tokens_depend_on(weights):
    assert source(weights).settings() != source(weights, patch=16).settings() != source("b", patch=16).settings()
    assert source(weights, batch=1).settings() == source(weights, batch=4).settings()


def test_a_wrong_width_is_told(weights):
    with pytest.raises(VlmError, match="has 128 features a patch; set width = 128"):
        source(weights, width=64).tokens(clip(2))
    with pytest.raises(VlmError, match="batch = 0"):
        source(weights, batch=0).tokens(clip(2))
