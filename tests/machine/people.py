"""What people do to a release and its children."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import codec, naming
from modelrelease.domain.observed import Slot
from modelrelease.domain.spec import Spec

from tests.fakes.samples import NAME, NAMESPACE
from tests.machine.bed import KEY, Bed
from tests.machine.guarded import ROUTES
from tests.machine.script import a_spec

FOREIGN = "example.com/team"


def ours(obj: Manifest) -> bool:
    """Tell whether an object is a child of the release."""
    return (obj["metadata"].get("labels") or {}).get(naming.LABEL_MANAGED_BY) == naming.MANAGED_BY


def spec(
    *,
    version: str,
    weights: Sequence[int],
    pause: Manifest | None,
    replicas: int,
    suspend: bool,
    protocols: int,
    shadow: Manifest | None,
    control: Manifest,
) -> dict[str, Any]:
    """Return a spec as somebody would write it; the pause is at the first step. No weights: they are planned."""
    made = a_spec(version, protocols=protocols, serving__replicas=replicas)
    rollout = made["rollout"]
    del rollout["steps"]
    if weights:
        rollout["steps"] = [{"weight": weight} for weight in weights]
        rollout["steps"][0].update({"pause": pause} if pause else {})
    rollout["bake"].update(control)
    rollout.update({"shadow": shadow} if shadow else {})
    return {**made, "suspend": suspend}


def revision(version: str) -> str:
    """Return the revision of a version."""
    return naming.revision(codec.decode(Spec, a_spec(version), "spec"))


def set_weights(bed: Bed, kind: str, stable: int) -> None:
    """Give the stable place a share of 100, as a Git tool would."""

    def change(live: Manifest) -> None:
        backends = live["spec"]["rules"][0]["backendRefs"]
        backends[0]["weight"], backends[1]["weight"] = stable, 100 - stable

    if bed.exists(kind):
        bed.cluster.edit(kind, *KEY, change)


def point_slot(bed: Bed, slot: Slot, revision: str | None) -> None:
    """Let a slot select another revision, or any."""

    def change(live: Manifest) -> None:
        live["spec"]["selector"].pop(naming.LABEL_REVISION, None)
        live["spec"]["selector"].update({naming.LABEL_REVISION: revision} if revision else {})

    name = naming.service(NAME, slot)
    if bed.exists("Service", name) and ours(bed.cluster.at("Service", NAMESPACE, name)):
        bed.cluster.edit("Service", NAMESPACE, name, change)


def scale(bed: Bed, replicas: int) -> None:
    """Scale every Deployment of the release."""
    for deployment in bed.cluster.all("Deployment", NAMESPACE):
        name = deployment["metadata"]["name"]
        bed.cluster.edit("Deployment", NAMESPACE, name, lambda live: live["spec"].update(replicas=replicas))


def delete_one(bed: Bed, kind: str, number: int) -> None:
    """Delete one child of a kind."""
    children = [obj["metadata"]["name"] for obj in bed.cluster.all(kind, NAMESPACE) if ours(obj)]
    if children:
        bed.cluster.vandalise(kind, NAMESPACE, children[number % len(children)])


def lose_status(bed: Bed) -> None:
    """Restore the release from a backup, which has no status."""
    bed.cluster.edit(naming.KIND, *KEY, lambda live: live.pop("status", None))


def take_name(bed: Bed, slot: Slot) -> None:
    """Make a Service of somebody else's under the name of a slot that is not there just now."""
    name = naming.service(NAME, slot)
    if not bed.exists("Service", name):
        made = {**foreign_objects()[0], "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": "search"}}}
        bed.cluster.create(made, manager="team-tool")
        bed.squatters.append(made)


def give_names_back(bed: Bed) -> None:
    """Remove what stands in a slot's place."""
    for made in bed.squatters:
        bed.cluster.purge("Service", NAMESPACE, made["metadata"]["name"])
    bed.squatters.clear()


def orphan_and_apply_again(bed: Bed) -> None:
    """Delete the release with `--cascade=orphan`, and apply it again."""
    cluster = bed.cluster
    release = cluster.at(naming.KIND, *KEY)
    for kind, namespace, name in list(cluster.objects):
        owners = cluster.at(kind, namespace, name)["metadata"].get("ownerReferences") or ()
        if any(owner["uid"] == release["metadata"]["uid"] for owner in owners):
            cluster.edit(
                kind, namespace, name, lambda live: live["metadata"].pop("ownerReferences"), manager="garbage-collector"
            )
    cluster.purge(naming.KIND, *KEY)
    bed.create(release["spec"])


def plant_foreign_things(bed: Bed) -> None:
    """Put labels on the children, and objects beside them, that are none of the operator's business."""
    for kind in ("Service", *ROUTES):
        for obj in bed.cluster.all(kind, NAMESPACE):
            name = obj["metadata"]["name"]
            bed.cluster.edit(
                kind,
                NAMESPACE,
                name,
                lambda live: live["metadata"].update(
                    labels={**live["metadata"]["labels"], FOREIGN: "search"}, annotations={FOREIGN: "search"}
                ),
                manager="team-tool",
            )
    for made in foreign_objects():
        bed.cluster.create(made, manager="team-tool")


def foreign_objects() -> list[Manifest]:
    """Return objects of others."""
    labels = {naming.LABEL_RELEASE: NAME}  # they even carry one of our labels
    selector = {"app": "search"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "search", "namespace": NAMESPACE, "labels": labels},
            "spec": {"selector": selector},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "search", "namespace": NAMESPACE, "labels": labels},
            "spec": {"maxUnavailable": 1},
        },
    ]
