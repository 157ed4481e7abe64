"""Questions that a language model writes and the engine checks."""
