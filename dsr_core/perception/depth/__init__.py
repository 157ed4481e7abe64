"""Depth of a frame: from the sensor, from a second camera, or from a network. `protocol.py` says what each offers."""
