"""How many operations the parts of a model take, counted in a forward; extended to the layers that were cut off."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

#: Of Qwen2.5-VL's vision tower every eighth block sees whole frames, the others windows.
_WHOLE_EVERY = 8


def operations(model, batch: dict, text_layers: int, vision_blocks: int) -> dict[str, float]:
    """Operations of a forward up to the reply's first word, in 10^12; a multiplication with its addition counts two.

    Attention counts as if every token saw every other, as implementations without a causal kernel compute it.

    Args:
        model: A `GeometryVLM`, which may have fewer layers than the real one. batch: On its device.
        text_layers, vision_blocks: As many as the real one has.

    Returns:
        "language model", "vision tower", "geometry module"; "base as run" is what the first two take with fewer layers.
    """

    trained = [p for p in model.parameters() if p.requires_grad]
    model.requires_grad_(False)  # the counter follows gradients where there are any
    try:
        total = counted(lambda: model(batch, logits_to_keep=1))
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
    base = "GeometryVLM.base"
    text, vision = total[f"{base}.model.language_model"], total[f"{base}.model.visual"]
    head = total[f"{base}.lm_head"]
    layers, blocks = (_in_order(total, f"{base}.model.{name}.") for name in ("language_model.layers", "visual.blocks"))
    windowed = hasattr(model.base.config.vision_config, "fullatt_block_indexes")
    whole = max(1, vision_blocks // _WHOLE_EVERY) if windowed else 0
    return {
        "language model": (text - sum(layers) + layers[0] * text_layers + head) / 1e12,
        "vision tower": (vision - sum(blocks) + blocks[0] * (vision_blocks - whole) + blocks[-1] * whole) / 1e12,
        "geometry module": (total["Global"] - text - vision - head) / 1e12,
        "base as run": (text + vision + head) / 1e12,
    }


def counted(run) -> dict[str, int]:
    """Operations by name of a module, "Global" for all of them."""

    def attention(query, key, value, *_, out_shape=None, **__):
        return sdpa_flop_count(query, key, value)

    ours = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    with FlopCounterMode(display=False, custom_mapping=ours) as counter, torch.no_grad():
        run()
    return {name: sum(parts.values()) for name, parts in counter.get_flop_counts().items()}


def _in_order(total: dict[str, int], prefix: str) -> list[int]:
    found = {name.removeprefix(prefix): n for name, n in total.items() if name.startswith(prefix)}
    return [found[number] for number in sorted((n for n in found if n.isdigit()), key=int)]
