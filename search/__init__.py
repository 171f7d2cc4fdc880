"""What to try next: samplers, the ask-score-record loop, runners."""
