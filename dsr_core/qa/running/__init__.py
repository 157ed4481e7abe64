"""Many recordings to one question set: shards, pool or Ray, resume."""
