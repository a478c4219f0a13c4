"""Certificates for servers and clients of tests, signed by an authority made for one test."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """Signs; its files are NAME.crt and NAME.key in its folder, its own are ca.crt and ca.key."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Authority:
        folder.mkdir(parents=True)
        _openssl(
            "req",
            "-x509",
            *_key(folder / "ca"),
            "-subj",
            "/CN=authority",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
        )
        return cls(folder)

    def sign(self, name: str, *, address: str = "127.0.0.1") -> None:
        """Make a certificate for an address, fit for a server and for a client."""
        signer = ("-CA", str(self.folder / "ca.crt"), "-CAkey", str(self.folder / "ca.key"))
        names = ("-addext", f"subjectAltName=IP:{address}", "-addext", "basicConstraints=critical,CA:FALSE")
        _openssl("req", "-x509", *signer, *_key(self.folder / name), "-subj", f"/CN={name}", *names)

    def server(self, *, clients: bool) -> ssl.SSLContext:
        """Return what a server needs; with `clients` it lets in only those that this authority knows."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.folder / "ca.crt"))
        context.verify_mode = ssl.CERT_REQUIRED if clients else ssl.CERT_NONE
        context.load_cert_chain(self.folder / "server.crt", self.folder / "server.key")
        return context


def _key(path: Path) -> tuple[str, ...]:
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    return (*kind, "-keyout", f"{path}.key", "-out", f"{path}.crt")


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
