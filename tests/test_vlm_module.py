"""The geometry module by itself: what is not there changes nothing, shut gates are shut, and everything learns."""

import pytest

torch = pytest.importorskip("torch", reason="the geometry module needs torch")

from dsr_core.vlm.attention import CrossAttention  # noqa: E402
from dsr_core.vlm.config import MODES, GeometryConfig  # noqa: E402
from dsr_core.vlm.fusion import AddFusion, GatedFusion, by_row  # noqa: E402
from dsr_core.vlm.module import GeometryModule  # noqa: E402
from dsr_core.vlm.sources import make_sources  # noqa: E402
from dsr_core.vlm.values import VlmError  # noqa: E402

HIDDEN, WORDS = 48, 60


@pytest.fixture(autouse=True)
def same_numbers():
    torch.manual_seed(0)


def made(mode: str, **settings) -> GeometryModule:
    config = GeometryConfig(mode=mode, queries=6, width=32, heads=4, **settings)
    return GeometryModule(config, HIDDEN, make_sources(config.sources)).eval()


def geometry(lengths, features, labelled=True) -> dict:
    """Random tokens of rows of some lengths, padded with numbers that must not matter."""
    count, longest = len(lengths), max(lengths)
    mask = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
    batch = {"features": torch.randn(count, longest, features), "mask": mask}
    if labelled:
        batch["label_ids"] = torch.randint(0, WORDS, (count, longest, 3))
        batch["label_mask"] = torch.rand(count, longest, 3) < 0.7
        batch["label_mask"][..., 0] = True
    return batch


class Case:
    """A batch for a module: three rows with 5, 2 and no tokens, questions of 7, 4 and 3 words."""

    def __init__(self, module: GeometryModule):
        self.embed = torch.nn.Embedding(WORDS, HIDDEN)
        self.geometry = {"scene": geometry((5, 2, 0), module.encoders["scene"].features[0].in_features)}
        self.question = torch.randn(3, 7, HIDDEN)
        self.question_mask = torch.arange(7)[None] < torch.tensor([7, 4, 3])[:, None]

    def tokens(self, module):
        return module.tokens(self.geometry, self.embed)

    def row(self, index: int) -> "Case":
        """One row of the batch without its padding."""
        alone = object.__new__(Case)
        count, words = int(self.geometry["scene"]["mask"][index].sum()), int(self.question_mask[index].sum())
        alone.embed = self.embed
        alone.geometry = {"scene": {k: v[index : index + 1, :count] for k, v in self.geometry["scene"].items()}}
        alone.question = self.question[index : index + 1, :words]
        alone.question_mask = self.question_mask[index : index + 1, :words]
        return alone


@pytest.mark.parametrize("mode", ["gsm", "concat"])
def test_padding_changes_nothing_of_what_is_inserted(mode):
    module = made(mode)
    case = Case(module)
    together = module.inserted(case.question, case.question_mask, *case.tokens(module))
    for index in range(2):
        alone = case.row(index)
        single = module.inserted(alone.question, alone.question_mask, *alone.tokens(module))
        torch.testing.assert_close(together[index : index + 1, : single.shape[1]], single, atol=1e-6, rtol=1e-5)


def test_the_question_decides_what_is_selected():
    module = made("gsm", out_scale=1.0)
    case = Case(module)
    tokens, mask = case.tokens(module)
    first = module.inserted(case.question, case.question_mask, tokens, mask)
    other = module.inserted(case.question.flip(1), case.question_mask, tokens, mask)
    assert (first - other).abs().max() > 1e-3
    without = module.inserted(case.question, case.question_mask, tokens, torch.zeros_like(mask))
    assert (first - without)[:2].abs().max() > 1e-3 and torch.isfinite(without).all()


@pytest.mark.parametrize("mode", ["add", "gated"])
def test_fresh_fusion_changes_no_visual_token(mode):
    module = made(mode)
    case = Case(module)
    visual, rows = torch.randn(9, HIDDEN), torch.tensor([0] * 4 + [1] * 3 + [2] * 2)
    out = module.fused(visual, rows, case.question, case.question_mask, *case.tokens(module))
    assert torch.equal(out, visual)
    torch.nn.init.ones_(module.fusion.gate)
    opened = module.fused(visual, rows, case.question, case.question_mask, *case.tokens(module))
    assert (opened - visual)[:7].abs().max() > 1e-2
    assert torch.equal(opened[7:], visual[7:]), "a row without geometry stays as it is"


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "none"])
def test_every_tensor_learns(mode):
    module = made(mode, mask_probability=0.0).train()
    case = Case(module)
    visual, rows = torch.randn(9, HIDDEN), torch.tensor([0] * 4 + [1] * 3 + [2] * 2)
    optimizer = torch.optim.SGD(module.parameters(), 1.0)
    for _ in range(1 if module.config.inserts else 2):  # behind a shut gate: after the first step
        tokens, mask = case.tokens(module)
        if module.config.inserts:
            out = module.inserted(case.question, case.question_mask, tokens, mask)
        else:
            out = module.fused(visual, rows, case.question, case.question_mask, tokens, mask)
        optimizer.zero_grad()
        (out * torch.randn_like(out)).sum().backward()
        optimizer.step()
    dead = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not dead


def test_masking_blanks_the_share_that_geometry_speaks_for_in_training_alone():
    fusion = GatedFusion(HIDDEN, 32, 4, mask_probability=1.0, mask_share=0.75)
    visual, rows = torch.randn(12, HIDDEN) + 5.0, torch.tensor([0] * 8 + [1] * 4)
    selected, has = torch.randn(2, 6, 32), torch.tensor([True, False])
    out = fusion.train()(visual, rows, selected, has)
    blank = (out == 0).all(1)
    assert int(blank[:8].sum()) == 6 and not blank[8:].any()
    relevance = torch.softmax(
        fusion.attend.scores(fusion.look(fusion.norm_look(visual[:8]))[None], selected[:1]), dim=2
    )
    kept = relevance.mean((1, 3))[0].argsort()[:2].sort().values
    assert torch.equal((~blank[:8]).nonzero()[:, 0], kept), "those that are looked at least are kept"
    assert torch.equal(fusion.eval()(visual, rows, selected, has), visual)


def test_aligned_tokens_are_added_each_to_its_own():
    fusion = AddFusion(HIDDEN, 32, 4, aligned=True)
    torch.nn.init.ones_(fusion.gate)
    visual, rows = torch.randn(7, HIDDEN), torch.tensor([0] * 4 + [1] * 3)
    tokens, mask = torch.randn(2, 4, 32), torch.tensor([[True] * 4, [False] * 4])
    out = fusion(visual, rows, tokens, mask)
    torch.testing.assert_close(out[:4], visual[:4] + fusion.out(tokens[0]))
    assert torch.equal(out[4:], visual[4:])
    with pytest.raises(VlmError, match=r"\[3, 0\] geometry tokens for \[4, 3\] visual ones"):
        fusion(visual, rows, tokens, torch.tensor([[True] * 3 + [False], [False] * 4]))


def test_rows_are_put_apart_and_together_again():
    flat, rows = torch.randn(6, 3), torch.tensor([0, 0, 2, 2, 2, 3])
    padded, there = by_row(flat, rows, 5)
    assert padded.shape == (5, 3, 3) and there.sum(1).tolist() == [2, 0, 3, 1, 0]
    assert torch.equal(padded[there], flat)


def test_attention_over_nothing_is_a_number():
    attention = CrossAttention(32, 4)
    out = attention(torch.randn(2, 3, 32), torch.randn(2, 5, 32), torch.zeros(2, 5, dtype=torch.bool))
    assert torch.isfinite(out).all()
    torch.testing.assert_close(out[0, 0], out[1, 2])  # the learned token for "nothing there", whoever asks


def test_words_in_another_order_are_another_label():
    module = made("concat")
    case = Case(module)
    batch = case.geometry["scene"]
    batch["label_mask"][:] = True
    first, _ = case.tokens(module)
    batch["label_ids"] = batch["label_ids"].flip(2)
    other, _ = case.tokens(module)
    assert (first - other)[0].abs().amax(1).min() > 1e-2


def test_what_the_question_names_is_not_drowned_by_numbers():
    module = made("concat")
    case = Case(module)
    first, _ = case.tokens(module)
    case.geometry["scene"]["features"][:, :, -1] += 1.0
    named, _ = case.tokens(module)
    assert (first - named)[0].norm(dim=1).min() > 0.3 * first[0].norm(dim=1).min()


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"mode": "fusion"}, "'fusion' is not known; known: none, add"),
        ({"mode": "gsm", "sources": {}}, "needs a source"),
        ({"queries": 0}, "queries = 0"),
        ({"mask_share": 1.5}, "mask_share = 1.5"),
    ],
)
def test_settings_that_cannot_be(settings, told):
    with pytest.raises(VlmError, match=told):
        GeometryConfig(**settings)


def test_sizes_that_do_not_fit_are_told():
    with pytest.raises(VlmError, match="heads = 5 do not divide the width 32"):
        GeometryModule(GeometryConfig(width=32, heads=5), HIDDEN, make_sources({"scene": {}}))
    with pytest.raises(VlmError, match="no setting depth; known: "):
        GeometryConfig.from_dict({"depth": 3})
    config = GeometryConfig(mode="gated", width=64)
    assert GeometryConfig.from_dict(config.to_dict()) == config
