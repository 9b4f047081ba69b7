-- Whoever asks what people ordered reads packed orders (V32): nobody asks report_amounts() any more.

DROP FUNCTION report_amounts(timestamptz, timestamptz, text[], text, integer, text, text);
