"""Pure rendering: typed input in, manifests as dictionaries out. Imports the domain and nothing else."""

from modelrelease.render.build import job
from modelrelease.render.compare import differs
from modelrelease.render.config import RenderConfig
from modelrelease.render.revision import parse_record, record
from modelrelease.render.routing import candidate_ppm, grpc_route, http_route, mirror, service
from modelrelease.render.serving import deployment, pdb, pod_template

__all__ = [
    "RenderConfig",
    "candidate_ppm",
    "deployment",
    "differs",
    "grpc_route",
    "http_route",
    "job",
    "mirror",
    "parse_record",
    "pdb",
    "pod_template",
    "record",
    "service",
]
