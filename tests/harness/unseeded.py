# ruff: noqa: PLC0415 - a role can be imported only in a process that is set up as it
"""The reviewed list of what draws randomness that no seed reaches, and how the harness holds it still.

Python's own randomness (`os.urandom`, `secrets`, `random`) is replaced by a seeded stream before anything is imported. Two
libraries draw inside native code. Each of their calls that this project makes stands in CALLS; nothing else may be random:

    name                          what is random inside           how two worlds are made equal
    seal.new_identity             an X25519 key                   drawn from the seeded stream instead
    seal.seal_stream, seal_bytes  file key, ephemeral share,      the first ciphertext of (plaintext, recipients) is kept
                                  nonce (pyrage)                  for the whole run and replayed
    tokens.blind_batch            the blinding factors (voprf)    a process keeps its first batch for (nonces, hub, key)
    tokens.evaluate               the DLEQ proof's nonce (voprf)  the first answer to (key, request) is kept and replayed
    worker.pass_to_spool          seals in a child process        the first ciphertext of (cuts, recipients, manifest)
    agency's intake worker        re-seals in a child process     the same code in a fork, where the calls above replay

A replay is keyed by everything that goes in, so it equals another one exactly if the plaintexts are equal: that is what a
view compares. Nothing is left that would have to be compared by length alone; MASKED is for what may come.
"""

import hashlib
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = (
    "fairwitness_core.crypto.seal.new_identity",
    "fairwitness_core.crypto.seal.seal_stream",
    "fairwitness_core.crypto.seal.seal_bytes",
    "fairwitness_core.crypto.tokens.blind_batch",
    "fairwitness_core.crypto.tokens.evaluate",
    "fairwitness.kit.video.worker.pass_to_spool",
)

MASKED: tuple[tuple[str, str], ...] = ()
"""(table, column) pairs compared by length only."""

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _bech32(prefix: str, data: bytes) -> str:
    """Encode as Bech32 (BIP 173) with a long prefix, as age writes its identities."""
    values, held, bits = [], 0, 0
    for byte in data:
        held, bits = (held << 8) | byte, bits + 8
        while bits >= 5:
            bits -= 5
            values.append((held >> bits) & 31)
    if bits:
        values.append((held << (5 - bits)) & 31)
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = 1
    for value in [*expanded, *values, 0, 0, 0, 0, 0, 0]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place in range(5):
            check ^= _GENERATOR[place] if (top >> place) & 1 else 0
    check ^= 1
    return prefix + "1" + "".join(_ALPHABET[v] for v in [*values, *((check >> 5 * (5 - i)) & 31 for i in range(6))])


class Replay:
    """Ciphertexts and proofs of this run, in a folder that all its processes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def once(self, parts: tuple[Any, ...], make: Callable[[], bytes]) -> bytes:
        path = self.folder / hashlib.sha256(repr(parts).encode()).hexdigest()
        try:
            return path.read_bytes()
        except FileNotFoundError:
            data = make()
            spare = path.with_name(f"{path.name}.{os.getpid()}")
            spare.write_bytes(data)
            spare.replace(path)
            return data

    def install(self) -> None:
        """Put the replays in place of the library calls; before any role is imported."""
        import fairwitness_core.crypto.random as core_random
        from fairwitness_core.crypto import seal, tokens

        from fairwitness.kit.video import worker

        seal_stream, seal_bytes, evaluate = seal.seal_stream, seal.seal_bytes, tokens.evaluate
        batches: dict[tuple[Any, ...], Any] = {}
        blind_batch = tokens.blind_batch

        def new_identity() -> tuple[str, str]:
            secret = _bech32("age-secret-key-", core_random.token_bytes(32)).upper()
            return secret, seal.recipient_of(secret)

        def stream(source: Any, sink: Any, recipients: Any) -> None:
            plain = bytearray()
            while data := source.read(1 << 16):
                plain += data

            def make() -> bytes:
                out = io.BytesIO()
                seal_stream(io.BytesIO(plain), out, recipients)
                return out.getvalue()

            sealed = self.once(("stream", hashlib.sha256(plain).hexdigest(), tuple(recipients)), make)
            for start in range(0, len(sealed), 1 << 16):
                sink.write(sealed[start : start + (1 << 16)])

        def small(data: bytes, recipients: Any) -> bytes:
            key = ("bytes", hashlib.sha256(data).hexdigest(), tuple(recipients))
            return self.once(key, lambda: seal_bytes(data, recipients))

        def evaluated(key: Any, request: bytes) -> bytes:
            return self.once(("evaluate", key.key_id, request), lambda: evaluate(key, request))

        def blinded(nonces: Any, digest: bytes, issuer_pk: bytes) -> Any:
            key = (tuple(nonces), digest, issuer_pk)
            if key not in batches:
                batches[key] = blind_batch(nonces, digest, issuer_pk)
            return batches[key]

        seal.new_identity, seal.seal_stream, seal.seal_bytes = new_identity, stream, small
        tokens.blind_batch, tokens.evaluate = blinded, evaluated
        worker.pass_to_spool = self.spools(worker.pass_to_spool)

    def spools(self, original: Any) -> Any:
        """Seal an answer with clips once; the same clips under the same manifest get the same ciphertext again."""

        def pass_to_spool(job: Any, make_manifest: Any, **options: Any) -> Any:
            cuts = [(hashlib.sha256(c.source.read_bytes()).hexdigest(), c.start, c.end, c.mute, c.transcode) for c in job.cuts]
            known = self.folder / hashlib.sha256(repr(("clips", cuts)).encode()).hexdigest()
            if not known.exists():
                plain: list[Any] = []
                spare = job.spool.with_name("probe.age")

                def probe_manifest(clips: Any) -> bytes:
                    plain.append(clips)
                    return b"{}"

                original(type(job)(job.cuts, job.recipients, spare), probe_manifest, **options)
                spare.unlink()
                known.write_bytes(pickle.dumps(plain[0]))
            clips = pickle.loads(known.read_bytes())  # noqa: S301 - written above
            manifest = make_manifest(clips)

            def make() -> bytes:
                result = original(job, lambda again: manifest if again == clips else b"", **options)
                if result.clips != clips:
                    raise AssertionError("the same cuts gave two different clips")
                return pickle.dumps((result, job.spool.read_bytes()))

            key = ("spool", cuts, tuple(job.recipients), hashlib.sha256(manifest).hexdigest())
            result, sealed = pickle.loads(self.once(key, make))  # noqa: S301 - written above
            job.spool.write_bytes(sealed)
            job.spool.chmod(0o600)
            return result

        return pass_to_spool


class ForkedWorker:
    """Stands for `subprocess` in the agency's intake: the same worker code in a fork of this process, so that it replays too."""

    def __init__(self) -> None:
        import subprocess

        self.PIPE, self.DEVNULL, self.TimeoutExpired = subprocess.PIPE, subprocess.DEVNULL, subprocess.TimeoutExpired

    def run(self, _command: list[str], *, input: bytes, **_options: Any) -> Any:  # noqa: A002 - subprocess's own name
        from types import SimpleNamespace

        from fairwitness.agency import worker

        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                result = _done(worker, input)
                with os.fdopen(writing, "wb") as stream:
                    stream.write(result)
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            out = stream.read()
        os.waitpid(child, 0)
        return SimpleNamespace(stdout=out, returncode=0)


def _done(worker: Any, data: bytes) -> bytes:
    """What the worker's `main` writes, without the limits that a fork of a big process would break."""
    from types import SimpleNamespace

    out = io.BytesIO()
    worker._limit = lambda: None
    worker.sys = SimpleNamespace(stdin=SimpleNamespace(buffer=io.BytesIO(data)), stdout=SimpleNamespace(buffer=out))
    worker.main()
    return out.getvalue()
