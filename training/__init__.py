"""Training of models that `dsr_core.vlm` describes; `sft` is the entry point."""
