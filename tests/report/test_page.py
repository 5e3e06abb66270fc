"""The report: one page that holds all it needs, says what it leaves out, and lets no text become markup."""

import base64
import datetime as dt
import hashlib
import io
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from home_past import MONDAY, fill
from html_page import read_page
from PIL import Image

from taskmem_ros.clips import GAP_REASONS, Gap, Pose
from taskmem_ros.memory import STATUSES, Store
from taskmem_ros.report.coverage import KINDS
from taskmem_ros.report.gather import MOST_DAYS, MOST_GAPS, gather
from taskmem_ros.report.page import FOLDER, render, write_report
from taskmem_ros.report.views import KIND_WORDS, STATUS_WORDS

ROOT = Path(__file__).parents[2]
S = 1_000_000_000
DAY = 86400 * S
UTC = dt.timezone.utc
EVIL = """</p></li><script>alert(1)</script><img src=x onerror='alert("2")'> & {{ 7*7 }} \u2028 " '"""


def page(path, zone=UTC, **options):
    with Store.open(path, read_only=True) as store:
        gathered = gather(store, zone=zone, **options)
    return read_page(render(gathered, name="memory.db", zone=zone, made_ns=MONDAY + 3 * DAY))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("home") / "memory.db"
    fill(path)
    return path


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        yield store


def remember(store, second, text="A cat sleeps.", camera="front", pose=None, **more):
    at = MONDAY + second * S
    return store.add_memory(camera, 0, at, at + 10 * S, text, pose=pose, **more)


def ids(root):
    return [e["id"] for e in root.all() if "id" in e.attributes]


def memory_ids(root):
    return sorted(int(name[1:]) for name in ids(root) if re.fullmatch(r"m\d+", name))


def test_every_memory_is_there_once_by_day_and_hour(home):
    root = page(home)
    assert memory_ids(root) == list(range(1, 61))
    assert max(Counter(ids(root)).values()) == 1
    days = root.all("section", "day")
    assert [day.all("h3")[0].text for day in days] == ["Monday 5 January 2026", "Tuesday 6 January 2026"]
    hours = [[hour.all("h4")[0].text for hour in day.all("section", "hour")] for day in days]
    assert hours == [["8 h", "12 h"], ["9 h", "17 h"]]
    times = [time.text for time in days[0].all("time")]
    assert times == sorted(times)
    third = next(li for li in root.all("li", "memory") if li["id"] == "m3")
    assert "In the bathroom, David took the blue bottle from the bathtub and the heater is off." in third.text
    assert [span.text for span in third.all("span", "old")][0] == "In the bathroom, David"
    folded = next(li for li in root.all("li", "memory") if li["id"] == "m4")
    assert [(ref["id"], ref.text) for ref in folded.all("span", "ref")] == [
        ("m5", "08:00:40"), ("m6", "08:00:50")
    ]  # fmt: skip


def test_pictures_are_in_the_page_with_words_for_who_cannot_see_them(home):
    root = page(home)
    pictures = root.all("img")
    assert 40 < len(pictures) == len(root.all("li", "memory"))
    for picture in pictures:
        kind, data = picture["src"].split(",")
        assert kind == "data:image/jpeg;base64" and re.match(
            r"Seen by (front|rear) at \d\d:\d\d:\d\d$", picture["alt"]
        )
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (160, 120)


def test_nothing_is_fetched_from_elsewhere(home):
    with Store.open(home, read_only=True) as store:
        html = render(gather(store, zone=UTC), name="memory.db", zone=UTC, made_ns=0)
    root = read_page(html)
    for element in root.all():
        assert element.name not in ("link", "iframe", "object", "embed", "base", "form") or (
            element.name == "form" and "action" not in element.attributes
        )
        for name, value in element.attributes.items():
            assert not name.startswith("on") and name != "style", f"{name} of <{element.name}>"
            if name in ("src", "href", "srcset", "poster", "data", "action"):
                assert value.startswith(("#", "data:image/jpeg;base64,")), value
    style, script = root.all("style")[0].text, root.all("script")[0].text
    assert "http" not in html.replace("http-equiv", "") and "url(" not in style and "@import" not in style
    policy = next(m["content"] for m in root.all("meta") if m.attributes.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:;")
    for text, name in ((style, "style"), (script, "script")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert len(root.all("script")) == 1 and "innerHTML" not in script and "eval" not in script


def test_links_lead_somewhere(home):
    root = page(home)
    known = set(ids(root))
    targets = [a["href"][1:] for a in root.all("a")]
    assert len(targets) > 60 and set(targets) <= known


def test_headings_and_labels(home):
    root = page(home)
    levels = [int(e.name[1]) for e in root.all() if re.fullmatch("h[1-6]", e.name)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:])), "a level was left out"
    assert root.all("html")[0]["lang"] == "en" and root.all("title")[0].text.startswith("5–6 January 2026")
    for section in root.all("section"):
        if "aria-labelledby" in section.attributes:
            assert section["aria-labelledby"] in ids(root)
    assert all(strip["aria-label"] for strip in root.all("svg", "strip"))


def test_gaps_are_gaps_with_their_reason_and_length(home):
    gaps = [" ".join(li.text.split()) for li in page(home).all("li", "gap")]
    assert gaps == [
        "08:02:20 Not watching for 50 s front: the model was slower than the camera",
        "12:00:00 Not watching for 30 min front: the camera gave no pictures",
        "12:31:40 Not watching for 20 h 38 min front: the agent was not active",
        "09:12:10 Not watching for 10 s rear: no memory could be written",
    ]


def test_coverage_adds_up(home):
    root = page(home)
    amounts = [" ".join(p.text.split()) for p in root.all("p", "amounts")]
    assert amounts == [
        "4 min watched, 30 min no pictures, 50 s model too slow, 11 h 28 min agent not active",
        "1 min watched",
        "3 min 40 s watched, 9 h 10 min agent not active",
        "1 min 20 s watched, 10 s nothing written",
    ]
    for strip in root.all("svg", "strip"):
        width = int(strip["viewbox"].split()[2])
        assert width == 86400
        ends = [(int(r["x"]), int(r["x"]) + int(r["width"])) for r in strip.all("rect")[1:]]
        assert all(0 <= a < b <= width for a, b in ends) and ends == sorted(ends)


def test_questions_have_their_status_answer_and_evidence(home):
    questions = page(home).all("ol", "questions")[0]
    rows = [li for li in questions.children if not isinstance(li, str)]
    status = [li.all("span", "status")[0].text for li in rows]
    assert status == ["Waiting", "Timed out", "Not watching then", "Not in memory", "Answered", "Answered"]
    last = rows[-1]
    assert last.all("h3")[0].text == "What was Clara wearing?" and "a red shirt" in last.text
    evidence = last.all("ul", "evidence")[0].all("a")
    assert len(evidence) == 2 and all("Clara" in a.text and "red shirt" in a.text for a in evidence)
    cited = page(home).all("a", "cited")
    assert {a["href"] for a in cited} == {"#q1", "#q2", "#q5"}


def test_the_map_has_every_place(home):
    root = page(home)
    (figure,) = root.all("figure", "map")
    assert "home (map)" in figure.text
    places = figure.all("a", "place")
    assert sum(int(a["data-count"]) for a in places) == 60
    width, height = (float(n) for n in figure.all("svg")[0]["viewbox"].split()[2:])
    for place in places:
        assert place["data-text"] and place.all("title")[0].text.endswith(place["data-text"])
        for circle in place.all("circle"):
            assert 0 < float(circle["cx"]) < width and 0 < float(circle["cy"]) < height


def test_no_text_becomes_markup(store, tmp_path):
    pose = Pose(f"map{EVIL}", 0, 0, 0, 0, 0, 0, 1, f"id{EVIL}")
    memory = remember(store, 0, EVIL, camera=f"cam{EVIL}", pose=pose)
    task = store.add_task(EVIL, choices=[EVIL, "b"], asked_ns=MONDAY, known_answer=EVIL)
    store.finish_task(task.id, "answered", answer=EVIL, confidence=0.5, evidence=[(memory.id, 1.0)])
    store.add_feedback(task.id, "right", source=EVIL)
    store.finish_task(store.add_task(EVIL, asked_ns=MONDAY).id, "failed", message=EVIL)
    store.add_gap(Gap(f"cam{EVIL}", 0, MONDAY + 20 * S, MONDAY + 30 * S, "dropped"))
    html = render(gather(store, zone=UTC), name=f"db{EVIL}", zone=UTC, made_ns=0, title=f"t{EVIL}")
    root = read_page(html)
    assert len(root.all("script")) == 1 and not root.all("img") and "<script>alert" not in html
    plain = " ".join(EVIL.split())
    for element in (root.all("h1")[0], root.all("li", "memory")[0].all("p")[0], root.all("p", "answer")[0],
                    root.all("p", "none")[0], root.all("h3")[-2], root.all("figcaption")[0]):  # fmt: skip
        assert plain in " ".join(element.text.split()), element.name
    assert root.all("a", "place")[0]["data-text"] == EVIL and "{{ 7*7 }}" in html


def test_what_was_said_of_an_answer_stands_beside_it(store):
    told = []
    for answer in ("on the desk", "in the hall"):
        task = store.add_task("Where is it?", asked_ns=MONDAY, known_answer="under the bed")
        store.finish_task(task.id, "answered", answer=answer, confidence=0.5)
        told.append(task.id)
    store.add_feedback(told[0], "right", source="Anna")
    store.add_feedback(told[0], "wrong", "on the shelf", source="Ben & Clara")
    root = read_page(render(gather(store, zone=UTC), name="db", zone=UTC, made_ns=0, title="t"))
    newest, first = (" ".join(li.text.split()) for li in root.all("ol", "questions")[0].all("li"))
    assert "Feedback: right, says Anna; wrong, says Ben & Clara" in first
    assert "Known answer: on the shelf" in first and "under the bed" not in first
    assert "Feedback" not in newest and "Known answer: under the bed" in newest


def test_the_limit_keeps_the_newest_and_what_answers_stand_on(home):
    root = page(home, limit=5)
    cited = {int(a["href"][2:]) for evidence in root.all("ul", "evidence") for a in evidence.all("a")}
    shown = set(memory_ids(root))
    assert shown == {56, 57, 58, 59, 60} | cited and len(cited) == 5
    holes = [" ".join(li.text.split()) for li in root.all("li", "hole")]
    left_out = [int(re.search(r"(\d+) memories until", hole)[1]) for hole in holes]
    assert sum(left_out) == 60 - len(shown)
    assert f"{60 - len(shown)} of 60 memories are not listed" in root.all("p", "notice")[0].text
    assert "60 memories" in root.all("ul", "figures")[0].text.replace("\n", " ")
    assert root.all("p", "amounts")[0].text == page(home).all("p", "amounts")[0].text, "coverage counts all"


def test_since_until_and_camera(home):
    tuesday = MONDAY + DAY
    root = page(home, since_ns=tuesday + 9 * 3600 * S, until_ns=tuesday + 12 * 3600 * S, camera="rear")
    assert memory_ids(root) == list(range(47, 55))
    assert root.all("h1")[0].text == "6 January 2026" and len(root.all("li", "gap")) == 1
    assert not root.all("section", "day")[0].all("li", "hole")
    clipped = page(home, since_ns=tuesday, until_ns=tuesday + 3600 * S)
    assert [" ".join(li.text.split())[:36] for li in clipped.all("li", "gap")] == [
        "00:00:00 Not watching for 1 h front:"
    ]
    assert clipped.all("p", "amounts")[0].text.startswith("0 s watched, 1 h")


def test_evidence_that_is_not_there(store):
    kept, other = remember(store, 0), remember(store, 5 * 86400)
    for number in (kept.id, other.id, 99):
        task = store.add_task("Where is the cat?", asked_ns=MONDAY + 100 * S)
        store.finish_task(task.id, "answered", answer="here", evidence=[(number, 1.0)])
    with_until = gather(store, until_ns=MONDAY + DAY, zone=UTC)
    root = read_page(render(with_until, name="m", zone=UTC, made_ns=0))
    evidence = [" ".join(ul.text.split()) for ul in root.all("ul", "evidence")]
    assert evidence == [
        "memory 99, forgotten since",
        f"memory {other.id}, outside of this report",
        "Mon 5 Jan 00:00:00 A cat sleeps.",
    ]


def test_an_empty_store_has_a_page(store):
    root = read_page(render(gather(store, zone=UTC), name="memory.db", zone=UTC, made_ns=MONDAY))
    assert root.all("h1")[0].text == "Nothing yet"
    assert "No memory and no gap is of this time." in root.text
    assert not root.all("section", "day") and not root.all("figure")


def test_a_long_life_is_cut_and_says_so(store):
    for day in range(MOST_DAYS + 6):
        remember(store, day * 86400)
    for number in range(MOST_GAPS + 7):
        at = MONDAY + 19 * DAY + number * 100 * S
        store.add_gap(Gap("front", 0, at + 20 * S, at + (30 + number) % 99 * S + 21 * S, "dropped"))
    root = page(store.path)
    assert len(root.all("ol", "coverage")[0].all("h3")) == MOST_DAYS == len(memory_ids(root))
    notices = " ".join(p.text for p in root.all("p", "notice"))
    assert (
        f"Only the last {MOST_DAYS} days are shown" in notices and "7 shorter gaps are not listed" in notices
    )
    assert len(root.all("li", "gap")) == MOST_GAPS


def test_every_status_and_reason_has_words():
    assert set(STATUS_WORDS) == set(STATUSES) and set(KIND_WORDS) == set(KINDS) == {"watched", *GAP_REASONS}
    style = (FOLDER / "page.css").read_text()
    assert all(f".k-{kind}" in style and f"--{kind}:" in style for kind in KINDS)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_can_be_told_from_their_ground_in_light_and_dark():
    """WCAG 2: 4.5 for text, 3 for shapes."""
    blocks = re.findall(r":root \{(.*?)\}", (FOLDER / "page.css").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))

        def contrast(one, other, colours=colours):
            low, high = sorted(luminance(colours[name]) for name in (one, other))
            return (high + 0.05) / (low + 0.05)

        text = ["ink", "soft", "link", "good", *GAP_REASONS]
        for name in text:
            assert contrast(name, "ground") >= 4.5 and contrast(name, "sheet") >= 4.5, name
        for name in ("ink", "soft", "good"):
            assert contrast(name, "mark") >= 4.5, name
        for name in ["watched", *(f"c{number}" for number in range(8))]:
            assert contrast(name, "ground") >= 3 and contrast(name, "sheet") >= 3, name


def test_a_page_is_written_whole_or_not_at_all(home, tmp_path):
    with Store.open(home, read_only=True) as store:
        gathered = gather(store, limit=1, zone=UTC)

    def write(target):
        return write_report(target, gathered, name="m", zone=UTC, made_ns=0)

    target = tmp_path / "new folder" / "report.HTML"
    assert write(target) == target.stat().st_size and write(target) > 0
    read_page(target.read_text(encoding="utf-8"))
    assert [p.name for p in target.parent.iterdir()] == [
        "report.HTML"
    ] and target.stat().st_mode & 0o777 == 0o644
    for wrong in (home, tmp_path / "report", tmp_path):
        with pytest.raises(ValueError, match="name a file that ends in .html"):
            write(wrong)
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "folder.html", tmp_path / "file" / "report.html"):
        with pytest.raises(ValueError, match="cannot be written"):
            write(wrong)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_the_template_is_installed(tmp_path):
    """What setup.py builds has the files of the page; ament copies the whole folder of the package."""
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path / "lib"),
               "egg_info", "--egg-base", str(tmp_path)]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    built = {p.name for p in (tmp_path / "lib" / "taskmem_ros" / "report" / "page").iterdir()}
    assert built == {"page.html", "page.css", "page.js"} == {p.name for p in FOLDER.iterdir()}
