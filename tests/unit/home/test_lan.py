"""The owner's own network: one-time pairing, an authority bound to one address, and nothing in clear."""
# ruff: noqa: PLC0415 - Django's modules are loaded once its settings are

import dataclasses
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import urllib.request

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from django.test import Client

from fairwitness.home.config import Config
from fairwitness.home.lan import ca, pairing
from fairwitness.home.models import Pairing
from fairwitness.kit import config
from fairwitness.kit.accounts.start import start_url

NOW = 1_780_272_000


def browser():
    return Client(headers={"host": "localhost", "accept": "text/html"}, raise_request_exception=False)


def test_a_code_works_once_for_two_minutes_and_is_kept_as_a_hash(db, clock_at, journal_lines):
    clock = clock_at(NOW)
    code = pairing.issue()
    assert code.replace("-", "").encode() not in bytes(Pairing.objects.get().code_hash)
    assert browser().get("/upload").status_code == 302
    phone = browser()
    assert phone.get("/pair").status_code == 200, "looking uses nothing up"
    assert phone.post("/pair", {"code": "A" * 26}).status_code == 403
    answer = phone.post("/pair", {"code": code.lower().replace("-", " ")})
    assert (answer.status_code, answer.headers["Location"]) == (302, start_url())
    assert phone.get("/upload").status_code == 200
    assert browser().post("/pair", {"code": code}).status_code == 403
    old, new = pairing.issue(), pairing.issue()
    assert browser().post("/pair", {"code": old}).status_code == 403, "a newer code voids the older"
    del clock
    clock_at(NOW + pairing.LASTS_S + 1)
    assert browser().post("/pair", {"code": new}).status_code == 403
    assert code not in json.dumps(journal_lines)


def test_another_sites_form_pairs_nothing(db, clock_at):
    clock_at(NOW)
    code = pairing.issue()
    strict = Client(headers={"host": "localhost"}, enforce_csrf_checks=True)
    assert strict.post("/pair", {"code": code}, headers={"origin": "http://evil.example"}).status_code == 403
    assert Pairing.objects.get().used_at is None
    assert Client(headers={"host": "evil.example"}).get("/pair").status_code == 400


def test_the_authority_signs_for_its_address_alone():
    authority, key = ca.make_ca("192.168.1.20", NOW)
    right, _ = ca.make_leaf(authority, key, "192.168.1.20", NOW)
    wrong, _ = ca.make_leaf(authority, key, "192.168.1.21", NOW)
    from datetime import UTC, datetime

    root = x509.load_pem_x509_certificate(authority)
    limits = root.extensions.get_extension_for_class(x509.NameConstraints)
    assert limits.critical
    assert limits.value.permitted_subtrees == [x509.IPAddress(ipaddress.ip_network("192.168.1.20/32"))]
    for leaf, address, good in [(right, "192.168.1.20", True), (wrong, "192.168.1.21", False), (right, "192.168.1.21", False)]:
        builder = PolicyBuilder().store(Store([root])).time(datetime.fromtimestamp(NOW + 60, UTC))
        verifier = builder.build_server_verifier(x509.IPAddress(ipaddress.ip_address(address)))
        try:
            verifier.verify(x509.load_pem_x509_certificate(leaf), [])
        except VerificationError:
            assert not good
        else:
            assert good
    assert len(ca.fingerprint(authority).split(":")) == 32
    with pytest.raises(ValueError):
        ca.make_ca("home.example", NOW)


def _named(authority, key, name):
    """A certificate for a DNS name, as who stole the home's authority would sign it."""
    from datetime import UTC, datetime, timedelta

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    own, at = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    issuer = x509.load_pem_x509_certificate(authority)
    signer = serialization.load_pem_private_key(key, None)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "any")]))
        .issuer_name(issuer.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(hours=1))
        .not_valid_after(at + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return leaf.public_bytes(serialization.Encoding.PEM) + pem


def _handshake(authority, served, host, folder):
    """Tell whether a client that trusts `authority` alone takes what a server at `host` serves."""
    (folder / "served.pem").write_bytes(served)
    near, far = ssl.create_default_context(cadata=authority.decode()), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    far.load_cert_chain(folder / "served.pem")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = near.wrap_bio(back, there, server_hostname=host)
    server = far.wrap_bio(there, back, server_side=True)
    for _ in range(8):
        for one in (client, server):
            try:
                one.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return True


def test_who_steals_the_authority_cannot_pass_for_any_site(tmp_path):
    """A constraint on addresses alone would leave every DNS name free."""
    from fairwitness.kit import clock

    authority, key = ca.make_ca("192.168.1.20", clock.now())
    leaf, secret = ca.make_leaf(authority, key, "192.168.1.20", clock.now())
    assert _handshake(authority, leaf + secret, "192.168.1.20", tmp_path)
    for name in ("bank.example", "localhost", "a.b.example"):
        assert not _handshake(authority, _named(authority, key, x509.DNSName(name)), name, tmp_path), name
    for address in ("192.168.1.21", "::1"):
        other = _named(authority, key, x509.IPAddress(ipaddress.ip_address(address)))
        assert not _handshake(authority, other, address, tmp_path), address


def test_nothing_of_the_owners_goes_over_a_network_in_clear(db, clock_at):
    clock_at(NOW)
    here = config.current(Config)
    config.use(dataclasses.replace(here, host="192.168.1.20"))
    try:
        for path in ("/upload", "/pair", "/api/status", "/auth/sign-in", "/ca.crt"):
            answer = browser().get(path)
            assert answer.status_code == 403, path
            assert b"fairwitness home lan" in answer.content
        assert browser().get("/healthz").status_code == 200
        assert browser().get("/pair", secure=True).status_code == 200
    finally:
        config.use(here)


@pytest.mark.slow
@pytest.mark.network
def test_a_home_over_tls_with_its_own_authority(tmp_path):
    from tests.harness.rtsp import free_port

    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRWITNESS_", "DJANGO_", "PYTEST"))}
    folder, port = tmp_path / "home", free_port()
    found = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    address = next((a for a in found if "." in a and ipaddress.ip_address(a).is_private), "")
    if not address:
        pytest.skip("this machine has no address in a network of its own")

    def home(*words):
        command = [sys.executable, "-m", "fairwitness", "home", words[0], str(folder), *words[1:]]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert home("init").returncode == 0
    for bad in ("8.8.8.8", "127.0.0.1", "0.0.0.0", "home.local"):  # noqa: S104 - what is refused
        assert home("lan", "--address", bad).returncode == 1
    told = home("lan", "--address", address, "--port", str(port))
    assert told.returncode == 0, told.stderr
    authority = folder / "lan" / "ca.crt"
    assert ca.fingerprint(authority.read_bytes()) in told.stdout
    again = home("lan", "--address", address, "--port", str(port))
    assert ca.fingerprint(authority.read_bytes()) in again.stdout, "the authority stays while the address does"
    assert all((path.stat().st_mode & 0o777) == 0o600 for path in (folder / "keys").iterdir() if path.is_file())
    assert home("pair").returncode == 1, "it does not run yet"
    process = subprocess.Popen(
        [sys.executable, "-m", "fairwitness", "home", "run", str(folder)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        url = json.loads(process.stdout.readline())["url"]
        assert url == f"https://{address}:{port}"
        context = ssl.create_default_context(cafile=authority)
        with urllib.request.urlopen(f"{url}/pair", context=context) as answer:  # noqa: S310 - our own node
            assert answer.status == 200
            assert "Secure" in answer.headers["Set-Cookie"]
        with urllib.request.urlopen(f"{url}/ca.crt", context=context) as answer:  # noqa: S310
            assert answer.read() == authority.read_bytes()
        with pytest.raises(OSError):
            urllib.request.urlopen(f"{url}/pair", context=ssl.create_default_context())  # noqa: S310
        shown = home("pair").stdout
        assert f"{url}/pair#" in shown
        assert shown.count("█") > 100, "and its QR code"
    finally:
        process.terminate()
        process.stdout.close()
        process.wait(30)
