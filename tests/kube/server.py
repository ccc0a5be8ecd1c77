"""A real Kubernetes API server for tests, which `make kube` has built."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.conftest import free_port, wait_for
from tests.kube.build import program
from tests.tls import Authority

TOKEN = "administrator-of-a-test"


class Kube:
    """etcd, an API server and the controllers, in ``folder``. No node is there: pods stay pending."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.kubeconfig = folder / "kubeconfig"
        self._processes: list[subprocess.Popen[bytes]] = []
        authority = Authority(folder / "tls")
        authority.issue("localhost")
        # The key that service accounts are signed with.
        authority.issue("accounts")
        self._tls = folder / "tls"
        (folder / "tokens.csv").write_text(
            f'{TOKEN},administrator,1,"system:masters"\na-guest-of-a-test,guest,2\nan-operator-of-a-test,operator,3\n'
        )
        self.kubeconfig.write_text(self._config(TOKEN))

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start all, and wait until the API server is ready."""
        if not program().exists():
            pytest.fail("Kubernetes' API server is not built yet: `make kube`, once")
        etcd = f"http://127.0.0.1:{free_port()}"
        accounts = self._tls / "accounts.key"
        self._start(
            "apiserver",
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--advertise-address=127.0.0.1",
            f"--tls-cert-file={self._tls / 'localhost.crt'}",
            f"--tls-private-key-file={self._tls / 'localhost.key'}",
            f"--client-ca-file={self._tls / 'ca.pem'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={accounts}",
            f"--service-account-key-file={self._tls / 'accounts.crt'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--endpoint-reconciler-type=none",
            environment={
                "ETCD_DIR": str(self.folder / "etcd"),
                "ETCD_CLIENT": etcd,
                "ETCD_PEER": f"http://127.0.0.1:{free_port()}",
            },
        )
        wait_for(lambda: self._ready() or self._processes[0].poll() is not None, "the API server", 120)
        assert self._processes[0].poll() is None, (self.folder / "apiserver.log").read_text()[-5000:]
        self._start(
            "controllers",
            f"--kubeconfig={self.kubeconfig}",
            f"--authentication-kubeconfig={self.kubeconfig}",
            f"--authorization-kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
            f"--service-account-private-key-file={accounts}",
            f"--root-ca-file={self._tls / 'ca.pem'}",
            f"--cert-dir={self.folder / 'controllers'}",
        )

    def stop(self) -> None:
        """Kill all."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(self, mode: str, *flags: str, environment: dict[str, str] | None = None) -> None:
        with (self.folder / f"{mode}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen([program(), mode, *flags], stdout=log, stderr=log, env=os.environ | (environment or {}))
            )

    def _ready(self) -> bool:
        trust = ssl.create_default_context(cafile=self._tls / "ca.pem")
        try:
            answer = httpx.get(f"{self.url}/readyz", headers={"Authorization": f"Bearer {TOKEN}"}, verify=trust)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def _config(self, token: str) -> str:
        return f"""\
apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "{self.url}", certificate-authority: "{self._tls / "ca.pem"}"}}}}]
users: [{{name: test, user: {{token: "{token}"}}}}]
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
current-context: test
"""
