"""Objects the API must accept and refuse, each as a change of the minimal sample.

The API tests send them to a real API server; the tests of `modelrelease lint` judge the same
ones without a cluster, so that both answer alike.
"""

from __future__ import annotations

from tests.api.build_cases import BUILD_ACCEPTED, BUILD_REFUSED
from tests.api.case import ABSENT, COMMIT, DIGEST, Case

GATES = "spec.build.evaluation.gates"
STORE = "spec.build.artifactStore"
SOURCE = "spec.model.source"
SIGNING, VERIFICATION = "spec.build.signing", "spec.serving.verification"
CA_BUNDLE = "spec.build.caBundle"
SOURCES = (
    "gs://bucket/net.onnx",
    "az://container/folder/",
    f"hf://org/a.name_1@{COMMIT}",
    f"hf://org/name@{COMMIT}/onnx/model.onnx",
    "mlflow://my model/12".replace(" ", "%20"),
    "mlflow://net/3/weights/net.onnx",
    "oci://registry.example:5000/team/net:v1.2",
    f"oci://registry.example/net@{DIGEST}",
    f"oci://registry.example/team/a_net:v1@{DIGEST}",
)
NO_SOURCES = (
    "hf://org/name@main",
    "hf://org/name",
    f"hf://name@{COMMIT}",
    "mlflow://net@champion",
    "mlflow://net/latest",
    "oci://registry.example/net",
    "oci://registry.example/Net:v1",
    "oci://registry.example/net@sha256:123",
    "gs://bucket",
    "az:///key",
)
STORES = (
    "gs://bucket_1/releases",
    "az://container",
    "oci://registry.example:5000/team/releases",
    "oci://ghcr.io/a-b/c",
)
NO_STORES = (
    "http://b/p",
    "hf://org/name",
    "oci://registry.example",
    "oci://registry.example/team:v1",
    "oci://registry.example/Team",
    "oci:///layout",
    "gs://",
)
GATEWAY = "spec.traffic.gateway"
TRITON = "spec.serving.triton"
STEPS = "spec.rollout.steps"
ANALYSIS = "spec.rollout.analysis"
COMPARE = f"{ANALYSIS}.golden.compare"
METRICS = f"{ANALYSIS}.metrics"


def weights(*values: int) -> list[dict[str, int]]:
    return [{"weight": value} for value in values]


ACCEPTED = [
    Case("minimal", {}),
    Case("one-step", {STEPS: weights(1)}),
    Case("steps-to-99", {STEPS: weights(1, 50, 99)}),
    Case("twenty-steps", {STEPS: weights(*range(5, 100, 5), 99)}),
    Case("pause-for-a-time", {STEPS: [{"weight": 5, "pause": {"duration": "1h30m"}}]}),
    Case("pause-until-approved", {STEPS: [{"weight": 5, "pause": {"untilApproved": True}}]}),
    Case("no-pause-in-so-many-words", {STEPS: [{"weight": 5, "pause": {"duration": "1s", "untilApproved": False}}]}),
    Case("shadow-by-default", {"spec.rollout.shadow": {}}),
    Case("shadow-at-the-steps-alone", {"spec.rollout.shadow": {"percent": 20, "duration": "0s"}}),
    Case("reverse-mirror", {"spec.rollout.bake": {"holdback": 0, "mirror": 100}}),
    Case("no-control", {"spec.rollout.bake.holdback": 0}),
    Case("no-warm-up", {f"{ANALYSIS}.warmup": "0s", f"{ANALYSIS}.minDuration": "1s"}),
    Case("objectives", {f"{ANALYSIS}.errorRate.objective": 0.01, f"{ANALYSIS}.latency.objective": "50ms"}),
    Case("no-relative-margin", {f"{ANALYSIS}.errorRate.maxRelativeIncrease": 0}),
    Case("on-inconclusive", {f"{ANALYSIS}.onInconclusive": "Advance", f"{ANALYSIS}.stepDeadline": "2h"}),
    Case("golden-off", {f"{ANALYSIS}.golden.enabled": False}),
    Case(
        "golden-compare",
        {
            COMPARE: [
                {"output": "a", "tolerance": {"relative": 0.01}},
                {"output": "b", "top": {"k": 5, "overlap": 0.8}},
                {"output": "c", "cosine": 0.999},
            ]
        },
    ),
    Case(
        "metrics-of-each-kind",
        {
            METRICS: [
                {"name": "refusals", "bad": 'refused_total{service="$slot"}', "total": 'asked_total{service="$slot"}'},
                {"name": "loss", "sum": 'loss_sum{rev="$revision"}', "count": 'loss_count{rev="$revision"}'},
                {"name": "queue", "value": 'max(queue{service="$slot"})', "threshold": -1.5},
            ]
        },
    ),
    Case("no-bake", {"spec.rollout.bake": {"duration": "0s"}}),
    Case("no-scale-down-delay", {"spec.rollout.scaleDownDelay": "0s"}),
    Case("milliseconds", {"spec.rollout.scaleDownDelay": "1500ms"}),
    Case("empty-recipe", {"spec.build.recipe": []}),
    Case("free-parameters", {"spec.build.recipe": [{"pass": "train", "parameters": {"a": {"b": [1, "x", None]}}}]}),
    Case("gate-threshold", {GATES: [{"metric": "accuracy", "threshold": 0.95}]}),
    Case("gate-against-stable", {GATES: [{"metric": "accuracy", "maxDegradation": 0.02, "against": "Stable"}]}),
    Case("gate-percent", {GATES: [{"metric": "rmse", "percentMaxDegradation": 5, "onInconclusive": "Allow"}]}),
    Case("gate-improvement", {GATES: [{"metric": "accuracy", "minImprovement": 0.01, "against": "Stable"}]}),
    Case("gate-percent-improvement", {GATES: [{"metric": "latencyP50Ms", "percentMinImprovement": 20}]}),
    Case("gate-on-size", {GATES: [{"metric": "sizeBytes", "threshold": 500000}]}),
    Case(
        "both-bounds-as-two-gates", {GATES: [{"metric": "f1", "threshold": 1}, {"metric": "f1", "maxDegradation": 0}]}
    ),
    Case("s3-store-with-secret", {STORE: {"uri": "s3://bucket.eu/a/b_c", "secretRef": {"name": "s3"}}}),
    Case("claim-without-path", {f"{STORE}.uri": "pvc://claim"}),
    Case("file-source", {"spec.model.source.uri": "file:///models/net.safetensors"}),
    Case("s3-source", {"spec.model.source.uri": "s3://bucket/net.safetensors"}),
    *(Case(f"source-{uri.partition(':')[0]}-{n}", {SOURCE: {"uri": uri}}) for n, uri in enumerate(SOURCES)),
    Case("source-with-secret", {SOURCE: {"uri": SOURCES[2], "secretRef": {"name": "hub"}}}),
    *(
        Case(f"store-{uri.partition(':')[0]}-{n}", {STORE: {"uri": uri, "secretRef": {"name": "s"}}})
        for n, uri in enumerate(STORES)
    ),
    Case("signed", {SIGNING: {"secretRef": {"name": "k"}}, VERIFICATION: {"configMapRef": {"name": "k"}}}),
    Case("own-authorities", {CA_BUNDLE: {"configMapRef": {"name": "authorities"}}}),
    Case("grpc-only", {f"{GATEWAY}.http": ABSENT, f"{GATEWAY}.grpc": {"hostnames": ["a.example.com"]}}),
    Case("both-protocols", {f"{GATEWAY}.grpc": {"hostnames": ["digits-grpc.example.com"]}}),
    Case("wildcard-hostname", {f"{GATEWAY}.http.hostnames": ["*.models.example.com"]}),
    Case("one-gateway-two-listeners", {f"{GATEWAY}.parentRefs": [{"name": "g", "sectionName": s} for s in "ab"]}),
    Case("no-batches", {f"{TRITON}.maxBatchSize": 0}),
    Case("python-backend", {f"{TRITON}.backend": "python"}),
    Case("dynamic-batching", {f"{TRITON}.dynamicBatching": {"preferredBatchSizes": [4, 8]}}),
    Case("dynamic-batching-defaults", {f"{TRITON}.dynamicBatching": {}}),
    Case("quantities", {"spec.serving.resources": {"limits": {"cpu": 2, "memory": "1.5Gi", "nvidia.com/gpu": 1}}}),
    Case("request-below-limit", {"spec.build.resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": 1}}}),
    Case("tolerate-everything", {"spec.serving.tolerations": [{"operator": "Exists"}]}),
    Case("name-of-40", {"metadata.name": "d" * 40}),
    Case("suspended", {"spec.suspend": True}),
    Case("nulls-take-defaults", {"spec.rollout": {"bake": None, "analysis": None}}),
    *BUILD_ACCEPTED,
]

REFUSED = [
    Case("no-model", {"spec.model": ABSENT}, "spec.model: Required value"),
    Case("no-hostnames", {f"{GATEWAY}.http": {}}, "hostnames: Required value"),
    Case("unknown-field", {"spec.rollout.stpes": weights(5)}, 'unknown field "spec.rollout.stpes"'),
    Case("wrong-type", {"spec.serving.replicas": "four"}, "spec.serving.replicas"),
    Case("version-is-a-number", {"spec.model.version": 2026.11}, "spec.model.version"),
    Case("name-of-41", {"metadata.name": "d" * 41}, "is longer than 40 characters"),
    Case("name-with-dot", {"metadata.name": "digits.v2"}, "can not name a Service"),
    Case("name-starts-with-digit", {"metadata.name": "2digits"}, "can not name a Service"),
    Case("model-name-slash", {"spec.model.name": "a/b"}, 'model.name "a/b" may hold only'),
    Case("version-with-space", {"spec.model.version": "v 2"}, 'model.version "v 2" can not become a label'),
    Case("source-scheme", {"spec.model.source.uri": "http://x/y"}, 'source.uri "http://x/y" is not supported'),
    Case("source-file-relative", {"spec.model.source.uri": "file://x"}, "write builtin://NAME, file:///PATH"),
    Case("image-with-space", {"spec.build.image": "a b"}, 'image "a b" contains white space'),
    Case("image-empty", {f"{TRITON}.image": ""}, "spec.serving.triton.image"),
    Case("pass-without-name", {"spec.build.recipe": [{"parameters": {}}]}, "spec.build.recipe[0].pass: Required value"),
    Case("pass-name", {"spec.build.recipe": [{"pass": "do it"}]}, 'pass "do it" is not a name'),
    Case("recipe-too-long", {"spec.build.recipe": [{"pass": "train"}] * 33}, "must have at most 32 items"),
    Case("gate-without-bound", {GATES: [{"metric": "f1"}]}, "has none of threshold, maxDegradation"),
    Case(
        "gate-with-both-bounds",
        {GATES: [{"metric": "f1", "threshold": 0.9, "maxDegradation": 0.1}]},
        "the gate on f1 has several of threshold, maxDegradation",
    ),
    Case(
        "gate-threshold-against",
        {GATES: [{"metric": "f1", "threshold": 0.9, "against": "Stable"}]},
        "has against: Stable beside a threshold",
        offline=False,
    ),
    Case("gate-in-percent", {GATES: [{"metric": "accuracy", "threshold": 95}]}, "write 0.95 for 95 %"),
    Case(
        "gate-with-two-margins",
        {GATES: [{"metric": "f1", "minImprovement": 0.1, "percentMinImprovement": 5}]},
        "the gate on f1 has several of threshold, maxDegradation",
    ),
    Case(
        "gate-on-inconclusive-unknown",
        {GATES: [{"metric": "f1", "threshold": 0.9, "onInconclusive": "Warn"}]},
        'supported values: "Block", "Allow"',
    ),
    Case("gate-negative-degradation", {GATES: [{"metric": "f1", "maxDegradation": -0.1}]}, "maxDegradation"),
    Case("gate-twice", {GATES: [{"metric": "f1", "threshold": 0.9}] * 2}, "a gate is listed twice"),
    Case(
        "gate-against-unknown",
        {GATES: [{"metric": "f1", "maxDegradation": 0.1, "against": "Best"}]},
        'supported values: "Source", "Stable"',
    ),
    *(
        Case(f"no-source-{n}", {SOURCE: {"uri": uri}}, f'source.uri "{uri}" is not supported')
        for n, uri in enumerate(NO_SOURCES)
    ),
    Case(
        "source-secret-for-builtin",
        {SOURCE: {"uri": "builtin://digits-cnn", "secretRef": {"name": "s"}}},
        "source.secretRef has no effect on builtin://digits-cnn",
    ),
    *(
        Case(f"no-store-{n}", {f"{STORE}.uri": uri}, f'artifactStore.uri "{uri}" is not supported')
        for n, uri in enumerate(NO_STORES)
    ),
    Case("signing-without-secret", {SIGNING: {}}, "spec.build.signing.secretRef: Required value"),
    Case("verification-without-key", {VERIFICATION: {}}, "spec.serving.verification.configMapRef: Required value"),
    Case("authorities-of-nowhere", {CA_BUNDLE: {}}, "spec.build.caBundle.configMapRef: Required value"),
    Case("store-climbs", {f"{STORE}.uri": "pvc://claim/../other"}, "leaves its own directory"),
    Case("store-secret-for-claim", {f"{STORE}.secretRef": {"name": "s"}}, "which takes no credentials: remove it"),
    Case("deadline-too-short", {"spec.build.activeDeadlineSeconds": 1}, "greater than or equal to 10"),
    Case("quantity", {"spec.serving.resources": {"limits": {"cpu": "lots"}}}, "not a quantity: write a number"),
    Case(
        "request-above-limit",
        {"spec.build.resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
        "a request is above its limit",
        offline=False,
    ),
    Case(
        "toleration-exists-with-value",
        {"spec.serving.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        "operator Exists takes no value",
        offline=False,
    ),
    Case(
        "toleration-without-key",
        {"spec.serving.tolerations": [{"effect": "NoSchedule"}]},
        "must say so with operator: Exists",
        offline=False,
    ),
    Case(
        "toleration-seconds",
        {"spec.build.tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]},
        "only beside effect: NoExecute",
        offline=False,
    ),
    Case("no-replicas", {"spec.serving.replicas": 0}, "greater than or equal to 1"),
    Case("backend", {f"{TRITON}.backend": "tensorflow"}, 'supported values: "onnxruntime", "python"'),
    Case(
        "batching-without-batches",
        {f"{TRITON}.maxBatchSize": 0, f"{TRITON}.dynamicBatching": {}},
        "dynamicBatching needs batches",
    ),
    Case(
        "preferred-above-maximum",
        {f"{TRITON}.dynamicBatching": {"preferredBatchSizes": [4, 16]}},
        "a preferred batch size above maxBatchSize",
    ),
    Case("no-protocol", {f"{GATEWAY}.http": ABSENT}, "needs http, grpc or both"),
    Case(
        "hostname-for-both",
        {f"{GATEWAY}.grpc": {"hostnames": ["x.example.com", "digits.example.com"]}},
        "hostname digits.example.com is listed under http and under grpc",
    ),
    Case("hostname-twice", {f"{GATEWAY}.http.hostnames": ["a.b", "a.b"]}, "Duplicate value"),
    Case("hostname-with-port", {f"{GATEWAY}.http.hostnames": ["a.b:80"]}, "without scheme, port or path"),
    Case("hostname-upper-case", {f"{GATEWAY}.http.hostnames": ["A.b"]}, "write it in lower case"),
    Case("no-hostname", {f"{GATEWAY}.http.hostnames": []}, "should have at least 1 items"),
    Case("no-gateway", {f"{GATEWAY}.parentRefs": []}, "should have at least 1 items"),
    Case("gateway-twice", {f"{GATEWAY}.parentRefs": [{"name": "g"}] * 2}, "a Gateway is listed twice"),
    Case("steps-empty", {STEPS: []}, "should have at least 1 items"),
    Case("steps-fall", {STEPS: weights(5, 25, 10)}, "step 3 does not rise above the step before it"),
    Case("steps-repeat", {STEPS: weights(5, 5, 10)}, "step 2 does not rise above the step before it"),
    Case("step-100", {STEPS: weights(50, 100)}, "promotion to 100 follows the last step by itself"),
    Case("step-0", {STEPS: weights(0, 10)}, "a weight below 1 is no step"),
    Case("too-many-steps", {STEPS: weights(*range(1, 22))}, "must have at most 20 items"),
    Case(
        "pause-both",
        {STEPS: [{"weight": 5, "pause": {"duration": "5m", "untilApproved": True}}]},
        "this pause has both of duration and untilApproved",
    ),
    Case(
        "pause-neither", {STEPS: [{"weight": 5, "pause": {}}]}, "this pause has neither of duration and untilApproved"
    ),
    Case(
        "pause-of-zero", {STEPS: [{"weight": 5, "pause": {"duration": "0s"}}]}, 'pause.duration "0s" is not a duration'
    ),
    Case("duration-in-days", {"spec.rollout.bake.duration": "1d"}, 'bake.duration "1d" is not a duration from 0s'),
    Case("duration-too-long", {"spec.rollout.bake.duration": "721h"}, 'bake.duration "721h" is not a duration'),
    Case("duration-negative", {"spec.rollout.scaleDownDelay": "-5s"}, 'scaleDownDelay "-5s" is not a duration'),
    Case("interval-too-long", {f"{ANALYSIS}.interval": "2h"}, 'analysis.interval "2h" is not a duration from 1s to 1h'),
    Case(
        "deadline-within-interval",
        {f"{ANALYSIS}.interval": "10m", "spec.rollout.progressDeadline": "10m"},
        "progressDeadline 10m is not longer than analysis.interval 10m",
    ),
    Case("error-rate-in-percent", {f"{ANALYSIS}.errorRate.maxIncrease": 5}, "write 0.01 for one percent"),
    Case("error-rate-zero", {f"{ANALYSIS}.errorRate.maxIncrease": 0}, "is a ratio above 0 and up to 1"),
    Case("error-rate-relative", {f"{ANALYSIS}.errorRate.maxRelativeIncrease": -0.1}, "write 0.1 for a tenth"),
    Case("error-rate-objective", {f"{ANALYSIS}.errorRate.objective": 5}, "write 0.01 for one percent"),
    Case("latency-in-percent", {f"{ANALYSIS}.latency.maxIncrease": 5}, "write 0.01 for one percent"),
    Case("latency-objective", {f"{ANALYSIS}.latency.objective": "0s"}, "not a duration from 1ms to 1h"),
    Case("old-latency-quantile", {f"{ANALYSIS}.latency.quantile": 0.95}, "latency.quantile"),
    Case("warm-up-too-long", {f"{ANALYSIS}.warmup": "2h"}, 'analysis.warmup "2h" is not a duration from 0s to 1h'),
    Case("no-time-at-a-step", {f"{ANALYSIS}.minDuration": "0s"}, 'analysis.minDuration "0s" is not a duration'),
    Case(
        "step-deadline-within-interval",
        {f"{ANALYSIS}.interval": "40m", f"{ANALYSIS}.stepDeadline": "30m"},
        "analysis.stepDeadline 30m is not longer than analysis.interval 40m",
    ),
    Case(
        "step-deadline-within-least-time",
        {f"{ANALYSIS}.warmup": "10m", f"{ANALYSIS}.minDuration": "20m"},
        "not longer than warmup 10m and minDuration 20m together",
    ),
    Case("on-inconclusive", {f"{ANALYSIS}.onInconclusive": "Promote"}, 'supported values: "Hold", "Rollback"'),
    Case("no-budget", {f"{ANALYSIS}.badRequestBudget": 0}, "greater than or equal to 1"),
    Case(
        "compare-two-ways",
        {COMPARE: [{"output": "y", "cosine": 0.9, "top": {"k": 5}}]},
        "exactly one of tolerance, top and cosine",
    ),
    Case("compare-no-way", {COMPARE: [{"output": "y"}]}, "exactly one of tolerance, top and cosine"),
    Case("compare-nothing-allowed", {COMPARE: [{"output": "y", "tolerance": {}}]}, "allows nothing at all"),
    Case(
        "compare-below-nothing",
        {COMPARE: [{"output": "y", "tolerance": {"absolute": -1, "relative": 2}}]},
        "tolerance.absolute",
    ),
    Case("compare-top-none", {COMPARE: [{"output": "y", "top": {"k": 0}}]}, "top.k"),
    Case("compare-overlap", {COMPARE: [{"output": "y", "top": {"k": 5, "overlap": 1.1}}]}, "overlap"),
    Case("compare-cosine", {COMPARE: [{"output": "y", "cosine": 0}]}, "cosine"),
    Case(
        "compare-twice",
        {COMPARE: [{"output": "y", "cosine": 0.9}, {"output": "y", "top": {"k": 5}}]},
        "compare[1]",
    ),
    Case("golden-interval", {f"{ANALYSIS}.golden.interval": "1d"}, 'golden.interval "1d" is not a duration'),
    Case("metric-name", {METRICS: [{"name": "Top 1", "value": "a", "threshold": 1}]}, 'metric name "Top 1"'),
    Case("metric-name-taken", {METRICS: [{"name": "golden", "value": "a", "threshold": 1}]}, "belongs to the operator"),
    Case("metric-twice", {METRICS: [{"name": "a", "value": "a", "threshold": 1}] * 2}, "have the same name"),
    Case("metric-empty", {METRICS: [{"name": "a"}]}, "metric a needs exactly one of the pairs"),
    Case("metric-half", {METRICS: [{"name": "a", "bad": "x_total"}]}, "metric a has half a pair"),
    Case(
        "metric-two-pairs",
        {METRICS: [{"name": "a", "bad": "x", "total": "y", "value": "z", "threshold": 0}]},
        "metric a needs exactly one of the pairs",
    ),
    Case("shadow-of-nothing", {"spec.rollout.shadow.percent": 0}, "greater than or equal to 1"),
    Case("shadow-duration", {"spec.rollout.shadow.duration": "2d"}, 'shadow.duration "2d" is not a duration'),
    Case("holdback-of-half", {"spec.rollout.bake.holdback": 50}, "less than or equal to 5"),
    Case("two-controls", {"spec.rollout.bake.mirror": 20}, "set holdback: 0 beside mirror"),
    Case("schema-change", {"spec.rollout.schemaChange": "Maybe"}, 'supported values: "Forbid", "Allow"'),
    Case("on-deadline", {"spec.rollout.onDeadline": "Promote"}, 'supported values: "Hold", "Rollback"'),
    Case("history-limit", {"spec.rollout.revisionHistoryLimit": 0}, "greater than or equal to 1"),
    *BUILD_REFUSED,
]
