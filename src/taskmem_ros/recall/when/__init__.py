"""The time span that a question in plain English asks about.

A small grammar of our own, because none was found that gives spans honestly (tried on the tables of
tests/recall/test_when.py): dateparser, parsedatetime, timefhuman, ctparse and dateutil give points ("this
morning" is 9:00) or the future, lose "before", "after" and "since", and take "may", "sat", "sun" and "do" for
dates; Microsoft's recognizers-text gives spans, but its Python port is not kept up and fails on "around 4
o'clock" with a TypeError.

What is meant, where people could mean several things:

- A span ends now at the latest. One that has not begun ("tomorrow", "tonight" at noon) is not asked about.
- A clock or a part of the day without a day is the latest that has begun; "tonight" and "this evening" go on
  until six in the morning. "before", "by" and "until" a clock begin with its day, "after" ends with it, and
  after a meal with the next meal. "before" and "until" a day leave the beginning open, "since" the end.
- Morning is 5 to 12, afternoon 12 to 18, evening 17 to 24; "last night" and "Monday night" are 18 to 6, "at
  night" is 21 to 6. Breakfast is 7 to 9, lunch 12 to 13, dinner 18 to 20, "at lunch" half an hour around.
- A point in time is a span around it: 15 minutes either side of "3 pm", 5 of "15:20", "around" 30 and 15; a
  quarter of "an hour ago" to either side, at least a minute; "two days ago" is that whole day.
- An hour from 1 to 12 without am or pm is the latest between 6 and 24 o'clock; of a day that is named, the
  one between 7 and 19 o'clock, and so always with minutes: "3:30" is 15:30. "03:30" is what it is.
- Weeks begin on Monday. "On Monday" is the latest Monday before today, "last Monday" the latest before
  yesterday. "Last week" is the calendar's, "the last week" the seven days up to now; months and years alike.
- Several times ("on Monday or yesterday") are one span that has them all.
- "now" and "right now" are no span: where a thing is now is where it was last seen.
"""

from taskmem_ros.recall.when.asked import Asked, time_asked, time_begins, time_said
from taskmem_ros.recall.when.days import MachineZone

__all__ = ["Asked", "MachineZone", "time_asked", "time_begins", "time_said"]
