"""Question sets in every published layout, written and read."""
