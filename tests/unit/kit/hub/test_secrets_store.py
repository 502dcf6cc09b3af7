import pytest
from fairwitness_core.crypto import seal
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import config, files, secrets_store


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    before = config._current, config._role
    config.use(config.RoleConfig(data_dir=tmp_path))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    yield
    config._current, config._role = before


def test_wrapped_for_the_node_and_for_recovery(tmp_path):
    first = secrets_store.wrap(b"secret")
    assert b"secret" not in first
    assert secrets_store.unwrap(first) == b"secret"
    assert secrets_store.recovery_recipient() is None
    identity, recipient = secrets_store.new_recovery_identity()
    secrets_store.set_recovery_recipient(recipient)
    second = secrets_store.wrap(b"secret")
    assert seal.open_bytes(second, [identity]) == b"secret"
    with pytest.raises(ProtocolError):
        seal.open_bytes(first, [identity])
    (tmp_path / "keys/node.key").unlink()
    with pytest.raises(ProtocolError):
        secrets_store.unwrap(second)
    assert seal.open_bytes(second, [identity]) == b"secret", "paper opens what the node no longer can"
    stored = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert identity.encode() not in stored


def test_the_key_is_private_and_checked_at_every_use(tmp_path):
    secrets_store.node_key()
    path = tmp_path / "keys/node.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(files.UnsafeMode):
        secrets_store.wrap(b"x")


def test_a_systemd_credential_takes_its_place(tmp_path, monkeypatch):
    identity, recipient = seal.new_identity()
    folder = tmp_path / "credentials"
    folder.mkdir()
    files.write_atomic(folder / "node.key", identity.encode())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert secrets_store.node_recipient() == recipient


def test_a_bad_recipient_is_refused():
    with pytest.raises(ProtocolError):
        secrets_store.set_recovery_recipient("age1nonsense")
