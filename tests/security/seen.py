"""What an onlooker on the machine or the wire sees: sockets, processes' arguments and environments, frames."""

import contextlib
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CLONE_NEWNET = 0x40000000


def descendants(roots: list[int]) -> list[int]:
    """Return these processes and all below them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, walk = [], list(roots)
    while walk:
        found.append(walk.pop())
        walk += children.get(found[-1], [])
    return found


@dataclass(frozen=True)
class Bound:
    """A socket that somebody can reach: protocol, address, port; for a named unix socket its name."""

    kind: str
    address: str
    port: int


def _decoded(text: str) -> tuple[str, int]:
    address, port = text.split(":")
    raw = bytes.fromhex(address)
    words = [raw[at : at + 4][::-1] for at in range(0, len(raw), 4)]  # each 32-bit word is in the machine's order
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(words)), int(port, 16)


def inodes(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if match := re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink())):
                    found.add(match[1])
    return found


def listening(pids: list[int]) -> set[Bound]:
    """Return every socket of these processes that takes connections or datagrams."""
    found: set[Bound] = set()
    for pid in pids:
        own = inodes(pid)
        for kind in ("tcp", "tcp6", "udp", "udp6"):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
                    part = line.split()
                    # 0A is LISTEN; a UDP socket takes datagrams as soon as it has a port (07).
                    if part[9] in own and part[3] == ("0A" if kind.startswith("tcp") else "07"):
                        found.add(Bound(kind, *_decoded(part[1])))
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
                part = line.split()
                if part[6] in own and int(part[3], 16) & 0x10000:  # __SO_ACCEPTCON
                    found.add(Bound("unix", part[7] if len(part) > 7 else "", 0))
    return found


def connected(pids: list[int]) -> set[tuple[str, int]]:
    """Return where these processes have, or are opening, a connection to, other than those that came to a listener of theirs."""
    own_ports = {b.port for b in listening(pids)}
    found = set()
    for pid in pids:
        own = inodes(pid)
        for kind in ("tcp", "tcp6"):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
                    part = line.split()
                    if part[9] in own and part[3] in ("01", "02") and _decoded(part[1])[1] not in own_ports:
                        found.add(_decoded(part[2]))
    return found


@dataclass
class Watch:
    """Polls what processes show of themselves while a scenario runs."""

    roots: "list[int]"
    secrets: dict[str, bytes] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    seen: set[bytes] = field(default_factory=set)
    dumpable: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            time.sleep(0.02)

    def look(self) -> None:
        for pid in descendants([*self.roots, os.getpid()]):
            if pid == os.getpid():
                continue
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    data = Path(f"/proc/{pid}/{name}").read_bytes()
                    if name == "cmdline":
                        self.seen.add(data)
                    for label, secret in list(self.secrets.items()):
                        if secret in data:
                            self.told.add(f"{label} in {name} of {data[:120]!r}")


def core_limit(pid: int) -> str:
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max core file size"):
            return line.split()[4]
    return ""


def hidden(pid: int) -> bool:
    """Whether the kernel keeps a process's memory from others of its user: its entries below /proc are root's then."""
    return Path(f"/proc/{pid}/environ").stat().st_uid == 0


# ---------------------------------------------------------------- namespaces


def can_make_namespaces() -> str:
    """Return why this machine gives no network namespaces, or ''."""
    if os.geteuid() != 0:
        return "network namespaces need root; the fallback on loopback addresses ran"
    name = f"fwtry{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        return f"no network namespaces here: {made.stderr.decode().strip()[:200]}"
    try:
        done = subprocess.run(
            ["ip", "-n", name, "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"], capture_output=True, check=False
        )
        return "" if done.returncode == 0 else f"no virtual links here: {done.stderr.decode().strip()[:200]}"
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Have this thread's sockets made in the namespace `name`."""
    with Path("/proc/thread-self/ns/net").open("rb") as home, Path(f"/run/netns/{name}").open("rb") as there:
        os.setns(there.fileno(), CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(home.fileno(), CLONE_NEWNET)


@dataclass(frozen=True)
class Frame:
    """What a frame says: protocol number (`arp` for those), addresses, port it goes to, and whether it opens a connection."""

    protocol: str
    source: str
    target: str
    port: int


class Sniffer:
    """Takes every frame of one interface: connections that are opened, and everything that is no TCP."""

    def __init__(self, namespace: str, interface: str) -> None:
        self.frames: set[Frame] = set()
        with inside(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
            self._socket.bind((interface, 0))
        self._socket.settimeout(0.2)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)
        self._socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                self._take(self._socket.recv(2048))

    def _take(self, data: bytes) -> None:
        (kind,) = struct.unpack_from(">H", data, 12)
        if kind == 0x0800 and len(data) >= 34:
            head = (data[14] & 15) * 4
            protocol, source, target = data[23], socket.inet_ntoa(data[26:30]), socket.inet_ntoa(data[30:34])
            at = 14 + head
            port = struct.unpack_from(">H", data, at + 2)[0] if protocol in (6, 17) and len(data) >= at + 4 else 0
            # SYN without ACK opens a connection; the rest of TCP belongs to one.
            if protocol != 6 or data[at + 13] & 0x12 == 0x02:
                self.frames.add(Frame({6: "tcp", 17: "udp", 1: "icmp"}.get(protocol, str(protocol)), source, target, port))
        elif kind == 0x86DD and len(data) >= 54:
            source, target = (socket.inet_ntop(socket.AF_INET6, data[a : a + 16]) for a in (22, 38))
            # Neighbour discovery and reports of multicast listeners are the kernel's own.
            if data[20] != 58 and target != "ff02::16":
                self.frames.add(Frame(f"v6-{data[20]}", source, target, 0))
