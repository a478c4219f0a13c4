"""What was scraped twice would count twice."""

from __future__ import annotations

import pytest
from modelrelease.adapters.prometheus.client import Series
from modelrelease.adapters.prometheus.increments import Layout
from modelrelease.adapters.prometheus.problems import MetricsError
from modelrelease.adapters.prometheus.sampled import sampled

KNOWN = Layout(series=frozenset({"__name__"}))
UNKNOWN = Layout()
FIRST, LATER = ((0.0, 1.0), (15.0, 2.0)), ((30.0, 1.0), (45.0, 2.0))
OVERLAP = ((15.0, 1.0), (45.0, 2.0))


def series(samples: tuple[tuple[float, float], ...], name: str = "requests", **labels: str) -> Series:
    return Series(labels={"__name__": name, "namespace": "gateways", "pod": "a", **labels}, samples=samples)


@pytest.mark.parametrize("layout", [KNOWN, UNKNOWN])
def test_one_pod_under_two_addresses_at_once_is_an_error_and_one_that_was_replaced_is_not(layout: Layout) -> None:
    first = series(FIRST, instance="10.0.0.1:19001")
    sampled([first, series(LATER, instance="10.0.0.2:19001")], layout=layout)
    sampled([first, series(FIRST, pod="b")], layout=layout)
    sampled([first, series(FIRST, name="other")], layout=layout)
    with pytest.raises(MetricsError, match=r'instance="10.0.0.1:19001" and "10.0.0.3:19001"'):
        sampled([first, series(OVERLAP, instance="10.0.0.3:19001")], layout=layout)


def test_labels_nobody_knows_are_of_the_series_where_the_layout_is_not_known() -> None:
    """A custom counter has labels of its own; a gateway's other labels come from the scrape."""
    several = [series(FIRST, code="200"), series(FIRST, code="500")]
    assert len(sampled(several, layout=UNKNOWN).scraped) == 1
    with pytest.raises(MetricsError, match='code="200" and "500"'):
        sampled(several, layout=KNOWN)


def test_without_pod_names_the_address_tells_pods_apart() -> None:
    def of(instance: str, job: str) -> Series:
        return Series(labels={"__name__": "requests", "instance": instance, "job": job}, samples=((0, 1),))

    sampled([of("a:1", "x"), of("b:1", "x")], layout=KNOWN)
    with pytest.raises(MetricsError, match="scrape each pod by one job only"):
        sampled([of("a:1", "x"), of("a:1", "y")], layout=KNOWN)


def test_newest_and_spacing() -> None:
    found = sampled([series(FIRST), series(((15.0, 0.0), (31.0, 0.0)), pod="b")], layout=KNOWN)
    assert (found.newest, found.scrape) == (31.0, 15.5)
    nothing = sampled([], layout=KNOWN)
    assert (nothing.newest, nothing.scrape) == (None, None)
