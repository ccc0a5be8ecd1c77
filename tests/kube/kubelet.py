"""A fake kubelet: a thread that reports the statuses of a namespace's pods to the API server."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any, Self

from kubernetes.client import ApiException, CoreV1Api
from kubernetes.config import new_client_from_config

from tests.conftest import wait_for
from tests.kube.server import Kube

IMAGE_AWAY = {"waiting": {"reason": "ErrImageNeverPull", "message": "the image is not present"}}


class Kubelet:
    """Reports the pods of ``namespace`` as ready, those of Jobs as succeeded, and the workloads in ``states`` in that state."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.core = CoreV1Api(new_client_from_config(str(kube.kubeconfig)))
        self.namespace = namespace
        self.states: dict[str, dict[str, Any]] = {}
        self.restarts = 0
        self.address: str | None = None
        self.node: str | None = None
        self._reported: dict[str, dict[str, Any]] = {}
        self._stop = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
        if self._failed is not None:
            raise self._failed

    def pods(self) -> list[Any]:
        """The pods of the namespace."""
        return list(self.core.list_namespaced_pod(self.namespace).items)

    def wait_for_pod(self, workload: str) -> Any:
        """A pod of ``workload``, once it exists."""

        def found() -> list[Any]:
            return [pod for pod in self.pods() if pod.metadata.labels.get("app.kubernetes.io/name") == workload]

        wait_for(found, f"a pod of {workload}", 30)
        return found()[0]

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.2):
                for pod in self.pods():
                    self._report(pod)
        except BaseException as error:  # noqa: BLE001 - raised again by the test's own thread
            self._failed = error

    def _report(self, pod: Any) -> None:
        role = pod.metadata.labels["app.kubernetes.io/name"]
        a_job = pod.metadata.owner_references[0].kind == "Job"
        state = self.states.get(role) or ({"terminated": {"exitCode": 0}} if a_job else {"running": {}})
        ready = "running" in state
        ended = state.get("terminated")
        phase = "Pending" if not ready and ended is None else "Succeeded" if ended and ended["exitCode"] == 0 else "Running"
        containers = [
            {
                "name": each.name,
                "image": each.image,
                "imageID": "",
                "ready": ready,
                "restartCount": self.restarts,
                "state": state,
            }
            for each in pod.spec.containers
        ]
        status: dict[str, Any] = {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": containers,
        }
        if self.address is not None:
            status |= {"podIP": self.address, "podIPs": [{"ip": self.address}]}
        if self._reported.get(pod.metadata.uid) == status:
            return
        self._reported[pod.metadata.uid] = status
        try:
            if self.node is not None and pod.spec.node_name is None:
                body = {"metadata": {"name": pod.metadata.name}, "target": {"kind": "Node", "name": self.node}}
                self.core.create_namespaced_binding(self.namespace, body, _preload_content=False)
            self.core.patch_namespaced_pod_status(pod.metadata.name, self.namespace, {"status": status})
        except ApiException as error:
            # Deleted since it was listed.
            if error.status != 404:
                raise


@contextmanager
def answering(address: str, answer: Callable[[], tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """A server at ``address`` that answers with the status and text of ``answer``; its port, and the paths asked for."""
    asked: list[str] = []

    class Handler(_Quiet):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, text = answer()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

    with _serving(ThreadingHTTPServer((address, 0), Handler)) as port:
        yield port, asked


class Node:
    """A node's log server, which the API server reads from: a container logs what ``put`` got."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._pieces: dict[str, Queue[bytes | None]] = defaultdict(Queue)

    def put(self, pod: str, *pieces: bytes | None) -> None:
        """Let ``pod`` log ``pieces``, one after the other, each sent at once; None ends the log of this run."""
        for piece in pieces:
            self._pieces[pod].put(piece)

    @contextmanager
    def of(self, kubelet: Kubelet, files: Path) -> Iterator[Self]:
        """While it is the node of all pods of ``kubelet``; ``files`` is the folder of its certificate."""
        node = self

        class Handler(_Quiet):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                node.asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                # /containerLogs/NAMESPACE/POD/CONTAINER?…
                pieces = node._pieces[self.path.split("/")[3]]
                while (piece := pieces.get()) is not None:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files / "localhost.crt", files / "localhost.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        name = f"node-{kubelet.namespace}"
        with _serving(server) as port:
            kubelet.core.create_node({"metadata": {"name": name}})
            addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
            status = {"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
            kubelet.core.patch_node_status(name, {"status": status})
            kubelet.node = name
            try:
                yield self
            finally:
                for pieces in self._pieces.values():
                    pieces.put(None)
                kubelet.core.delete_node(name)


class _Quiet(BaseHTTPRequestHandler):
    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""


@contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[int]:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def own_address() -> str:
    """An address of this machine that is not loopback, because the API server does not proxy to those."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: this only asks which address would be used.
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
