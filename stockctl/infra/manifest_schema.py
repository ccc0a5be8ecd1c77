"""The schema of the fields that stockctl reads of a manifest or a kustomization; the API server checks all others."""

from __future__ import annotations

from typing import Any

REQUIRED = "!"
"""The suffix of a required key."""
STRING_MAP: dict[str, Any] = {"*": str}
"""A mapping of strings to strings."""

# A schema is a type, a list with the schema of its items, or a mapping with schemas by key, where `*` is every key. Other keys
# may have any value.
_NAMED = {"name!": str}
_METADATA = {"name!": str, "labels": STRING_MAP, "annotations": STRING_MAP}
_TEMPLATE_METADATA = {"labels": STRING_MAP, "annotations": STRING_MAP}
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
    "ConfigMap": {"data": STRING_MAP},
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
    "labels": [{"pairs!": STRING_MAP, "includeTemplates": bool}],
    "images": [{"name!": str, "newName": str, "newTag": str}],
}
_TYPE_NAMES = {str: "a string", int: "an integer", bool: "a boolean", list: "a list", dict: "a mapping"}


def object_error(manifest: Any) -> str | None:
    """The first error in the fields of ``manifest``, as a message; None if there is none."""
    return schema_error(manifest, _OBJECT) or schema_error(manifest, _KINDS.get(manifest["kind"], {}))


def schema_error(value: Any, schema: Any, path: str = "") -> str | None:
    """The first place in ``value`` that does not match ``schema``, as a message; None if all match."""
    kind: Any = schema if isinstance(schema, type) else type(schema)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return f"{path or 'it'} is not {_TYPE_NAMES[kind]}"
    if isinstance(schema, list):
        errors = (schema_error(each, schema[0], f"{path}[{index}]") for index, each in enumerate(value))
        return next(filter(None, errors), None)
    return _mapping_error(value, schema, path) if isinstance(schema, dict) else None


def _mapping_error(value: dict[Any, Any], schema: dict[str, Any], path: str) -> str | None:
    for key, wanted in schema.items():
        name = key.removesuffix(REQUIRED)
        for each in value if name == "*" else [name]:
            item_path = f"{path}.{each}" if path else str(each)
            # To the API server, null is absent.
            if value.get(each) is None:
                if key.endswith(REQUIRED):
                    return f"{item_path} is missing"
            elif error := schema_error(value[each], wanted, item_path):
                return error
    return None
