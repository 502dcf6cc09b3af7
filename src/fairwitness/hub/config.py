"""What an operator sets in the hub's `config.toml`."""

from dataclasses import dataclass
from typing import ClassVar

from fairwitness.kit.config import BlobsConfig, RoleConfig, choice, limit


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishConfig:
    """A place that the beat keeps a copy of the public files in, for a static web server or a CDN.

    `to`: `s3://bucket/prefix`, or an absolute folder. For a bucket the rest is as under `[blobs]`; `credentials` names a file of
    its own, because its key needs to write nothing but there.
    """

    to: str
    endpoint: str = ""
    region: str = "us-east-1"
    credentials: str = "keys/publish.toml"
    write_once: str = choice("server", "server", "client")
    virtual_host: bool = False
    timeout_seconds: int = limit(60, low=1, high=3600)

    @property
    def bucket(self) -> BlobsConfig:
        """The place as a bucket's settings."""
        return BlobsConfig(
            url=self.to,
            endpoint=self.endpoint,
            region=self.region,
            credentials=self.credentials,
            write_once=self.write_once,
            virtual_host=self.virtual_host,
            timeout_seconds=self.timeout_seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(RoleConfig):
    """Settings of a hub. Tick length, ledgers and the first witness policy stand in the genesis and cannot be set here.

    `min_free_bytes`: free space below which uploads are refused. `moderators_required`: how many moderators a request
    needs (one more where an assembly overlaps). `census_file`: CSV of `cell,dwellings`; `assemblies_file`: iCalendar.
    `keep_days`: how long ciphertext waits to be collected, and how long rows about ended uploads stay for reconciliation.
    `submissions_per_hour`: what one agency may submit. `witness_seconds`: how long a witness may take to answer.
    `publish`: places for copies of the public files.
    """

    role: ClassVar[str] = "hub"

    min_free_bytes: int = limit(1 << 30, low=0, high=1 << 50)
    moderators_required: int = limit(1, low=1, high=8)
    census_file: str = ""
    assemblies_file: str = ""
    keep_days: int = limit(30, low=1, high=366)
    accounting_days: int = limit(400, low=30, high=3660)
    submissions_per_hour: int = limit(60, low=1, high=10_000)
    witness_seconds: int = limit(3, low=1, high=60)
    single_operator: bool = False
    publish: tuple[PublishConfig, ...] = ()
