"""The view where there is no terminal: one line whenever something changed."""

from modelrelease.domain.status import Status

from localcluster.demo.show import Show
from localcluster.demo.view import clock


def line(show: Show) -> str:
    """Return the state in one line, without the clock; empty where there is nothing to say."""
    parts = []
    release = show.follower.release if show.follower else None
    if release is not None and show.act.version is not None:
        parts.append(status_line(release.status))
    # While a candidate is on its way, what it waits for says more than what the demo does.
    if show.waiting and not (release and release.status.waiting_for):
        parts.append(f"waiting for {show.waiting}")
    return f"[{show.act.key}] {'; '.join(parts)}" if parts else ""


def status_line(status: Status) -> str:
    """Return what a release does in one line. Numbers that move all the time are left out."""
    parts = [status.phase or "not seen by the operator yet"]
    candidate, stable = status.candidate, status.stable
    if candidate is not None:
        parts.append(f"{candidate.version} {candidate.stage}")
        if candidate.weight.desired or candidate.weight.accepted:
            step = f"step {status.step}, " if status.step else ""
            parts.append(f"{step}weight {candidate.weight.desired} % desired, {candidate.weight.accepted} % accepted")
        parts += [f"{verdict.metric} {verdict.verdict}" for verdict in candidate.verdicts]
        if candidate.end is not None:
            parts.append(f"{candidate.end.reason}: {candidate.end.message}")
    parts.append(f"{stable.version} stable" if stable else "nothing stable")
    if status.waiting_for is not None:
        parts.append(f"awaits {status.waiting_for.reason}")
    return "; ".join(parts)


def stamped(show: Show, text: str) -> str:
    """Return a line with the time, and with the requests so far."""
    counts = show.counts()
    total, failed = (
        sum(values) for values in ([c.total for c in counts.values()], [c.failed for c in counts.values()])
    )
    told = f" ({total:,} requests, {failed:,} failed)" if total else ""
    return f"{clock(show.elapsed):>5} {text}{told}"
