"""Asks a language model served by vLLM about a recording, with geometry: embeddings are made here, words there.

vllm serve Qwen/Qwen2.5-VL-7B-Instruct --enable-prompt-embeds       (with the LoRA of the checkpoint, or it merged)
python examples/ask_vllm.py CHECKPOINT recording.mcap "Is the car getting closer?" --options Yes No --out request.json
python examples/ask_vllm.py CHECKPOINT recording.mcap "Is the car getting closer?" --options Yes No \
    --url http://localhost:8000/v1/completions --model Qwen/Qwen2.5-VL-7B-Instruct

The request has been read back, never been sent to a vLLM: docs/deploying.md.
"""

import argparse
import json
import urllib.request
from pathlib import Path

from dsr_core import load_scene
from dsr_core.vlm.compose import compose
from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.prompt_embeddings import completion_request, prompt_embeddings


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("recording")
    parser.add_argument("question")
    parser.add_argument("--options", nargs="*", default=())
    parser.add_argument("--model", default="Qwen/Qwen2.5-VL-7B-Instruct", help="its name on the server")
    parser.add_argument("--url", help="of the server's completions")
    parser.add_argument("--out", help="file for the request")
    args = parser.parse_args(argv)
    model = GeometryVLM.load(args.checkpoint)
    asked = compose(args.question, args.options, scene=load_scene(args.recording), sources=model.sources)
    prompt = prompt_embeddings(model, asked)
    body = json.dumps(completion_request(prompt, args.model))
    print(f"{len(prompt.embeddings)} embeddings of {prompt.embeddings.shape[1]} numbers, {len(body) / 1e6:.1f} MB")
    if not prompt.in_a_row:
        print("their places are not in a row: see docs/deploying.md before you trust the reply")
    if args.out:
        Path(args.out).write_text(body)
    if args.url:
        request = urllib.request.Request(args.url, body.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            print(json.load(response)["choices"][0]["text"])


if __name__ == "__main__":
    main()
