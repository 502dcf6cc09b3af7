"""T5: when an answer leaves follows the declared distribution and nothing else, by the real beat; its size is a Padme length."""

import math
import random
import secrets

import pytest
from fairwitness_core.crypto import tokens as voprf
from fairwitness_core.crypto.random import token_bytes
from fairwitness_core.model.response import UploadOpen, verify_responder
from fairwitness_core.wire.frames import padme

from fairwitness.home.models import Answer, Token
from fairwitness.home.services import answers, delivery, tokens
from fairwitness.home.services.answers import ClipChoice
from fairwitness.home.tasks import LOCAL_S, beat_jobs
from fairwitness.kit import secrets_store
from fairwitness.kit.beat import Beat

MEAN_S, CAP_S = 30 * 60, 360 * 60
# The chance that honest draws fail is below one in a million for each comparison (two-sided Kolmogorov bound).
STRICT = math.sqrt(math.log(2 / 1e-6) / 2)
KINDS = ("words", "short", "long", "many")
SPAN = 2 * 3600


def declared(seconds):
    """Chance that an answer has left `seconds` after consent: docs/spec/home-traffic.md, with the beat of five seconds."""

    def drawn(value):
        # Whole seconds, cut off: the draw is below value + 1.
        return 1.0 if value >= CAP_S else (1 - math.exp(-(value + 1) / MEAN_S) if value >= 0 else 0.0)

    return sum(drawn(seconds - wait) for wait in range(LOCAL_S)) / LOCAL_S


def distance(sample, other=None):
    """The Kolmogorov-Smirnov distance of whole seconds to the declared distribution, or to another sample."""
    worst = 0.0
    for value in sorted({*sample, *(other or ())}):
        share = sum(x <= value for x in sample) / len(sample)
        against = declared(value) if other is None else sum(x <= value for x in other) / len(other)
        worst = max(worst, abs(share - against))
    return worst


def stock(home, count):
    """Tokens as the hub gives them, more than it would give one household."""
    epoch = voprf.epoch_of(home.now)
    issuer = home.hub.issuer(epoch)
    rows = [
        Token(epoch=epoch, position=100 + n, secret=secrets_store.wrap(token_bytes(32)), issuer=issuer.public, state="ready",
              usable_until=home.now + 30 * 86_400)
        for n in range(count)
    ]  # fmt: skip
    for start in range(0, count, 8):
        batch = rows[start : start + 8]
        nonces = tuple(voprf.token_nonce(tokens.key_of(row).public.raw) for row in batch)
        pending, blinded = voprf.blind_batch(nonces, tokens.digest(), issuer.public)
        for row, token in zip(batch, pending.finalize([voprf.evaluate(issuer, one) for one in blinded]), strict=True):
            row.token = token.encode()
    Token.objects.bulk_create(rows)


def consent(home, kind, recordings, draw):
    """The owner answers one of the requests, at this second; returns the answer's number."""
    answer = answers.draft(f"{draw.randrange(1, 3):032x}")
    count = {"words": 0, "short": 1, "long": 1, "many": 5}[kind]
    stretch = 10_000.0 if kind == "long" else 20.0
    answers.set_clips(answer.pk, [ClipChoice(row.pk, 0.0, stretch) for row in recordings[:count]])
    answers.set_statement(answer.pk, "I saw a van." if kind == "words" else "")
    if draw.random() < 0.5:
        answers.set_mode(answer.pk, "identified", name="A. Diaz", contact="555-0100")
    return answers.confirm(answer.pk).pk


def live(home, monkeypatch, count):
    """Consent `count` times and let the beat work: [(kind, seconds from consent to the first call, bytes sealed)]."""
    draw = random.Random(11)
    stock(home, count)
    home.world.publish(home.world.request(2, from_=home.world.start - 12_000))
    home.world.publish(home.world.request(1))
    home.tick()
    recordings = [home.recording(home.porch, home.world.start - 9000 - n, 10_800, f"{n}.mp4") for n in range(5)]

    def sealed(answer, key, name, covered, now):
        # The pictures' worker apart: as many bytes as the clips are long, sealed as they would be.
        seconds = sum(clip.cut_end - clip.cut_start for clip in answer.clips.all())
        return delivery._seal_small(answer, name, secrets.token_bytes(200 + int(seconds)))

    monkeypatch.setattr(delivery, "_seal_clips", sealed)
    monkeypatch.setattr(answers, "_at_key_frames", lambda chosen, _rows: chosen)
    begin = home.now
    due = sorted((begin + draw.randrange(SPAN), KINDS[n % len(KINDS)]) for n in range(count))
    home.hub.calls.clear()
    beat = Beat([job for job in beat_jobs() if job.name in {"seal", "upload"}])
    gave = {}
    waiting = Answer.objects.filter(state__in=("queued", "sealed", "uploading"))
    while due or waiting.exists():
        coming = beat.next_due()
        busy = waiting.filter(state="queued").exists() or waiting.filter(not_before__lte=home.now).exists()
        if not busy:
            # Nothing to do till then: passes of the beat that would find nothing are left out.
            first = waiting.order_by("not_before").values_list("not_before", flat=True).first()
            coming = math.inf if first is None else max(coming, -(-first // LOCAL_S) * LOCAL_S)
        if due and due[0][0] <= coming:
            home.at(max(due[0][0], home.now))
            kind = due.pop(0)[1]
            gave[consent(home, kind, recordings, draw)] = (kind, home.now)
            continue
        home.at(coming)
        beat.run_due(home.now)
        assert home.now < begin + SPAN + CAP_S + 60
    left = {}
    for now, method, url, _headers, body in home.hub.calls:
        if (method, url.split("/", 3)[3]) == ("POST", "v1/uploads"):
            opening = verify_responder(UploadOpen, body)
            left.setdefault(opening.response_id, (now, plain_of(home.hub.body_of(opening.response_id))))
    rows = Answer.objects.filter(pk__in=gave)
    assert {row.state for row in rows} == {"uploaded"}
    return [(gave[row.pk][0], left[row.response_id][0] - gave[row.pk][1], left[row.response_id][1]) for row in rows]


def plain_of(data):
    """Length of what was sealed into an age file: what its head leaves, without nonce and tags.

    The head has a stanza of random length that nobody can open (age's grease): it depends on nothing that was sealed.
    """
    head = data.index(b"\n", data.index(b"\n--- ") + 1) + 1
    payload = len(data) - head - 16
    return payload - 16 * -(-payload // (65_536 + 16))


def judge(found):
    assert all(size == padme(size) for _kind, _wait, size in found)
    assert len({size for _kind, _wait, size in found}) < 12
    waits = [wait for _kind, wait, _size in found]
    gap = distance(waits)
    assert gap < STRICT / math.sqrt(len(waits)), f"DELAYS ARE NOT THE DECLARED ONES ({gap:.3f})"
    for kind in KINDS:
        one = [wait for name, wait, _ in found if name == kind]
        rest = [wait for name, wait, _ in found if name != kind]
        gap = distance(one, rest)
        bound = STRICT * math.sqrt((len(one) + len(rest)) / (len(one) * len(rest)))
        assert gap < bound, f"DELAYS TELL OF CONTENT ({kind}: {gap:.3f})"


@pytest.mark.claim("P4")
@pytest.mark.slow
def test_delays_follow_the_declared_distribution_whatever_is_sent(home, monkeypatch):
    judge(live(home, monkeypatch, 80))


@pytest.mark.claim("P4")
@pytest.mark.proof
def test_two_thousand_delays_and_their_sizes(home, monkeypatch):
    found = live(home, monkeypatch, 2000)
    assert len(found) == 2000
    judge(found)


def test_the_judge_tells_another_distribution():
    draw = random.Random(5)

    def sample(mean):
        return [int(min(draw.expovariate(1 / mean), CAP_S)) + draw.randrange(LOCAL_S) for _ in range(2000)]

    assert distance(sample(MEAN_S)) < STRICT / math.sqrt(2000)
    assert distance(sample(MEAN_S * 1.3)) > STRICT / math.sqrt(2000)
    assert distance([draw.randrange(2 * MEAN_S) for _ in range(2000)]) > STRICT / math.sqrt(2000)
