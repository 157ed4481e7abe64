"""The loss is made of the logits of replies alone, and is the same as from all logits."""

import pytest

pytest.importorskip("torch", reason="the model side runs on torch: run tools/setup.sh")
pytest.importorskip("transformers", reason="the model side runs on transformers: run tools/setup.sh")

import torch
from vlm_rows import BASES, folder, model, rows


@pytest.fixture(scope="module", params=list(BASES))
def made(request, tmp_path_factory):
    return model(folder(tmp_path_factory, request.param), "gsm", awake=True)


@pytest.mark.parametrize("side", ["left", "right"])
def test_logits_of_replies_are_enough(made, side):
    asked = rows()
    batch = made.inputs(asked, [made.inputs.prompt.true_reply(a) for a in asked], side=side)
    short, whole = made(batch), made(batch, logits_to_keep=0)
    assert whole.logits.shape[1] == batch["input_ids"].shape[1]
    kept = short.logits.shape[1]
    assert 2 <= kept < whole.logits.shape[1]
    torch.testing.assert_close(short.logits, whole.logits[:, -kept:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(short.loss, whole.loss, atol=1e-6, rtol=1e-6)
    trained = list(made.geometry.parameters())
    for a, b in zip(*(torch.autograd.grad(o.loss, trained) for o in (short, whole)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_a_batch_in_which_nothing_is_said_has_all_logits(made):
    batch = made.inputs(rows()[:2], ["left", "up"])
    batch["labels"] = torch.full_like(batch["labels"], -100)
    assert made(batch).logits.shape[1] == batch["input_ids"].shape[1]
