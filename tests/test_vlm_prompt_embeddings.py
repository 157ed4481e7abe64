"""Embeddings of a prompt say to the language model what the model itself would say to it."""

import json
import runpy
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the model side runs on torch: run tools/setup.sh")
pytest.importorskip("transformers", reason="the model side runs on transformers: run tools/setup.sh")

import torch
from smooth_scenes import smooth_scene
from vlm_rows import folder, last_logits, model, rows

from dsr_core.vlm.compose import compose
from dsr_core.vlm.prompt_embeddings import PromptEmbeddings, completion_request, from_base64, prompt_embeddings
from dsr_core.vlm.values import VlmError


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return folder(tmp_path_factory, "qwen2_5_vl")


def said(made, prompt, positions):
    """(words,) logits after a prompt that the language model is given as embeddings."""
    with torch.no_grad():
        hidden = made.base.model.language_model(
            inputs_embeds=prompt.embeddings[None], position_ids=positions[:, None]
        ).last_hidden_state
        return made.base.lm_head(hidden)[0, -1]


@pytest.mark.parametrize("mode", ["none", "add", "gsm", "gated", "concat"])
def test_embeddings_and_positions_are_all_that_is_read(path, mode):
    made = model(path, mode, awake=True)
    for asked in rows():
        prompt = prompt_embeddings(made, asked)
        logits = last_logits(made, [asked])[0]
        torch.testing.assert_close(said(made, prompt, prompt.positions), logits, atol=1e-5, rtol=1e-5)


def test_a_server_that_counts_places_in_a_row_reads_a_shown_clip_otherwise(path):
    made, asked = model(path, "gsm", awake=True), {row.key: row for row in rows()}
    text, shown = (prompt_embeddings(made, asked[key]) for key in ("geometry alone", "clip"))
    assert text.in_a_row and not shown.in_a_row
    counted = torch.arange(len(shown.embeddings)).expand(3, -1)
    assert (said(made, shown, counted) - said(made, shown, shown.positions)).abs().max() > 1e-3


def test_the_request_holds_the_same_numbers(path):
    made = model(path, "gsm", awake=True)
    prompt = prompt_embeddings(made, rows()[1])
    body = json.loads(json.dumps(completion_request(prompt, "mine", max_tokens=3)))
    read = from_base64(body["prompt_embeds"])
    assert torch.equal(read, prompt.embeddings) and read.dtype == prompt.embeddings.dtype
    assert (body["model"], body["max_tokens"]) == ("mine", 3)


def test_half_precision_stays_half(path):
    prompt = PromptEmbeddings(torch.randn(3, 4).bfloat16(), torch.arange(3).expand(3, -1))
    read = from_base64(completion_request(prompt, "mine")["prompt_embeds"])
    assert read.dtype == torch.bfloat16 and torch.equal(read, prompt.embeddings)


def test_deep_features_are_no_embeddings(tmp_path_factory):
    made, asked = model(folder(tmp_path_factory, "qwen3_vl"), "gsm"), {row.key: row for row in rows()}
    with pytest.raises(VlmError, match="DeepStack"):
        prompt_embeddings(made, asked["clip"])
    assert prompt_embeddings(made, asked["geometry alone"]).in_a_row


def test_the_example_sends_what_a_checkpoint_reads(path, tmp_path, capsys):
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "ask_vllm.py"))
    made = model(path, "gsm", awake=True)
    made.save(tmp_path / "checkpoint", whole=True)
    scene = smooth_scene(0, things=2, duration_s=4.0)
    scene.save(tmp_path / "a.scene.npz")
    question, options = "How does the distance between the car and the camera change?", ["more", "less"]
    replies = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self):
            replies.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"choices": [{"text": "B"}]}).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/v1/completions"
        files = [str(tmp_path / "checkpoint"), str(tmp_path / "a.scene.npz")]
        example["main"]([*files, question, "--options", *options, "--url", url, "--model", "mine"])
    finally:
        server.shutdown()
        server.server_close()
    asked = compose(question, options, scene=scene, sources=made.sources)
    ((sent_to, body),) = replies
    assert sent_to == "/v1/completions" and body["model"] == "mine"
    torch.testing.assert_close(from_base64(body["prompt_embeds"]), prompt_embeddings(made, asked).embeddings)
    assert capsys.readouterr().out.endswith("\nB\n")
