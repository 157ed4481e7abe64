"""pyarrow, or how to get it."""

from __future__ import annotations

from dsr_core.errors import DependencyError


def parquet():
    """The modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DependencyError("question sets are parquet files: pip install 'dsr_ros[qa]' (or pyarrow)") from None
    return pyarrow, pyarrow.parquet
