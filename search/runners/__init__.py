"""Runners: where candidates are scored and trained, in this process, by Ray's workers or by Ray Tune."""
