"""Points and camera poses from pictures alone. `protocol.py` says what each backend offers."""
