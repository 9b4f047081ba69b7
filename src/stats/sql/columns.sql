-- The days of the window, column by column.
--
-- $1 timestamptz  first instant of the window, null = since ever, $2 timestamptz  first instant after it
-- $3 timestamptz[] instants between which sessions are told apart, $4 timestamptz[] days of which an hour has a mark
-- $5 text[] columns
-- Rows by day: session_day, sessions, first_start; the columns, null those not asked for; hours and starts also where the day is
--       not all on one side of each instant, within the window, or without marks
SELECT c.session_day, c.sessions, c.first_start,
       CASE WHEN x.is_cut THEN c.hours END AS hours,
       CASE WHEN x.is_cut OR 'starts' = ANY ($5::text[]) THEN c.starts END AS starts,
       CASE WHEN 'visitors' = ANY ($5) THEN c.visitors END AS visitors,
       CASE WHEN 'sketches' = ANY ($5) THEN c.sketches END AS sketches,
       CASE WHEN 'numbers' = ANY ($5) THEN c.numbers END AS numbers,
       CASE WHEN 'flags' = ANY ($5) THEN c.flags END AS flags,
       CASE WHEN 'page_views' = ANY ($5) THEN c.page_views END AS page_views,
       CASE WHEN 'milliseconds' = ANY ($5) THEN c.milliseconds END AS milliseconds,
       CASE WHEN 'points' = ANY ($5) THEN c.points END AS points,
       CASE WHEN 'begins' = ANY ($5) THEN c.begins END AS begins,
       CASE WHEN 'lasts' = ANY ($5) THEN c.lasts END AS lasts,
       CASE WHEN 'actions' = ANY ($5) THEN c.actions END AS actions,
       CASE WHEN 'views' = ANY ($5) THEN c.views END AS views,
       CASE WHEN 'sites' = ANY ($5) THEN c.sites END AS sites,
       CASE WHEN 'campaigns' = ANY ($5) THEN c.campaigns END AS campaigns,
       CASE WHEN 'agents' = ANY ($5) THEN c.agents END AS agents,
       CASE WHEN 'places' = ANY ($5) THEN c.places END AS places,
       CASE WHEN 'referrers' = ANY ($5) THEN c.referrers END AS referrers,
       CASE WHEN 'landing_pages' = ANY ($5) THEN c.landing_pages END AS landing_pages,
       CASE WHEN 'kinds' = ANY ($5) THEN c.kinds END AS kinds,
       CASE WHEN 'times' = ANY ($5) THEN c.times END AS times,
       CASE WHEN 'products' = ANY ($5) THEN c.products END AS products,
       CASE WHEN 'view_times' = ANY ($5) THEN c.view_times END AS view_times,
       CASE WHEN 'buyers' = ANY ($5) THEN c.buyers END AS buyers
FROM session_columns c
CROSS JOIN LATERAL (
    SELECT c.session_day = ANY ($4::timestamptz[])
           OR c.session_day < coalesce($1::timestamptz - interval '48 hours', '-infinity')
           OR c.session_day + interval '24 hours' > $2::timestamptz
           OR c.first_start < coalesce($1, '-infinity') OR c.last_start >= $2
           OR EXISTS (SELECT FROM unnest($3::timestamptz[]) AS e(edge) WHERE e.edge > c.first_start AND e.edge <= c.last_start)
           AS is_cut
    OFFSET 0
) x
WHERE c.session_day > coalesce($1 - interval '72 hours', '-infinity') AND c.session_day < $2
  AND c.last_start >= coalesce($1, '-infinity') AND c.first_start < $2
ORDER BY c.session_day
