"""What geometry costs a Qwen-VL of its real size: time, words a second and memory, by fusion mode, source and batch.

    python benchmarks/gsm_speed.py --model qwen2.5-vl-7b --train-step --checkpointing --sources scene     (on a GPU)
    python benchmarks/gsm_speed.py --model qwen2.5-vl-7b --train-step --checkpointing --sources pi3_encoder
    python benchmarks/gsm_speed.py --model qwen2.5-vl-3b --layers 2 --frames 8 --batch 1 2 --count      (on a CPU)

Weights are random, which changes no time. Each mode runs in a process of its own. Printed, in medians: a forward up to
the reply's first word, vision tower included; the share of it that the geometry module takes (Q-Formers, merger,
fusion, projection); with --train-step a step of LoRA and module (forward, backward, AdamW); tokens a second; the peak
of memory. `pi3_encoder` stands for features that were made before; what making them costs once a clip, and what reading
them from a cache costs, is timed apart. --count counts operations, too, and extends them to the layers that were cut.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from gsm_timing import Watch, apart, moved, part_of, peak_gb, timed

#: Key of a row -> title of its column.
COLUMNS = {
    "mode": "mode",
    "sources": "geometry",
    "batch": "batch",
    "tokens": "tokens a row",
    "forward_ms": "forward ms",
    "ratio": "x none",
    "module_ms": "module ms",
    "module_share": "module %",
    "full_share": "module %, all layers",
    "operations_share": "module % of operations",
    "tokens_s": "tokens/s",
    "memory_gb": "GB",
    "step_ms": "step ms",
    "step_ratio": "step x none",
    "step_tokens_s": "step tokens/s",
    "step_memory_gb": "step GB",
}


def make_model(mode: str, sources: tuple[str, ...], args):
    """A `GeometryVLM` with a random base."""
    import gsm_models
    import torch

    from dsr_core.vlm.config import GeometryConfig
    from dsr_core.vlm.model import GeometryVLM
    from dsr_core.vlm.sources import make_sources

    torch.manual_seed(0)
    base, words = gsm_models.random_base(args.model, args.device, args.dtype, args.layers, args.vocabulary)
    settings = {"scene": {}, "pi3_encoder": {"patch": base.config.vision_config.patch_size}}
    width = {} if args.width is None else {"width": args.width}
    config = GeometryConfig(mode, {name: settings[name] for name in sources} or {"scene": {}}, **width)
    made = make_sources(config.sources) if mode != "none" else {}
    model = GeometryVLM.of(base, words, config, max_tokens=10**6, sources=made)
    if args.checkpointing:
        model.checkpoint_gradients()
    return model.eval()


def measure(mode: str, sources: tuple[str, ...], args, results) -> None:
    """Puts a row of figures for each batch size, and what operations were counted, into a queue."""
    import gsm_models
    import gsm_operations
    import torch

    if args.tf32:
        torch.set_float32_matmul_precision("high")
    cuda = args.device.startswith("cuda")
    model = make_model(mode, sources, args)
    module = model.geometry
    watch = None if module is None else Watch(module, ("tokens", "inserted", "fused"), cuda)
    size = tuple(int(n) for n in args.size.split("x"))
    asked = gsm_models.questions(max(args.batch), args.frames, size, model.sources)
    rows = []
    whole = moved(model.inputs(asked), args.device)
    for count in args.batch:
        batch = part_of(whole, len(asked), count)
        tokens = int(batch["attention_mask"].sum())
        row = {"mode": mode, "sources": "+".join(sources), "batch": count, "tokens": tokens // count}
        rows.append(row)
        if not args.repeats:
            continue
        try:
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            with torch.inference_mode():
                ms, inside = timed(lambda b=batch: model(b, logits_to_keep=1), args.repeats, args.seconds, cuda, watch)
            row |= {"forward_ms": ms, "module_ms": inside, "module_share": 100 * inside / ms}
            row |= {"tokens_s": 1e3 * tokens / ms, "memory_gb": peak_gb(cuda)}
        except torch.OutOfMemoryError:
            row["forward_ms"] = None
    if args.count:
        batch = part_of(whole, len(asked), 1)
        counted = gsm_operations.operations(model, batch, *gsm_models.depths(args.model))
        for row in rows:
            add_counted(row, counted)
    if args.train_step:
        train(model, asked, rows, args, cuda)
    parameters = sum(p.numel() for p in module.parameters()) / 1e6 if module is not None else 0.0
    results.put((rows, parameters))


def add_counted(row: dict, counted: dict[str, float]) -> None:
    """Adds what operations tell: their shares, and of the time as it would be with all layers."""
    whole = counted["language model"] + counted["vision tower"]
    module = counted["geometry module"]
    row |= {"operations": counted, "operations_share": 100 * module / (whole + module)}
    if row.get("forward_ms"):
        base_ms = (row["forward_ms"] - row["module_ms"]) * whole / counted["base as run"]
        row["full_share"] = 100 * row["module_ms"] / (base_ms + row["module_ms"])


def train(model, asked: list, rows: list[dict], args, cuda: bool) -> None:
    """Adds the figures of training steps to `rows`."""
    import torch

    model.add_lora()
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    whole = moved(model.inputs(asked, [model.inputs.prompt.true_reply(a) for a in asked]), args.device)
    for row in rows:
        batch = part_of(whole, len(asked), row["batch"])
        tokens = int(batch["attention_mask"].sum())

        def step(batch=batch):
            model(batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        try:
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            ms, _ = timed(step, max(2, args.repeats // 2), args.seconds, cuda)
            row |= {"step_ms": ms, "step_tokens_s": 1e3 * tokens / ms, "step_memory_gb": peak_gb(cuda)}
        except torch.OutOfMemoryError:
            row["step_ms"] = None
            optimizer.zero_grad()


def put_encoder_costs(args, results) -> None:
    import gsm_encoder

    results.put(gsm_encoder.costs(args))


def table(rows: list[dict]) -> str:
    """Rows as Markdown."""
    used = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    lines = ["| " + " | ".join(COLUMNS[key] for key in used) + " |", "|" + "---|" * len(used)]
    lines += ["| " + " | ".join(_told(key, row.get(key)) for key in used) + " |" for row in rows]
    return "\n".join(lines)


def _told(key: str, value) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value or "–"
    return (
        f"{value:.3f}" if key.endswith("ratio") else f"{value:.2f}" if value < 10 and key != "batch" else f"{value:.0f}"
    )


def main() -> None:
    import torch

    from dsr_core.perception import networks

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-vl-7b", help="qwen2.5-vl-7b, -3b, qwen3-vl-8b, -2b, tiny")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--modes", nargs="+", default=["none", "add", "gsm", "gated", "concat"])
    parser.add_argument("--sources", nargs="*", default=["scene", "pi3_encoder"], help="each is measured alone")
    parser.add_argument("--width", type=int, help="features inside the module (default: those of the language model)")
    parser.add_argument("--device", default=networks.choose_device())
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--tf32", action=argparse.BooleanOptionalAction, default=True, help="float32 by TF32 on a GPU")
    parser.add_argument("--train-step", action="store_true")
    parser.add_argument("--checkpointing", action="store_true", help="of gradients, in training steps")
    parser.add_argument("--layers", type=int, help="layers of both towers, at most (for a CPU)")
    parser.add_argument("--vocabulary", type=int, help="tokens of the vocabulary, to save memory")
    parser.add_argument("--repeats", type=int, default=5, help="0: count operations only")
    parser.add_argument("--seconds", type=float, default=3.0, help="most seconds that one figure is measured for")
    parser.add_argument("--count", action="store_true", help="count operations, too")
    parser.add_argument("--json", help="file for the figures")
    args = parser.parse_args()
    if args.device == "cpu" and args.layers is None and args.model != "tiny":
        parser.error(f"{args.model} takes too long on a CPU; cut it: --layers 2 --frames 4 --batch 1 --dtype float32")
    cases = [("none", ())] if "none" in args.modes else []
    cases += [(mode, (source,)) for source in args.sources for mode in args.modes if mode != "none"]
    rows, begun = [], time.perf_counter()
    where = (
        torch.cuda.get_device_name()
        if args.device.startswith("cuda")
        else f"CPU, {torch.get_num_threads()} threads, processor time"
    )
    cut = f", {args.layers} layers" if args.layers else ""
    print(f"{args.model}{cut}, {args.frames} frames of {args.size}, {args.dtype}, {where}", flush=True)
    for mode, sources in cases:
        found = apart(measure, mode, sources, args)
        if found is None:
            print(f"{mode} {'+'.join(sources)}: failed", flush=True)
            continue
        part, parameters = found
        plain = {row["batch"]: row for row in rows if row["mode"] == "none"}
        for row in part:
            for key, ratio in (("forward_ms", "ratio"), ("step_ms", "step_ratio")):
                if row.get(key) and plain.get(row["batch"], {}).get(key):
                    row[ratio] = row[key] / plain[row["batch"]][key]
        rows += part
        took = time.perf_counter() - begun
        print(f"  {mode} {'+'.join(sources)}: module of {parameters:.0f} M parameters, {took:.0f} s so far", flush=True)
    print(table(rows), flush=True)
    encoder = apart(put_encoder_costs, args) if "pi3_encoder" in args.sources else None
    first = next((row for row in rows if row["mode"] == "none" and row["batch"] == 1), {})
    if encoder and encoder.get("ms"):
        share = (
            f" ({100 * encoder['ms'] / first['forward_ms']:.0f} % of a forward)"
            if first.get("forward_ms") and not args.layers
            else ""
        )
        cached = f"from a cache {encoder['cached_ms']:.0f} ms ({encoder['cached_mb']:.0f} MB)"
        print(f"frozen encoder: {encoder['ms']:.0f} ms a clip{share}; {cached}")
    if encoder and "operations" in encoder and "operations" in first:
        whole = first["operations"]["language model"] + first["operations"]["vision tower"]
        print(f"frozen encoder: {100 * encoder['operations'] / whole:.0f} % of the operations of a forward")
    if args.json:
        Path(args.json).write_text(json.dumps({"args": vars(args), "rows": rows, "encoder": encoder}))


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
