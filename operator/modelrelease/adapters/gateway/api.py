"""The Gateway behind a release's parentRefs, as facts with a sentence where it can't be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelrelease.adapters.errors import ApiError, Forbidden, KindAbsent, NotFound
from modelrelease.adapters.facts.objects import condition, find, items, labels, part, sentence
from modelrelease.adapters.gateway.capabilities import Capabilities, capabilities
from modelrelease.adapters.gateway.hostnames import ANY, Route, attach, clash
from modelrelease.adapters.kinds import Manifest
from modelrelease.adapters.kube import Kube
from modelrelease.domain import naming
from modelrelease.domain.observed import GatewayFacts, Meta, Unknown
from modelrelease.domain.problem import Problem
from modelrelease.domain.spec import GatewayTraffic, Hosts, ParentRef, Spec

_KINDS = ("HTTPRoute", "GRPCRoute")
_UNBORN = ("~", "", "")  # sorts after every time stamp: a route that does not exist yet is the youngest


class _Trouble(Exception):  # noqa: N818 - carries a problem out of the walk, never leaves this module
    """The Gateway can't be used, for this reason."""

    def __init__(self, *, reason: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(reason=reason, message=message)


@dataclass(frozen=True, kw_only=True)
class GatewayApi:
    """Reads Gateways, their classes and the routes on them."""

    kube: Kube

    async def facts(self, *, meta: Meta, spec: Spec) -> GatewayFacts | Unknown:
        """Return what is known of the release's Gateway; Unknown if the API server does not tell."""
        known: list[Capabilities] = []
        problem = None
        try:
            gateways = {}
            for ref in spec.traffic.gateway.parent_refs:
                gateway = await self._gateway(ref, namespace=ref.namespace or meta.namespace)
                known.append(await self._capabilities(gateway))
                _check(gateway, ref)
                gateways[_key(gateway)] = gateway["spec"]["listeners"]
            await self._check_hostnames(meta=meta, traffic=spec.traffic.gateway, gateways=gateways)
        except _Trouble as trouble:
            problem = trouble.problem
        except ApiError as error:
            return Unknown(message=f"the Gateway could not be read: {error}")
        return GatewayFacts(
            tells_slots_apart=bool(known) and all(one.tells_slots_apart for one in known),
            mirrors=bool(known) and all(one.mirror is not None for one in known),
            counts_mirrored_errors=frozenset.intersection(*(one.counts_mirrored_errors for one in known))
            if known
            else frozenset(),
            problem=problem,
        )

    async def _gateway(self, ref: ParentRef, *, namespace: str) -> Manifest:
        try:
            return await self.kube.get("Gateway", namespace=namespace, name=ref.name)
        except KindAbsent:
            raise _not_installed("Gateway") from None
        except NotFound:
            message = (
                f"there is no Gateway {ref.name} in namespace {namespace}: "
                "create it, or name another one in traffic.gateway.parentRefs"
            )
            raise _Trouble(reason="GatewayNotFound", message=message) from None

    async def _capabilities(self, gateway: Manifest) -> Capabilities:
        name = gateway["spec"]["gatewayClassName"]
        try:
            found = await self.kube.get("GatewayClass", namespace=None, name=name)
        except KindAbsent:
            raise _not_installed("GatewayClass") from None
        except NotFound:
            message = (
                f"Gateway {_told(gateway)} is of GatewayClass {name}, which does not exist: "
                "create the class, or correct gatewayClassName of the Gateway"
            )
            raise _Trouble(reason="GatewayClassNotFound", message=message) from None
        return capabilities(found["spec"]["controllerName"])

    async def _check_hostnames(
        self,
        *,
        meta: Meta,
        traffic: GatewayTraffic,
        gateways: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]],
    ) -> None:
        """Raise if an older route on one of the listeners holds one of our hostnames."""
        listed = {
            kind: await self._routes(kind, meta=meta, needed=hosts is not None) for kind, hosts in _hosts(traffic)
        }
        objects = [obj for found in listed.values() for obj in found]
        others = [_route(obj, gateways) for obj in objects if not _ours(obj, meta) and not _refused(obj)]
        for kind, hosts in _hosts(traffic):
            if hosts is None:
                continue
            mine = next((obj for obj in listed[kind] if _ours(obj, meta)), None)
            refs = [_ref(ref) for ref in traffic.parent_refs]
            attached = attach(refs, hosts.hostnames, namespace=meta.namespace, gateways=gateways)
            age = _age(mine) if mine else _UNBORN
            ours = Route(kind=kind, namespace=meta.namespace, name=meta.name, age=age, attached=attached)
            if (found := clash(ours, others)) is not None:
                raise _taken(ours, *found)

    async def _routes(self, kind: str, *, meta: Meta, needed: bool) -> Sequence[Manifest]:
        try:
            return (await self.kube.list(kind)).items
        except KindAbsent:
            if needed:
                raise _not_installed(kind) from None
            return ()
        except Forbidden:
            # An operator of one namespace sees only the routes there.
            return (await self.kube.list(kind, namespace=meta.namespace)).items


def _hosts(traffic: GatewayTraffic) -> Iterable[tuple[str, Hosts | None]]:
    return zip(_KINDS, (traffic.http, traffic.grpc), strict=True)


def _check(gateway: Manifest, ref: ParentRef) -> None:
    """Raise if the Gateway is not ready for routes, or has not the listener that is asked for."""
    names = [listener["name"] for listener in gateway["spec"]["listeners"]]
    if ref.section_name is not None and ref.section_name not in names:
        message = (
            f"Gateway {_told(gateway)} has no listener {ref.section_name}: "
            f"name one of {', '.join(names)} as sectionName in traffic.gateway.parentRefs"
        )
        raise _Trouble(reason="ListenerNotFound", message=message)
    programmed = condition(gateway, "Programmed")
    current = programmed.get("observedGeneration", 0) >= gateway["metadata"].get("generation", 0)
    if current and programmed.get("status") == "True":
        return
    said = f" ({sentence(programmed['message'])})" if current and programmed.get("message") else ""
    message = (
        f"Gateway {_told(gateway)} is not programmed{said}: look at its conditions, and whether its controller runs"
    )
    raise _Trouble(reason="GatewayNotProgrammed", message=message)


def _route(obj: Manifest, gateways: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> Route:
    meta = obj["metadata"]
    refs, hostnames = items(obj, "spec", "parentRefs"), part(obj, "spec").get("hostnames") or ()
    attached = attach(refs, hostnames, namespace=meta["namespace"], gateways=gateways)
    return Route(kind=obj["kind"], namespace=meta["namespace"], name=meta["name"], age=_age(obj), attached=attached)


def _age(obj: Manifest) -> tuple[str, str, str]:
    # As the Gateway API resolves conflicts: the older first, then by name.
    meta = obj["metadata"]
    return meta["creationTimestamp"], meta["namespace"], meta["name"]


def _ours(obj: Manifest, meta: Meta) -> bool:
    return obj["metadata"]["namespace"] == meta.namespace and labels(obj).get(naming.LABEL_RELEASE) == meta.name


def _refused(obj: Manifest) -> bool:
    """Tell whether every gateway refused the route: it holds nothing, and must not block anyone."""
    said = [find(items(parent, "conditions"), "Accepted") for parent in items(obj, "status", "parents")]
    return bool(said) and all(accepted.get("status") == "False" for accepted in said)


def _taken(ours: Route, other: Route, hostname: str) -> _Trouble:
    shared = f"the hostname {hostname}" if hostname != ANY else "all hostnames"
    why = "" if ours.kind == other.kind else " (HTTP and gRPC routes can't share one)"
    key = "http" if ours.kind == "HTTPRoute" else "grpc"
    message = (
        f"{other} holds {shared} on the same listener{why}: "
        f"choose another one in traffic.gateway.{key}.hostnames, or remove it there"
    )
    return _Trouble(reason="HostnameTaken", message=message)


def _ref(ref: ParentRef) -> dict[str, str | None]:
    return {"name": ref.name, "namespace": ref.namespace, "sectionName": ref.section_name}


def _key(gateway: Manifest) -> tuple[str, str]:
    return gateway["metadata"]["namespace"], gateway["metadata"]["name"]


def _told(gateway: Manifest) -> str:
    return "/".join(_key(gateway))


def _not_installed(kind: str) -> _Trouble:
    message = (
        f"this cluster has no {kind}: install the Gateway API (standard channel, v1) and a gateway that implements it"
    )
    return _Trouble(reason="GatewayAPINotInstalled", message=message)
