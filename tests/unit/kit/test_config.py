import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairwitness.kit import config
from fairwitness.kit.config import ConfigError, RoleConfig, choice, limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    name: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(RoleConfig):
    role: ClassVar[str] = "hub"
    tick_seconds: int = limit(300, low=1, high=86400)
    mode: str = choice("calm", "calm", "busy")
    share: float = 0.5
    census: Path | None = None
    witnesses: tuple[Witness, ...] = ()
    names: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def _restore(monkeypatch):
    monkeypatch.delenv(config.PORT_VARIABLE, raising=False)
    before = config._current, config._role
    yield
    config._current, config._role = before


def load(tmp_path, text):
    (tmp_path / "config.toml").write_text(text)
    return config.load(Config, tmp_path)


def test_defaults_without_a_file(tmp_path):
    found = config.load(Config, tmp_path)
    assert (found.tick_seconds, found.mode, found.data_dir) == (300, "calm", tmp_path)
    assert config.current(Config) is found
    assert config.current(RoleConfig) is found
    assert config.role_name() == "hub"


def test_values_tables_and_lists(tmp_path):
    found = load(
        tmp_path,
        'tick_seconds = 1\nmode = "busy"\nshare = 1\ncensus = "/c"\nnames = ["a", "b"]\n[[witnesses]]\nname = "w"\n',
    )
    assert found.witnesses == (Witness(name="w"),)
    assert (found.share, found.census, found.names) == (1.0, Path("/c"), ("a", "b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tick_secnods = 1", "unknown key 'tick_secnods'"),
        ("tick_seconds = 0", "tick_seconds must be between 1 and 86400"),
        ('tick_seconds = "1"', "tick_seconds must be int, not str"),
        ("tick_seconds = true", "tick_seconds must be int, not bool"),
        ('mode = "wild"', "mode must be one of calm, busy"),
        ("[[witnesses]]\nurl = 'x'", "the key 'name' is missing"),
        ("[[witnesses]]\nname = 'x'\nnmae = 'y'", "unknown key 'nmae'"),
        ("witnesses = 1", "witnesses must be a list"),
        ("witnesses = [1]", r"witnesses\[0\] must be a table"),
        ('data_dir = "/x"', "not set here"),
        ('public_url = "ftp://x"', "must look like"),
        ('public_url = "https://x/path"', "must look like"),
        ('tls_key = "k"', "go together"),
        ('host = "localhost"', "must be an IP address"),
        ('host = "0.0.0.0"', "public_url is needed"),
        ("a = = 1", "config.toml"),
        ("a = 1\na = 2", "config.toml"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert "config.toml" in str(caught.value)


def test_addresses(tmp_path, monkeypatch):
    assert load(tmp_path, 'host = "::1"\nport = 80').url == "http://localhost:80"
    assert load(tmp_path, 'host = "fd00::1"\nport = 80').url == "http://[fd00::1]:80"
    found = load(tmp_path, 'public_url = "https://hub.example/"')
    assert (found.url, found.hostname, found.tls) == ("https://hub.example", "hub.example", True)
    monkeypatch.setenv(config.PORT_VARIABLE, "4321")
    assert load(tmp_path, "").url == "http://localhost:4321"
    assert load(tmp_path, "port = 80").port == 80


def test_folders_are_private_and_need_a_data_folder(tmp_path):
    found = config.load(Config, tmp_path)
    assert found.folder("a", "b").stat().st_mode & 0o777 == 0o700
    assert found.file("keys", "x") == tmp_path / "keys" / "x"
    with pytest.raises(ConfigError, match="FAIRWITNESS_DATA"):
        config.load(Config, None).folder("a")


def test_current_of_another_role_is_refused(tmp_path):
    config.use(RoleConfig())
    with pytest.raises(ConfigError, match="hub"):
        config.current(Config)


@given(st.dictionaries(st.sampled_from(["name", "public", "x-y"]), st.text() | st.integers(-(2**62), 2**62) | st.booleans()))
def test_what_is_written_reads_back(values):
    assert tomllib.loads(config.dump(values)) == values


def test_written_tables_read_back(tmp_path):
    config.write(tmp_path, {"name": 'a"b\\', "witnesses": [{"name": "w"}], "names": ["x"]})
    found = config.load(Config, tmp_path)
    assert (found.name, found.witnesses, found.names) == ('a"b\\', (Witness(name="w"),), ("x",))
    assert (tmp_path / "config.toml").stat().st_mode & 0o777 == 0o600
