"""GeometryConfig: how geometry comes into a language model, with every default in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from dsr_core.vlm.values import VlmError

#: none: no geometry (plain fine-tuning). add: each visual token takes in geometry, added through a gate. gsm: a few
#: tokens that the question has selected are inserted (DSR Suite). gated: visual tokens are mixed with what the question
#: has selected by a learned gate, and masked in training (GeoSR). concat: every geometry token is inserted.
MODES = ("none", "add", "gsm", "gated", "concat")


@dataclass(frozen=True)
class GeometryConfig:
    """The geometry module.

    Attributes:
        mode: One of `MODES`.
        sources: Name of a geometry source -> its settings (`dsr_core.vlm.sources`); their tokens stand side by side.
        queries: N, tokens that the selector makes (the paper: 32).
        width: Features of geometry tokens and queries inside the module; None takes those of the language model.
        layers: Blocks of each Q-Former. heads: Attention heads of each.
        feed_forward: Hidden features of each block's MLP, as a multiple of `width`.
        out_scale: Standard deviation of the last projection's weights where tokens are inserted.
        mask_probability: Share of training samples of `gated` whose visual tokens are masked.
        mask_share: Of these the share of visual tokens, the most relevant to geometry, that are masked.
        placeholder: Special token of the tokenizer that marks where geometry is inserted. Qwen's tokenizers have this
            one, and no Qwen-VL uses it.
    """

    mode: str = "gsm"
    sources: Mapping[str, dict] = field(default_factory=lambda: {"scene": {}})
    queries: int = 32
    width: int | None = None
    layers: int = 1
    heads: int = 8
    feed_forward: float = 4.0
    out_scale: float = 0.02
    mask_probability: float = 0.5
    mask_share: float = 0.8
    placeholder: str = "<|vision_pad|>"

    def __post_init__(self):
        if self.mode not in MODES:
            raise VlmError(f"geometry mode {self.mode!r} is not known; known: {', '.join(MODES)}")
        if self.mode != "none" and not self.sources:
            raise VlmError(f"mode {self.mode!r} needs a source; give sources={{'scene': {{}}}}, or mode none")
        for name, least in (("queries", 1), ("layers", 1), ("heads", 1)):
            if getattr(self, name) < least:
                raise VlmError(f"{name} = {getattr(self, name)} must be at least {least}")
        for name in ("mask_probability", "mask_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise VlmError(f"{name} = {getattr(self, name)} is not between 0 and 1")

    @property
    def inserts(self) -> bool:
        """Whether tokens are inserted into the text."""
        return self.mode in ("gsm", "concat")

    def to_dict(self) -> dict:
        """For a checkpoint's `geometry.json`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping) -> GeometryConfig:
        """Raises VlmError where a name is not known."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(told) - known):
            raise VlmError(f"the geometry has no setting {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        return cls(**told)
