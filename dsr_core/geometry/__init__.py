"""Rigid transforms, cameras, depth lifting and viewpoints."""
