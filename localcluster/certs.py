"""The cluster's certificate authority and everything it signs, made with the system's OpenSSL.

Keys are elliptic (P-256): ten of them take a fraction of a second, where RSA would cost the better part of
``up``'s five.
"""

import base64
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from localcluster import network
from localcluster.errors import ClusterError

DAYS = 365
_RENEW_AFTER_S = (DAYS - 30) * 86400
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One certificate: a file name, who it speaks for, and the addresses it is valid for as a server."""

    file: str
    user: str
    group: str = ""
    hosts: tuple[str, ...] = ()


_SERVICE = "kubernetes.default.svc"
IDENTITIES = (
    Identity(
        file="apiserver",
        user="kube-apiserver",
        hosts=(
            "127.0.0.1",
            "localhost",
            network.NODE_ADDRESS,
            network.API_SERVICE_ADDRESS,
            "kubernetes",
            "kubernetes.default",
            _SERVICE,
            f"{_SERVICE}.{network.CLUSTER_DOMAIN}",
        ),
    ),
    Identity(file="admin", user="admin", group="system:masters"),
    Identity(file="apiserver-kubelet", user="kube-apiserver-kubelet-client", group="system:masters"),
    Identity(file="kube-controller-manager", user="system:kube-controller-manager"),
    Identity(file="kube-scheduler", user="system:kube-scheduler"),
    Identity(file="kube-proxy", user="system:kube-proxy"),
    Identity(file="kubelet", user=f"system:node:{network.NODE_NAME}", group="system:nodes"),
    Identity(file="kubelet-server", user=network.NODE_NAME, hosts=(network.NODE_ADDRESS, network.NODE_NAME)),
    Identity(file="coredns", user="modelrelease:coredns"),
    Identity(file="prometheus", user="modelrelease:prometheus"),
    Identity(file="provisioner", user="modelrelease:provisioner"),
)


def ensure(*, pki: Path) -> None:
    """Make all keys and certificates, unless a complete and fresh set lies there already."""
    stamp = pki / "complete"
    if stamp.exists() and time.time() - stamp.stat().st_mtime < _RENEW_AFTER_S:
        return
    pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    _openssl("req", "-x509", *_NEW_KEY, *_config(pki=pki, name="ca", subject="CN = modelrelease-local", extensions=_CA))
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        pool.submit(_service_account_key, pki).result()
        list(pool.map(lambda identity: _sign(pki=pki, identity=identity), IDENTITIES))
    stamp.touch()


_CA = ("basicConstraints = critical, CA:TRUE", "keyUsage = critical, keyCertSign, digitalSignature")


def _service_account_key(pki: Path) -> None:
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(pki / "service-account.key"))


def _sign(*, pki: Path, identity: Identity) -> None:
    subject = f"CN = {identity.user}" + (f"\nO = {identity.group}" if identity.group else "")
    usage = "serverAuth" if identity.hosts else "clientAuth"
    extensions = ["basicConstraints = CA:FALSE", f"extendedKeyUsage = {usage}"]
    if identity.hosts:
        names = (f"{'IP' if host[0].isdigit() else 'DNS'}:{host}" for host in identity.hosts)
        extensions.append(f"subjectAltName = {', '.join(names)}")
    common = _config(pki=pki, name=identity.file, subject=subject, extensions=tuple(extensions))
    _openssl("req", "-x509", "-CA", str(pki / "ca.crt"), "-CAkey", str(pki / "ca.key"), *_NEW_KEY, *common)


def _config(*, pki: Path, name: str, subject: str, extensions: tuple[str, ...]) -> tuple[str, ...]:
    """Write the request file of one certificate and return the arguments that use it."""
    request = pki / f"{name}.cnf"
    request.write_text(
        "[req]\nprompt = no\ndistinguished_name = subject\nx509_extensions = extensions\n"
        f"[subject]\n{subject}\n[extensions]\n" + "\n".join(extensions) + "\n"
    )
    key, certificate = str(pki / f"{name}.key"), str(pki / f"{name}.crt")
    return ("-config", str(request), "-days", str(DAYS), "-keyout", key, "-out", certificate)


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"openssl (3.0 or newer is needed) could not make a certificate: {done.stderr.strip()}"
        raise ClusterError(msg)


def kubeconfig(*, pki: Path, identity: str, server: str, name: str) -> str:
    """Return a kubeconfig with everything embedded, so that the file can be moved and mounted anywhere.

    It is written as JSON, which every reader of YAML takes.
    """

    def inline(file: str) -> str:
        return base64.b64encode((pki / file).read_bytes()).decode()

    user = {"client-certificate-data": inline(f"{identity}.crt"), "client-key-data": inline(f"{identity}.key")}
    cluster = {"server": server, "certificate-authority-data": inline("ca.crt")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    }
    return json.dumps(document, indent=1) + "\n"
