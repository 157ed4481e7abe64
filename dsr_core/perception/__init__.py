"""Frames to observations: detectors and the lifting of what they find."""
