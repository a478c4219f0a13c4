"""Certificate authorities of one's own: trusted beside the system's, and named where a server's is not trusted.

Every client here reads a variable that names the one file of all that it trusts. So what is given is joined with what
was trusted before: a build may need a private registry and a public hub.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from model_builder.errors import StorageError

#: Names a file with certificates in PEM, one or a whole bundle.
VARIABLE = "MODEL_CA_BUNDLE"
#: Who reads them: ssl, aiohttp (gcsfs, adlfs), httpx2 and hf_xet (the hub); requests (mlflow, google.auth); botocore.
_OF_CLIENTS = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
_CURE = "the ConfigMap that build.caBundle names must exist and have ca.crt with certificates in PEM"
_REFUSED = re.compile(r"certificate verify failed:? ?(?P<why>[^()\[\]\"]*)", re.IGNORECASE)
#: Of a certificate whose authority may well be trusted.
_OTHERWISE = ("expired", "not yet valid", "mismatch")


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Trust the file that `VARIABLE` names beside what was trusted already; without it, change nothing.

    It is to be entered before a client is imported: some read their variable then.

    Raises:
        StorageError: there is no such file, or no certificate in it.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        yield
        return
    before = {name: os.environ[name] for name in _OF_CLIENTS if name in os.environ}
    with tempfile.NamedTemporaryFile(suffix=".pem") as whole:
        whole.write(b"\n".join([_read(Path(given)), *(path.read_bytes() for path in _trusted())]))
        whole.flush()
        os.environ.update(dict.fromkeys(_OF_CLIENTS, whole.name))
        try:
            yield
        finally:
            for name in _OF_CLIENTS:
                del os.environ[name]
            os.environ.update(before)


def refused(error: BaseException, *, place: str) -> StorageError | None:
    """The sentence for a certificate that was refused; None where the trouble is another one.

    Clients wrap the error of the handshake in errors of their own, and agree on its text.
    """
    found = next((match for each in _chain(error) if (match := _REFUSED.search(str(each)))), None)
    if found is None:
        return None
    why = " ".join(found["why"].split()).rstrip(" ,.:'") or "it says no more"
    cure = f"give its authority in ca.crt of the ConfigMap of build.caBundle (elsewhere: in the file of {VARIABLE})"
    if any(word in why.lower() for word in _OTHERWISE):
        cure = "renew it, or use an address that it is for"
    return StorageError(f"the certificate of {place} is not trusted ({why}): {cure}", reason="CertificateUntrusted")


def _read(bundle: Path) -> bytes:
    """What is given, once it is known to be certificates."""
    try:
        content = bundle.read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=bundle)
    except ssl.SSLError as error:
        raise StorageError(f"{VARIABLE} {bundle} has no certificates: {_CURE}", reason="CaBundleMissing") from error
    except OSError as error:
        raise StorageError(
            f"{VARIABLE} {bundle} can't be read ({error.strerror}): {_CURE}", reason="CaBundleMissing"
        ) from error
    return content


def _trusted() -> list[Path]:
    """The files that the clients trust by themselves: those that variables name, the system's and certifi's."""
    system = ssl.get_default_verify_paths()
    names = [*map(os.environ.get, _OF_CLIENTS), system.cafile]
    # Debian's compiled-in file may be a name without a file, beside this one.
    names += [f"{system.capath}/ca-certificates.crt"] if system.capath else []
    with contextlib.suppress(ImportError):  # comes with the clients that use it
        import certifi

        names.append(certifi.where())
    return [path for path in map(Path, dict.fromkeys(filter(None, names))) if path.is_file()]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was raised from or during."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__
