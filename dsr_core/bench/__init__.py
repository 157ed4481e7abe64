"""Benchmarks as versioned data: tasks, models, scorers, reports."""
