"""A scene to questions with their true answers."""
