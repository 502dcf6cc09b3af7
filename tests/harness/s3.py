"""S3 servers for tests: moto, which knows every feature and checks no signature, and nanio, which is the other way round."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from obstore import exceptions as faults

from fairwitness.kit import blobs_s3

KEY, SECRET = "AKIAFAIRWITNESS00000", "test-secret-of-no-other-use"


@dataclass
class Server:
    endpoint: str
    conditional: bool

    def bucket(self, *, versions: bool = False):
        """Make a new bucket and return its name."""
        name = f"fw-{secrets.token_hex(6)}"
        client = self.client()
        client.create_bucket(Bucket=name)
        if versions:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}),
        )

    def paths(self, bucket: str) -> list[str]:
        """Every object that is in the bucket, as another client sees it."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))


RUNNING: Server | None = None
"""The server of this whole test process, where it has one."""


def credentials(folder: Path, *, secret: str = SECRET) -> Path:
    path = folder / "s3.toml"
    path.write_text(f'access_key_id = "{KEY}"\nsecret_access_key = "{secret}"\n')
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def unthreaded(server: Server, bucket: str, prefix: str) -> Iterator[None]:
    """Put a client without threads in the place of the program's own, for a process that forks later: no thread survives that."""
    client = server.client()

    def path(name: str) -> str:
        return f"{prefix}/{name}"

    @contextlib.contextmanager
    def told() -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response["ResponseMetadata"]["HTTPStatusCode"]
            kinds = {404: faults.NotFoundError, 412: faults.AlreadyExistsError, 409: faults.AlreadyExistsError}
            raise kinds.get(code, faults.GenericError)(str(code)) from None

    def put(_store, name, data, *, mode="overwrite", use_multipart=False):
        with told():
            extra = {"IfNoneMatch": "*"} if mode == "create" else {}
            return {"version": client.put_object(Bucket=bucket, Key=path(name), Body=bytes(data), **extra).get("VersionId")}

    def get(_store, name):
        with told():
            data = client.get_object(Bucket=bucket, Key=path(name))["Body"].read()
        return SimpleNamespace(meta={"size": len(data)}, bytes=lambda: data)

    def delete(_store, name):
        with told():
            client.delete_object(Bucket=bucket, Key=path(name))

    def listed(_store, folder):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{path(folder)}/")
        for page in pages:
            found = page.get("Contents", ())
            yield [{"path": entry["Key"].removeprefix(f"{prefix}/"), "size": entry["Size"]} for entry in found]

    def get_range(store, name, *, start, length):
        return get(store, name).bytes()[start : start + length]

    plain = blobs_s3.obstore
    blobs_s3.obstore = SimpleNamespace(put=put, get=get, get_range=get_range, head=get, delete=delete, list=listed)
    try:
        yield
    finally:
        blobs_s3.obstore = plain


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _serving(command: list[str], port: int, environment: dict[str, str], conditional: bool) -> Iterator[Server]:
    process = subprocess.Popen(
        command,
        env={k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "NANIO_"))} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{command[0]} does not answer"
            time.sleep(0.1)
        yield Server(f"http://127.0.0.1:{port}", conditional)
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def moto() -> Iterator[Server]:
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _serving(command, port, {}, conditional=True) as server:
        yield server


@contextlib.contextmanager
def nanio(folder: Path) -> Iterator[Server]:
    port = _free_port()
    command = [sys.executable, "-m", "nanio", "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--data-dir", str(folder), "--no-access-log", "--log-level", "error"]
    environment = {"NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET}
    with _serving(command, port, environment, conditional=False) as server:
        yield server
