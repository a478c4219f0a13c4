"""Signatures: what is signed verifies and nothing else does; a pull that was given a key takes nothing unsigned."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_builder.artifact import SIGNATURE, digest_of, scan
from model_builder.errors import Untrusted
from model_builder.signing import Signer, claim, verify
from model_builder.stores import open_store
from tests.model_builder.conftest import PYTHON, run_build, spec
from tests.model_builder.samples import make_keys, make_whole
from tests.model_builder.told import BLOCKED

Command = Callable[..., tuple[int, dict[str, Any]]]
MODEL = "repository/m/1/model.onnx"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_keys(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, Path]) -> Path:
    folder, _ = make_whole(tmp_path_factory.mktemp("signed") / "a")
    Signer.open(keys[0]).sign(folder)
    return folder


@pytest.fixture
def copy(signed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "copy"))


def refusal(folder: Path, public: Path) -> Untrusted:
    with pytest.raises(Untrusted) as caught:
        verify(folder, public_key=public, origin="here")
    assert str(caught.value).count(". ") == 0
    return caught.value


def test_the_commands_sign_and_verify(tmp_path: Path, keys: tuple[Path, Path], command: Command) -> None:
    folder, digest = make_whole(tmp_path / "a")
    code, told = command("sign", folder, "--private-key", keys[0])
    assert (code, told["files"], told["file"]) == (0, 5, str(folder / SIGNATURE))
    assert command("verify", folder, "--public-key", keys[1]) == (
        0,
        {"digest": digest, "signer": told["signer"], "files": 5},
    )
    assert digest_of(scan(folder)) == digest
    assert not list(folder.glob(".*"))


@pytest.mark.deep
def test_the_format_s_own_tool_agrees(copy: Path, keys: tuple[Path, Path]) -> None:
    tool = [PYTHON, "-m", "model_signing", "verify", "key", str(copy), "--public_key", str(keys[1])]
    done = subprocess.run([*tool, "--signature", str(copy / SIGNATURE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (copy / "manifest.json").write_text("{}")
    again = subprocess.run([*tool, "--signature", str(copy / SIGNATURE)], capture_output=True, text=True, check=False)
    assert again.returncode != 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_byte_anywhere_is_found_and_named(
    data: st.DataObject, signed: Path, keys: tuple[Path, Path]
) -> None:
    victim = data.draw(st.sampled_from([path for path in sorted(signed.rglob("*")) if path.is_file()]))
    content = victim.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytes([content[place] ^ data.draw(st.integers(1, 255))])
    expected = claim(signed / SIGNATURE)
    try:
        victim.write_bytes(content[:place] + changed + content[place + 1 :])
        told = said(signed, keys[1])
        if victim.name != SIGNATURE:
            assert f"{victim.relative_to(signed).as_posix()} of here was changed" in told
        elif not told:
            # White space, unused bits of base64 or a field that nobody reads: the same signature in another spelling.
            found = claim(victim)
            assert found is not None and expected is not None
            assert found.files == expected.files
    finally:
        victim.write_bytes(content)


def said(folder: Path, public: Path) -> str:
    try:
        verify(folder, public_key=public, origin="here")
    except Untrusted as error:
        return str(error)
    return ""


def test_a_file_too_many_is_named(copy: Path, keys: tuple[Path, Path]) -> None:
    for name in (".gitignore", "repository/m/1/extra.py", ".git/config", "model.sig.old"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("x")
        error = refusal(copy, keys[1])
        assert (error.reason, f"{name} of here was added" in str(error)) == ("SignatureMismatch", True)
        (copy / name).unlink()
    verify(copy, public_key=keys[1], origin="here")


@pytest.mark.parametrize("name", [MODEL, "manifest.json", "contract.json"])
def test_a_file_too_few_is_named(name: str, copy: Path, keys: tuple[Path, Path]) -> None:
    (copy / name).unlink()
    error = refusal(copy, keys[1])
    assert (error.reason, f"{name} of here was removed" in str(error)) == ("SignatureMismatch", True)


def test_a_link_in_the_place_of_a_file_is_refused(copy: Path, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    (copy / MODEL).rename(tmp_path / "elsewhere")
    (copy / MODEL).symlink_to(tmp_path / "elsewhere")
    assert f"{MODEL} of here was changed" in str(refusal(copy, keys[1]))


def test_no_signature_is_refused(copy: Path, keys: tuple[Path, Path], command: Command) -> None:
    (copy / SIGNATURE).unlink()
    code, told = command("verify", copy, "--public-key", keys[1])
    assert (code, told["error"]["reason"]) == (7, "SignatureMissing")


def test_the_key_of_somebody_else_is_refused(copy: Path, tmp_path: Path, command: Command) -> None:
    _, public = make_keys(tmp_path, "theirs")
    code, told = command("verify", copy, "--public-key", public)
    assert (code, told["error"]["reason"]) == (7, "SignatureMismatch")
    assert "was signed with another key" in told["error"]["message"]


def test_one_of_several_keys_is_enough_and_each_must_be_one(
    copy: Path, tmp_path: Path, keys: tuple[Path, Path], command: Command
) -> None:
    several, (private, theirs) = tmp_path / "several.pem", make_keys(tmp_path, "theirs")
    several.write_text(f"# while signers change\n{theirs.read_text()}\n# until May\n{keys[1].read_text()}")
    for key in (keys[0], private):
        Signer.open(key).sign(copy)
        verify(copy, public_key=several, origin="here")
    third, _ = make_keys(tmp_path, "third")
    Signer.open(third).sign(copy)
    message = str(refusal(copy, several))
    assert message.count("...") == 3 and "several may stand in one file" in message
    several.write_text(keys[1].read_text() + keys[0].read_text())
    code, told = command("verify", copy, "--public-key", several)
    assert (code, told["error"]["reason"]) == (2, "BadSpec")


def test_a_claim_to_be_signed_by_us_is_not_enough(copy: Path, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    ours = claim(copy / SIGNATURE)
    assert ours is not None
    private, _ = make_keys(tmp_path, "theirs")
    Signer.open(private).sign(copy)
    bundle = json.loads((copy / SIGNATURE).read_text())
    bundle["verificationMaterial"]["publicKey"]["hint"] = ours.signer
    (copy / SIGNATURE).write_text(json.dumps(bundle))
    assert "is damaged or forged" in str(refusal(copy, keys[1]))
    del bundle["verificationMaterial"]["publicKey"]["hint"]
    (copy / SIGNATURE).write_text(json.dumps(bundle))
    assert "is damaged or forged" in str(refusal(copy, keys[1]))


def test_a_signature_of_an_old_tool_names_no_key_and_verifies_quietly(
    copy: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = json.loads((copy / SIGNATURE).read_text())
    del bundle["verificationMaterial"]["publicKey"]["hint"]
    (copy / SIGNATURE).write_text(json.dumps(bundle))
    assert verify(copy, public_key=keys[1], origin="here").signer == ""
    assert capsys.readouterr().out == ""


def test_what_was_signed_can_not_be_edited(copy: Path, keys: tuple[Path, Path]) -> None:
    (copy / MODEL).write_bytes(b"mine")
    bundle = json.loads((copy / SIGNATURE).read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    for entry in statement["predicate"]["resources"]:
        if entry["name"] == MODEL:
            entry["digest"] = next(file.sha256 for file in scan(copy) if file.path == MODEL)
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    (copy / SIGNATURE).write_text(json.dumps(bundle))
    assert "is damaged or forged" in str(refusal(copy, keys[1]))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"dsseEnvelope": {"payload": "e30="}}', "[" * 100_000])
def test_what_is_no_signature_is_refused(text: str, copy: Path, keys: tuple[Path, Path]) -> None:
    (copy / SIGNATURE).write_text(text)
    assert "is no signature in OpenSSF's format" in str(refusal(copy, keys[1]))


def other_keys(folder: Path) -> dict[str, Path]:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    plain, locked = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"hush")
    made = {
        "rsa": rsa.generate_private_key(65537, 1024).private_bytes(pem, pkcs8, plain),
        "locked": ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, pkcs8, locked),
        "curve": ec.generate_private_key(ec.SECP256K1()).private_bytes(pem, pkcs8, plain),
        "text": b"SECRET-IN-NO-PEM",
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in made}


def test_a_key_that_can_not_sign_is_told_without_its_content(
    copy: Path, tmp_path: Path, keys: tuple[Path, Path], command: Command
) -> None:
    for path in (*other_keys(tmp_path).values(), keys[1]):
        code, told = command("sign", copy, "--private-key", path)
        assert (code, told["error"]["reason"]) == (2, "BadSpec"), path.name
        message = told["error"]["message"]
        assert not any(line in message for line in path.read_text().splitlines() if len(line) > 10)
        assert command("verify", copy, "--public-key", path)[0] == (0 if path == keys[1] else 2)


def test_a_key_that_is_not_there_is_not_final(copy: Path, tmp_path: Path, command: Command) -> None:
    for arguments in (("sign", copy, "--private-key"), ("verify", copy, "--public-key")):
        code, told = command(*arguments, tmp_path / "absent.pem")
        assert (code, told["error"]["reason"]) == (7, "KeyMissing")


def test_only_whole_artifacts_that_passed_are_signed(tmp_path: Path, keys: tuple[Path, Path], command: Command) -> None:
    failed, _ = make_whole(tmp_path / "failed", gates=[BLOCKED])
    damaged, _ = make_whole(tmp_path / "damaged")
    (damaged / MODEL).write_bytes(b"x")
    crowded, _ = make_whole(tmp_path / "crowded")
    (crowded / "notes.txt").write_text("x")
    for folder, code, says in ((failed, 3, "failed its gates"), (damaged, 4, MODEL), (crowded, 2, "'notes.txt'")):
        done, told = command("sign", folder, "--private-key", keys[0])
        assert (done, says in told["error"]["message"]) == (code, True)
        assert not (folder / SIGNATURE).exists()


# --- pull -------------------------------------------------------------------------------------------------------


def pull(command: Command, uri: str, folder: Path, to: Path, *more: object) -> tuple[int, dict[str, Any]]:
    digest = digest_of(scan(folder))
    return command("pull", "--uri", uri, "--digest", digest, "--model", "m", "--to", to, *more)


@pytest.fixture(params=["file://", "oci://"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}{tmp_path / 'store'}"


def test_a_signed_artifact_is_pulled_with_its_key_and_no_other(
    store: str, copy: Path, tmp_path: Path, keys: tuple[Path, Path], command: Command
) -> None:
    uri = command("push", copy, store)[1]["uri"]
    assert pull(command, uri, copy, tmp_path / "to", "--public-key", keys[1])[0] == 0
    assert not (tmp_path / "to/m" / SIGNATURE).exists()
    _, theirs = make_keys(tmp_path, "theirs")
    code, told = pull(command, uri, copy, tmp_path / "not", "--public-key", theirs)
    assert (code, told["error"]["reason"]) == (7, "SignatureMismatch")
    assert list((tmp_path / "not").iterdir()) == []


def test_an_unsigned_artifact_is_refused_where_a_key_was_given(
    store: str, copy: Path, tmp_path: Path, keys: tuple[Path, Path], command: Command
) -> None:
    (copy / SIGNATURE).unlink()
    uri = command("push", copy, store)[1]["uri"]
    code, told = pull(command, uri, copy, tmp_path / "to", "--public-key", keys[1])
    assert (code, told["error"]["reason"]) == (7, "SignatureMissing")
    assert list((tmp_path / "to").iterdir()) == []
    assert pull(command, uri, copy, tmp_path / "to")[0] == 0


def test_a_pull_finds_what_is_consistent_but_not_what_was_signed(
    copy: Path, tmp_path: Path, keys: tuple[Path, Path], command: Command
) -> None:
    uri = command("push", copy, (tmp_path / "store").as_uri())[1]["uri"]
    stored = next((tmp_path / "store").iterdir())
    forged = json.loads((stored / "manifest.json").read_text()) | {"metrics": {"accuracy": {"value": 1.0}}}
    (stored / "manifest.json").write_text(json.dumps(forged))
    assert pull(command, uri, copy, tmp_path / "to")[0] == 0
    code, told = pull(command, uri, copy, tmp_path / "to", "--public-key", keys[1])
    assert (code, "manifest.json of" in told["error"]["message"]) == (7, True)


# --- build ------------------------------------------------------------------------------------------------------


@pytest.mark.deep
def test_a_build_signs_before_it_stores_and_keeps_the_key_to_itself(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    cache, store = tmp_path / "cache", (tmp_path / "store").as_uri()
    result = run_build(spec(), out=tmp_path / "out", store=store, cache=cache, private_key=keys[0])
    claimed = verify(tmp_path / "out", public_key=keys[1], origin="here")
    open_store(result["uri"]).fetch(path=SIGNATURE, to=tmp_path / "stored")
    assert claim(tmp_path / "stored") == claimed
    secret = "".join(keys[0].read_text().splitlines()[1:-1])[:40].encode()
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or (
            secret not in path.read_bytes() and str(keys[0]).encode() not in path.read_bytes()
        )
    # An unsigned build in the same place leaves no signature of another one.
    run_build(spec(), out=tmp_path / "out", cache=cache)
    assert not (tmp_path / "out" / SIGNATURE).exists()


def test_a_build_without_its_key_fails_before_it_works(tmp_path: Path) -> None:
    with pytest.raises(Untrusted, match="absent"):
        run_build(spec(), out=tmp_path / "out", private_key=tmp_path / "absent")
    assert not (tmp_path / "out").exists()
