"""The golden list of workloads: ``python -m tests.infra.golden`` updates it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stockctl.infra.kustomize import Manifest, build, containers, label_of

FILE = Path(__file__).with_name("golden.txt")
MANIFESTS = Path(__file__).parents[2] / "manifests"


def listing() -> str:
    """One line per object of each overlay, with its replicas, and one per container, with image, limits and command."""
    lines: list[str] = []
    for overlay in ("single-node", "ha"):
        lines += [f"== {overlay}", *(line for manifest in build(MANIFESTS / "overlays" / overlay) for line in _lines(manifest))]
    return "\n".join(lines) + "\n"


def _lines(manifest: Manifest) -> Iterator[str]:
    replicas = manifest.get("spec", {}).get("replicas")
    yield label_of(manifest) + (f" × {replicas}" if replicas else "")
    for container in containers(manifest):
        limits = " ".join(str(container["resources"]["limits"][name]) for name in ("cpu", "memory", "ephemeral-storage"))
        words = [*container.get("command", ()), *container.get("args", ())]
        yield f"    {container['name']}: {container['image']} {limits}: {' '.join(words)}"


if __name__ == "__main__":
    FILE.write_text(listing())
