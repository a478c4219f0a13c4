"""Judge the candidate's traffic against stable's: blocks of counts in, verdicts out.

Pure and total: whatever the numbers are, each metric gets one verdict and one sentence. The tests
are e-processes, valid however often one looks; docs/analysis.md says what they promise.

The seam is `begin`, `enter`, `judge` and `overall`. `portfolio.fold` is the same tests over arrays.
"""

from modelrelease.domain.analysis.exposure import Exposure
from modelrelease.domain.analysis.judge import amber, begin, enter, judge
from modelrelease.domain.analysis.verdicts import overall

__all__ = ["Exposure", "amber", "begin", "enter", "judge", "overall"]
