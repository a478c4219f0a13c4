"""Real servers on this machine, got once and kept in the cache: Triton, object stores, a registry, MLflow."""

import contextlib
import fcntl
import os
import shutil
import socket
import ssl
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TRITON, RUNTIME = "nvidia-pytriton==0.7.0", ("numpy<2", "onnxruntime==1.32.0")
MLFLOW, AZURITE = "mlflow==3.17.2", "azurite@3.37.0"
TOOLS = Path(__file__).parents[1] / "tools"


def cache_dir() -> Path:
    override = os.environ.get("MODELRELEASE_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(override) if override else home / "modelrelease-localcluster"


@contextlib.contextmanager
def exclusive(name: str) -> Iterator[Path]:
    """Only one process installs a thing; the others wait and then find it."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache_dir()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_for(url: str, *, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            return  # any answer means that it listens
        except OSError as error:
            if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                return  # it listens, with a certificate that only its test trusts
            # not yet, or not within two seconds
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{url} does not answer:\n{log.read_text()[-4000:]}")
        time.sleep(0.05)


@contextlib.contextmanager
def running(command: list[str], *, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=stream, stderr=stream)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- Triton -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TritonFiles:
    """An installation: the wheel under its own folder, and an environment with numpy below 2 for the backend."""

    server: Path
    environment: Path

    @property
    def root(self) -> Path:
        return self.server / "pytriton" / "tritonserver"


def install_triton() -> TritonFiles:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with exclusive("triton-tests") as cache:
        folder = cache / "triton-tests"
        files = TritonFiles(server=folder / "server", environment=folder / "python")
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            pip = [sys.executable, "-m", "pip"] if _has_pip() else ["uv", "pip"]
            subprocess.run([*pip, "install", "-q", "--no-deps", "--target", str(files.server), TRITON], check=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(files.environment)], check=True)
            packages = files.environment / "lib" / f"python{version}" / "site-packages"
            subprocess.run([*pip, "install", "-q", "--target", str(packages), *RUNTIME], check=True)
            stub = files.root / "python_backend_stubs" / version / "triton_python_backend_stub"
            shutil.copy2(stub, files.root / "backends" / "python")
            (folder / "complete").touch()
    return files


def _has_pip() -> bool:
    return subprocess.run([sys.executable, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0


@dataclass(frozen=True)
class Triton:
    """A running server in explicit mode: tests put models into `repository` and load them."""

    repository: Path
    http: str
    grpc: str
    metrics: str
    home: Path


@contextlib.contextmanager
def triton(folder: Path) -> Iterator[Triton]:
    files = install_triton()
    repository, log = folder / "models", folder / "triton.log"
    repository.mkdir()
    home = folder / "home"
    home.mkdir()
    http, grpc, metrics = free_ports(3)
    addresses = [f"--{kind}-address=127.0.0.1" for kind in ("http", "grpc", "metrics")]
    command = [
        str(files.root / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={files.root / 'backends'}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        "--exit-timeout-secs=5",
        "--backend-config=python,shm-default-byte-size=16777216",
        *addresses,
        *(f"--{kind}-port={port}" for kind, port in (("http", http), ("grpc", grpc), ("metrics", metrics))),
    ]
    libraries = [str(files.server / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR")]
    # The backend's interpreter is isolated: PYTHONPATH means nothing to it, the first python3 of PATH means everything.
    path = f"{files.environment / 'bin'}:{os.environ['PATH']}"
    environment = {"LD_LIBRARY_PATH": ":".join(libraries), "PATH": path, "HOME": str(home), "XDG_CACHE_HOME": str(home)}
    with running(command, environment=environment, log=log) as process:
        wait_for(f"http://127.0.0.1:{http}/v2/health/live", process=process, log=log)
        yield Triton(
            repository=repository,
            http=f"http://127.0.0.1:{http}",
            grpc=f"127.0.0.1:{grpc}",
            metrics=f"http://127.0.0.1:{metrics}/metrics",
            home=home,
        )


# --- S3 ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class S3Server:
    """A running server, and the environment that leads boto3 to it."""

    environment: dict[str, str]
    buckets: Path


def install_go(name: str, *, package: str) -> Path:
    """Compile a server from its pinned Go module, once."""
    module = TOOLS / name
    with exclusive(name) as cache:
        binary = cache / "bin" / name
        pinned = (module / "go.mod").read_bytes()
        note = cache / "bin" / f"{name}.go.mod"
        if not binary.exists() or not note.exists() or note.read_bytes() != pinned:
            binary.parent.mkdir(exist_ok=True)
            command = ["go", "build", "-trimpath", "-mod=readonly", "-o", str(binary), package]
            subprocess.run(command, cwd=module, check=True)
            note.write_bytes(pinned)
    return binary


@contextlib.contextmanager
def s3(folder: Path, *, certificate: tuple[Path, Path] | None = None) -> Iterator[S3Server]:
    """The versitygw server; with a certificate and its key it speaks https."""
    binary = install_go("versitygw", package="github.com/versity/versitygw/cmd/versitygw")
    log = folder / "versitygw.log"
    buckets = folder / "buckets"
    buckets.mkdir()
    (port,) = free_ports(1)
    secret = {"ROOT_ACCESS_KEY": "tester", "ROOT_SECRET_KEY": "tester-secret"}
    tls = ["--cert", str(certificate[0]), "--key", str(certificate[1])] if certificate else []
    url = f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
    command = [str(binary), "--port", f"127.0.0.1:{port}", *tls, "--quiet", "posix", str(buckets)]
    with running(command, environment=secret, log=log) as process:
        wait_for(f"{url}/", process=process, log=log)
        environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "tester-secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield S3Server(environment=environment, buckets=buckets)


# --- Google and Azure -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def gcs(folder: Path) -> Iterator[dict[str, str]]:
    """fake-gcs-server; gives the environment that leads to it."""
    binary = install_go("fake-gcs-server", package="github.com/fsouza/fake-gcs-server")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    place = ["-filesystem-root", str(folder / "buckets"), "-external-url", url]
    command = [str(binary), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), *place]
    with running(command, environment={}, log=folder / "gcs.log") as process:
        wait_for(f"{url}/storage/v1/b", process=process, log=folder / "gcs.log")
        yield {"STORAGE_EMULATOR_HOST": url}


def install_azurite() -> Path:
    with exclusive("azurite") as cache:
        place = cache / "azurite"
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", AZURITE]
            subprocess.run(command, cwd=place, check=True)
            (place / "complete").touch()
    return place / "node_modules" / ".bin" / "azurite-blob"


@contextlib.contextmanager
def azure(folder: Path) -> Iterator[dict[str, str]]:
    """Azurite, which has one well-known account; gives the environment that leads to it."""
    binary, log = install_azurite(), folder / "azurite.log"
    (port,) = free_ports(1)
    account = "devstoreaccount1"
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    url = f"http://127.0.0.1:{port}/{account}"
    place = ["--location", str(folder), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    flags = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    with running([str(binary), *place, *flags], environment={}, log=log) as process:
        wait_for(url, process=process, log=log)
        parts = {"DefaultEndpointsProtocol": "http", "AccountName": account, "AccountKey": key, "BlobEndpoint": url}
        yield {"AZURE_STORAGE_CONNECTION_STRING": ";".join(f"{name}={value}" for name, value in parts.items()) + ";"}


# --- Registries -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def registry(
    folder: Path, *, users: str = "", address: str = "127.0.0.1", certificate: tuple[Path, Path] | None = None
) -> Iterator[str]:
    """The `distribution` registry; gives its host and port.

    With `users` (htpasswd lines) it asks for passwords; with a certificate and its key it speaks https.
    """
    binary = install_go("registry", package="github.com/distribution/distribution/v3/cmd/registry")
    (port,) = free_ports(1)
    tls = f", tls: {{certificate: '{certificate[0]}', key: '{certificate[1]}'}}" if certificate else ""
    lines = [
        "version: 0.1",
        "log: {accesslog: {disabled: true}}",
        f"storage: {{filesystem: {{rootdirectory: {folder / 'images'}}}, delete: {{enabled: true}}}}",
        f"http: {{addr: '{address}:{port}'{tls}}}",
    ]
    if users:
        (folder / "users").write_text(users)
        lines.append(f"auth: {{htpasswd: {{realm: tests, path: {folder / 'users'}}}}}")
    (folder / "registry.yml").write_text("\n".join(lines))
    log = folder / "registry.log"
    with running([str(binary), "serve", str(folder / "registry.yml")], environment={}, log=log) as process:
        wait_for(f"{'https' if certificate else 'http'}://{address}:{port}/v2/", process=process, log=log)
        yield f"{address}:{port}"


def install_mlflow() -> Path:
    with exclusive("mlflow-tests") as cache:
        place = cache / "mlflow-tests"
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
            command = ["uv", "pip", "install", "-q", "--python", str(place / "bin" / "python"), MLFLOW]
            subprocess.run(command, env={**os.environ, "UV_SYSTEM_CERTS": "1"}, check=True)
            (place / "complete").touch()
    return place / "bin" / "mlflow"


@contextlib.contextmanager
def mlflow(folder: Path) -> Iterator[dict[str, str]]:
    """A tracking server with a model registry, one process; gives the environment that leads to it."""
    binary, log = install_mlflow(), folder / "mlflow.log"
    (port,) = free_ports(1)
    store = [
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    command = [str(binary), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *store]
    # Its runners of jobs would outlive it.
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with running(command, environment=quiet, log=log) as process:
        wait_for(f"http://127.0.0.1:{port}/health", process=process, log=log, seconds=300)
        yield {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "MLFLOW_DISABLE_TELEMETRY": "true"}
