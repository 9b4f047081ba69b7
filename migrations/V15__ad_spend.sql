-- What advertising cost, as the shop reports it. Days and clicks are the advertiser's own: they are compared with what was
-- seen here, and never added to it.

CREATE TABLE ad_spend (
    site_id     integer     NOT NULL,
    day         date        NOT NULL,            -- as the advertiser counts days
    spend_key   bigint      NOT NULL,            -- hash of the tags, the campaign_id that they have or would have
    campaign_id bigint      NOT NULL,
    cost        numeric     NOT NULL,
    currency    text,
    clicks      bigint,
    impressions bigint,
    received_at timestamptz NOT NULL,
    hash        bigint      NOT NULL,            -- of the record
    PRIMARY KEY (site_id, day, spend_key)
);
CREATE INDEX ad_spend_day ON ad_spend USING brin (day);
COMMENT ON TABLE ad_spend IS 'Money spent on advertising: of each day and campaign the report of the greatest (received_at, hash).';
