"""Evidence through the pages: the grid, notes, derived clips, holds, other uses, bags."""

import io
import re
import zipfile

from fairwitness_core.verify.bag import verify_bag
from fairwitness_core.verify.trust import TrustPolicy

from fairwitness.agency.models import Annotation, AuditRecord, CustodyRecord, Export, Hold, Response
from fairwitness.agency.services import bags, triage
from fairwitness.kit.video.source import open_source
from tests.unit.agency.agency_steps import PURPOSE
from tests.unit.agency.world import Owner

WHY = "trial of the driver of the silver hatchback"


def accepted(world, *owners):
    request = world.published()
    found = world.collected(request, *(owners or (Owner(1, [world.clip]),)))
    for response in found:
        triage.accept(world.ana, response, PURPOSE)
    world.hub.tick()
    return request, found


def test_the_grid_is_searched_and_shows_pictures_only_of_what_is_open(world, sit, read):
    ana = sit("ana")
    assert "No evidence yet" in read(ana.get("/evidence"))
    _, [response] = accepted(world)
    page = ana.get("/evidence")
    assert "26-001873 · Hit and run" in read(page)
    assert "/picture" not in page.content.decode()
    assert (
        ana.post(f"/responses/{response.id}/open", purpose=PURPOSE, page="evidence").headers["Location"].startswith("/evidence/")
    )
    assert "/picture" in ana.get("/evidence").content.decode()
    assert "/picture" not in sit("sam").get("/evidence").content.decode()
    ana.post(f"/evidence/{response.id}/notes", kind="note", text="The tail light is broken.")
    for words in ("26-0018 hit", "broken", response.request_id[:8], response.id[:12]):
        assert "Hit and run" in read(ana.get("/evidence", q=words)), words
    assert "Nothing matches" in read(ana.get("/evidence", q="lorry"))
    assert "Hit and run" in read(ana.get("/evidence", since="2027-01-01", until="2027-12-31"))
    assert "Nothing matches" in read(ana.get("/evidence", since="2028-01-01"))


def test_notes_are_struck_never_removed_and_stand_in_the_audit(world, sit, read):
    _, [response] = accepted(world)
    ana, sam = sit("ana"), sit("sam")
    url = f"/evidence/{response.id}/notes"
    assert ana.post(url, kind="note", text="Left tail light is out.").status_code == 302
    marker = {"kind": "marker", "clip": "clip-01.mp4", "at": "0.500", "text": "turns left"}
    assert ana.post(url, **marker).status_code == 302
    assert ana.post(url, kind="clip", clip="clip-01.mp4", start="0.2", end="1.2", text="the turn").status_code == 302
    assert ana.post(url, kind="clip", clip="clip-01.mp4", start="1.2", end="0.2", text="backwards").status_code == 400
    assert ana.post(url, kind="marker", text="of nothing").status_code == 400
    assert ana.post(url, kind="marker", clip="clip-02.mp4", at="1", text="another").status_code == 404
    assert ana.post(url, kind="note", text=" ").status_code == 400
    assert ana.post(url, kind="marker", clip="clip-01.mp4", at="soon", text="when").status_code == 400
    written = Annotation.objects.get(kind="note")
    assert sam.post(f"{url}/{written.pk}/strike", words="").status_code == 400
    assert sam.post(f"{url}/{written.pk}/strike", words="it was the right one").status_code == 302
    page = ana.get(f"/evidence/{response.id}")
    assert "<s>Left tail light is out.</s>" in page.content.decode()
    assert "struck by Sam: it was the right one" in read(page)
    assert "0:00.2\u20130:01.2" in read(page)
    assert list(AuditRecord.objects.filter(subject=f"response {response.id}").values_list("action", flat=True)) == [
        "evidence.note_struck", "evidence.clip_added", "evidence.marker_added", "evidence.note_added",
    ]  # fmt: skip


def test_a_derived_clip_is_cut_when_it_is_fetched_and_stands_in_custody(world, sit, read, tmp_path):
    _, [response] = accepted(world)
    ana = sit("ana")
    ana.post(f"/evidence/{response.id}/notes", kind="clip", clip="clip-01.mp4", start="0", end="0.7", text="the turn")
    derived = Annotation.objects.get()
    world.hub.slow = True
    before = {path for path in world.folder.rglob("*") if path.is_file()}
    assert ana.post(f"/evidence/{response.id}/download", what=derived.pk, purpose=PURPOSE).status_code == 202
    assert "ready until" not in read(ana.get(f"/evidence/{response.id}"))
    world.hub.slow = False
    ana.post(f"/evidence/{response.id}/download", what=derived.pk, purpose=PURPOSE)
    page = ana.get(f"/evidence/{response.id}").content.decode()
    url = re.search(r'href="(/looks/[^"]+/part/[^"]+)"', page)[1]
    answer = ana.get(url)
    data = b"".join(answer.streaming_content)
    assert 'filename="' in answer["Content-Disposition"]
    (tmp_path / "part.mp4").write_bytes(data)
    with open_source(tmp_path / "part.mp4") as container:
        assert 1 <= sum(1 for _ in container.decode(video=0)) <= 8
    assert {path for path in world.folder.rglob("*") if path.is_file()} == before
    assert CustodyRecord.objects.filter(response=response, action="downloaded").count() == 1
    assert "part 0.000 s to 0.700 s" in read(ana.get(f"/evidence/{response.id}"))
    assert sit("sam").get(url).status_code == 404
    ana.post(f"/evidence/{response.id}/download", what="clip-01.mp4", purpose=PURPOSE)
    whole = re.search(r'href="(/api/touches/[^"]+/content)"', ana.get(f"/evidence/{response.id}").content.decode())[1]
    assert b"".join(ana.get(whole).streaming_content) == world.clip
    touch = whole.split("/")[3]
    assert ana.get(f"/looks/{touch}/part/{derived.pk}").status_code == 404  # logged as another download


def test_holds_are_placed_and_lifted(world, sit, read):
    _, [response] = accepted(world)
    ana, sam, sue = sit("ana"), sit("sam"), sit("sue")
    form = {"kind": "legal_hold", "reference": "Order 17", "purpose": "the judge asked to keep it"}
    assert ana.post(f"/evidence/{response.id}/hold", **form).status_code == 403
    assert sam.post(f"/evidence/{response.id}/hold", **form | {"reference": ""}).status_code == 400
    world.hub.slow = True
    assert sam.post(f"/evidence/{response.id}/hold", **form).status_code == 202
    assert not Hold.objects.exists()
    world.hub.slow = False
    assert sam.post(f"/evidence/{response.id}/hold", **form).status_code == 302
    assert "Legal hold Order 17" in read(ana.get(f"/evidence/{response.id}"))
    assert "Order 17" in read(sue.get("/holds"))
    held = Hold.objects.get()
    assert sam.post(f"/holds/{held.pk}/lift", purpose="").status_code == 400
    assert sam.post(f"/holds/{held.pk}/lift", purpose="the judge lifted it").status_code == 302
    assert "Nothing is held" in read(sue.get("/holds"))


def test_a_defences_demand_brings_a_declined_answer_back(world, sit, read):
    request = world.published()
    [response] = world.collected(request, Owner(1, [world.clip]))
    triage.decline(world.ana, response, PURPOSE)
    sam = sit("sam")
    assert "in 30 days" in read(sam.get("/holds"))
    form = {"kind": "defence_preservation", "reference": "Motion 4", "purpose": "the defence asked for it"}
    assert sam.post(f"/evidence/{response.id}/hold", **form).status_code == 302
    assert Response.objects.get(pk=response.id).state == "held"
    assert "A supervisor or a technician opens it." in read(sit("ana").get(f"/responses/{response.id}"))
    sam.post(f"/responses/{response.id}/open", purpose=PURPOSE, page="response")
    assert "red car" in read(sam.get(f"/responses/{response.id}"))


def test_use_in_another_case_tells_the_owner(world, sit, read):
    _, [response] = accepted(world)
    sam = sit("sam")
    form = {"case": "26-9", "recipient": "Burglary desk", "purpose": "the same hatchback left a burglary"}
    assert sit("tom").post(f"/evidence/{response.id}/use", **form).status_code == 403
    own = sam.post(f"/evidence/{response.id}/use", **form | {"case": "26-001873"})
    assert own.status_code == 400
    assert "This is the case that it was given for." in read(own)
    assert sam.post(f"/evidence/{response.id}/use", **form | {"purpose": "26-9"}).status_code == 409
    assert sam.post(f"/evidence/{response.id}/use", **form).status_code == 302
    assert "for Burglary desk" in read(sam.get(f"/evidence/{response.id}"))
    assert world.told(response)[-1] == "accepted"


def test_a_bag_is_ordered_downloaded_as_a_stream_and_verifies(world, sit, read, tmp_path):
    request, found = accepted(world, Owner(1, [world.clip]), Owner(2, []))
    tom, ana = sit("tom"), sit("ana")
    assert ana.get("/exports").status_code == 403
    assert "No bag was made yet" in read(tom.get("/exports"))
    url = f"/requests/{request.id}/export"
    form = {"responses": [r.id for r in found], "to": "court", "recipient": "County court", "purpose": WHY}
    assert tom.post(url, **form | {"to": ""}).status_code == 400
    vague = tom.post(url, **form | {"purpose": "26-001873"})
    assert vague.status_code == 409
    assert "County court" in vague.content.decode()
    assert tom.post(url, **form | {"responses": []}).status_code == 400
    world.hub.slow = True
    assert tom.post(url, **form).status_code == 202
    assert not Export.objects.filter(written_at__isnull=False).exists()
    world.hub.slow = False
    assert tom.post(url, **form).status_code == 302
    made = Export.objects.get()
    page = read(tom.get("/exports"))
    assert "Court: County court" in page
    assert "2 answers" in page
    assert made.tagmanifest in page
    answer = tom.post(f"/exports/{made.pk}/download")
    pieces = list(answer.streaming_content)
    assert max(map(len, pieces)) <= 1 << 19
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    trust = TrustPolicy.read(tom.get("/exports/trust.json").content)
    [root] = [path for path in tmp_path.iterdir() if path.name.startswith("fairwitness-")]
    from fairwitness_core.verify.cli import FolderFiles  # noqa: PLC0415 - a verifier, for this test

    assert verify_bag(FolderFiles(root), trust).ok
    assert AuditRecord.objects.filter(action="export.downloaded").count() == 1
    assert bags.describe(made).answers == 2
    assert tom.post("/exports/none/download").status_code == 404
    assert "Exports with it" in read(ana.get(f"/evidence/{found[0].id}"))


def test_another_officers_case_is_not_there(world, sit):
    from fairwitness.agency.services import officers  # noqa: PLC0415 - one more person, for this test

    world.codes["otto"] = officers.enrol("otto", "Otto", "officer").code
    _, [response] = accepted(world)
    otto = sit("otto")
    assert response.id not in otto.get("/evidence").content.decode()
    assert otto.get(f"/evidence/{response.id}").status_code == 404
    for path in ("notes", "notes/1/strike", "download", "report"):
        assert otto.post(f"/evidence/{response.id}/{path}").status_code == 404, path
