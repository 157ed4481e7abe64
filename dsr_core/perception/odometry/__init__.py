"""The camera's own motion where no TF and no odometry tells it. `protocol.py` says what each backend offers."""
