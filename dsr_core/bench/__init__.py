"""Benchmarks as versioned data: tasks, models, scorers, reports."""

from dsr_core.bench.extract import PARSER_VERSION, extract_choice
from dsr_core.bench.numbers import extract_number

__all__ = ["PARSER_VERSION", "extract_choice", "extract_number"]
