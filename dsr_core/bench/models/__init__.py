"""Whom a benchmark asks: one file a kind of model, each a `base.Model`; heavy packages are imported late."""
