"""What is left: ledger, Pareto front, report page, exports."""
