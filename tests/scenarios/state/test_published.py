"""The hub is gone; homes and mirrors go on from the bucket that it published to, and believe it no more than they believed it."""

import json

import pytest

from fairwitness.kit import clock
from fairwitness.kit import http as kit_http
from fairwitness.kit.operate.mirror import Mirror
from tests.harness import s3
from tests.harness.stage import Stage

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def stage():
    built = Stage(("home-a", "home-b"), postgresql=False)
    yield built
    built.close()


@pytest.fixture(scope="module")
def moto():
    with s3.moto() as server:
        yield server


def publish(world):
    (done,) = world.hub.call("fairwitness.hub.services.publishing.run")
    assert not isinstance(done, Exception), done
    return done


@pytest.mark.claim("P12")
def test_homes_and_mirrors_follow_from_a_bucket_with_the_hub_down(stage, moto, tmp_path):
    world, name = stage.world(("home-a", "home-b"), seed="published"), moto.bucket()
    site = f"{moto.endpoint}/{name}/town"
    everybody = [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"},
        {"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{name}"},
    ]
    moto.client().put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": everybody}))
    hub, home = world.hub, world.home("home-a")

    def static(message):
        answer = kit_http.SocketTransport().send(message.method, f"{site}{message.path}", {}, b"", 10)
        message.status, message.answer = answer.status, b"".join(answer.chunks)
        message.answer_headers = [("Content-Length", str(len(message.answer)))]

    world.net.hosts["static.test"] = static
    s3.credentials(hub.folder / "keys").rename(hub.folder / "keys" / "publish.toml")
    place = {"to": f"s3://{name}/town", "endpoint": moto.endpoint}
    hub.call("tests.harness.elsewhere.change_settings", str(hub.folder), {"publish": [place]})
    home.call("tests.harness.elsewhere.change_settings", str(home.folder), {"mirror_url": "http://static.test"})
    # 1. The home is away while a request is published; when it comes back the hub is gone.
    world.net.active.discard("home-a")
    request = world.request()
    world.wait(190)
    assert publish(world).tick == world.net.now // 60
    world.net.active = {"agency", "home-a"}
    seen = len(world.net.messages)
    world.wait(90)
    feed = home.act("feed")
    told = [(m.target, m.path, m.status, m.at) for m in world.net.messages[seen:] if m.source == "home-a"]
    assert home.act("requests") == [request], (feed, told)
    assert (feed["outcome"], feed["evidence"]) == ("ok", [])
    asked = {m.target for m in world.net.messages[seen:] if m.source == "home-a" and m.path.startswith("/feed/")}
    assert asked == {"static.test"}
    # 2. A mirror copies from it, verifying all.
    clock.set_clock(lambda: world.net.now)
    try:
        copy = Mirror(site, tmp_path / "copy")
        copy.pin(copy.fetch_join())
        copied = copy.run()
    finally:
        clock.set_clock(None)
    assert copied.tick == feed["next_tick"] - 1
    # 3. Whoever owns the bucket is not believed: a bent tick is refused, and the right one taken when it is there.
    world.net.active = {"hub", "agency"}
    later = world.request(shift=1, case="24-777")
    world.wait(130)
    newest = publish(world).tick
    client = moto.client()
    keys = [path for path in moto.paths(name) if "/day/" in path or path.endswith(f"/all/{newest}")]
    right = {path: client.get_object(Bucket=name, Key=path)["Body"].read() for path in keys}
    for path, data in right.items():
        client.put_object(Bucket=name, Key=path, Body=data[:-6] + bytes([data[-6] ^ 1]) + data[-5:])
    world.net.active = {"agency", "home-a"}
    world.wait(100)
    bent = home.act("feed")
    assert bent["next_tick"] == newest, "LIE BELIEVED"
    assert bent["evidence"]
    for path, data in right.items():
        client.put_object(Bucket=name, Key=path, Body=data)
    world.until(lambda: home.act("feed")["next_tick"] == newest + 1, limit=400)
    assert home.act("requests") == [request, later]
