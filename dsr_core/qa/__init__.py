"""Scenes to questions: sampling, true answers, options that cannot be guessed, files, audits."""
