"""No parser is forgotten: whatever reads bytes in the program is fuzzed, or says here why it is not."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, document_seeds, kinds, read_document

ROOT = Path(__file__).parents[2]
PACKAGES = {"fairwitness_core": ROOT / "core" / "src", "fairwitness": ROOT / "src"}
READERS = {
    "json.loads", "json.load", "tomllib.loads", "tomllib.load", "base64.b64decode", "base64.urlsafe_b64decode", "bytes.fromhex",
    "struct.unpack", "struct.unpack_from", "struct.iter_unpack", "unpack_from", "int.from_bytes", "tarfile.open",
    "zlib.decompressobj", "datetime.fromisoformat", "csv.reader", "foreign.json_value", "parsers.parse_xml", "pickle.loads",
    "yaml.safe_load", "ElementTree.fromstring", "plistlib.loads",
}  # fmt: skip
EXEMPT = {
    # What a prefix of module:name stands for; the longest that fits counts.
    "fairwitness.demo.": "the demo reads what its own child processes print, and a node of its own",
    "fairwitness.kit.logstore:": "the hub's own files; torn and damaged ones are tests/unit/test_logstore_crash.py",
    "fairwitness.home.adapters.chain:Chain.": "walks links, each read by Link.parse",
    "fairwitness.home.adapters.chain:record_of": "hashes what Link.parse has checked",
    "fairwitness.home.adapters.chain:Link.follows": "hashes what Link.parse has checked",
    "fairwitness.home.adapters.commands:_moment": "an owner's own argument on the command line",
    "fairwitness.home.adapters.recorder:": "the recorder's own task and the C library's side data; no bytes of a camera as such",
    "fairwitness.home.adapters.onvif": "parts of what `onvif` fuzzes; SOAP is read by the onveef library",
    "fairwitness.home.adapters.plugin:PluginAdapter.": "the home's own note",
    "fairwitness.home.marks.": "an owner's own argument on the command line, and the home's own rows",
    "fairwitness.home.services.plugins:": "the home's own sealed row",
    "fairwitness.home.fields:": "the home's own rows",
    "fairwitness.home.lan": "an owner's own arguments and certificates",
    "fairwitness.home.commands:": "an owner's own argument on the command line",
    "fairwitness.home.services.recorders:": "the home's own rows and status file",
    "fairwitness.home.services.answers:delay": "draws a number from random bytes",
    "fairwitness.home.services.answers:read_choice": "an owner's own argument on the command line",
    "fairwitness.home.services.provenance:": "the home's own chain, read by Link.parse, and its own rows",
    "fairwitness.home.services.previews:": "the home's own thumbnails",
    "fairwitness.home.services.uploads:": "an owner's own page; the permission matrix sends it garbage",
    "fairwitness.home.api_uploads:": "an owner's own page; the permission matrix sends it garbage",
    "fairwitness.home.slots:": "draws a number from a hash",
    "fairwitness.agency.commands:": "an operator's own file",
    "fairwitness.agency.api:get_custody": "the agency's own signed rows",
    "fairwitness.agency.services.evidence:read_manifest": "opens what intake verified, by verify_responder",
    "fairwitness.agency.services.intake:": "reads its own worker's answer; what the worker was sent is frames, boxes, answer",
    "fairwitness.agency.services.officers:": "the agency's own file",
    "fairwitness.agency.services.reconcile:read": "reads files whole; `judge` is fuzzed",
    "fairwitness.agency.services.requests:_standing": "a policy that the pinned log holds, checked when it was logged",
    "fairwitness.agency.worker:main": "its parent's job on standard input",
    "fairwitness.hub.commands:_add_agency": "hands the registration to read_registration",
    "fairwitness.hub.services.identity:": "the hub's own key file",
    "fairwitness.kit.census:": "the operator's own file of dwellings",
    "fairwitness.kit.public.commands:": "an operator's own arguments",
    "fairwitness.kit.public.site:Site.": "what these pages themselves wrote, and entries that the core has parsed",
    "fairwitness.kit.public.compare:": "a bounded list of files, of our own shape or refused; the files are hashed alone",
    "fairwitness_core.rules.history:": "documents that their own parsers have read; the log's bytes are `entry`'s",
    "fairwitness.kit.video.live:": "the recorder's own growing file, read by box lengths within bounds",
    "fairwitness.agency.looker:": "its own parent's order on a pipe",
    "fairwitness.agency.services.looking:": "its own child's answer, bounded",
    "fairwitness.agency.views.": "an officer's own form; what it drafts is judged as any request",
    "fairwitness.hub.views.": "an administrator's own form; a registration is read as `registration` is fuzzed",
    "fairwitness.home.views.": "the owner's own form",
    "fairwitness.home.adapters.glimpse:": "its own parent's order, its own child's answer; streams are read by PyAV",
    "fairwitness.home.services.days:": "a day in an address or a cookie of the owner's own browser",
    "fairwitness.home.services.export:": "the home's own rows",
    "fairwitness.home.services.footage:": "the home's own rows",
    "fairwitness.home.services.live:": "its own child's pieces, bounded",
    "fairwitness.home.services.trials:": "the owner's own session and row",
    "fairwitness.hub.services.recover:": "the hub's own plan; what the mirror sends is checked by note, bundle and log",
    "fairwitness.hub.services.admission:": "an admin's own text, checked before it is logged",
    "fairwitness.hub.services.witnesses:": "the same lines as fairwitness.kit.operate.doctor:read_heads, and signature-lines",
    "fairwitness.hub.api:": "tests/fuzz/hub sends whole requests",
    "fairwitness.kit.accounts.forms:": "a browser's passkey answer; the permission matrix sends garbage",
    "fairwitness.kit.api:read_body": "takes bytes as they come; tests/unit/kit/hub/test_api.py",
    "fairwitness.kit.blobs_s3:_credentials": "the operator's own secret file",
    "fairwitness.kit.blobs_s3:S3Blobs.read": "hands out sealed bytes as they are",
    "fairwitness.kit.files:read_secret": "reads a file of this node whole",
    "fairwitness.kit.operate.archive:": "parts of Archive.open, fuzzed as `archive` and `archive-manifest`",
    "fairwitness.kit.operate.backup:": "parts of restore, fuzzed as `sealed-keys` and `withheld`, or the node's own",
    "fairwitness.kit.operate.drill:": "the node's own record",
    "fairwitness.kit.operate.publish:": "the node's own record",
    "fairwitness.kit.operate.mirror:": "the mirror's own state; what a hub sends is containers, note, bundle, directory",
    "fairwitness.kit.operate.servers:": "an operator's own argument",
    "fairwitness.kit.operate.upgrade:": "the node's own record",
    "fairwitness.kit.postgresql": "the operator's own secret file",
    "fairwitness.kit.video.boxes:": "parts of check_clean",
    "fairwitness.kit.video.nal:": "parts of parameter_sets and Cleaner.clean",
    "fairwitness.kit.video.copying:": "the home's own recordings, in a child process with limits",
    "fairwitness.kit.video.probe:": "a number that the decoder's library hands over, in a child process with limits",
    "fairwitness.kit.video.thumbs:": "its own child process",
    "fairwitness.kit.video.worker:": "its own child process and parent",
    "fairwitness.witness.config:load": "the witness's own files",
    "fairwitness_core.crypto.seal:": "hands bytes to the age library; `sealed` and `forged-segments` fuzz what comes of it",
    "fairwitness_core.crypto.segments:": "parts of SegmentReader and which_opens",
    "fairwitness_core.crypto.sign:": "constructs PublicKey, fuzzed as `public-key`",
    "fairwitness_core.model.directory:Directory.standing": "a policy that `apply` has read",
    "fairwitness_core.model.feed:_block": "part of read_containers",
    "fairwitness_core.model.recording:": "hashes; RecordingProof is a document, fuzzed as all are",
    "fairwitness_core.rules.caps:": "a property of a protocol, not a parser",
    "fairwitness_core.rules.feed:": "a home's own stored state, or part of verify_container",
    "fairwitness_core.rules.inbox:": "hashes what reconcile has checked",
    "fairwitness_core.rules.reading:Reading._allowed": "part of Reading.read",
    "fairwitness_core.tlog.tiles:node_reader": "reads tiles by parse_tile",
    "fairwitness_core.verify.bag:": "part of verify_bag",
    "fairwitness_core.verify.mp4:_": "parts of read_clip",
    "fairwitness_core.verify.recording:_Procedure.": "hashes what RecordingProof.read has checked",
    "fairwitness_core.wire.frames:": "parts of FrameReader, and the writer",
    "fairwitness_core.wire.fields:": "parts of Part.from_json",
}  # fmt: skip
BY_REQUEST = {  # fuzzed in the process of their role: tests/fuzz/ROLE
    "fairwitness.agency.services.collect:Item.read", "fairwitness.agency.services.hubcalls:_read",
    "fairwitness.agency.services.hubcalls:_refusal", "fairwitness.home.services.delivery:_checked",
    "fairwitness.home.services.join:read_join", "fairwitness.home.services.sharing:_envelopes",
    "fairwitness.home.services.sharing:read_promise", "fairwitness.home.services.tokens:_evaluated",
    "fairwitness.home.services.tokens:error_code", "fairwitness.hub.services.agencies:read_registration",
}  # fmt: skip


def parsers() -> Iterator[str]:
    for package, root in PACKAGES.items():
        for path in sorted((root / package).rglob("*.py")):
            if "migrations" not in path.parts:
                module = ".".join(path.relative_to(root).with_suffix("").parts)
                yield from _found(ast.parse(path.read_text("utf-8")), module, "")


def _found(node: ast.AST, module: str, within: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{within}.{child.name}" if within else child.name
            named = child.name in ("parse", "decode", "read") or child.name.startswith(("parse_", "decode_", "read_", "from_"))
            if named and not isinstance(child, ast.ClassDef):
                yield f"{module}:{name}"
            yield from _found(child, module, name)
        else:
            if isinstance(child, ast.Call) and ast.unparse(child.func) in READERS:
                yield f"{module}:{within or '<module>'}"
            yield from _found(child, module, within)


FOUND = sorted(set(parsers()))


def test_every_parser_is_fuzzed_or_exempt_with_a_reason():
    fuzzed = {name for target in TARGETS for name in target.covers} | BY_REQUEST
    missing = [n for n in FOUND if n not in fuzzed and not any(n.startswith(prefix) for prefix in EXEMPT)]
    assert not missing, f"add a target to tests/fuzz/targets.py, or a reason to EXEMPT here: {missing}"


def test_no_exemption_is_stale():
    stale = [prefix for prefix in EXEMPT if not any(name.startswith(prefix) for name in FOUND)]
    allowed_absent = ("fairwitness.home.", "fairwitness.kit.operate.", "fairwitness.kit.video.")
    assert not [prefix for prefix in stale if not prefix.startswith(allowed_absent)]


def test_what_a_target_covers_exists():
    import importlib  # noqa: PLC0415 - only here

    for target in TARGETS:
        for name in target.covers:
            module, _, path = name.partition(":")
            if ".decode" in path and module.endswith("fields"):
                continue  # a closure
            found = importlib.import_module(module)
            for step in path.split("."):
                found = getattr(found, step)


def test_every_document_has_a_seed():
    seeded = {type(read_document(data)).TYPE for data in document_seeds()}
    assert {kind.TYPE for kind in kinds()} - seeded == set()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_names_are_folders(target):
    assert target.name.replace("-", "").isalnum()
    assert [t.name for t in TARGETS].count(target.name) == 1
