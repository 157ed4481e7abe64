"""How well a question set can be answered without seeing anything."""
