"""The search loop and its records: batches that a sampler asks for, goals, budgets, racing, rungs, progress."""
