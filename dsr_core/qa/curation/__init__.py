"""Which recordings are worth asking about."""
