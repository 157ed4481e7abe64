"""How likely options are, against one forward pass an option; and words that are said."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from vlm_rows import BASES, clip, folder, model, rows, tokens

from dsr_core.vlm.prompts import PromptConfig
from dsr_core.vlm.replies import letter_ids, option_log_probabilities, say
from dsr_core.vlm.values import Asked, VlmError

TEXT = PromptConfig("text")
HIDDEN = PromptConfig("text", show_options=False)


@pytest.fixture(scope="module", params=list(BASES))
def path(request, tmp_path_factory):
    return folder(tmp_path_factory, request.param)


def questions():
    """Rows with options of unequal lengths and numbers; some with pictures and geometry."""
    options = (("left", "goes to the right and up"), ("up", "down", "left, then down", "?"), ("A", "B", "C"))
    asked = [a for a in rows() if a.options]
    return [Asked(a.question, options[i % 3], a.clips, a.images, a.geometry, key=a.key) for i, a in enumerate(asked)]


def one_by_one(made, asked, by_length=False):
    """Log-likelihood of each reply in full, a forward pass each, from a batch of one with labels."""
    scores = []
    for reply in made.inputs.prompt.replies(asked):
        batch = made.inputs([asked], [reply])
        with torch.no_grad():
            logits = made({k: v for k, v in batch.items() if k != "labels"}).logits
        log_p = torch.log_softmax(logits[0, :-1].double(), -1)
        said = batch["labels"][0, 1:]
        places = (said != -100).nonzero()[:, 0]
        if made.inputs.prompt.reply == "letter":
            places = places[:1]
        each = log_p[places, said[places]]
        scores.append(each.mean() if by_length else each.sum())
    return torch.log_softmax(torch.stack(scores), 0).numpy()


@pytest.mark.parametrize("mode", ["none", "gsm", "gated"])
@pytest.mark.parametrize("prompt", [PromptConfig(), TEXT, HIDDEN], ids=["letter", "text", "hidden"])
@pytest.mark.parametrize("together", [1, 4])
def test_options_are_weighed_as_one_by_one(path, mode, prompt, together):
    made, asked = model(path, mode, awake=True, prompt=prompt), questions()
    found = option_log_probabilities(made, asked, batch_size=together)
    for a, log_p in zip(asked, found, strict=True):
        assert log_p.shape == (len(a.options),) and np.exp(log_p).sum() == pytest.approx(1.0, abs=1e-9)
        assert np.allclose(log_p, one_by_one(made, a), atol=2e-5), a.key
    assert max(np.ptp(log_p) for log_p in found) > 0.1


def test_by_length(path):
    made, asked = model(path, prompt=TEXT), questions()
    found = option_log_probabilities(made, asked, by_length=True)
    assert all(np.allclose(f, one_by_one(made, a, True), atol=2e-5) for f, a in zip(found, asked, strict=True))
    summed = option_log_probabilities(made, asked)
    assert not np.allclose(found[0], summed[0], atol=1e-2)


def test_texts_of_text_only_rows_after_a_clip(path):
    """What the base remembers of the positions of an earlier clip is not used for rows that have none."""
    made = model(path, "none", prompt=TEXT)
    asked = [a for a in questions() if not a.clips and not a.images]
    assert len(asked) == 2
    before = option_log_probabilities(made, asked)
    say(made, [questions()[1]])
    after = option_log_probabilities(made, asked)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_prompt_is_read_once_for_all_options(path, monkeypatch):
    made, asked, seen = model(path, prompt=TEXT, awake=True), questions()[1], []
    was = made.base.forward
    monkeypatch.setattr(made.base, "forward", lambda **kw: seen.append(kw["input_ids"].shape) or was(**kw))
    option_log_probabilities(made, [asked])
    assert len(seen) == 2 and seen[0] == made.inputs([asked])["input_ids"].shape and seen[1][0] == len(asked.options)
    assert seen[1][1] < 20


def test_a_clip_that_was_encoded_serves_many_questions(path):
    made, shown = model(path, "gsm", awake=True), clip()
    asked = [Asked(q, ("left", "right"), (shown,), geometry=tokens(n)) for q, n in (("Which way?", 3), ("Up or?", 6))]
    encoded = made.encode(made.inputs(asked[:1]))
    alone, shared = option_log_probabilities(made, asked), option_log_probabilities(made, asked, encoded=encoded)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(alone, shared, strict=True))
    assert say(made, asked, 5) == say(made, asked, 5, encoded=encoded)


def test_what_is_said(path):
    made = model(path, "gsm", awake=True)
    said = say(made, rows(), 6, batch_size=4)
    assert said == [say(made, [a], 6)[0] for a in rows()]
    assert len(set(said)) > 1 and not any("<|" in text for text in said)
    made.train()
    assert say(made, rows(), 6) == said and made.training


def test_what_cannot_be_weighed(path):
    made = model(path, "none")
    with pytest.raises(VlmError, match="row 2 has no options"):
        option_log_probabilities(made, [Asked("How far?", key="row 2")])
    assert len(set(letter_ids(made, Asked("?", tuple("abcdef"))))) == 6
    made.inputs.plain = lambda text: [1, 2]
    with pytest.raises(VlmError, match="reply = text"):
        letter_ids(made, Asked("?", ("a",)))
