"""TLS for tests: an authority that openssl makes, certificates of it, and a listener that reports what it received."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from pathlib import Path

from tests.command import HANG

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Authority:
    """A certificate authority in ``folder``, which no system knows."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.certificate = folder, folder / "ca.pem"
        subject = ["-subj", "/CN=authority of a test", "-days", "2"]
        self._openssl("req", "-x509", *_KEY, *subject, "-keyout", "ca.key", "-out", "ca.pem")

    def issue(self, name: str) -> Path:
        """A file with a certificate for the host ``name`` (and 127.0.0.1 if it is localhost) and its private key."""
        alternatives = f"DNS:{name}" + (",IP:127.0.0.1" if name == "localhost" else "")
        (self.folder / "names").write_text(f"subjectAltName={alternatives}\n")
        self._openssl("req", *_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        self._openssl("x509", "-req", *signing, "-in", f"{name}.csr", "-out", f"{name}.crt")
        both = self.folder / f"{name}.pem"
        both.write_text((self.folder / f"{name}.key").read_text() + (self.folder / f"{name}.crt").read_text())
        return both

    def _openssl(self, *arguments: str) -> None:
        result = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=HANG)
        assert result.returncode == 0, result.stderr


class Listener:
    """Takes TLS connections with ``certificate``, answers nothing, and keeps what comes through; a context."""

    def __init__(self, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.attempts = 0
        """Connections that were made, whatever became of them."""
        self.heard = b""
        """What clients said once they trusted the certificate."""
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(HANG)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            self.attempts += 1
            plain.settimeout(2)
            try:
                with self._context.wrap_socket(plain, server_side=True) as secure:
                    self.heard += secure.recv(1000)
            except OSError:
                plain.close()  # the client did not trust us
