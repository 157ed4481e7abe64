"""Detectors: images -> detections. Each backend is one file and loads its packages when it is made."""
