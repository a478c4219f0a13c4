"""A repository of a registry: blobs go on where they were cut off, in both directions."""

from __future__ import annotations

import http.client
import shutil
from dataclasses import dataclass
from pathlib import Path

from model_builder.errors import ArtifactCorrupt, StorageError
from model_builder.remote.oci_blobs import MANIFEST_TYPE, MANIFESTS, verify
from model_builder.remote.oci_http import Client

_CHUNK = 8 << 20
_TRIES = 3


@dataclass(frozen=True)
class Registry:
    """A repository behind HTTP."""

    client: Client

    @property
    def shown(self) -> str:
        """Host and repository."""
        return f"{self.client.host}/{self.client.repository}"

    def manifest(self, name: str) -> bytes | None:
        """By tag or digest."""
        accept = {"Accept": ", ".join(MANIFESTS)}
        answer = self.client.ask("GET", self._url(f"manifests/{name}"), headers=accept, expected=(200, 404))
        return answer.body.read() if answer.status == 200 else None

    def has(self, digest: str, size: int) -> bool:
        """By its digest."""
        answer = self.client.ask("HEAD", self._url(f"blobs/{digest}"), expected=(200, 404))
        return answer.status == 200 and int(answer.headers.get("content-length", size)) == size

    def download(self, digest: str, size: int, *, to: Path) -> None:
        """In one stream; where it breaks off, another one begins at that byte."""
        part = to.with_name(to.name + ".part")
        for attempt in range(_TRIES):
            start = part.stat().st_size if part.exists() else 0
            if start >= size:
                break
            try:
                self._stream(digest, start=start, part=part)
            except (OSError, http.client.HTTPException) as error:
                if attempt + 1 == _TRIES:
                    raise self.client.unreachable(error) from error
        if not part.exists():
            part.touch()
        try:
            verify(part, digest=digest, size=size, shown=self.shown)
        except ArtifactCorrupt:
            part.unlink()
            raise
        part.rename(to)

    def _stream(self, digest: str, *, start: int, part: Path) -> None:
        headers = {"Range": f"bytes={start}-"} if start else {}
        answer = self.client.ask("GET", self._url(f"blobs/{digest}"), headers=headers, stream=True, expected=(200, 206))
        with answer.body as body, part.open("ab" if answer.status == 206 else "wb") as out:
            shutil.copyfileobj(body, out, _CHUNK)

    def upload(self, path: Path, *, digest: str) -> None:
        """In pieces; after a piece that failed, the registry is asked how far it got."""
        started = self.client.ask("POST", self._url("blobs/uploads/"), data=b"", push=True, expected=(202,))
        location, done, size = started.headers["location"], 0, path.stat().st_size
        failures = 0
        with path.open("rb") as stream:
            while done < size:
                stream.seek(done)
                piece = stream.read(_CHUNK)
                headers = {
                    "Content-Type": "application/octet-stream",
                    "Content-Range": f"{done}-{done + len(piece) - 1}",
                }
                try:
                    answer = self.client.ask(
                        "PATCH", location, headers=headers, data=piece, push=True, expected=(202, 416)
                    )
                except StorageError as error:
                    failures += 1
                    if failures >= _TRIES or error.reason != "StoreUnreachable":
                        raise
                    answer = self.client.ask("GET", location, push=True, expected=(204,))
                location = answer.headers.get("location", location)
                done = int(answer.headers.get("range", f"0-{done + len(piece) - 1}").split("-")[-1]) + 1
        mark = "&" if "?" in location else "?"
        self.client.ask("PUT", f"{location}{mark}digest={digest}", data=b"", push=True, expected=(201,))

    def tag(self, manifest: bytes, *, name: str) -> None:
        """One request."""
        headers = {"Content-Type": MANIFEST_TYPE}
        self.client.ask(
            "PUT", self._url(f"manifests/{name}"), headers=headers, data=manifest, push=True, expected=(201,)
        )

    def _url(self, path: str) -> str:
        return f"{self.client.base}/{path}"
