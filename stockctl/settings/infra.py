"""The settings of ``infra``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stockctl.settings.mongo_address import MongoAddress
from stockctl.settings.resource_names import ImageName, ImageTag, Namespace, Networks
from stockctl.settings.types import HomePath, Section


class InfraSettings(Section):
    """The pipeline on a Kubernetes cluster."""

    overlay: str = Field("single-node", description="Overlay of the manifests: `single-node`, `ha`, or your own.")
    manifests: HomePath | None = Field(None, description="Folder of your own manifests, with the same layout as the package's.")
    kubeconfig: HomePath | None = Field(None, description="Path of the kubeconfig. If not set, KUBECONFIG or ~/.kube/config.")
    context: str | None = Field(None, description="Context of the kubeconfig. If not set, the current context.")
    namespace: Namespace = Field("stockctl", description="Namespace of all resources.")
    image: ImageName | None = Field(None, description="Image name of `stockctl`. If not set, the manifests' name.")
    connect_image: ImageName | None = Field(None, description="Image name of Kafka Connect. If not set, the manifests' name.")
    image_tag: ImageTag | None = Field(None, description="Tag of both images. If not set, the tag in the manifests.")
    secrets: Literal["settings", "referenced"] = Field(
        "settings", description="Create Kubernetes secrets from these settings, or reference existing ones."
    )
    mongo_url: MongoAddress | None = Field(
        None,
        description="Connection string of a MongoDB outside the cluster, as pods reach it. If not set, it runs in the cluster.",
    )
    dashboard: bool = Field(False, description="Serve the dashboard in the cluster; it needs dashboard.token.")
    mongo_clients: Networks = Field(
        [], description="Networks that may reach the MongoDB in the cluster at port 31234 of the node, such as 203.0.113.7/32."
    )
