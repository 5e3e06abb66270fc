"""What people say about time: true phrases with their spans, and words that only look like times."""

import datetime as dt
import os
import subprocess
import sys
from zoneinfo import ZoneInfo

import pytest

from taskmem_ros.recall.when import time_asked, time_begins, time_said

BERLIN = ZoneInfo("Europe/Berlin")
NOW = dt.datetime(2026, 7, 15, 16, 30, tzinfo=BERLIN)  # a Wednesday

# question, since, until: month-day hour:minute of 2026, or with the year; None is open.
TRUE = [
    # days and their parts
    ("Who came this morning?", "07-15 05:00", "07-15 12:00"),
    ("Where was Anna this afternoon?", "07-15 12:00", "07-15 16:30"),
    ("Who came early this morning?", "07-15 04:00", "07-15 08:00"),
    ("Who came earlier today?", "07-15 00:00", "07-15 16:30"),
    ("Who was here all day?", "07-15 00:00", "07-15 16:30"),
    ("Who came last night?", "07-14 18:00", "07-15 06:00"),
    ("Who came late last night?", "07-14 22:00", "07-15 04:00"),
    ("Who came the night before last?", "07-13 18:00", "07-14 06:00"),
    ("Who came yesterday?", "07-14 00:00", "07-15 00:00"),
    ("Did you see her yesterday?", "07-14 00:00", "07-15 00:00"),
    ("What do you remember from yesterday?", "07-14 00:00", "07-15 00:00"),
    ("Who came yesterday morning?", "07-14 05:00", "07-14 12:00"),
    ("Who came yesterday evening?", "07-14 17:00", "07-15 00:00"),
    ("What did Ben do yesterday after lunch?", "07-14 13:00", "07-14 18:00"),
    ("Yesterday, what did Ben do in the afternoon?", "07-14 12:00", "07-14 18:00"),
    ("Who came the day before yesterday?", "07-13 00:00", "07-14 00:00"),
    ("Who came in the morning?", "07-15 05:00", "07-15 12:00"),
    ("Who was here in the morning wearing a hat?", "07-15 05:00", "07-15 12:00"),
    ("Who came in the evening?", "07-14 17:00", "07-15 00:00"),
    ("Who came late in the evening?", "07-14 21:00", "07-15 00:00"),
    ("Who came at night?", "07-14 21:00", "07-15 06:00"),
    ("Who came in the middle of the night?", "07-14 21:00", "07-15 06:00"),
    ("Who was at lunch with Anna?", "07-15 11:30", "07-15 13:30"),
    # counted from now
    ("Who came an hour ago?", "07-15 15:15", "07-15 15:45"),
    ("Who came half an hour ago?", "07-15 15:52:30", "07-15 16:07:30"),
    ("Who came an hour and a half ago?", "07-15 14:37:30", "07-15 15:22:30"),
    ("Who came an hour and 20 minutes ago?", "07-15 14:50", "07-15 15:30"),
    ("Who came two and a half hours ago?", "07-15 13:22:30", "07-15 14:37:30"),
    ("Who came 20 minutes ago?", "07-15 16:05", "07-15 16:15"),
    ("Who came twenty-five minutes ago?", "07-15 15:58:45", "07-15 16:11:15"),
    ("Who came a few minutes ago?", "07-15 16:20", "07-15 16:29"),
    ("Who came a couple of hours ago?", "07-15 14:00", "07-15 15:00"),
    ("Who came an hour or two ago?", "07-15 14:30", "07-15 15:30"),
    ("Who came two or three days ago?", "07-12 00:00", "07-14 00:00"),
    ("Who came a few hours ago?", "07-15 10:30", "07-15 14:30"),
    ("Who came more than an hour ago?", None, "07-15 15:30"),
    ("Who came less than an hour ago?", "07-15 15:30", None),
    ("Who was that just now?", "07-15 16:25", "07-15 16:30"),
    ("Who came 10 seconds ago?", "07-15 16:28:50", "07-15 16:30"),
    ("Who came two days ago?", "07-13 00:00", "07-14 00:00"),
    ("Who came two days ago at 3 pm?", "07-13 14:45", "07-13 15:15"),
    ("Who came two nights ago?", "07-13 18:00", "07-14 06:00"),
    ("Who came a few days ago?", "07-09 00:00", "07-14 00:00"),
    ("Who came a week ago?", "07-06 00:00", "07-11 00:00"),
    ("Who came a month ago?", "06-07 00:00", "06-24 00:00"),
    ("Who came in the last ten minutes?", "07-15 16:20", "07-15 16:30"),
    ("Who came in the last hour?", "07-15 15:30", "07-15 16:30"),
    ("Who came within the last half hour?", "07-15 16:00", "07-15 16:30"),
    ("Who came over the past few days?", "07-09 16:30", "07-15 16:30"),
    ("Who came in the last week?", "07-08 16:30", "07-15 16:30"),
    # weeks and longer
    ("Who came this week?", "07-13 00:00", "07-15 16:30"),
    ("Who came last week?", "07-06 00:00", "07-13 00:00"),
    ("Who came the week before last?", "06-29 00:00", "07-06 00:00"),
    ("Who came last week on Friday?", "07-10 00:00", "07-11 00:00"),
    ("Who came last weekend?", "07-11 00:00", "07-13 00:00"),
    ("Who came over the weekend?", "07-11 00:00", "07-13 00:00"),
    ("Who came last month?", "06-01 00:00", "07-01 00:00"),
    ("Who came last year?", "2025-01-01 00:00", "2026-01-01 00:00"),
    ("Who came in March?", "03-01 00:00", "04-01 00:00"),
    ("Who came in December?", "2025-12-01 00:00", "2026-01-01 00:00"),
    ("Who came in March 2025?", "2025-03-01 00:00", "2025-04-01 00:00"),
    ("Who came in 2025?", "2025-01-01 00:00", "2026-01-01 00:00"),
    # weekdays
    ("Who came last Tuesday?", "07-07 00:00", "07-08 00:00"),  # yesterday is not called so
    ("Who came last Monday?", "07-13 00:00", "07-14 00:00"),
    ("Who came on Monday?", "07-13 00:00", "07-14 00:00"),
    ("Who came on Wednesday?", "07-08 00:00", "07-09 00:00"),  # neither is today
    ("Who came this Wednesday?", "07-15 00:00", "07-15 16:30"),
    ("Who came on Monday morning?", "07-13 05:00", "07-13 12:00"),
    ("Who came Monday morning?", "07-13 05:00", "07-13 12:00"),
    ("Who came on Friday night?", "07-10 18:00", "07-11 06:00"),
    ("Who came on Sun?", "07-12 00:00", "07-13 00:00"),
    ("What did Anna do on Monday or Tuesday?", "07-13 00:00", "07-15 00:00"),
    ("Was Anna here on Monday at 3 pm or at 5 pm?", "07-13 14:45", "07-13 17:15"),
    # dates
    ("Who came on 3 March?", "03-03 00:00", "03-04 00:00"),
    ("Who came on March 3rd?", "03-03 00:00", "03-04 00:00"),
    ("Who came on the third of March, 2025?", "2025-03-03 00:00", "2025-03-04 00:00"),
    ("Who came on Sunday, 5 July?", "07-05 00:00", "07-06 00:00"),
    ("Who came on 20 December?", "2025-12-20 00:00", "2025-12-21 00:00"),
    ("Who came on February 29?", "2024-02-29 00:00", "2024-03-01 00:00"),
    ("Who came on 2026-03-03?", "03-03 00:00", "03-04 00:00"),
    ("Who came at 2026-03-03 14:05?", "03-03 14:00", "03-03 14:10"),
    ("Who came at 2026-07-14T14:00:00Z?", "07-14 15:55", "07-14 16:05"),
    ("Who came on the 5th?", "07-05 00:00", "07-06 00:00"),
    ("Who came on the 20th?", "06-20 00:00", "06-21 00:00"),
    ("Who came on the 31st?", "05-31 00:00", "06-01 00:00"),
    ("Who came on the 5th of last month?", "06-05 00:00", "06-06 00:00"),
    ("Who came on the evening of the 5th?", "07-05 17:00", "07-06 00:00"),
    # clocks
    ("Who came at noon?", "07-15 11:45", "07-15 12:15"),
    ("Who came at midnight?", "07-14 23:45", "07-15 00:15"),
    ("Who came at 3 pm?", "07-15 14:45", "07-15 15:15"),
    ("Who came at 5 p.m.?", "07-14 16:45", "07-14 17:15"),
    ("Who came at 5pm on Sat?", "07-11 16:45", "07-11 17:15"),
    ("Who came around 4 o'clock?", "07-15 15:30", "07-15 16:30"),
    ("Who came at around 9:30 yesterday?", "07-14 09:15", "07-14 09:45"),
    ("Who came at 9:15 yesterday?", "07-14 09:10", "07-14 09:20"),
    ("Who came at 3:30?", "07-15 15:25", "07-15 15:35"),
    ("Who came at 03:30?", "07-15 03:25", "07-15 03:35"),
    ("Who came at 9:15 in the evening?", "07-14 21:10", "07-14 21:20"),
    ("Who came at nine?", "07-15 08:45", "07-15 09:15"),
    ("Who came at 4?", "07-15 15:45", "07-15 16:15"),
    ("Who came at 3 or 4 pm on Monday?", "07-13 14:45", "07-13 16:15"),
    ("Who came at half past three?", "07-15 15:15", "07-15 15:45"),
    ("Who came at a quarter to four?", "07-15 15:30", "07-15 16:00"),
    ("Who came at ten to four?", "07-15 15:35", "07-15 16:05"),
    ("Who came at 8 this morning?", "07-15 07:45", "07-15 08:15"),
    ("Who came at 9 last night?", "07-14 20:45", "07-14 21:15"),
    ("Who came at 2 last night?", "07-15 01:45", "07-15 02:15"),
    # from, to, since, before, after
    ("Who came between 2 and 3 pm?", "07-15 14:00", "07-15 15:00"),
    ("Who came between 5 and 6 pm?", "07-14 17:00", "07-14 18:00"),
    ("Who came between 4 and 5 pm?", "07-15 16:00", "07-15 16:30"),
    ("Who came between 14:00 and 15:30?", "07-15 14:00", "07-15 15:30"),
    ("Who came between eleven and one?", "07-15 11:00", "07-15 13:00"),
    ("Who came between 9 pm and 2 am?", "07-14 21:00", "07-15 02:00"),
    ("Who came between 8 and 9 this morning?", "07-15 08:00", "07-15 09:00"),
    ("Who came this morning between 8 and 9?", "07-15 08:00", "07-15 09:00"),
    ("Who came between 8 and 9 last night?", "07-14 20:00", "07-14 21:00"),
    ("Who came 2–3 pm?", "07-15 14:00", "07-15 15:00"),
    ("Where was Anna from nine to five yesterday?", "07-14 09:00", "07-14 17:00"),
    ("Where was Anna from ten to four?", "07-15 10:00", "07-15 16:00"),
    ("Where was Anna from 3 pm until now?", "07-15 15:00", "07-15 16:30"),
    ("Where was Anna from Friday to Monday?", "07-10 00:00", "07-14 00:00"),
    ("Where was Anna from yesterday morning until noon today?", "07-14 05:00", "07-15 12:00"),
    ("Who came before lunch?", "07-15 00:00", "07-15 12:00"),
    ("Who came before 8 this morning?", "07-15 00:00", "07-15 08:00"),
    ("Who came just before noon?", "07-15 11:30", "07-15 12:00"),
    ("Who came before yesterday?", None, "07-14 00:00"),
    ("Where was Anna until noon?", "07-15 00:00", "07-15 12:00"),
    ("Was Anna here by 3 pm?", "07-15 00:00", "07-15 15:00"),
    ("Who came after 5 pm?", "07-14 17:00", "07-15 00:00"),
    ("Who came after five yesterday?", "07-14 17:00", "07-15 00:00"),
    ("Who came after midnight?", "07-15 00:00", "07-15 16:30"),
    ("Who came after Monday?", "07-14 00:00", None),
    ("Who came since this morning?", "07-15 05:00", None),
    ("Who came since 10:00?", "07-15 10:00", None),
    ("Who came since an hour ago?", "07-15 15:30", None),
    ("Who came since Monday?", "07-13 00:00", None),
    ("What happened from 9 on?", "07-15 09:00", None),
    # as it may be typed, or heard
    ("did anna come home last night at 11", "07-14 22:45", "07-14 23:15"),
    ("WHO CAME YESTERDAY MORNING", "07-14 05:00", "07-14 12:00"),
    ("Who came\n the  day before\tyesterday", "07-13 00:00", "07-14 00:00"),
    ("Who came at 4 o’clock this afternoon?", "07-15 15:45", "07-15 16:15"),
]


@pytest.mark.parametrize(("question", "since", "until"), TRUE)
def test_a_time_that_is_asked_about(question, since, until):
    assert spans(question, NOW) == (since and full(since), until and full(until))


@pytest.mark.parametrize(
    "question",
    [
        "What is on the second shelf?",
        "Where is the March painting on the wall?",
        "Where was I during March madness?",
        "Where may the keys be?",
        "May I see the red mug?",
        "May 5 people come in?",
        "Which of the 3 may be mine?",
        "Where is the calendar for May?",
        "Is the sun shining in?",
        "Where is the Sun poster?",
        "Who sat down on the sofa?",
        "Anna sat where?",
        "Is the minute hand broken?",
        "Who drank the last cup?",
        "When was the last time?",
        "What is under the clock at the door?",
        "What is on the night stand?",
        "What lies in the night stand?",
        "Who carried two mugs?",
        "Who is in room 5?",
        "What is at 5 Main Street?",
        "Where is the morning coat?",
        "Who stood at 3 tables?",
        "Who sat at 3 of the tables?",
        "Who sat at 3 or 4 tables?",
        "Is the oven at 180?",
        "What is at 3.5 m?",
        "Who moved the chair from 2 to 3 metres?",
        "Who put the box between 2 and 3 mugs?",
        "Who stood between the two chairs?",
        "How many apples, 10 to 12?",
        "Did the score stand at two to one?",
        "Who waited after 10 more minutes?",
        "What is on the 5th floor?",
        "What was on the 2nd shelf?",
        "Does Anna water the plants every morning?",
        "Who comes on Mondays?",
        "Where is yesterday's newspaper?",
        "Where is the afternoon tea set?",
        "Where is the midnight blue scarf?",
        "Who missed the 3 pm meeting?",
        "Where is the noon train?",
        "What is on the 16:10 monitor?",
        "What did we have for lunch?",
        "Who was at the dinner table?",
        "Where is Friday?",
        "Who reads the Sunday paper?",
        "Where is the Saturday Night Fever poster?",
        "Where is June?",
        "What is in April's room?",
        "Did Tom march in?",
        "How long did Anna sleep?",
        "Who turned around two times?",
        "What happens in ten minutes?",
        "Where is the week planner?",
        "Is there a mid-morning snack?",
        "Is the door open right now?",
        "Where is Anna now?",
        "Since when is the door open?",
        "What time is it?",
        "Who came on 30 February?",
        "",
    ],
)
def test_words_that_only_look_like_a_time(question):
    assert time_asked(question, NOW) is None


@pytest.mark.parametrize(
    "question",
    ["Who comes tomorrow?", "Who came tonight?", "Who came this Friday?", "Who comes at 6 pm today?",
     "Who came on 2027-01-01?", "Who came 9000 years ago?", "Who came before Monday or since Tuesday?"],
)  # fmt: skip
def test_a_time_that_has_not_come_or_never_was_is_not_asked_about(question):
    assert time_asked(question, NOW) is None


@pytest.mark.parametrize(
    ("question", "words", "rest"),
    [
        ("Who came this morning?", "this morning", "Who came?"),
        ("Who came in the last ten minutes, and why?", "in the last ten minutes", "Who came, and why?"),
        ("Yesterday, who came before lunch?", "Yesterday before lunch", "who came?"),
        ("Between 2 and 3 pm, who took the red mug?", "Between 2 and 3 pm", "who took the red mug?"),
        ("What did Anna do on Monday or Tuesday?", "on Monday Tuesday", "What did Anna do?"),
        ("on the 5th", "on the 5th", ""),
        (
            "Where is the cup that was here an hour ago now?",
            "an hour ago",
            "Where is the cup that was here now?",
        ),
    ],
)
def test_the_words_that_say_so_and_the_rest(question, words, rest):
    asked = time_asked(question, NOW)
    assert (asked.words, asked.rest) == (words, rest)


@pytest.mark.parametrize(
    ("now", "question", "since", "until"),
    [
        ("2026-07-15 22:00", "Who came tonight?", "07-15 18:00", "07-15 22:00"),
        ("2026-07-16 01:00", "Who came tonight?", "07-15 18:00", "07-16 01:00"),
        ("2026-07-16 01:00", "Who came this evening?", "07-15 17:00", "07-16 00:00"),
        ("2026-07-16 01:00", "Who came last night?", "07-15 18:00", "07-16 01:00"),
        ("2026-07-15 03:00", "Who came this morning?", "07-15 00:00", "07-15 03:00"),
        ("2026-07-15 22:00", "Who came at 9?", "07-15 20:45", "07-15 21:15"),
        ("2026-07-15 07:00", "Who came at 3 pm?", "07-14 14:45", "07-14 15:15"),
        ("2026-07-15 15:00", "Who came at 3 pm?", "07-15 14:45", "07-15 15:00"),
        ("2026-07-15 07:00", "Who came before lunch?", "07-14 00:00", "07-14 12:00"),
        ("2026-07-15 01:00", "Who came between 11 pm and 2 am?", "07-14 23:00", "07-15 01:00"),
        ("2026-07-18 12:00", "Who came last Tuesday?", "07-14 00:00", "07-15 00:00"),
        ("2026-07-18 12:00", "Who came last weekend?", "07-11 00:00", "07-13 00:00"),
        ("2026-07-18 12:00", "Who came this weekend?", "07-18 00:00", "07-18 12:00"),
        ("2026-07-13 12:00", "Who came last weekend?", "07-11 00:00", "07-13 00:00"),
        ("2026-01-15 12:00", "Who came last month?", "2025-12-01 00:00", "2026-01-01 00:00"),
        ("2026-01-15 12:00", "Who came on the 31st?", "2025-12-31 00:00", "2026-01-01 00:00"),
        ("2024-02-29 12:00", "Who came on February 29?", "2024-02-29 00:00", "2024-02-29 12:00"),
        ("2024-03-01 12:00", "Who came yesterday?", "2024-02-29 00:00", "2024-03-01 00:00"),
        ("2025-03-01 12:00", "Who came yesterday?", "2025-02-28 00:00", "2025-03-01 00:00"),
        ("2024-03-31 12:00", "Who came in the last month?", "2024-02-29 12:00", "2024-03-31 12:00"),
        ("2026-03-10 12:00", "Who came last March?", "2025-03-01 00:00", "2025-04-01 00:00"),
    ],
)  # fmt: skip
def test_what_it_means_depends_on_when_it_is_asked(now, question, since, until):
    at = dt.datetime.fromisoformat(now).replace(tzinfo=BERLIN)
    assert spans(question, at) == (full(since), full(until))


@pytest.mark.parametrize(
    ("zone", "now", "question", "since", "until"),
    [  # now on the wall's clock; the rest in UTC, reckoned from the zone's published offsets
        ("UTC", "2026-07-15 16:30", "this morning", "2026-07-15 05:00", "2026-07-15 12:00"),
        ("America/New_York", "2026-07-15 16:30", "this morning", "2026-07-15 09:00", "2026-07-15 16:00"),
        ("Asia/Kathmandu", "2026-07-15 16:30", "at 3 pm", "2026-07-15 09:00", "2026-07-15 09:30"),
        # Berlin puts its clock forward on 2026-03-29 at 2:00 (1:00 UTC) and back on 2026-10-25 at 3:00
        ("Europe/Berlin", "2026-03-30 12:00", "yesterday", "2026-03-28 23:00", "2026-03-29 22:00"),
        ("Europe/Berlin", "2026-03-30 12:00", "last weekend", "2026-03-27 23:00", "2026-03-29 22:00"),
        ("Europe/Berlin", "2026-03-29 12:00", "in the last 24 hours", "2026-03-28 10:00", "2026-03-29 10:00"),
        ("Europe/Berlin", "2026-03-29 04:00", "an hour ago", "2026-03-29 00:45", "2026-03-29 01:15"),
        ("Europe/Berlin", "2026-03-29 12:00", "from 1:00 am to 4 am", "2026-03-29 00:00", "2026-03-29 02:00"),
        ("Europe/Berlin", "2026-03-29 12:00", "at 02:30", "2026-03-29 01:25", "2026-03-29 01:35"),
        ("Europe/Berlin", "2026-10-26 12:00", "yesterday", "2026-10-24 22:00", "2026-10-25 23:00"),
        ("Europe/Berlin", "2026-10-25 12:00", "since midnight", "2026-10-24 22:00", None),
        ("Europe/Berlin", "2026-10-25 12:00", "at 02:30", "2026-10-25 00:25", "2026-10-25 01:35"),
        ("Europe/Berlin", "2026-10-25 12:00", "last night", "2026-10-24 16:00", "2026-10-25 05:00"),
        ("America/New_York", "2026-03-08 12:00", "last night", "2026-03-07 23:00", "2026-03-08 10:00"),
        ("America/New_York", "2026-11-01 12:00", "yesterday", "2026-10-31 04:00", "2026-11-01 04:00"),
        ("America/New_York", "2026-11-02 12:00", "yesterday", "2026-11-01 04:00", "2026-11-02 05:00"),
        ("America/New_York", "2026-11-02 12:00", "3 March at noon", "2026-03-03 16:45", "2026-03-03 17:15"),
        # half an hour back at 2:00 on 2026-04-05
        ("Australia/Lord_Howe", "2026-04-06 12:00", "yesterday", "2026-04-04 13:00", "2026-04-05 13:30"),
        # no midnight: from 24:00 on 2026-03-28 straight to 1:00
        ("Asia/Beirut", "2026-03-29 12:00", "today", "2026-03-28 22:00", "2026-03-29 09:00"),
        ("Asia/Beirut", "2026-03-29 12:00", "yesterday", "2026-03-27 22:00", "2026-03-28 22:00"),
    ],
)  # fmt: skip
def test_time_zones_and_summer_time(zone, now, question, since, until):
    at = dt.datetime.fromisoformat(now).replace(tzinfo=ZoneInfo(zone))
    expected = tuple(text and f"{text}:00" for text in (since, until))
    assert spans(question, at, dt.timezone.utc) == expected


def test_the_second_of_two_equal_hours_is_later():
    first = dt.datetime(2026, 10, 25, 2, 40, tzinfo=BERLIN)  # summer time ends at 3:00
    hour = 3600 * 10**9
    one, two = (time_asked("in the last ten minutes", first.replace(fold=fold)) for fold in (0, 1))
    assert (two.since_ns - one.since_ns, two.until_ns - one.until_ns) == (hour, hour)


def test_sim_time_that_began_at_zero():
    now = dt.datetime.fromtimestamp(600, dt.timezone.utc)
    asked = time_asked("Who came in the last five minutes?", now)
    assert (asked.since_ns, asked.until_ns) == (300 * 10**9, 600 * 10**9)
    asked = time_asked("Who came today?", now)
    assert (asked.since_ns, asked.until_ns) == (0, 600 * 10**9)
    assert time_asked("Who came yesterday?", now).until_ns == 0


def test_a_clock_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="2026-07-15 16:30:00 has no time zone; give the robot's"):
        time_asked("Who came yesterday?", NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("this morning", "07-15 05:00"),
        ("last Tuesday at 3 pm", "07-07 15:00"),
        ("3 pm", "07-15 15:00"),
        ("an hour ago", "07-15 15:30"),
        ("yesterday after lunch", "07-14 13:00"),
        ("between 2 and 3 pm", "07-15 14:00"),
        ("the 5th", "07-05 00:00"),
        ("6 pm today", "07-15 18:00"),
        ("now", "07-15 16:30"),
        ("until Monday", None),
        ("Monday or the red mug", None),
        ("juggle", None),
    ],
)
def test_where_a_time_begins(text, begins):
    ns = time_begins(text, NOW)
    assert (None if ns is None else shown(ns, BERLIN)) == (begins and full(begins))


def test_the_machines_zone_knows_its_summer_times():
    code = """
import datetime as dt
from taskmem_ros.recall.when import MachineZone, time_asked
zone = MachineZone()
for fold in (0, 1):  # both times that the clock shows 2:30
    at = dt.datetime(2026, 10, 25, fold, 30, tzinfo=dt.timezone.utc).astimezone(zone)
    print(at.isoformat(), at.fold, at.astimezone(dt.timezone.utc).hour)
asked = time_asked("on 3 March", dt.datetime(2026, 7, 15, 14, 30, tzinfo=dt.timezone.utc).astimezone(zone))
print(asked.since_ns // 10**9)"""
    environment = os.environ | {"TZ": "Europe/Berlin"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    march = int(dt.datetime(2026, 3, 2, 23, tzinfo=dt.timezone.utc).timestamp())
    assert done.stdout.split("\n")[:3] == [
        "2026-10-25T02:30:00+02:00 0 0", "2026-10-25T02:30:00+01:00 1 1", str(march)
    ]  # fmt: skip


def test_a_text_that_says_a_time_and_nothing_else():
    assert [shown(ns, BERLIN) for ns in time_said("this morning", NOW)] == [
        full("07-15 05:00"),
        full("07-15 12:00"),
    ]
    for text in ("Who came this morning?", "the red mug", ""):
        with pytest.raises(ValueError, match="is no time"):
            time_said(text, NOW)


def spans(question, now, zone=BERLIN):
    asked = time_asked(question, now)
    assert asked is not None, f"no time is found in {question!r}"
    return tuple(None if ns is None else shown(ns, zone) for ns in (asked.since_ns, asked.until_ns))


def shown(ns, zone):
    assert ns % 10**9 == 0
    return f"{dt.datetime.fromtimestamp(ns // 10**9, zone):%Y-%m-%d %H:%M:%S}"


def full(text):
    """ "07-15 05:00" as "2026-07-15 05:00:00" """
    text = text if text[4] == "-" else f"2026-{text}"
    return text if text.count(":") == 2 else f"{text}:00"
