"""Observations to tracks: association and filtering."""
