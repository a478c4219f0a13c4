"""Pushing by hand: the same stores as a build's, and what a signature changes in one that has the artifact already."""

import errno
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from model_builder import artifact as artifacts
from model_builder.artifact import MANIFEST, SIGNATURE
from model_builder.errors import BadSpec, StorageError, Untrusted
from model_builder.remote.object_bucket import Bucket
from model_builder.signing import Signer, verify
from model_builder.stores import file as file_store
from model_builder.stores import open_store
from model_builder.stores.base import settle
from tests.model_builder.samples import make_keys, make_whole
from tests.model_builder.told import BLOCKED

Command = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_keys(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture(params=["file://", "oci://"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}{tmp_path / 'store'}"


def stored(uri: str, to: Path) -> Path:
    """The artifact at a URI, fetched."""
    source = open_store(uri)
    to.mkdir()
    source.fetch(path=MANIFEST, to=to / MANIFEST)
    for file in json.loads((to / MANIFEST).read_text())["files"]:
        (to / file["path"]).parent.mkdir(parents=True, exist_ok=True)
        source.fetch(path=file["path"], to=to / file["path"])
    if source.has(SIGNATURE):
        source.fetch(path=SIGNATURE, to=to / SIGNATURE)
    return to


def test_a_pushed_artifact_comes_back(store: str, tmp_path: Path, command: Command) -> None:
    folder, digest = make_whole(tmp_path / "a")
    code, told = command("push", folder, store)
    assert (code, told["digest"], told["signed"]) == (0, digest, False)
    assert artifacts.folder_name(digest) in told["uri"]
    back = stored(told["uri"], tmp_path / "back")
    for path in folder.rglob("*"):
        assert path.is_dir() or (back / path.relative_to(folder)).read_bytes() == path.read_bytes()
    assert not open_store(told["uri"]).has(SIGNATURE)


def test_what_failed_or_is_damaged_reaches_no_store(store: str, tmp_path: Path, command: Command) -> None:
    failed, _ = make_whole(tmp_path / "failed", gates=[BLOCKED])
    damaged, _ = make_whole(tmp_path / "damaged")
    (damaged / "contract.json").write_text("{}")
    for folder, code in ((failed, 3), (damaged, 4), (tmp_path / "absent", 2)):
        assert command("push", folder, store)[0] == code
    assert not (tmp_path / "store").exists()


def test_a_signature_can_follow_to_where_the_artifact_is(
    store: str, tmp_path: Path, keys: tuple[Path, Path], command: Command
) -> None:
    earlier, digest = make_whole(tmp_path / "earlier", createdAt="earlier")
    uri = command("push", earlier, store)[1]["uri"]
    later, same = make_whole(tmp_path / "later", createdAt="later")
    assert same == digest
    Signer.open(keys[0]).sign(later)
    assert command("push", later, store)[1] == {"digest": digest, "uri": uri, "signed": True}
    verify(stored(uri, tmp_path / "back"), public_key=keys[1], origin="the store")


def test_what_the_same_key_signed_stays(store: str, tmp_path: Path, keys: tuple[Path, Path], command: Command) -> None:
    first, _ = make_whole(tmp_path / "first", createdAt="first")
    Signer.open(keys[0]).sign(first)
    uri = command("push", first, store)[1]["uri"]
    second, _ = make_whole(tmp_path / "second", createdAt="second")
    command("push", second, store)
    Signer.open(keys[0]).sign(second)
    command("push", second, store)
    back = stored(uri, tmp_path / "back")
    assert (back / MANIFEST).read_bytes() == (first / MANIFEST).read_bytes()
    assert (back / SIGNATURE).read_bytes() == (first / SIGNATURE).read_bytes()


def test_what_one_key_signed_stays_beside_what_another_did(
    store: str, tmp_path: Path, keys: tuple[Path, Path], command: Command
) -> None:
    theirs = make_keys(tmp_path, "theirs")
    made, uris = {}, {}
    for who, (private, _) in (("ours", keys), ("theirs", theirs)):
        made[who], _ = make_whole(tmp_path / who, createdAt=who)
        Signer.open(private).sign(made[who])
        uris[who] = command("push", made[who], store)[1]["uri"]
    assert len(set(uris.values())) == 2
    for who, (_, public) in (("ours", keys), ("theirs", theirs)):
        assert command("push", made[who], store)[1]["uri"] == uris[who], "each finds its own again"
        verify(stored(uris[who], tmp_path / f"back-{who}"), public_key=public, origin="the store")


def test_a_push_that_was_cut_off_between_signature_and_manifest_is_refused_and_repaired(
    tmp_path: Path, keys: tuple[Path, Path], command: Command
) -> None:
    first, _ = make_whole(tmp_path / "first", createdAt="first")
    uri = command("push", first, (tmp_path / "store").as_uri())[1]["uri"]
    second, _ = make_whole(tmp_path / "second", createdAt="second")
    Signer.open(keys[0]).sign(second)
    folder = next((tmp_path / "store").iterdir())
    (folder / SIGNATURE).write_bytes((second / SIGNATURE).read_bytes())
    with pytest.raises(Untrusted, match=r"manifest\.json of the store was changed"):
        verify(stored(uri, tmp_path / "cut"), public_key=keys[1], origin="the store")
    command("push", second, (tmp_path / "store").as_uri())
    verify(stored(uri, tmp_path / "back"), public_key=keys[1], origin="the store")
    assert [path.name for path in (tmp_path / "store").iterdir()] == [folder.name]


def test_a_damaged_signature_is_sent_again(
    store: str, tmp_path: Path, keys: tuple[Path, Path], command: Command
) -> None:
    folder, _ = make_whole(tmp_path / "a")
    Signer.open(keys[0]).sign(folder)
    good = (folder / SIGNATURE).read_bytes()
    (folder / SIGNATURE).write_bytes(good.replace(b'"sig"', b'"gis"'))
    uri = command("push", folder, store)[1]["uri"]
    (folder / SIGNATURE).write_bytes(good)
    command("push", folder, store)
    verify(stored(uri, tmp_path / "back"), public_key=keys[1], origin="the store")


def test_a_copy_that_was_cut_off_is_completed_without_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, digest = make_whole(tmp_path / "a")
    store, copy = open_store((tmp_path / "store").as_uri()), shutil.copyfile
    copied: list[str] = []

    def cut_off(source: Path, to: Path) -> object:
        if len(copied) == 3:
            to.write_bytes(b"half")
            raise KeyboardInterrupt
        copied.append(source.name)
        return copy(source, to)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", cut_off)
        with pytest.raises(KeyboardInterrupt):
            store.put(artifact=folder, digest=digest)
    (left,) = (tmp_path / "store").iterdir()
    assert not (left / MANIFEST).exists()
    # What a disk has spoilt meanwhile is copied again.
    spoilt = next(file for file in artifacts.scan(folder) if file.path.endswith(copied[-1]))
    (left / spoilt.sha256).write_bytes(b"x" * spoilt.size)
    again: list[str] = []
    monkeypatch.setattr(shutil, "copyfile", lambda source, to: (again.append(source.name), copy(source, to)))
    uri = store.put(artifact=folder, digest=digest)
    assert sorted([*copied[:-1], *again]) == sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert [path.as_uri() for path in (tmp_path / "store").iterdir()] == [uri]
    assert artifacts.digest_of(artifacts.scan(tmp_path / "store" / artifacts.folder_name(digest))) == digest


def test_a_copy_that_failed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, digest = make_whole(tmp_path / "a")
    copy = shutil.copyfile

    def fills_the_disk(source: Path, to: Path) -> object:
        if source.name == artifacts.GOLDEN:
            raise OSError(errno.ENOSPC, "full")
        return copy(source, to)

    monkeypatch.setattr(shutil, "copyfile", fills_the_disk)
    with pytest.raises(StorageError, match="is full"):
        open_store((tmp_path / "store").as_uri()).put(artifact=folder, digest=digest)
    assert list((tmp_path / "store").iterdir()) == []


def test_pushes_at_the_same_time_end_with_one_whole_artifact(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    made = [make_whole(tmp_path / f"a{n}", createdAt=str(n)) for n in range(8)]
    for folder, _ in made[::2]:
        Signer.open(keys[0]).sign(folder)
    for turn in range(5):
        uri = (tmp_path / f"store{turn}").as_uri()
        with ThreadPoolExecutor(len(made)) as pool:
            puts = [pool.submit(open_store(uri).put, artifact=folder, digest=digest) for folder, digest in made]
        uris = {put.result() for put in puts}
        assert [path.as_uri() for path in (tmp_path / f"store{turn}").iterdir()] == list(uris)
        verify(stored(*uris, tmp_path / f"back{turn}"), public_key=keys[1], origin="the store")


def test_halves_of_two_pushes_at_once_are_put_right(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    first, digest = make_whole(tmp_path / "first", createdAt="first")
    uri = open_store((tmp_path / "store").as_uri()).put(artifact=first, digest=digest)
    second, _ = make_whole(tmp_path / "second", createdAt="second")
    Signer.open(keys[0]).sign(second)
    told: list[tuple[str, ...]] = []

    def tell() -> None:
        # The manifest of the first time is lost to somebody else's.
        told.append((SIGNATURE, MANIFEST) if told else (SIGNATURE,))
        for name in told[-1]:
            shutil.copyfile(second / name, tmp_path / "store" / artifacts.folder_name(digest) / name)

    settle(second, stored=open_store(uri), tell=tell)
    assert len(told) == 2
    verify(stored(uri, tmp_path / "back"), public_key=keys[1], origin="the store")
    settle(second, stored=open_store(uri), tell=tell)
    assert len(told) == 2


def test_two_that_never_agree_come_to_an_end(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    folder, digest = make_whole(tmp_path / "a")
    uri = open_store((tmp_path / "store").as_uri()).put(artifact=folder, digest=digest)
    Signer.open(keys[0]).sign(folder)
    told: list[None] = []
    settle(folder, stored=open_store(uri), tell=lambda: told.append(None))
    assert len(told) == 3


def test_what_another_push_put_in_the_place_of_a_damaged_artifact_is_given_back(
    tmp_path: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    unsigned, digest = make_whole(tmp_path / "unsigned", createdAt="earlier")
    signed, _ = make_whole(tmp_path / "signed", createdAt="later")
    Signer.open(keys[0]).sign(signed)
    store = open_store((tmp_path / "store").as_uri())
    uri = store.put(artifact=unsigned, digest=digest)
    final, tell = tmp_path / "store" / artifacts.folder_name(digest), file_store._tell
    (final / "contract.json").write_text("spoilt")

    def meanwhile(artifact: Path, *, to: Path, own: Path) -> None:
        shutil.rmtree(final)
        shutil.copytree(signed, final)
        tell(artifact, to=to, own=own)

    monkeypatch.setattr(file_store, "_tell", meanwhile)
    store.put(artifact=unsigned, digest=digest)
    verify(stored(uri, tmp_path / "back"), public_key=keys[1], origin="the store")
    assert list((tmp_path / "store").iterdir()) == [final]


def test_google_s_credentials_may_come_as_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = rsa.generate_private_key(65537, 1024).private_bytes(pem, pkcs8, serialization.NoEncryption())
    account = {
        "type": "service_account",
        "client_email": "builder@project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
        "private_key": key.decode(),
    }
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_CREDENTIALS", json.dumps(account))
    assert Bucket.open("gs", "b").files.credentials.credentials.service_account_email == account["client_email"]
    for text in ("SECRET", "[1]", '"SECRET"'):
        monkeypatch.setenv("GOOGLE_CREDENTIALS", text)
        with pytest.raises(BadSpec, match="is not the JSON of a key file") as caught:
            Bucket.open("gs", "b")
        assert "SECRET" not in str(caught.value) + repr(caught.value.__cause__)
