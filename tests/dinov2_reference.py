"""DINOv2 with registers written down plainly, under the tensor names of its repository; slow and independent."""

import math

import torch

WIDTH, LAYERS, REGISTERS, SIDE, PATCH = 128, 2, 4, 5, 14


def random_state(seed=0, width=WIDTH, layers=LAYERS):
    """Tensors of a tiny encoder, as pi3 saves them: without the mask token, which it deletes."""
    made = torch.Generator().manual_seed(seed)

    def draw(*shape, scale=0.15, around=0.0):
        return around + scale * torch.randn(shape, generator=made)

    state = {
        "cls_token": draw(1, 1, width),
        "register_tokens": draw(1, REGISTERS, width),
        "pos_embed": draw(1, 1 + SIDE**2, width, scale=0.5),
        "patch_embed.proj.weight": draw(width, 3, PATCH, PATCH, scale=0.05),
        "patch_embed.proj.bias": draw(width),
        "norm.weight": draw(width, around=1.0),
        "norm.bias": draw(width),
    }
    for i in range(layers):
        linear = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        linear |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for name, (out, into) in linear.items():
            state[f"blocks.{i}.{name}.weight"] = draw(out, into)
            state[f"blocks.{i}.{name}.bias"] = draw(out)
        for name in ("norm1", "norm2"):
            state[f"blocks.{i}.{name}.weight"] = draw(width, around=1.0)
            state[f"blocks.{i}.{name}.bias"] = draw(width)
        for name in ("ls1", "ls2"):
            state[f"blocks.{i}.{name}.gamma"] = draw(width, around=0.7)
    return state


def _norm(state, name, x):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-6) * state[f"{name}.weight"] + state[f"{name}.bias"]


def _linear(state, name, x):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _attention(state, name, x):
    width = x.shape[1]
    q, k, v = _linear(state, f"{name}.qkv", x).split(width, dim=1)
    heads = []
    for h in range(width // 64):
        part = slice(64 * h, 64 * (h + 1))
        weights = torch.softmax(q[:, part] @ k[:, part].T / math.sqrt(64), dim=1)
        heads.append(weights @ v[:, part])
    return _linear(state, f"{name}.proj", torch.cat(heads, dim=1))


def patch_tokens(state, picture):
    """ "x_norm_patchtokens" (H / 14, W / 14, width) of one picture (3, H, W) that is normalised already."""
    width = state["cls_token"].shape[2]
    high, wide = picture.shape[1] // PATCH, picture.shape[2] // PATCH
    kernel = state["patch_embed.proj.weight"].reshape(width, -1)
    places = torch.nn.functional.interpolate(
        state["pos_embed"][0, 1:].reshape(1, SIDE, SIDE, width).permute(0, 3, 1, 2),
        size=(high, wide),
        mode="bicubic",
        antialias=True,
    )[0]
    tokens = [state["cls_token"][0, 0] + state["pos_embed"][0, 0], *state["register_tokens"][0]]
    for row in range(high):
        for column in range(wide):
            pixels = picture[:, PATCH * row : PATCH * (row + 1), PATCH * column : PATCH * (column + 1)]
            embedded = kernel @ pixels.reshape(-1) + state["patch_embed.proj.bias"]
            tokens.append(embedded + places[:, row, column])
    x = torch.stack(tokens)
    count = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    for i in range(count):
        block = f"blocks.{i}"
        x = x + state[f"{block}.ls1.gamma"] * _attention(state, f"{block}.attn", _norm(state, f"{block}.norm1", x))
        hidden = _linear(state, f"{block}.mlp.fc1", _norm(state, f"{block}.norm2", x))
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + state[f"{block}.ls2.gamma"] * _linear(state, f"{block}.mlp.fc2", hidden)
    return _norm(state, "norm", x)[1 + state["register_tokens"].shape[1] :].reshape(high, wide, width)


def merged(features, temporal=2, merge=2):
    """Patch tokens (N, h, w, C) -> one row for each block of `temporal` frames x `merge` x `merge` patches."""
    count, high, wide, _ = features.shape
    rows = []
    for t in range(0, count, temporal):
        for y in range(0, high, merge):
            for x in range(0, wide, merge):
                inside = [(t + a, y + b, x + c) for a in range(temporal) for b in range(merge) for c in range(merge)]
                rows.append(torch.cat([features[place] for place in inside]))
    return torch.stack(rows)
