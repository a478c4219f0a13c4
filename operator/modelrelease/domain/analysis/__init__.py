"""Judge the candidate's traffic against stable's: counts in, verdicts out.

Pure and total: whatever the numbers are, each metric gets one verdict and one sentence.
The seam is `judge` and `overall`; what is behind them (today exact bounds on the counts of
one window) can be replaced without touching `decide`.
"""

from modelrelease.domain.analysis.judge import judge, overall

__all__ = ["judge", "overall"]
