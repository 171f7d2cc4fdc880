"""The report: one self-contained page made from what is in the run folder, and from nothing else."""

from results.report.page import write_report

__all__ = ["write_report"]
