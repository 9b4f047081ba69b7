-- Merges sessions; each column by the rule of the migration.
-- Parameters: one array for each column, in the order of the list, rows in the order of the key. They are written in the order
-- in which they come: sorted once more they would take a tenth longer. (By COPY into a temporary table it takes as long; with
-- the arrays as functions of FROM, each of which would keep its rows, a quarter longer.) Of two first hits, and of two touches,
-- the one that wins is written first, and LIMIT takes it: to sort the two costs half as much again for the whole statement.
-- Where a touch is missing the comparison is null.
INSERT INTO sessions AS s (
    session_id, visitor_id, session_hour, started_at, last_seen, entry_at, entry_hash, landing_page_id,
    agent_id, place_id, touch_at, touch_evidence, campaign_id, referrer_id, product_view_at, add_to_cart_at,
    initiate_checkout_at, lead_at, purchase_at, registration_at, site_id, session_number, page_views, actions,
    score, bot_reasons, identity, entry_rank, bot_score, address, bot_rules, fetched_assets)
SELECT
    n.session_id, n.visitor_id, n.session_hour, n.started_at, n.last_seen, n.entry_at, n.entry_hash,
    n.landing_page_id, n.agent_id, n.place_id, n.touch_at, n.touch_evidence, n.campaign_id, n.referrer_id,
    n.product_view_at, n.add_to_cart_at, n.initiate_checkout_at, n.lead_at, n.purchase_at, n.registration_at,
    n.site_id, n.session_number, n.page_views, n.actions, n.score, n.bot_reasons, n.identity, n.entry_rank,
    n.bot_score, n.address::inet, n.bot_rules, n.fetched_assets
FROM (
    SELECT unnest($1::uuid[]) AS session_id, unnest($2::uuid[]) AS visitor_id,
           unnest($3::timestamptz[]) AS session_hour, unnest($4::timestamptz[]) AS started_at,
           unnest($5::timestamptz[]) AS last_seen, unnest($6::timestamptz[]) AS entry_at,
           unnest($7::bigint[]) AS entry_hash, unnest($8::bigint[]) AS landing_page_id,
           unnest($9::bigint[]) AS agent_id, unnest($10::bigint[]) AS place_id,
           unnest($11::timestamptz[]) AS touch_at, unnest($12::bigint[]) AS touch_evidence,
           unnest($13::bigint[]) AS campaign_id, unnest($14::bigint[]) AS referrer_id,
           unnest($15::timestamptz[]) AS product_view_at, unnest($16::timestamptz[]) AS add_to_cart_at,
           unnest($17::timestamptz[]) AS initiate_checkout_at, unnest($18::timestamptz[]) AS lead_at,
           unnest($19::timestamptz[]) AS purchase_at, unnest($20::timestamptz[]) AS registration_at,
           unnest($21::integer[]) AS site_id, unnest($22::integer[]) AS session_number,
           unnest($23::integer[]) AS page_views, unnest($24::integer[]) AS actions, unnest($25::integer[]) AS score,
           unnest($26::integer[]) AS bot_reasons, unnest($27::smallint[]) AS identity,
           unnest($28::smallint[]) AS entry_rank, unnest($29::smallint[]) AS bot_score,
           unnest($30::text[]) AS address, unnest($31::smallint[]) AS bot_rules,
           unnest($32::boolean[]) AS fetched_assets
) n
ON CONFLICT (session_id, session_hour, visitor_id) DO UPDATE SET
    started_at = least(s.started_at, excluded.started_at),
    last_seen = greatest(s.last_seen, excluded.last_seen),
    (entry_rank, entry_at, entry_hash, landing_page_id, agent_id, place_id, site_id, address) = (
        SELECT excluded.entry_rank, excluded.entry_at, excluded.entry_hash, excluded.landing_page_id,
               excluded.agent_id, excluded.place_id, excluded.site_id, excluded.address
        WHERE (excluded.entry_rank, excluded.entry_at, excluded.entry_hash) < (s.entry_rank, s.entry_at, s.entry_hash)
        UNION ALL
        SELECT s.entry_rank, s.entry_at, s.entry_hash, s.landing_page_id, s.agent_id, s.place_id, s.site_id, s.address
        LIMIT 1
    ),
    (touch_at, touch_evidence, campaign_id, referrer_id) = (
        SELECT excluded.touch_at, excluded.touch_evidence, excluded.campaign_id, excluded.referrer_id
        WHERE excluded.touch_at IS NOT NULL
          AND ((excluded.touch_at, excluded.touch_evidence, excluded.campaign_id, excluded.referrer_id IS NOT NULL,
                excluded.referrer_id)
               < (s.touch_at, s.touch_evidence, s.campaign_id, s.referrer_id IS NOT NULL, s.referrer_id)) IS NOT FALSE
        UNION ALL
        SELECT s.touch_at, s.touch_evidence, s.campaign_id, s.referrer_id
        LIMIT 1
    ),
    product_view_at = least(s.product_view_at, excluded.product_view_at),
    add_to_cart_at = least(s.add_to_cart_at, excluded.add_to_cart_at),
    initiate_checkout_at = least(s.initiate_checkout_at, excluded.initiate_checkout_at),
    lead_at = least(s.lead_at, excluded.lead_at),
    purchase_at = least(s.purchase_at, excluded.purchase_at),
    registration_at = least(s.registration_at, excluded.registration_at),
    session_number = least(s.session_number, excluded.session_number),
    identity = least(s.identity, excluded.identity),
    page_views = s.page_views + excluded.page_views,
    actions = s.actions + excluded.actions,
    score = s.score + excluded.score,
    bot_reasons = s.bot_reasons | excluded.bot_reasons,
    bot_score = greatest(s.bot_score, excluded.bot_score),
    bot_rules = greatest(s.bot_rules, excluded.bot_rules),
    fetched_assets = s.fetched_assets OR excluded.fetched_assets
