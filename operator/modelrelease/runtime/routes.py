"""Rendering a route for the slots as they are: headers by what each slot selects, filters by what the gateway can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelrelease import render
from modelrelease.adapters import errors
from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming
from modelrelease.domain.observed import FLOOR_PPM, PPM, GatewayFacts, Observed, Protocol, Slot, Unknown
from modelrelease.domain.plan import WantRoute
from modelrelease.runtime.observe import GatewayReader
from modelrelease.runtime.store import Key, Store

_RENDER = {Protocol.HTTP: render.http_route, Protocol.GRPC: render.grpc_route}


@dataclass(frozen=True, kw_only=True)
class Routes:
    """Renders routes. Remembers which gateways take a filter on a backend: that changes with the Gateway only."""

    store: Store
    gateway: GatewayReader
    _filters: dict[Key, bool] = field(default_factory=dict)

    async def rendered(self, observed: Observed, want: WantRoute) -> Manifest:
        """Return the route that is wanted.

        A place at the floor gets no write of its own for its header: it answers one request
        in a million, and a route write makes everyone wait for the gateway.

        Raises:
            ApiError: a slot is not there, or nothing is known of the gateway.
        """
        meta = observed.meta
        live = self.store.get(naming.ROUTE_KINDS[want.protocol], meta.namespace, meta.name)
        filters = await self._takes_filters(observed, live)
        stable = candidate = self._selected(observed, Slot.STABLE)
        if want.candidate_ppm > FLOOR_PPM:  # else the idle slot is on its way to stable, or is even missing
            candidate = self._selected(observed, Slot.CANDIDATE)
        manifest = _render(observed, want, filters=filters, stable=stable, candidate=candidate)
        if live is None or not filters or not render.differs(rendered=manifest, live=live):
            return manifest
        said = _headers(live)
        if len(said) != 2:  # not our two places with a header each
            return manifest
        if want.candidate_ppm <= FLOOR_PPM:
            candidate = said[1]
        elif PPM - want.candidate_ppm <= FLOOR_PPM:
            stable = said[0]
        lenient = _render(observed, want, filters=filters, stable=stable, candidate=candidate)
        return manifest if render.differs(rendered=lenient, live=live) else lenient

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a release."""
        self._filters.pop(key, None)

    async def _takes_filters(self, observed: Observed, live: Manifest | None) -> bool:
        key = (observed.meta.namespace, observed.meta.name)
        if isinstance(observed.gateway, GatewayFacts):
            self._filters[key] = observed.gateway.tells_slots_apart
        if key not in self._filters:
            if live is not None and render.candidate_ppm(live) is not None:
                return bool(_headers(live))  # as it was made, when the gateway was known
            facts = await self.gateway.facts(meta=observed.meta, spec=observed.spec)
            if isinstance(facts, Unknown):
                raise errors.Unavailable(f"the route can't be rendered: {facts.message}")
            self._filters[key] = facts.tells_slots_apart
        return self._filters[key]

    def _selected(self, observed: Observed, slot: Slot) -> str:
        name = naming.service(observed.meta.name, slot)
        service = self.store.get("Service", observed.meta.namespace, name)
        revision = ((service or {}).get("spec", {}).get("selector") or {}).get(naming.LABEL_REVISION)
        if not revision:
            raise errors.Conflict(f"Service {name} selects no revision: to be decided anew")
        return str(revision)


def _render(observed: Observed, want: WantRoute, *, filters: bool, stable: str, candidate: str) -> Manifest:
    return _RENDER[want.protocol](
        meta=observed.meta,
        spec=observed.spec,
        gateway_filters=filters,
        stable_revision=stable,
        candidate_revision=candidate,
        candidate_ppm=want.candidate_ppm,
        mirror=want.mirror,
        intent=want.intent,
    )


def _headers(route: Mapping[str, Any]) -> list[str]:
    """Return the revisions that the route's places announce, in their order."""
    rules = route["spec"].get("rules") or ()
    backends = [backend for rule in rules for backend in rule.get("backendRefs") or ()]
    filters = [kind for backend in backends for kind in backend.get("filters") or ()]
    headers = [header for kind in filters for header in (kind.get("responseHeaderModifier") or {}).get("set") or ()]
    return [str(header["value"]) for header in headers if header["name"] == naming.HEADER_REVISION]
