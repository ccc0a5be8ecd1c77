"""The shape of what stockctl itself reads of a manifest or a kustomization; all the rest is the API server's to judge."""

from __future__ import annotations

from typing import Any

REQUIRED = "!"
"""The end of a key that must be there."""
TEXTS: dict[str, Any] = {"*": str}
"""A mapping of texts to texts."""

# A type is itself, a list holds things of its one shape, a mapping has shapes by key, `*` being every other key. What stands
# under keys that are not named may be anything.
_NAMED = {"name!": str}
_METADATA = {"name!": str, "labels": TEXTS, "annotations": TEXTS}
_TEMPLATE_METADATA = {"labels": TEXTS, "annotations": TEXTS}
_CONTAINER = {
    "name!": str,
    "image!": str,
    "env": [{"name!": str, "valueFrom": {"configMapKeyRef": _NAMED, "secretKeyRef": _NAMED}}],
    "envFrom": [{"configMapRef": _NAMED, "secretRef": _NAMED}],
    "resources": {"requests": {}, "limits": {}},
}
_VOLUME = {
    "name!": str,
    "configMap": _NAMED,
    "secret": {"secretName!": str},
    "persistentVolumeClaim": {"claimName!": str},
}
_POD = {
    "metadata": _TEMPLATE_METADATA,
    "spec!": {"containers!": [_CONTAINER], "initContainers": [_CONTAINER], "volumes": [_VOLUME]},
}
_WORKLOAD = {"spec!": {"replicas": int, "template!": _POD, "volumeClaimTemplates": [{"metadata": _METADATA}]}}
_OBJECT = {"apiVersion!": str, "kind!": str, "metadata!": _METADATA}
_KINDS: dict[str, dict[str, Any]] = {
    "ConfigMap": {"data": TEXTS},
    "CronJob": {"spec!": {"jobTemplate!": {"metadata": _TEMPLATE_METADATA, **_WORKLOAD}}},
    "Deployment": _WORKLOAD,
    "Job": _WORKLOAD,
    "NetworkPolicy": {"spec": {"egress": [{}]}},
    "Service": {"spec": {"ports": [{"nodePort": int}], "healthCheckNodePort": int}},
    "StatefulSet": _WORKLOAD,
}
KUSTOMIZATION = {
    "namespace": str,
    "resources": [str],
    "patches": [{"target": {"kind": str, "name": str}, "patch": str, "path": str}],
    "labels": [{"pairs!": TEXTS, "includeTemplates": bool}],
    "images": [{"name!": str, "newName": str, "newTag": str}],
}
_WORDS = {str: "no text", int: "no whole number", bool: "neither true nor false", list: "no list", dict: "no mapping"}


def of_object(manifest: Any) -> str | None:
    """What is wrong with the shape of ``manifest``, in words; None when nothing is."""
    return fault(manifest, _OBJECT) or fault(manifest, _KINDS.get(manifest["kind"], {}))


def fault(value: Any, shape: Any, where: str = "") -> str | None:
    """The first place in ``value`` that has not the ``shape`` that it should, in words; None when all have."""
    kind: Any = shape if isinstance(shape, type) else type(shape)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return f"{where or 'it'} is {_WORDS[kind]}"
    if isinstance(shape, list):
        return next(filter(None, (fault(each, shape[0], f"{where}[{place}]") for place, each in enumerate(value))), None)
    return _fault_within(value, shape, where) if isinstance(shape, dict) else None


def _fault_within(value: dict[Any, Any], shape: dict[str, Any], where: str) -> str | None:
    for key, wanted in shape.items():
        name = key.removesuffix(REQUIRED)
        for each in value if name == "*" else [name]:
            path = f"{where}.{each}" if where else str(each)
            # As the API server has it, null is absent.
            if value.get(each) is None:
                if key.endswith(REQUIRED):
                    return f"{path} is missing"
            elif found := fault(value[each], wanted, path):
                return found
    return None
