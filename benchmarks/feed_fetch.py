"""Fetch the feed and the log from a running hub, beside nginx serving the same folders.

    python -m benchmarks.feed_fetch [--seconds N] [--rounds N] [--connections N]

A hub's log and feed are filled (30 ticks of 20 requests), its web process is started as `fairwitness hub run` starts it, and
nginx (two workers, sendfile, open_file_cache, no access log, the protocol's headers) beside it. wrk asks both in turn, on kept
connections and with a new connection for every request, as homes do. Before the timing every file is fetched from both and
compared byte for byte. All of them, wrk too, share this machine's cores: the figures are what is left to the server beside
its own load.
"""

import argparse
import http.client
import json
import os
import platform
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
FILL = """
import random, sys
from pathlib import Path
import h3
from benchmarks.feed_publish import CELLS, Hub
hub, draw = Hub(Path(sys.argv[1])), random.Random(1)
for _tick in range(30):
    hub.publish([hub.request(h3.grid_disk(draw.choice(CELLS), 1)) for _ in range(20)])
hub.writer.close()
"""
NGINX = """
worker_processes 2; daemon off; pid {folder}/nginx.pid; error_log /dev/null crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000; etag off; server_tokens off;
  open_file_cache max=4096 inactive=60s; open_file_cache_valid 5s; default_type application/octet-stream; types {{ }}
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} reuseport backlog=4096;
    location /feed/v1/all/ {{ alias {hub}/feed/v1/all/; add_header Cache-Control "public, max-age=31536000, immutable"; }}
    location /feed/v1/day/ {{ alias {hub}/feed/v1/day/; add_header Cache-Control "max-age=5"; }}
    location /log/p/ {{ alias {hub}/log/p/public/; add_header Cache-Control "public, max-age=31536000, immutable"; }}
    location = /log/p/checkpoint {{ alias {hub}/log/p/public/checkpoint; add_header Cache-Control "max-age=5"; }}
  }}
}}
"""


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(port, path):
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    line.request("GET", path, headers={"Host": "hub.test"})
    answer = line.getresponse()
    body = answer.read()
    line.close()
    return answer.status, answer.headers.get("Cache-Control"), answer.headers.get("Content-Type"), body


def wait_for(port, path):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if fetch(port, path)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("a server did not start")


def wrk(port, path, seconds, connections, close):
    """Requests per second, median latency in ms; raises where an answer was not good."""
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", "Host: hub.test"]
    done = subprocess.run(
        [*words, *(["-H", "Connection: close"] if close else []), f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    if wrong:
        raise SystemExit(f"{wrong[1]} answers of {path} were no good ones")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])
    value, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", done).groups()
    return rate, float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--output", type=Path, default=RESULTS / "feed_fetch.json")
    options = parser.parse_args(argv)
    if missing := [name for name in ("wrk", "nginx") if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")]:
        print(f"not run: install {' and '.join(missing)} (Debian: apt-get install wrk nginx-light)")
        return 0
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory(prefix="fairwitness-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        hub = folder / "hub"
        environment = os.environ | {"PYTHONPATH": str(root)}
        subprocess.run([sys.executable, "-c", FILL, str(hub)], env=environment, cwd=root, check=True)
        newest = max(int(path.name) for path in (hub / "feed/v1/all").iterdir())
        day = next(path.name for path in (hub / "feed/v1/day/all").iterdir())
        paths = {
            "container of the newest tick": f"/feed/v1/all/{newest}",
            "checkpoint": "/log/p/checkpoint",
            "hash tile": "/log/p/tile/0/000",
            "entry bundle": "/log/p/tile/entries/000",
            "roll-up of the open day": f"/feed/v1/day/all/{day}",
        }
        port, peer = free_port(), free_port()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, hub=hub, port=peer))
        # nginx runs as this user: the hub's files are private to it.
        user = ["-g", f"user {'root' if os.getuid() == 0 else os.environ.get('USER', 'nobody')};"]
        web = environment | {"FAIRWITNESS_DATA": str(hub), "FAIRWITNESS_PORT": str(port)}
        running = [
            subprocess.Popen([sys.executable, "-m", "fairwitness.kit.supervise", "web", "hub", str(hub)], env=web),
            subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), *user]),
        ]
        rows = []
        try:
            for place in (port, peer):
                wait_for(place, paths["checkpoint"])
            for path in paths.values():
                ours, theirs = fetch(port, path), fetch(peer, path)
                if ours != theirs:
                    raise SystemExit(f"{path} differs: {ours[:3]} {len(ours[3])} and {theirs[:3]} {len(theirs[3])}")
            plan = [(title, path, close) for title, path in paths.items() for close in (False, True)]
            found = {(title, close): {"hub": [], "nginx": [], "hub_ms": [], "nginx_ms": []} for title, _path, close in plan}
            load = []
            for turn in range(options.rounds):
                random.Random(turn).shuffle(plan)
                for title, path, close in plan:
                    load.append(os.getloadavg()[0])
                    for server, place in (("hub", port), ("nginx", peer)) if turn % 2 else (("nginx", peer), ("hub", port)):
                        rate, latency = wrk(place, path, options.seconds, options.connections, close)
                        found[title, close][server].append(rate)
                        found[title, close][f"{server}_ms"].append(latency)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(30)
        for title, path in paths.items():
            for close in (False, True):
                row = found[title, close]
                ratios = [a / b for a, b in zip(row["hub"], row["nginx"], strict=True)]
                rows.append(
                    {"what": title, "bytes": _size(hub, path),
                     "connection": "one for each" if close else "kept", "hub_per_s": spread(row["hub"]),
                     "nginx_per_s": spread(row["nginx"]), "hub_median_ms": spread(row["hub_ms"]),
                     "nginx_median_ms": spread(row["nginx_ms"]), "ratio": spread(ratios)}
                )  # fmt: skip
    result = {
        "name": "feed_fetch", "rounds": options.rounds, "seconds": options.seconds, "connections": options.connections,
        "rows": rows, "load_average": spread(load), "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
    }  # fmt: skip
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(f"{'what':30}{'bytes':>9} {'connection':13}{'hub/s':>9}{'min':>8}{'max':>8}{'nginx/s':>9}{'ratio':>7}")
    for row in rows:
        ours = row["hub_per_s"]
        print(
            f"{row['what']:30}{row['bytes']:9,} {row['connection']:13}{ours['median']:9,.0f}{ours['min']:8,.0f}"
            f"{ours['max']:8,.0f}{row['nginx_per_s']['median']:9,.0f}{row['ratio']['median']:7.2f}"
        )
    print(f"load average while it ran: {result['load_average']['median']:.1f} on {os.cpu_count()} cores")
    return 0


def _size(hub, path):
    place = path.replace("/feed/", "feed/", 1) if path.startswith("/feed/") else path.replace("/log/p/", "log/p/public/", 1)
    return (hub / place).stat().st_size


if __name__ == "__main__":
    raise SystemExit(main())
