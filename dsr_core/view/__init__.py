"""Pictures and rerun recordings of scenes and answers."""
