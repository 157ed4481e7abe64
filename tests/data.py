"""Where the real recordings lie: `../shared/data` beside the checkout."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared(name: str) -> Path:
    """The recording `name` under `../shared/data`; skips the test with a message where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"real recording {name!r} is not at {path}")
    return path
