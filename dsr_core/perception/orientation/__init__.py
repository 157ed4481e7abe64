"""Which way things face: networks, body yaw and motion, each with its sigma, put together on the circle."""
