"""From objects of the API server to facts. Pure: dictionaries in, `domain.observed` out."""

from modelrelease.adapters.facts.deployments import deployment_facts
from modelrelease.adapters.facts.jobs import job_facts
from modelrelease.adapters.facts.routes import route_facts
from modelrelease.adapters.facts.slots import slot_facts

__all__ = ["deployment_facts", "job_facts", "route_facts", "slot_facts"]
