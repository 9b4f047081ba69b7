-- Whoever asks what people ordered reads packed orders (V32): nobody asks report_amounts() any more. What a report says of
-- sessions that others tell is found by an index, instead of by looking at all.

DROP FUNCTION report_amounts(timestamptz, timestamptz, text[], text, integer, text, text);

CREATE INDEX sessions_continued ON sessions (started_at) WHERE continued;
