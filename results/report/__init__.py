"""The report: one self-contained page made from what is in the run folder, and from nothing else."""
