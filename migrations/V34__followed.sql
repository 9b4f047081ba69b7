-- What is rare among sessions and visitors is found by indexes of its own, instead of by looking at all: sessions that another one
-- continues, and visitors whose first touch came later than they.
--
-- Whoever asks what people ordered reads packed orders (V32): report_amounts() is for programs older than this alone.

CREATE INDEX sessions_continued ON sessions (started_at) WHERE continued;
CREATE INDEX visitors_touched_later ON visitors (first_seen) INCLUDE (visitor_id, first_campaign_id) WHERE first_touch_at > first_seen;
