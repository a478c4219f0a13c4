"""Credentials from a folder: read again when they change, told when they are wrong, never repeated."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from modelrelease.adapters.prometheus.access import Access, Credentials
from modelrelease.adapters.prometheus.problems import MetricsError

from tests.adapters.certificates import Authority

SECRET = "abc123"


def read(folder: Path, *, encrypted: bool = True) -> Credentials:
    return Access(folder).credentials(encrypted=encrypted)


def problem(folder: Path, *, encrypted: bool = True) -> str:
    with pytest.raises(MetricsError) as caught:
        read(folder, encrypted=encrypted)
    assert caught.value.problem.reason == "MetricsAccess"
    assert SECRET not in caught.value.problem.message
    return caught.value.problem.message


def test_no_folder_and_an_empty_one_are_no_credentials(tmp_path: Path) -> None:
    assert Access(None).credentials(encrypted=False) == read(tmp_path, encrypted=False) == Credentials()


def test_token_and_headers(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    (tmp_path / "header.X-Scope-OrgID").write_text("team-a")
    found = read(tmp_path)
    assert found.headers == {"Authorization": f"Bearer {SECRET}", "X-Scope-OrgID": "team-a"}
    assert SECRET not in repr(found)


def test_a_mounted_secret_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    """As the kubelet does it: files are links through a link to a folder, which is swapped."""
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "token").write_text(f"token-{number}")
    (tmp_path / "..data").symlink_to("v1")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "token").symlink_to("../..data/token")
    access = Access(mounted)
    assert access.credentials(encrypted=True).headers["Authorization"] == "Bearer token-1"
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").rename(tmp_path / "..data")
    assert access.credentials(encrypted=True).headers["Authorization"] == "Bearer token-2"
    (mounted / "token").unlink()
    assert access.credentials(encrypted=True).headers == {}


def test_files_that_do_not_change_are_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    access = Access(tmp_path)
    assert access.credentials(encrypted=True) is access.credentials(encrypted=True)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"token": ""}, "token is empty, or has a line break"),
        ({"token": f"{SECRET}\n{SECRET}"}, "write one line of plain text"),
        ({"token": f"{SECRET}é"}, "write one line of plain text"),
        ({"header.X Y": "v"}, "does not name a header"),
        ({"token": SECRET, "header.authorization": f"Basic {SECRET}"}, "has both token and header.Authorization"),
        ({"tls.crt": SECRET}, "has tls.crt without tls.key"),
        ({"tls.key": SECRET}, "has tls.key without tls.crt"),
        ({"ca.crt": SECRET}, "ca.crt is no certificate: write it as PEM"),
        ({"tls.crt": SECRET, "tls.key": SECRET}, "tls.crt and tls.key are no pair"),
    ],
)
def test_files_that_are_not_what_they_are_called(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert said in problem(tmp_path)


def test_what_is_no_text_or_too_large_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert "can't be read (it is not text)" in problem(tmp_path)
    (tmp_path / "token").write_text("x" * 2_000_000)
    assert "is larger than any header" in problem(tmp_path)
    assert "can't be read (No such file or directory)" in problem(tmp_path / "absent")


@pytest.mark.parametrize("name", ["token", "header.Authorization"])
def test_a_token_is_not_sent_for_everybody_to_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(SECRET)
    assert "give the operator an https:// address" in problem(tmp_path, encrypted=False)


def test_an_authority_of_its_own_and_a_client_certificate(tmp_path: Path) -> None:
    authority = Authority.made(tmp_path / "ca")
    authority.sign("client")
    folder = tmp_path / "access"
    folder.mkdir()
    (folder / "ca.crt").write_bytes((authority.folder / "ca.crt").read_bytes())
    context = read(folder).tls
    assert isinstance(context, ssl.SSLContext)
    assert [dict(part[0] for part in ca["subject"])["commonName"] for ca in context.get_ca_certs()] == ["authority"]
    (folder / "tls.crt").write_bytes((authority.folder / "client.crt").read_bytes())
    (folder / "tls.key").write_bytes((authority.folder / "ca.key").read_bytes())
    assert "tls.crt and tls.key are no pair" in problem(folder)
    (folder / "tls.key").write_bytes((authority.folder / "client.key").read_bytes())
    assert isinstance(read(folder).tls, ssl.SSLContext)
