"""The guard: each write of each operator, held against the design's section 5."""

from __future__ import annotations

from dataclasses import dataclass

from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming

from tests.machine import guard_status, guard_traffic
from tests.machine.guarded import ROUTES, Actor, GuardedCluster

# Whatever the operator makes carries these names; nothing else is its business.
OURS = ("Job", "Deployment", "PodDisruptionBudget", "ControllerRevision", "Service", *ROUTES)


@dataclass(kw_only=True)
class Design:
    """Implements `Guard`."""

    cluster: GuardedCluster

    def applied(self, actor: Actor, before: Manifest | None, after: Manifest, *, preconditioned: bool) -> None:
        kind, meta = after["kind"], after["metadata"]
        assert kind in OURS, f"a {kind} was written"
        assert meta["labels"][naming.LABEL_MANAGED_BY] == naming.MANAGED_BY
        if before is None:
            assert (naming.KIND, meta["namespace"], meta["labels"][naming.LABEL_RELEASE]) in self.cluster.objects or (
                actor.store.release((meta["namespace"], meta["labels"][naming.LABEL_RELEASE])) is not None
            ), f"{kind} {meta['name']} was made for a release that is gone"
        else:
            self._check_ownership(before, after)
        if kind in ROUTES:
            assert before is None or preconditioned, "7: a route was written without a resourceVersion"
            guard_traffic.check_route(self.cluster, actor, before, after)
        if kind == "Service" and before is not None:
            assert preconditioned or selected_same(before, after), "7: a slot was written without a resourceVersion"
            guard_traffic.check_slot(self.cluster, actor, before, after)
        if kind == "Deployment":
            assert after["spec"]["replicas"] >= 1, "nobody asked for none"
            same = before is None or before["spec"]["template"] == after["spec"]["template"]
            assert same or self._ident(after) in self.cluster.touched, "pods were restarted"

    def status_replaced(self, actor: Actor, before: Manifest, after: Manifest) -> None:
        serving = self._serving(actor, after["metadata"])
        guard_status.check(actor, before, after, now=self.cluster.now, serving=serving)

    def deleted(self, actor: Actor, gone: Manifest) -> None:
        kind = gone["kind"]
        assert kind in OURS, f"a {kind} was deleted"
        assert gone["metadata"]["labels"][naming.LABEL_MANAGED_BY] == naming.MANAGED_BY
        if kind == "Deployment":
            guard_traffic.check_removed_deployment(self.cluster, actor, gone)
        elif kind == "ControllerRevision":
            self._check_removed_record(gone)
        elif kind == "Job":
            guard_status.check_removed_job(self._release(gone), gone)
        elif kind in ROUTES:
            self._check_removed_route(actor, gone)
        else:
            assert kind == "PodDisruptionBudget", f"a {kind} was deleted"

    def _serving(self, actor: Actor, release: Manifest) -> str | None:
        """Return the known revision that the stable slot selects, where people had no hand in it."""
        ident = ("Service", release["namespace"], f"{release['name']}-stable")
        revision = guard_traffic.selected(actor.store.get(*ident))
        record = actor.store.get("ControllerRevision", release["namespace"], f"{release['name']}-{revision}")
        return revision if record and ident not in self.cluster.touched else None

    def _check_ownership(self, before: Manifest, after: Manifest) -> None:
        """8: labels and annotations of others stay."""
        for part in ("labels", "annotations"):
            had, has = before["metadata"].get(part) or {}, after["metadata"].get(part) or {}
            foreign = {name: value for name, value in had.items() if name.startswith("example.com/")}
            assert foreign.items() <= has.items(), f"the {part} of others were touched"

    def _check_removed_record(self, gone: Manifest) -> None:
        revision = gone["data"]["revision"]
        status = self._release(gone).get("status") or {}
        roles = {(status.get(role) or {}).get("revision") for role in ("stable", "candidate")}
        assert revision not in roles, "the record of a revision with a role was removed"

    def _check_removed_route(self, actor: Actor, gone: Manifest) -> None:
        release = self._release(gone)
        known = actor.store.get(naming.KIND, release["metadata"]["namespace"], release["metadata"]["name"])
        spec = (known or release)["spec"]
        protocol = next(protocol for protocol, kind in naming.ROUTE_KINDS.items() if kind == gone["kind"])
        assert spec["traffic"]["gateway"].get(str(protocol)) is None, "a route that is wanted was removed"

    def _release(self, child: Manifest) -> Manifest:
        meta = child["metadata"]
        return self.cluster.at(naming.KIND, meta["namespace"], meta["labels"][naming.LABEL_RELEASE])

    @staticmethod
    def _ident(obj: Manifest) -> tuple[str, str, str]:
        return obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]


def selected_same(before: Manifest, after: Manifest) -> bool:
    """Tell whether a write left alone what a slot selects."""
    return guard_traffic.selected(before) == guard_traffic.selected(after)
