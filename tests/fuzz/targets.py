"""Every parser of somebody else's bytes, one row each. `test_census.py` fails where one is missing."""

import contextlib
import functools
import io
import ipaddress
import json
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

from fairwitness_core.crypto import seal, tokens
from fairwitness_core.crypto.segments import SegmentReader, SegmentWriter, which_opens
from fairwitness_core.crypto.sign import PublicKey, SigningKey
from fairwitness_core.model import agency, call, custody, directory, feed, hub, recording, request, response
from fairwitness_core.model.document import Document, UnknownKind, kind_of
from fairwitness_core.rules import feed as judged
from fairwitness_core.rules.pinned import Pinned
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note, policy, proof, tiles
from fairwitness_core.verify import bag, layout, log, mp4, trust
from fairwitness_core.wire import canonical, dsse, frames
from fairwitness_core.wire.errors import ProtocolError

from core.tests.rules import feed_world
from core.tests.verify import bagworld, wire_examples
from fairwitness.home.adapters import chain, frigate, onvif_digest, onvif_discovery, onvif_rtp, plugin
from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.recordings import times
from fairwitness.hub import commands as hub_commands
from fairwitness.hub.errors import HubState
from fairwitness.kit import blobs, blobs_s3, config, foreign, http
from fairwitness.kit.operate import archive, backup, doctor
from fairwitness.kit.operate.role import BackupPlan
from fairwitness.kit.video import boxes, nal
from fairwitness.witness import app as witness_app
from fairwitness.witness import services as witness_services
from tests.fuzz.harness import Target

PROTOCOL = (ProtocolError,)
CORE = "fairwitness_core"
IDENTITY, RECIPIENT = seal.new_identity()


def kinds(base: type[Document] = Document) -> Iterable[type[Document]]:
    """Every wire document that is loaded."""
    for kind in base.__subclasses__():
        yield from kinds(kind)
        if kind.TYPE and not kind.__module__.startswith(("tests.", "core.tests")):
            yield kind


@functools.cache
def bag_world() -> bagworld.World:
    return bagworld.World()


@functools.cache
def feed_state() -> tuple[feed_world.World, judged.FeedState]:
    world = feed_world.World()
    world.publish(world.authorized())
    world.ticks(2)
    return world, world.joined()


@functools.cache
def examples() -> tuple[tuple[Document, str | None, list[SigningKey]], ...]:
    return tuple(wire_examples.documents(bag_world()))


def envelopes() -> list[bytes]:
    return [dsse.sign(kind, doc.encode(), *keys).encode() for doc, kind, keys in examples() if kind]


# ---------------------------------------------------------------- documents


def read_document(data: bytes) -> Document:
    """Read a document of whatever kind it says it is."""
    value = canonical.decode(data)
    name = kind_of(value)[0]
    for kind in kinds():
        if name == kind.TYPE:
            return kind.parse(data)
    raise UnknownKind("document.kind", "unknown")


def document_seeds() -> list[bytes]:
    made = [document.encode() for document, _, _ in examples()]
    links = (recording.ProofLink(sha256="1" * 64, pictures="2" * 64, start=0, end=1000, after="start"),)
    whole = {"clip": "clip-01.mp4", "salt": "3" * 64, "head": "4" * 64, "before": "5" * 64, "orig_salt": "6" * 64, "links": links}
    proof_of = recording.RecordingProof(response_id="0" * 64, pictures=(bytes(64),), **whole)  # type: ignore[arg-type]
    return [*made, proof_of.encode()]


def statement(data: bytes) -> custody.CustodyEvent | layout.Seal:
    try:
        return custody.CustodyEvent.from_statement(data)
    except ProtocolError:
        return layout.Seal.from_statement(data)


def statement_seeds() -> list[bytes]:
    return [doc.to_statement() for doc, _, _ in examples() if isinstance(doc, custody.CustodyEvent | layout.Seal)]


def signed_call(data: bytes) -> call.Call:
    """A call of an agency whose key signs whatever it likes."""
    world = bag_world()
    envelope = dsse.sign(dsse.CALL, data, world.console).encode()
    return call.verify_call(envelope, key_of=lambda _: [world.console.public], hub=world.join.genesis, now=bagworld.REQUEST_AT)


def signed_answer(data: bytes) -> Document:
    """Documents that an owner's key signs, each read as what it says it is."""
    key = bag_world().key("response Ortiz")
    envelope = dsse.sign(dsse.RESPONSE, data, key).encode()
    value = canonical.decode(data)
    for kind in kinds(response.ByResponder):
        if kind_of(value)[0] == kind.TYPE:
            return response.verify_responder(kind, envelope)
    raise UnknownKind("document.kind", "unknown")


# ---------------------------------------------------------------- the feed


def feed_lines() -> list[bytes]:
    world = bag_world()
    lines = []
    index = 1
    for document, kind, keys in examples():
        if kind == dsse.ENTRY:
            lines.append(feed.Line(index, dsse.sign(kind, document.encode(), *keys)))
            index += 2
    assert world
    return [b"".join(line.encode() for line in lines), lines[0].encode(), b"", *(line.encode() for line in lines[1:5])]


def container_seeds() -> list[bytes]:
    world, _ = feed_state()
    all_of = [container.encode() for container in world.containers.values()]
    return [_next_container(), all_of[-1] + _next_container(), all_of[0]]


@functools.cache
def _next_container() -> bytes:
    """The tick behind the one that the state stands at, with two requests and a change of keys in it."""
    base, _ = feed_state()
    world = feed_world.World()
    world.log.entries = list(base.log.entries)
    world.next_tick, world.prev_index, world.cut = base.next_tick, base.prev_index, base.cut
    at = world.next_tick * world.tick_seconds - 100
    world.publish(world.request(at=at))
    world.publish(agency.KeyRotated(agency=feed_world.AGENCY, add=(), remove=(world.officers[1].public.kid,), at=at))
    return world.tick(keep=False).encode()


def verified(data: bytes) -> Any:
    world, state = feed_state()
    found = None
    for container in feed.read_containers(data):
        container.lines()
        if judged.tick_number(container) < state.next_tick:
            continue
        found = judged.verify_container(state, container, now=world.now + 300, newest=True)
    return found


def hub_signs(data: bytes) -> Any:
    """A hub, its log and a quorum that stand behind any content: `data` are the tick's lines, without their places."""
    base, state = feed_state()
    world = feed_world.World()
    filler = world.signed(layout.SealedFile(sealed="0" * 64, size=1))
    rows = []
    world.log.entries = list(base.log.entries)
    after = base.directory()
    for place, row in enumerate(data.split(b"\n")[:50], base.cut):
        payload, tab, signers = row.rpartition(b"\t")
        rows.append(b"%d\t%s\t%s\n" % (place, payload, signers) if tab else row + b"\n")
        world.log.entries.append(filler)
        with contextlib.suppress(ProtocolError, AttributeError):
            for line in feed.parse_lines(rows[-1]):
                if canonical.decode(line.envelope.payload).get("type") in directory.DIRECTORY_TYPES:
                    after.apply(line)
    world.next_tick, world.prev_index, world.cut = base.next_tick, base.prev_index, base.cut
    container = world.tick(gzip=_packed(b"".join(rows)), keep=False, agencies=after.digest())
    return judged.verify_container(state, container, now=base.now + 300, newest=True)


def _packed(content: bytes) -> bytes:
    import zlib  # noqa: PLC0415 - only here

    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(content) + packer.flush()


def hub_signed_seeds() -> list[bytes]:
    world, _ = feed_state()
    at = world.next_tick * world.tick_seconds - 100
    officer, other = world.officers
    documents = [
        (world.request(at=at), world.officers),
        (world.request(2, at=at, emergency=True), world.officers),
        (request.RequestWithdrawn(request_id=f"{1:032x}", agency=feed_world.AGENCY, reason="resolved", at=at), [officer]),
        (
            request.RequestExtended(
                request_id=f"{1:032x}", agency=feed_world.AGENCY, expires=at + 9 * 86_400, reason="Neighbours were away.", at=at
            ),
            world.officers,
        ),
        (
            request.RequestResolved(
                request_id=f"{1:032x}", agency=feed_world.AGENCY, outcome="not_solved", at=at, words="Thanks."
            ),
            [officer],
        ),
        (agency.AgencySuspended(agency=feed_world.AGENCY, reason="court_order", at=at), [world.hub]),
        (agency.KeyRotated(agency=feed_world.AGENCY, add=(), remove=(other.public.kid,), at=at), [world.hub]),
        (hub.InboxEpoch(day="20260601", root=bytes(32), leaves=64, at=at), [world.hub]),
    ]
    rows = [feed.Line(0, dsse.sign(dsse.ENTRY, doc.encode(), *keys)).encode()[2:-1] for doc, keys in documents]
    return [*rows, b"\n".join(rows)]


def read_directory(data: bytes) -> directory.Directory:
    return directory.Directory.read(bag_world().hub.public, data)


def pin_join(data: bytes) -> Any:
    """What a home does with a join file: the genesis is the one that it names, signed by whatever key it names."""
    join = hub.JoinFile.parse(data.removesuffix(b"\n"))
    found = trust.TrustPolicy.from_join(join)
    found.fingerprints()
    with contextlib.suppress(ProtocolError):
        Pinned.of(join, bag_world().genesis_entry)
    return join


# ---------------------------------------------------------------- responses


class _Sink:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self, _digest: frames.ClipDigest) -> None:
        pass


def read_frames(data: bytes) -> tuple[tuple[tuple[str, bytes], ...], bytes]:
    sinks: list[tuple[str, _Sink]] = []

    def opened(name: str) -> _Sink:
        sinks.append((name, _Sink()))
        return sinks[-1][1]

    reader = frames.FrameReader(opened)
    for at in range(0, len(data), 1000):
        reader.write(data[at : at + 1000])
    whole = reader.finish()
    return tuple((name, bytes(sink.data)) for name, sink in sinks), whole.manifest


def write_frames(found: tuple[tuple[tuple[str, bytes], ...], bytes]) -> bytes:
    clips, manifest = found
    source = frames.FrameSource([(name, [data]) for name, data in clips], lambda _digests: manifest)
    return b"".join(iter(lambda: source.read(1 << 16), b""))


def frame_seeds() -> list[bytes]:
    clip = b"picture" * 40
    return [
        write_frames(((("clip-01.mp4", clip),), b'{"m":1}')),
        write_frames(((("clip-01.mp4", clip), ("clip-02.mp4", b"x")), b"{}")),
        write_frames(((), b"{}")),
    ]


def read_segments(data: bytes) -> bytes:
    with SegmentReader(io.BytesIO(data), [IDENTITY]) as reader:
        return reader.read()


def segment_seeds() -> list[bytes]:
    made = []
    for size in (0, 1, 3000):
        sink = io.BytesIO()
        writer = SegmentWriter(sink, [RECIPIENT])
        writer.write(bytes(size))
        writer.close()
        made.append(sink.getvalue())
    return made


def forged_segments(data: bytes) -> bytes:
    """Somebody who knows the recipient seals any heads and contents, in any order: `data` is u8 length and plain, repeated."""
    out, at = bytearray(b"FWS1"), 0
    for _ in range(6):
        if at >= len(data):
            break
        plain = data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
        sealed = seal.seal_bytes(plain, [RECIPIENT])
        out += len(sealed).to_bytes(4, "big") + sealed
    return read_segments(bytes(out))


def forged_seeds() -> list[bytes]:
    def head(number: int, last: int, body: bytes) -> bytes:
        plain = bytes(16) + number.to_bytes(8, "big") + bytes([last]) + body
        return bytes([len(plain)]) + plain

    return [head(0, 1, b"abc"), head(0, 0, b"abc") + head(1, 1, b"d"), head(0, 1, b"")]


def opens(data: bytes) -> Any:
    which_opens([IDENTITY], io.BytesIO(data))
    return seal.open_bytes(data, [IDENTITY])


def sealed_seeds() -> list[bytes]:
    two = seal.new_identity()[1]
    return [seal.seal_bytes(b"", [RECIPIENT]), seal.seal_bytes(b"x" * 900, [RECIPIENT, two]), b"age-encryption.org/v1\n"]


# ---------------------------------------------------------------- the log


def note_seeds() -> list[bytes]:
    world = bag_world()
    return [world.public.head(bagworld.REQUEST_AT).encode(), world.sealed.head(bagworld.REQUEST_AT).encode()]


def judge_note(data: bytes) -> note.Note:
    world = bag_world()
    found = note.Note.parse(data)
    for key in (*(item.key for item in world.policy.witnesses), world.public.vkey):
        try:
            found.signature_of(key)
            cosignature.verify(found, key) if key.algorithm == note.COSIGNATURE else found.verified_by(key)
        except ProtocolError:
            continue
    try:
        checkpoint.Checkpoint.parse(found.text)
        world.policy.verify(found)
    except ProtocolError:
        pass
    return found


def text_target(function: Any) -> Any:
    """A parser of text, given bytes: what is not UTF-8 never reaches it in the program."""

    def run(data: bytes) -> Any:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("text.utf8", "not text") from error
        return function(text)

    return run


def prove(data: bytes) -> proof.TlogProof:
    world = bag_world()
    found = proof.TlogProof.parse(data)
    with contextlib.suppress(ProtocolError):
        found.verify(world.policy, world.request_entry)
    return found


def proof_seeds() -> list[bytes]:
    world, _ = feed_state()
    return [bag_world().public.prove(1, bagworld.REQUEST_AT), *(c.proof.encode() for c in world.containers.values())]


def add_checkpoint_seeds() -> list[bytes]:
    head = note_seeds()[0]
    return [cosignature.add_checkpoint_body(0, (), head), cosignature.add_checkpoint_body(3, (bytes(32), b"\1" * 32), head)]


def policy_of(data: bytes) -> policy.Policy:
    found = policy.Policy.parse(data)
    found.met([witness.name for witness in found.witnesses])
    return found


def policy_seeds() -> list[bytes]:
    text = bag_world().policy.encode()
    return [text, b"# words\n\n" + text.replace(b" ", b"\t"), b"quorum none\n"]


WIDTH = 3


def merkle_proofs(data: bytes) -> Any:
    """Index, size and a path that somebody sent."""
    index, size = int.from_bytes(data[:8], "big"), int.from_bytes(data[8:16], "big")
    path = [data[at : at + 32] for at in range(80, len(data), 32)]
    with contextlib.suppress(ProtocolError):
        merkle.verify_consistency(index, data[16:48], size, data[48:80], path)
    merkle.verify_inclusion(data[16:48], index, size, path, data[48:80])


def whole_log(data: bytes) -> Any:
    """A published log of which the first byte chooses one file to replace."""
    world = bag_world()
    leaves = world.public.leaves
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    files = {
        "checkpoint": world.public.head(bagworld.REQUEST_AT).encode(),
        tiles.entries_path(0, len(leaves)): tiles.encode_bundle(leaves),
        tiles.tile_path(0, 0, len(leaves)): b"".join(hashes),
    }
    name = sorted(files)[data[0] % 3] if data else "checkpoint"
    report = log.check_log((files | {name: data[1:]}).__getitem__, world.policy, world.public.vkey)
    report.ok  # noqa: B018 - the property is evaluated
    return None


def log_seeds() -> list[bytes]:
    leaves = bag_world().public.leaves
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    ordered = [note_seeds()[0], tiles.encode_bundle(leaves), b"".join(hashes)]
    names = sorted(["checkpoint", tiles.entries_path(0, len(leaves)), tiles.tile_path(0, 0, len(leaves))])
    contents = dict(
        zip(["checkpoint", tiles.entries_path(0, len(leaves)), tiles.tile_path(0, 0, len(leaves))], ordered, strict=True)
    )
    return [bytes([at]) + contents[name] for at, name in enumerate(names)]


def signed_log_entry(data: bytes) -> Any:
    """A log that signs any entry: what its checker makes of the entry's own words."""
    world = bag_world()
    own = bagworld.Log("fuzz.example/log", world.key("fuzz log"), world.witnesses)
    own.append(data[:60_000])
    files = {
        "checkpoint": own.head(bagworld.REQUEST_AT).encode(),
        tiles.entries_path(0, 1): tiles.encode_bundle(own.leaves),
        tiles.tile_path(0, 0, 1): merkle.leaf_hash(own.leaves[0]),
    }
    assert log.check_log(files.__getitem__, None, own.vkey).ok


# ---------------------------------------------------------------- evidence bags


def judge_bag(data: bytes) -> Any:
    """A bag of which the first byte chooses a file to replace, and the second whether the lists are made to fit."""
    world = bag_world()
    names = sorted(world.files)
    if len(data) < 2:
        raise ProtocolError("none", "no bag")
    files = dict(world.files)
    files[names[data[0] % len(names)]] = data[2:]
    if data[1] & 1:
        relist(files)
    bag.verify_bag(bagworld.MemoryFiles(files), world.trust if data[1] & 2 else None)


def relist(files: dict[str, bytes]) -> None:
    def sums(prefix: str, chosen: Iterable[str]) -> bytes:
        return layout.sums({name.removeprefix(prefix): layout.Digest.of(files[name]).sha256 for name in chosen})

    files[layout.MANIFEST] = sums("bag/", [n for n in files if n.startswith("bag/data/")])
    skipped = ("bag/data/", "seal/", layout.TAGMANIFEST)
    files[layout.TAGMANIFEST] = sums("bag/", [n for n in files if not n.startswith(skipped)])
    files[layout.SEAL_SUMS] = sums("seal/", [n for n in files if n.startswith("seal/") and n != layout.SEAL_SUMS])


def bag_seeds() -> list[bytes]:
    world = bag_world()
    names = sorted(world.files)
    return [bytes([at % 256, at % 4]) + world.files[name] for at, name in enumerate(names) if not name.endswith(".mp4")]


# ---------------------------------------------------------------- tokens


def token_bytes(data: bytes) -> Any:
    """What an issuer and its client are sent: the first byte says which of the four messages it is."""
    key = tokens.IssuerKey(b"\7" * 32)
    kind, rest = (data[0] % 4 if data else 0), data[1:]
    if kind == 0:
        return tokens.TokenChallenge.decode(rest)
    if kind == 1:
        token = tokens.Token.decode(rest)
        with contextlib.suppress(ProtocolError):
            tokens.verify(key, token, digest=bytes(32), response_pk=bytes(32))
        return token
    if kind == 2:
        return tokens.evaluate(key, rest)
    if len(rest) == tokens.ELEMENT_SIZE:
        return tokens.blind_batch([bytes(32)], bytes(32), rest)
    pending, _ = tokens.blind_batch([bytes(32)], bytes(32), key.public)
    return pending.finalize([rest])


def token_seeds() -> list[bytes]:
    key = tokens.IssuerKey(b"\7" * 32)
    pending, requests = tokens.blind_batch([bytes(32)], bytes(32), key.public)
    answer = tokens.evaluate(key, requests[0])
    (token,) = pending.finalize([answer])
    challenge = tokens.TokenChallenge("hub.example", "hub.example").encode()
    return [b"\0" + challenge, b"\1" + token.encode(), b"\2" + requests[0], b"\3" + answer, b"\3" + key.public]


def token_object(data: bytes) -> tokens.Token:
    return tokens.Token.decode(data)


# ---------------------------------------------------------------- the kit


def toml_config(data: bytes) -> Any:
    """A role's configuration file, which a backup from elsewhere may bring along."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / config.FILE_NAME).write_bytes(data)
        before, role = config._current, config._role
        try:
            return config.load(config.RoleConfig, Path(name))
        finally:
            config._current, config._role = before, role


def toml_seeds() -> list[bytes]:
    oidc = {"id": "city", "name": "City", "server_url": "https://x.test", "client_id": "a", "client_secret": "b"}
    values = {"name": "Hub", "port": 8000, "public_url": "https://hub.example", "allowed_hosts": ["a.example"], "oidc": [oidc]}
    stores = {"database": {"url": "postgresql://u@h:5432/n", "connections": 4}, "blobs": {"url": "s3://bucket/prefix"}}
    return [config.dump(values).encode(), config.dump(stores).encode(), b""]


def clean_boxes(data: bytes) -> Any:
    return boxes.check_clean(io.BytesIO(data))


@functools.cache
def clip_file() -> bytes:
    from fairwitness.kit.video.fmp4 import AudioTrack, Sample, VideoTrack, Writer  # noqa: PLC0415 - only here

    record = nal.ParameterSets((bytes([0x67, 66, 0, 30, 1, 2]),), (bytes([0x68, 1]),), 4).record()
    writer = Writer(VideoTrack(64, 48, 0, (1, 1), record), AudioTrack(1, b"\x11\x88"), 2.0)
    picture = (5).to_bytes(4, "big") + b"\x65abcd"
    video = [Sample(n * 3000, 3000, 0, n == 0, picture) for n in range(3)]
    sound = [Sample(n * 1024, 1024, 0, True, b"sound") for n in range(3)]
    later = [Sample(9000 + n * 3000, 3000, 0, n == 0, picture) for n in range(2)]
    return writer.head() + writer.fragment(video, sound) + writer.fragment(later, [])


def pictures(data: bytes) -> Any:
    """Codec headers and a sample: u16 length of the headers, the headers, the sample."""
    size = int.from_bytes(data[:2], "big")
    extradata, sample = data[2 : 2 + size], data[2 + size :]
    sets = nal.parameter_sets(extradata or None, sample)
    if sets is None:
        raise ProtocolError("none", "nothing found")
    record = sets.record()
    again = nal.parameter_sets(record)
    assert again is not None
    assert (again.sps, again.pps) == (sets.sps, sets.pps)
    return nal.Cleaner(sets).clean(sample)


def picture_seeds() -> list[bytes]:
    high = bytes([0x67, 100, 0, 30, 0xAC, 0xB2, 0x02, 0x80, 0x2D, 0xD8])
    annexb = b"\0\0\0\1" + high + b"\0\0\1\x68\xeb\0\0\1\x06\x05\x01\xff\0\0\1\x65abc"
    record = nal.ParameterSets((high,), (b"\x68\xeb",), 4).record()
    sample = (4).to_bytes(4, "big") + b"\x65abc" + (2).to_bytes(4, "big") + b"\x06\x01"
    return [b"\0\0" + annexb, len(record).to_bytes(2, "big") + record + sample]


def open_archive(data: bytes) -> Any:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        found = archive.Archive.open(Path(file.name))
        return [(entry.path, source.read()) for entry, source in found.members()]


@functools.cache
def archive_seed() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        writer = archive.Writer(Path(folder) / "a.tar")
        writer.add_bytes("config.toml", b'name = "x"\n')
        writer.add_bytes("keys/node.key", b"k" * 600)
        writer.finish({"role": "hub"})
        return (Path(folder) / "a.tar").read_bytes()


def manifest_of_archive(data: bytes) -> Any:
    """An archive whose manifest says anything."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
        info = tarfile.TarInfo(archive.MANIFEST)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return open_archive(buffer.getvalue())


def manifest_seeds() -> list[bytes]:
    digest = layout.Digest.of(b"x").sha256
    value = {"v": 1, "type": "backup", "role": "hub", "files": [{"path": "a", "size": 1, "sha256": digest}]}
    return [json.dumps(value).encode()]


def sealed_keys(data: bytes) -> Any:
    with tempfile.NamedTemporaryFile() as file:
        file.write(seal.seal_bytes(data[:100_000], [RECIPIENT]))
        file.flush()
        return backup._open_keys(Path(file.name), IDENTITY)


def withheld(data: bytes) -> Any:
    """The list of rows in a file of sealed keys, which anyone who knows the recipient can make."""
    plan = BackupPlan(blank=(("home_pin", "invite"),))
    found = backup._read_withheld(data, plan)
    assert set(found) <= {config.FILE_NAME, "home_pin.invite"}
    return found


def heads(data: bytes) -> Any:
    return doctor.read_heads(http.Response(200, {}, data))


def bucket_index(data: bytes) -> Any:
    return blobs_s3._Index.parse(data)


def index_seeds() -> list[bytes]:
    return [blobs_s3._Index(3, bytes(32), (blobs_s3._Piece("a/b", 1), blobs_s3._Piece("a/c", 2))).encode()]


# ---------------------------------------------------------------- the home


def link(data: bytes) -> chain.Link:
    return chain.Link.parse(data)


def link_seeds() -> list[bytes]:
    made = chain.Link(0, 1000, 2000, 5, "a" * 64, "b" * 64, "2026/a.mp4", "h264", "start", 12, -3)
    return [made.encode()[:-1], chain.Link(1, 1, 2, 0, "0" * 64, "1" * 64, "x", "hevc", "").encode()[:-1]]


def read_time(text: str) -> Any:
    times.from_name(text)
    for zone in (None, "Europe/Berlin", "UTC"):
        found = times.decide(text, 1_780_000_000, 60.0, times.CameraClock(zone=zone))
    return found


def time_seeds() -> list[bytes]:
    return [
        b"20251103_140500.mp4", b"2025-11-03/14/front/05.30.mp4", b"front-1762178700.123456-abc123.mp4", b"20251103/14/05.mp4",
        b"25-11-03/14-05-00_front_1.mp4", b"Mp4Record/RecM01_20251103_140500_140530_6D_1.mp4",
        b"Drive 11-23-2025, 14.05.00 GMT+2.mp4", b"Drive 1-23-2025 2.05.00 p.m. UTC.mp4", b"2025-11-03T14:05:00+05:30.mp4",
        b"20251103T140500Z", "\uff12\uff10\uff12\uff151103_140500.mp4".encode(), "20²51103_140500".encode(),
    ]  # fmt: skip


class _Recorder:
    """A Frigate that answers every call with the same bytes."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def send(self, method: str, url: str, headers: Any, body: Any, timeout: float) -> http.Answer:
        if url.endswith("/api/login"):
            return http.Answer(200, {"set-cookie": f"frigate_token={'a' * 20}; HttpOnly"}, iter([]))
        return http.Answer(200, {}, iter([self.body]))


def recorder_answer(data: bytes) -> Any:
    client = frigate.Client("https://192.168.1.10:8971", "u", "p", transport=_Recorder(data))
    found: list[Any] = []
    for ask in (
        lambda: client.about("front"),
        lambda: [(s, s.path("front")) for s in client.segments("front", 1.0, 2.0)],
        lambda: client.unavailable("front", 1.0, 2.0),
        lambda: client.marks("front", 1.0, 2.0),
    ):
        try:
            found.append(ask())
        except SourceProblem:
            found.append(None)
    return found


def recorder_seeds() -> list[bytes]:
    return [
        b'{"role":"shared","allowed_cameras":["front"]}',
        b'[{"start_time":1700000000.5,"end_time":1700000010.25}]',
        b'[{"start_time":"2026-01-01T00:00:00","end_time":null,"severity":"alert","data":{"objects":["person"]},"label":"car"}]',
        b"0.18.0-abc",
    ]


def address(text: str) -> Any:
    with contextlib.suppress(ProtocolError):
        frigate.check_camera(text)
    return frigate.check_address(text)


class _Plugin(plugin.Program):
    """A plug-in that answers every question with the same line; no program is started."""

    def __init__(self, line: bytes) -> None:
        self._keep, self._number, self._said = (lambda _secret: None), 1, line

    def ask(self, do: str, seconds: float = 0, **values: object) -> dict[str, Any]:
        return self._read(0)

    def _line(self, until: float) -> bytes:
        return self._said


def plugin_line(data: bytes) -> Any:
    made = _Plugin(data)
    for ask in (made.hello, made.devices, lambda: made.recordings("d", 0, 2**33)):
        with contextlib.suppress(SourceProblem):
            ask()


def plugin_seeds() -> list[bytes]:
    return [
        b'{"id":1,"protocol":1,"name":"ring","version":"1.0","vendor":"Vendor","secret":"s"}',
        b'{"id":1,"devices":[{"id":"a","name":"Porch"}],"recordings":[{"id":"r","start":5.5,"seconds":60}]}',
        b'{"id":1,"error":"rate"}',
    ]


def device_answers(data: bytes) -> Any:
    """What a camera or a recorder on the network sends: a description, packets, reports, a challenge, a found device."""
    place = onvif_discovery.Place("192.168.1.2", ipaddress.IPv4Network("192.168.1.0/24"))
    onvif_discovery.read(data, "192.168.1.9", place, ["urn:uuid:1"])
    onvif_rtp.read_report(data)
    with contextlib.suppress(UnicodeDecodeError):
        onvif_digest.parse(data.decode())
    for read in (lambda: onvif_rtp.read_sdp(data, "rtsp://192.168.1.9/x"), lambda: onvif_rtp.read_packet(data)):
        with contextlib.suppress(ProtocolError):
            read()


def device_seeds() -> list[bytes]:
    sdp = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 sprop-parameter-sets=Z0IAHg==,aM4=\r\n"
    sdp += b"a=control:t\r\n"
    packet = bytes([0x90, 0xE0]) + bytes(10) + b"\xab\xac\0\3" + bytes(12) + b"\x65abc"
    report = bytes([0x80, 200, 0, 6]) + bytes(24)
    soap = (
        b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        b'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
        b'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><s:Header><a:RelatesTo>urn:uuid:1</a:RelatesTo></s:Header><s:Body>'
        b"<d:ProbeMatches><d:ProbeMatch><d:XAddrs>http://192.168.1.9/onvif/device_service</d:XAddrs><d:Scopes>onvif://x/name/Cam"
        b"</d:Scopes></d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"
    )
    return [sdp, packet, report, soap, b'Digest realm="a", nonce="b", qop="auth", algorithm=SHA-256']


# ---------------------------------------------------------------- the witness


@functools.cache
def witness() -> Any:
    folder = Path(tempfile.mkdtemp(prefix="fairwitness-fuzz-"))
    world = bag_world()
    witness_services.init(folder / "w", "w.example", seed=b"\3" * 32)
    witness_services.trust(folder / "w", world.public.origin, world.public.vkey.encode())
    return witness_app.make_app(folder / "w", lambda: bagworld.REQUEST_AT)


def ask_witness(data: bytes) -> Any:
    """A POST to the witness: whatever it is, the answer is below 500."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {"REQUEST_METHOD": "POST", "PATH_INFO": "/add-checkpoint", "wsgi.input": io.BytesIO(data)}
    environ |= {"CONTENT_LENGTH": str(len(data)), "wsgi.errors": io.StringIO()}
    statuses: list[str] = []
    b"".join(witness()(environ, lambda status, _headers: statuses.append(status)))
    assert statuses[0] < "500", statuses
    return None


def _t(name: str, covers: str, run: Any, seeds: Any, allowed: Any = PROTOCOL, **more: Any) -> Target:
    return Target(name, tuple(covers.split()), run, seeds, allowed, **more)


W, M, T = f"{CORE}.wire", f"{CORE}.model", f"{CORE}.tlog"
TARGETS: tuple[Target, ...] = (
    _t("canonical", f"{W}.canonical:decode", canonical.decode, document_seeds, encode=canonical.encode, canonical=True,
       shape="json"),
    _t("envelope", f"{W}.dsse:Envelope.parse {W}.dsse:unb64", dsse.Envelope.parse, envelopes, encode=dsse.Envelope.encode,
       canonical=True, shape="json"),
    _t("document", f"{M}.document:Document.parse {M}.document:Document.from_document {M}.document:Part.from_json "
       f"{M}.document:kind_of {W}.fields:base64_bytes {W}.fields:base64_bytes.decode {W}.fields:integer.decode "
       f"{W}.fields:boolean.decode {W}.fields:text.decode {W}.fields:cell.decode {W}.fields:one_of.decode "
       f"{W}.fields:array.decode {W}.fields:optional.decode", read_document, document_seeds, encode=Document.encode,
       canonical=True, shape="json", examples=500),
    _t("statement", f"{M}.custody:CustodyEvent.from_statement {CORE}.verify.layout:Seal.from_statement", statement,
       statement_seeds, encode=lambda found: found.to_statement(), canonical=True, shape="json"),
    _t("call", f"{M}.call:verify_call", signed_call, lambda: [d.encode() for d, _, _ in examples() if isinstance(d, call.Call)],
       encode=Document.encode, canonical=True, shape="json"),
    _t("answer", f"{M}.response:verify_responder", signed_answer,
       lambda: [d.encode() for d, _, _ in examples() if isinstance(d, response.ByResponder)],
       encode=Document.encode, canonical=True, shape="json"),
    _t("lines", f"{M}.feed:parse_lines", lambda data: list(feed.parse_lines(data)), feed_lines,
       encode=lambda lines: b"".join(line.encode() for line in lines), canonical=True),
    _t("gzip", f"{M}.feed:decompress", feed.decompress, lambda: [_packed(b""), _packed(b"abc" * 900), _packed(bytes(1 << 22))]),
    _t("containers", f"{M}.feed:read_containers", lambda data: list(feed.read_containers(data)), container_seeds,
       encode=lambda found: b"".join(c.encode() for c in found), canonical=True),
    _t("verify-container", f"{CORE}.rules.feed:verify_container {M}.feed:Container.lines", verified, container_seeds),
    _t("hub-signs", f"{CORE}.rules.reading:Reading.read {CORE}.rules.feed:verify_container", hub_signs, hub_signed_seeds),
    _t("directory", f"{M}.directory:Directory.read", read_directory, lambda: [bag_world().files[layout.DIRECTORY], b""],
       encode=lambda found: found.encode(), canonical=True, same=lambda one, other: one.encode() == other.encode()),
    _t("join", f"{CORE}.rules.pinned:Pinned.of {CORE}.verify.trust:TrustPolicy.from_join", pin_join,
       lambda: [bag_world().join.encode(), feed_state()[0].join.encode()], shape="json"),
    _t("trust", f"{CORE}.verify.trust:TrustPolicy.read", trust.TrustPolicy.read,
       lambda: [bag_world().trust.encode(), bag_world().join.encode() + b"\n"], encode=Document.encode, shape="json"),
    _t("frames", f"{W}.frames:FrameReader.write {W}.frames:FrameReader.finish", read_frames, frame_seeds, encode=write_frames,
       canonical=True),
    _t("segments", f"{CORE}.crypto.segments:SegmentReader.readinto", read_segments, segment_seeds),
    _t("forged-segments", f"{CORE}.crypto.segments:SegmentReader.readinto", forged_segments, forged_seeds, examples=60),
    _t("sealed", f"{CORE}.crypto.seal:open_bytes {CORE}.crypto.seal:open_stream {CORE}.crypto.segments:which_opens", opens,
       sealed_seeds),
    _t("recipient", f"{CORE}.crypto.seal:check_recipient", text_target(seal.check_recipient), lambda: [RECIPIENT.encode()],
       encode=str.encode, canonical=True),
    _t("note", f"{T}.note:Note.parse {T}.cosignature:verify {T}.policy:Policy.verify", judge_note, note_seeds,
       encode=note.Note.encode, canonical=True),
    _t("vkey", f"{T}.note:VerifierKey.parse {T}.note:decode_base64", text_target(note.VerifierKey.parse),
       lambda: [bag_world().public.vkey.encode().encode()], encode=lambda key: key.encode().encode(), canonical=True),
    _t("signature-lines", f"{T}.note:parse_signature_lines {T}.note:SignatureLine.parse", note.parse_signature_lines,
       lambda: [note_seeds()[0].rpartition(b"\n\n")[2]], encode=note.encode_signature_lines, canonical=True),
    _t("checkpoint", f"{T}.checkpoint:Checkpoint.parse {T}.checkpoint:parse_number", text_target(checkpoint.Checkpoint.parse),
       lambda: [note.Note.parse(item).text.encode() for item in note_seeds()], encode=lambda found: found.encode().encode(),
       canonical=True),
    _t("add-checkpoint", f"{T}.cosignature:parse_add_checkpoint", cosignature.parse_add_checkpoint, add_checkpoint_seeds,
       encode=cosignature.AddCheckpoint.encode, canonical=True),
    _t("proof", f"{T}.proof:TlogProof.parse {T}.proof:TlogProof.verify", prove, proof_seeds, encode=proof.TlogProof.encode,
       canonical=True),
    _t("policy", f"{T}.policy:Policy.parse", policy_of, policy_seeds, encode=policy.Policy.encode),
    _t("tile-path", f"{T}.tiles:parse_path", text_target(tiles.parse_path),
       lambda: [b"tile/0/x001/234.p/7", b"tile/entries/000", b"tile/7/x999/x999/x999/x999/x999/x999/999"],
       encode=lambda found: found.encode().encode(), canonical=True),
    _t("tile", f"{T}.tiles:parse_tile", lambda data: tiles.parse_tile(data, WIDTH), lambda: [bytes(96)], encode=b"".join,
       canonical=True),
    _t("bundle", f"{T}.tiles:parse_bundle", lambda data: tiles.parse_bundle(data, WIDTH),
       lambda: [tiles.encode_bundle([b"", b"a", b"bcd" * 200])], encode=tiles.encode_bundle, canonical=True),
    _t("merkle", f"{T}.merkle:verify_inclusion {T}.merkle:verify_consistency", merkle_proofs,
       lambda: [bytes(15) + b"\1" + bytes(64), (1).to_bytes(8, "big") + (3).to_bytes(8, "big") + bytes(64 + 64)]),
    _t("log", f"{CORE}.verify.log:check_log", whole_log, log_seeds),
    _t("log-entry", f"{CORE}.verify.log:_kind", signed_log_entry, envelopes, allowed=(), shape="json"),
    _t("sums", f"{CORE}.verify.layout:parse_sums", layout.parse_sums, lambda: [bag_world().files[layout.TAGMANIFEST]],
       encode=layout.sums, canonical=True),
    _t("bag", f"{CORE}.verify.bag:verify_bag {CORE}.verify.intake:Intake.read {CORE}.verify.bag:_Procedure._roots", judge_bag,
       bag_seeds, examples=60),
    _t("tokens", f"{CORE}.crypto.tokens:TokenChallenge.decode {CORE}.crypto.tokens:evaluate {CORE}.crypto.tokens:verify "
       f"{CORE}.crypto.tokens:IssuerKey.answer {CORE}.crypto.tokens:Pending.finalize {CORE}.crypto.tokens:blind_batch",
       token_bytes, token_seeds, examples=80),
    _t("token", f"{CORE}.crypto.tokens:Token.decode", token_object, lambda: [token_seeds()[1][1:]], encode=tokens.Token.encode,
       canonical=True),
    _t("public-key", f"{CORE}.crypto.sign:PublicKey", PublicKey, lambda: [bytes(32), bag_world().hub.public.raw],
       encode=lambda key: key.raw, canonical=True),
    _t("config", "fairwitness.kit.config:load fairwitness.kit.config:parse", toml_config, toml_seeds, (config.ConfigError,)),
    _t("boxes", "fairwitness.kit.video.boxes:check_clean", clean_boxes, lambda: [clip_file()], allowed=(), limit=1 << 20),
    _t("pictures", "fairwitness.kit.video.nal:parameter_sets fairwitness.kit.video.nal:Cleaner.clean "
       "fairwitness.kit.video.nal:length_units fairwitness.kit.video.nal:annexb_units", pictures, picture_seeds),
    _t("archive", "fairwitness.kit.operate.archive:Archive.open", open_archive, lambda: [archive_seed()],
       (archive.BackupError,), limit=1 << 17),
    _t("archive-manifest", "fairwitness.kit.operate.archive:_read_manifest", manifest_of_archive, manifest_seeds,
       (archive.BackupError,), shape="json"),
    _t("sealed-keys", "fairwitness.kit.operate.backup:_open_keys", sealed_keys, lambda: [archive_seed()],
       (archive.BackupError,), limit=1 << 17, examples=80),
    _t("json", "fairwitness.kit.foreign:json_value", foreign.json_value, document_seeds, (ValueError,), shape="json",
       encode=lambda value: json.dumps(value, ensure_ascii=False).encode()),
    _t("withheld", "fairwitness.kit.operate.backup:_read_withheld", withheld,
       lambda: [b'{"config.toml":"name = 1","home_pin.invite":{"1":"code"}}', b"{}"], (archive.BackupError,), shape="json"),
    _t("clip", f"{CORE}.verify.mp4:read_clip", lambda data: mp4.read_clip(io.BytesIO(data)), lambda: [clip_file()],
       limit=1 << 20),
    _t("witness-heads", "fairwitness.kit.operate.doctor:read_heads", heads,
       lambda: [b"hub.example/log 3 " + note.encode_base64(bytes(32)).encode() + b"\n", b""],
       (ProtocolError, ValueError, http.Unreachable)),
    _t("bucket-index", "fairwitness.kit.blobs_s3:_Index.parse", bucket_index, index_seeds, (blobs.BlobError,),
       encode=lambda found: found.encode(), shape="json"),
    _t("chain-link", "fairwitness.home.adapters.chain:Link.parse", link, link_seeds, encode=lambda found: found.encode()[:-1],
       canonical=True, shape="json"),
    _t("times", "fairwitness.home.recordings.times:from_name fairwitness.home.recordings.times:decide", text_target(read_time),
       time_seeds),
    _t("frigate", "fairwitness.home.adapters.frigate:Client._json fairwitness.home.adapters.frigate:_moment",
       recorder_answer, recorder_seeds, (SourceProblem,),
       shape="json", examples=250),
    _t("plugin-line", "fairwitness.home.adapters.plugin:Program._read fairwitness.home.adapters.plugin:Program.recordings",
       plugin_line, plugin_seeds, allowed=(), shape="json"),
    _t("onvif", "fairwitness.home.adapters.onvif_rtp:read_sdp fairwitness.home.adapters.onvif_rtp:read_packet "
       "fairwitness.home.adapters.onvif_rtp:read_report fairwitness.home.adapters.onvif_digest:parse "
       "fairwitness.home.adapters.onvif_discovery:read", device_answers, device_seeds, allowed=(), examples=300),
    _t("frigate-address", "fairwitness.home.adapters.frigate:check_address fairwitness.home.adapters.frigate:check_camera",
       text_target(address), lambda: [b"https://192.168.1.10:8971", b"http://[::1]:8971"]),
    _t("witness-argument", "fairwitness.hub.commands:parse_witness", text_target(hub_commands.parse_witness),
       lambda: [b"press=https://press.example=" + bag_world().public.vkey.encode().encode()], (HubState, ProtocolError)),
    _t("add-checkpoint-post", "fairwitness.witness.app:make_app", ask_witness, add_checkpoint_seeds, allowed=()),
)  # fmt: skip
