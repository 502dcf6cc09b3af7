"""ONVIF devices for tests: a camera that answers SOAP, a recorder that replays over real RTSP, and answers to a discovery.

`real` answers: an operation -> the bytes that a real camera sent (see tests/testdata.py). Knobs are plain attributes.
"""

# ruff: noqa: N802, S107, S314, S324 - operations' own names; what a camera of these years computes

import base64
import hashlib
import re
import socket
import struct
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.etree import ElementTree as ET

import av
from aio_rtsp_toolkit.server_media import extract_nalus, parse_parameter_sets, to_base64
from aio_rtsp_toolkit.server_rtp import RtspRtpMixin

_NS = (
    'xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:tt="http://www.onvif.org/ver10/schema" '
    'xmlns:ter="http://www.onvif.org/ver10/error" xmlns:x="urn:any"'
)
_SERVICES = {
    "device": "http://www.onvif.org/ver10/device/wsdl",
    "media": "http://www.onvif.org/ver10/media/wsdl",
    "media2": "http://www.onvif.org/ver20/media/wsdl",
    "search": "http://www.onvif.org/ver10/search/wsdl",
    "replay": "http://www.onvif.org/ver10/replay/wsdl",
    "recording": "http://www.onvif.org/ver10/recording/wsdl",
}
ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(9))
    + "]><b>&j;</b>"
)


def envelope(body):
    return f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope {_NS}><s:Body>{body}</s:Body></s:Envelope>'.encode()


def fault(subcode, text=""):
    return envelope(
        f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:{subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en">{text or subcode}</s:Text></s:Reason></s:Fault>'
    )


def at_text(at):
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}.{int(at % 1 * 1000):03d}Z"


class FakeOnvif:
    """A device on 127.0.0.1. `now`: the true time; `ahead`: its clock's error; `login`: `wss` (strict about time) or `digest`."""

    def __init__(self, user="viewer", password="p4ss-of-the-camera", now=time.time):
        self.user, self.password, self.now = user, password, now
        self.ahead, self.login, self.serial = 0.0, "wss", "SN-0001"
        self.services = ["device", "media", "media2"]
        self.profiles = [("main", "H264", 1280, 720, 15), ("sub", "H264", 640, 360, 10)]
        self.stream = "rtsp://0.0.0.0:554/main"
        self.recordings = {}  # token -> (name, earliest, latest, [(begin, end) of pictures])
        self.replay = "rtsp://0.0.0.0:1/replay"
        self.answers, self.real, self.calls, self.searches, self.endless = {}, {}, [], {}, False
        self.events = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                """Say nothing."""

            def do_POST(self):
                outer.answer(self, self.rfile.read(int(self.headers.get("content-length", 0))))

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.address = f"http://127.0.0.1:{self.port}/onvif/device_service"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler, data):
        root = ET.fromstring(data)
        body = next(el for el in root.iter() if el.tag.endswith("}Body"))
        operation = body[0].tag.rpartition("}")[2]
        status, found, headers = self.route(operation, body[0], root, handler)
        self.calls.append(operation)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(found)))
        handler.end_headers()
        try:
            handler.wfile.write(found)
        except OSError:
            return  # the home had enough

    def route(self, operation, body, root, handler):
        if operation in self.answers:
            found = self.answers[operation]
            return found if isinstance(found, tuple) else (200, found, {})
        if operation != "GetSystemDateAndTime":
            refused = self.refused(root, handler)
            if refused is not None:
                return refused
        if operation in self.real:
            return 200, self.real[operation], {}
        make = getattr(self, f"do_{operation}", None)
        if make is None:
            return 500, fault("ActionNotSupported", "Optional Action Not Implemented"), {}
        return 200, envelope(make(body)), {}

    def refused(self, root, handler):
        if self.login == "digest":
            said = dict(re.findall(r'(\w+)="?([^",]*)"?', handler.headers.get("authorization", "")))
            secret = hashlib.md5(f"{self.user}:camera:{self.password}".encode()).hexdigest()
            request = hashlib.md5(f"POST:{handler.path}".encode()).hexdigest()
            mixed = f"{secret}:n0nce:{said.get('nc')}:{said.get('cnonce')}:auth:{request}"
            if said.get("response") == hashlib.md5(mixed.encode()).hexdigest() and said.get("username") == self.user:
                return None
            return 401, b"", {"www-authenticate": 'Basic realm="camera", Digest realm="camera", qop="auth", nonce="n0nce"'}
        found = {el.tag.rpartition("}")[2]: (el.text or "") for el in root.iter()}
        nonce, created = base64.b64decode(found.get("Nonce", "")), found.get("Created", "1970-01-01T00:00:00Z")
        mine = base64.b64encode(hashlib.sha1(nonce + created.encode() + self.password.encode()).digest()).decode()
        late = abs(datetime.fromisoformat(created).timestamp() - (self.now() + self.ahead))
        if found.get("Username") == self.user and found.get("Password") == mine and late < 5:
            return None
        return 400, fault("NotAuthorized", "Sender not Authorized"), {}

    # ------------------------------------------------------------ answers

    def do_GetServices(self, _body):
        where = "http://192.168.68.111/onvif/{}"  # a device's own idea of its address
        rows = "".join(
            f"<x:Service><x:Namespace>{_SERVICES[n]}</x:Namespace><x:XAddr>{where.format(n)}</x:XAddr></x:Service>"
            for n in self.services
        )
        return f"<x:GetServicesResponse>{rows}</x:GetServicesResponse>"

    def do_GetDeviceInformation(self, _body):
        return (
            "<x:GetDeviceInformationResponse><x:Manufacturer>Acme</x:Manufacturer><x:Model>Eye 2</x:Model>"
            f"<x:FirmwareVersion>1.2</x:FirmwareVersion><x:SerialNumber>{self.serial}</x:SerialNumber></x:GetDeviceInformationResponse>"
        )

    def do_GetSystemDateAndTime(self, _body):
        at = datetime.fromtimestamp(self.now() + self.ahead, UTC)
        return (
            "<x:GetSystemDateAndTimeResponse><x:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType><tt:UTCDateTime>"
            f"<tt:Time><tt:Hour>{at.hour}</tt:Hour><tt:Minute>{at.minute}</tt:Minute><tt:Second>{at.second}</tt:Second></tt:Time>"
            f"<tt:Date><tt:Year>{at.year}</tt:Year><tt:Month>{at.month}</tt:Month><tt:Day>{at.day}</tt:Day></tt:Date>"
            "</tt:UTCDateTime></x:SystemDateAndTime></x:GetSystemDateAndTimeResponse>"
        )

    def do_GetProfiles(self, _body):
        rows = "".join(
            f'<x:Profiles token="{token}"><x:Name>{token}</x:Name><x:Configurations><x:VideoEncoder token="e">'
            f"<tt:Encoding>{codec}</tt:Encoding><tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height>"
            f"</tt:Resolution><tt:RateControl><tt:FrameRateLimit>{rate}</tt:FrameRateLimit></tt:RateControl>"
            "</x:VideoEncoder></x:Configurations></x:Profiles>"
            for token, codec, width, height, rate in self.profiles
        )
        return f"<x:GetProfilesResponse>{rows}</x:GetProfilesResponse>"

    def do_GetStreamUri(self, _body):
        return f"<x:GetStreamUriResponse><x:Uri>{self.stream}</x:Uri></x:GetStreamUriResponse>"

    def do_GetReplayUri(self, _body):
        return f"<x:GetReplayUriResponse><x:Uri>{self.replay}</x:Uri></x:GetReplayUriResponse>"

    def do_FindRecordings(self, _body):
        return self.search("FindRecordings", [self.row_of(token, *said) for token, said in self.recordings.items()])

    def row_of(self, token, name, earliest, latest, _spans):
        return (
            f"<tt:RecordingInformation><tt:RecordingToken>{token}</tt:RecordingToken><tt:Source><tt:SourceId>s</tt:SourceId>"
            f"<tt:Name>{name}</tt:Name></tt:Source><tt:EarliestRecording>{at_text(earliest)}</tt:EarliestRecording>"
            f"<tt:LatestRecording>{at_text(latest)}</tt:LatestRecording><tt:Content>c</tt:Content>"
            "<tt:Track><tt:TrackToken>V1</tt:TrackToken><tt:TrackType>Video</tt:TrackType></tt:Track>"
            "<tt:Track><tt:TrackToken>A1</tt:TrackToken><tt:TrackType>Audio</tt:TrackType></tt:Track>"
            "<tt:RecordingStatus>Stopped</tt:RecordingStatus></tt:RecordingInformation>"
        )

    def do_FindEvents(self, body):
        said = {el.tag.rpartition("}")[2]: el.text for el in body.iter()}
        start, end = (datetime.fromisoformat(said[name]).timestamp() for name in ("StartPoint", "EndPoint"))
        rows = []
        if self.events:
            spans = self.recordings[said["IncludedRecordings"]][3]
            state = any(a <= start < b for a, b in spans)
            rows.append(self.event(said["IncludedRecordings"], start, state))
            for a, b in spans:
                rows += [
                    self.event(said["IncludedRecordings"], t, there) for t, there in ((a, True), (b, False)) if start < t < end
                ]
            rows.append(self.event(said["IncludedRecordings"], (start + end) / 2, False, track="A1"))
        return self.search("FindEvents", rows)

    def event(self, token, at, there, track="V1"):
        return (
            f"<tt:Result><tt:RecordingToken>{token}</tt:RecordingToken><tt:TrackToken>{track}</tt:TrackToken>"
            f"<tt:Time>{at_text(at)}</tt:Time><tt:Event><x:Topic>tns1:RecordingHistory/Track/State</x:Topic><x:Message><tt:Message>"
            f'<tt:Data><tt:SimpleItem Name="IsDataPresent" Value="{str(there).lower()}"/></tt:Data></tt:Message></x:Message>'
            "</tt:Event><tt:StartStateEvent>false</tt:StartStateEvent></tt:Result>"
        )

    def search(self, operation, rows):
        token = f"T{len(self.searches)}"
        self.searches[token] = rows
        return f"<x:{operation}Response><x:SearchToken>{token}</x:SearchToken></x:{operation}Response>"

    def results(self, body, operation):
        token = next(el.text for el in body.iter() if el.tag.endswith("}SearchToken"))
        rows = self.searches[token]
        give, left = (rows, rows) if self.endless else (rows[:2], rows[2:])  # two a page
        self.searches[token] = left
        state = "Searching" if left else "Completed"
        return (
            f"<x:{operation}Response><x:ResultList><tt:SearchState>{state}</tt:SearchState>{''.join(give)}</x:ResultList>"
            f"</x:{operation}Response>"
        )

    def do_GetRecordingSearchResults(self, body):
        return self.results(body, "GetRecordingSearchResults")

    def do_GetEventSearchResults(self, body):
        return self.results(body, "GetEventSearchResults")

    def do_EndSearch(self, _body):
        return "<x:EndSearchResponse/>"


def pictures_of(path, start):
    """A file's pictures as (time, key frame, parts), from `start` on, and what describes them."""
    found = []
    with av.open(str(path)) as clip:
        track = clip.streams.video[0]
        codec = track.codec_context.name
        size, sets = parse_parameter_sets(codec, bytes(track.codec_context.extradata))
        name = {"h264": "h264", "hevc": "h265"}[codec]
        first = None
        for packet in clip.demux(track):
            if packet.size:
                at = float(packet.pts * packet.time_base)
                first = at if first is None else first
                found.append((start + at - first, packet.is_keyframe, extract_nalus(name, bytes(packet), size)))
    return name, sets, found


class Replay:
    """A Profile G recorder's RTSP side: replays `frames` (time, key, parts) by its own clock.

    `stated`: send the times in the replay's header extension; `bye`: say when it is over, else fall silent; `hang`: seconds
    before anything; `raw`: bytes to send instead of a replay.
    """

    def __init__(self, user, password, codec, sets, frames):
        self.user, self.password, self.codec, self.sets, self.frames = user, password, codec, sets, frames
        self.stated, self.bye, self.basic, self.raw, self.repeat = True, True, False, b"", False
        self.control, self.asked, self.heads = "track1", [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = f"rtsp://0.0.0.0:{self.port}/replay?rec=1"  # where it says it is
        self.here = f"rtsp://127.0.0.1:{self.port}/replay?rec=1"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection, connection.makefile("rb") as lines:
                while head := self._head(lines):
                    if not self._answer(connection, *head):
                        return
        except OSError:
            return

    def _head(self, lines):
        first = lines.readline().decode().split()
        headers = {}
        while (line := lines.readline().decode().strip()) and first:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if first:
            self.heads.append((first[0], headers))
        return (first[0], first[1], headers) if first else None

    def _answer(self, connection, method, url, headers):
        def reply(status, body=b"", **more):
            rows = [f"RTSP/1.0 {status} X", f"CSeq: {headers['cseq']}", f"Content-Length: {len(body)}"]
            rows += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
            connection.sendall("\r\n".join(rows).encode() + b"\r\n\r\n" + body)
            return True

        if method == "TEARDOWN":
            return False
        if not self._may(method, url, headers):
            kind = 'Basic realm="r"' if self.basic else 'Digest realm="r", nonce="abc", algorithm=MD5'
            return reply(401, WWW_Authenticate=kind)
        if method in ("DESCRIBE", "SETUP", "PLAY") and headers.get("require") != "onvif-replay":
            return reply(551)
        if method == "DESCRIBE":
            return reply(
                200, self._sdp().encode(), Content_Type="application/sdp", Content_Base=f"rtsp://127.0.0.1:{self.port}/replay/"
            )
        if method == "SETUP":
            return reply(200, Session="5E55;timeout=60", Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
        if method == "PLAY":
            assert headers["rate-control"] == "no"
            match = re.fullmatch(r"clock=(\S+)-(\S+)", headers["range"])
            start, end = (datetime.strptime(t, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp() for t in match.groups())
            self.asked.append((start, end))
            reply(200, Session="5E55", Range=headers["range"])
            if self.raw:
                connection.sendall(self.raw)
                while self.repeat:
                    connection.sendall(self.raw)
                return True
            self._play(connection, start, end)
            return True
        return reply(200)

    def _may(self, method, url, headers):
        if not self.password:
            return True
        said = dict(re.findall(r'(\w+)="?([^",]*)"?', headers.get("authorization", "")))
        secret = hashlib.md5(f"{self.user}:r:{self.password}".encode()).hexdigest()
        request = hashlib.md5(f"{method}:{url}".encode()).hexdigest()
        return said.get("response") == hashlib.md5(f"{secret}:abc:{request}".encode()).hexdigest()

    def _sdp(self):
        known = {name: to_base64(nal) for name, nal in self.sets.items()}
        if self.codec == "h264":
            formats = f"packetization-mode=1;sprop-parameter-sets={known['sps']},{known['pps']}"
        else:
            formats = ";".join(f"sprop-{name}={value}" for name, value in known.items())
        return (
            "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=replay\r\nt=0 0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\n"
            f"a=rtpmap:96 {self.codec.upper()}/90000\r\na=fmtp:96 {formats}\r\na=control:{self.control}\r\n"
            "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:meta\r\n"
        )

    def _play(self, connection, start, end):
        keys = [at for at, key, _parts in self.frames if key and at <= start]
        begin = keys[-1] if keys and any(abs(at - start) < 2 for at, _k, _p in self.frames) else start
        number, before, out = 65_500, None, []
        for at, key, parts in self.frames:
            if not begin <= at < end:
                continue
            broken = before is not None and at - before > 1
            packets = [one for n, part in enumerate(parts) for one in RtspRtpMixin._packetize_video_nalu(
                _PACKER, part, marker=int(n == len(parts) - 1), codec_name=self.codec)]  # fmt: skip
            stamp = round((at - self.frames[0][0]) * 90_000 + 4_294_000_000) & 0xFFFFFFFF
            for n, (payload, marker) in enumerate(packets):
                head = struct.pack(">BBHII", 0x90 if self.stated and not n else 0x80, marker << 7 | 96, number, stamp, 7)
                if self.stated and not n:
                    ntp = at + 2_208_988_800
                    flags = (0x80 if key else 0) | (0x20 if broken else 0)
                    head += struct.pack(">HHIIBBH", 0xABAC, 3, int(ntp) & 0xFFFFFFFF, int(ntp % 1 * 2**32), flags, 0, 0)
                data = head + payload
                out.append(b"$\0" + struct.pack(">H", len(data)) + data)
                number = (number + 1) & 0xFFFF
            if before is None:
                # A sender report of the time of sending, which says nothing of the time of recording.
                sent = time.time() + 2_208_988_800
                report = struct.pack(">BBHIIIIII", 0x80, 200, 6, 7, int(sent) & 0xFFFFFFFF, 0, stamp, 0, 0)
                out.insert(0, b"$\1" + struct.pack(">H", len(report)) + report)
            before = at
        connection.sendall(b"".join(out))
        if self.bye:
            connection.sendall(b"$\1\0\x08" + struct.pack(">BBHI", 0x81, 203, 1, 7))


_PACKER = type("Packer", (RtspRtpMixin,), {})()


class Answering:
    """Answers WS-Discovery probes on 127.0.0.1; `make(relates_to)` returns the datagrams."""

    def __init__(self, make):
        self.make, self.probes = make, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.target = self.socket.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                data, sender = self.socket.recvfrom(65_535)
            except OSError:
                return
            self.probes.append(data)
            number = re.search(rb"MessageID>([^<]+)<", data)[1].decode()
            for one in self.make(number):
                self.socket.sendto(one, sender)

    def close(self):
        self.socket.close()


def probe_match(relates, addresses, name="Front%20door", hardware="Eye-2", extra=""):
    return (
        '<?xml version="1.0"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">'
        f"<e:Header><a:RelatesTo>{relates}</a:RelatesTo></e:Header><e:Body><d:ProbeMatches><d:ProbeMatch>"
        f"<a:EndpointReference><a:Address>uuid:{name}</a:Address></a:EndpointReference><d:Types>dn:NetworkVideoTransmitter</d:Types>"
        f"<d:Scopes>onvif://www.onvif.org/name/{name} onvif://www.onvif.org/hardware/{hardware}</d:Scopes>"
        f"<d:XAddrs>{addresses}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches>{extra}</e:Body>"
        "</e:Envelope>"
    ).encode()
