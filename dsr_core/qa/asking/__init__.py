"""A model asked many times: retries, budgets, journals."""
