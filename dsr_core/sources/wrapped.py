"""A recording seen through something that changes its frames: what stays as the recording has it."""

from __future__ import annotations

from collections import Counter

from dsr_core.sources.base import Source


class Wrapped(Source):
    """A source on top of another one; a subclass gives `frames`.

    Args:
        source: The recording.
    """

    def __init__(self, source: Source):
        self.source, self.name = source, source.name

    @property
    def world_frame(self) -> str:
        return self.source.world_frame

    @property
    def camera_frame(self) -> str:
        return self.source.camera_frame

    @property
    def base_frame(self) -> str:
        return self.source.base_frame

    @property
    def detector(self) -> str | None:
        return self.source.detector

    @property
    def skipped(self) -> Counter[str]:
        return self.source.skipped

    def __len__(self) -> int:
        return len(self.source)
