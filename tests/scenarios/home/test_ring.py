"""The Ring plug-in as an owner installs it: its own environment from its own locked list, against a server that acts as Ring."""
# ruff: noqa: PLC0415, F811 - fixtures are imported by name; Django loads late

import subprocess
import sys
from pathlib import Path

import pytest

from core.tests.rules.feed_world import CENTRE
from fairwitness.demo.footage import make_clip
from tests.harness.ring import FakeRing
from tests.unit.home.conftest import folders, home, hub, lone, moment, sent, world  # noqa: F401 - fixtures

pytestmark = [pytest.mark.slow, pytest.mark.network]

PLUGIN = Path(__file__).parent.parent.parent.parent / "plugins" / "ring"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment that holds exactly what plugins/ring/requirements.txt names."""
    folder = tmp_path_factory.mktemp("ring") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--require-hashes", "-r", str(PLUGIN / "requirements.txt")], capture_output=True, text=True, check=False
    )
    if "No matching distribution" in done.stderr or "connection" in done.stderr.lower():
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, done.stderr
    # The plug-in itself is pure Python: a .pth in place of a build keeps build tools out of the environment.
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "fairwitness-ring.pth").write_text(f"{PLUGIN / 'src'}\n")
    return folder / "bin" / "python"


@pytest.fixture
def ring():
    found = FakeRing()
    yield found
    found.close()


def test_from_sign_in_with_a_code_to_an_answer(home, ring, python, tmp_path, journal_lines):
    from fairwitness.home.adapters import plugin
    from fairwitness.home.models import Recorder, Recording
    from fairwitness.home.services import answers, matching, plugins, recorders, sources
    from fairwitness.kit.errors import Refused

    program = str(ring.program(tmp_path, python))

    def add(**more):
        values = {"user": ring.user, "password": ring.password, "understood": True} | more
        return plugins.add(home.porch.pk, program, **values)

    for change, code in [
        ({"understood": False}, "plugin.understood"),
        ({"password": "wrong"}, "plugin.sign_in"),
        ({}, "plugin.code_needed"),
        ({"code": "111111"}, "plugin.sign_in"),
        ({"code": ring.code}, "plugin.device"),
    ]:
        with pytest.raises(Refused) as refused:
            add(**change)
        assert refused.value.code == code, refused.value
        if code == "plugin.understood":
            assert "Ring (Amazon)" in refused.value.message
            assert ring.calls == []
    assert "102 = Garage" in refused.value.hint
    row = add(code=ring.code, device="101")
    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    (request,) = matching.Request.objects.all()
    at = request.start + 300
    clip = make_clip(tmp_path / "a.mp4", seed=6, seconds=5, start=at, place=CENTRE, width=160, height=90, fps=10).read_bytes()
    # Two pages of newer events stand before the ones that are asked about.
    newer = [(9000 + n, home.now - n, None, b"never fetched") for n in range(150)]
    ring.events[101] = [
        *newer,
        (77, at, 5, clip),
        (78, at + 60, None, clip),
        (79, at + 120, None, None),
        (5, at - 99_999, 5, clip),
    ]
    ring.calls.clear()
    ring.tokens = set()  # the first token has run out: it is renewed, and the home keeps the new one
    before = bytes(Recorder.objects.get().secret)
    sources.scan(home.now)
    assert sources.get(row.source_id).problem == ""
    assert bytes(Recorder.objects.get().secret) != before
    assert [(one.start, one.end) for one in Recording.objects.order_by("start")] == [(at, at + 5), (at + 60, at + 65)]
    fetched = [path for _, path, _ in ring.calls if path.endswith("/recording")]
    assert sorted(fetched) == [f"/clients_api/dings/{n}/recording" for n in (77, 78, 79)]
    assert recorders.verify(row.pk) == []
    assert answers.draft(request.pk).clips.count() == 2
    # Ring asks to wait: said so, and left alone.
    ring.limited = True
    (recorders.chain(row).root / "asked.json").unlink()
    sources.scan(home.now)
    assert sources.get(row.source_id).problem == "rate"
    # Signed out at Ring.
    ring.limited, ring.tokens = False, set()
    home.at(home.now + plugin.AGAIN_S)
    ring.token = lambda form, headers: (401, {"error": "invalid_grant"})
    sources.scan(home.now)
    assert sources.get(row.source_id).problem == "sign_in"
    text = str(journal_lines) + str([recorders.view(row)])
    assert not any(word in text for word in ("access-", "refresh-", ring.password, ring.user))
