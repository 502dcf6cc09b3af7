"""A certificate for the owner's own network, signed by an authority that this home makes and that can sign for nothing else."""

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS: Final = 3650
LEAF_DAYS: Final = 397
"""Phones refuse certificates that last longer (825 days at most, 398 in current rules)."""
_SKEW: Final = timedelta(hours=1)


def make_ca(address: str, now: int) -> tuple[bytes, bytes]:
    """Return (certificate, key) in PEM of an authority that may sign for `address` alone (RFC 5280 4.2.1.10).

    `now`: Unix seconds UTC. Raises ValueError for what is no IP address.
    """
    place = ipaddress.ip_address(address)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Fairwitness home {address}")
    at = datetime.fromtimestamp(now, UTC)
    # A kind of name that no constraint mentions may be signed for freely (4.2.1.10): a certificate for an address says
    # nothing about names. So every DNS name is excluded (an empty one matches all), and any use but a server's.
    only = x509.NameConstraints(
        [x509.IPAddress(ipaddress.ip_network(f"{address}/{place.max_prefixlen}"))],
        [x509.DNSName("")],
    )
    builder = (
        _builder(name, name, key.public_key(), at, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(only, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pem(builder.sign(key, hashes.SHA256())), _secret(key)


def make_leaf(ca: bytes, ca_key: bytes, address: str, now: int) -> tuple[bytes, bytes]:
    """Return (certificate, key) in PEM for a server at `address`, signed by `ca`. Raises ValueError."""
    authority = x509.load_pem_x509_certificate(ca)
    signer = serialization.load_pem_private_key(ca_key, None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is of another kind")  # noqa: TRY004 - the file's content is wrong, not a type here
    key = ec.generate_private_key(ec.SECP256R1())
    at = datetime.fromtimestamp(now, UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    builder = (
        # No name that a verifier could take for a host: the authority may sign for none.
        _builder(_name(f"This home at {address}"), authority.subject, key.public_key(), at, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternative, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return _pem(builder.sign(signer, hashes.SHA256())), _secret(key)


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a PEM certificate as phones show it: pairs of capital digits with colons."""
    return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex(":").upper()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, at: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - _SKEW)
        .not_valid_after(at + timedelta(days=days))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
