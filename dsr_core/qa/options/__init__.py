"""Options that cannot be guessed, and those of the published recipe."""
