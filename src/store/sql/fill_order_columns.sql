-- Writes a day of orders.
-- $1 order_day, $2 how many orders, $3 names of currencies, $4 ids and $5 names of products, $6–$33 the other columns in the order of the
-- table
INSERT INTO order_columns (
    order_day, orders, currency_names, product_ids, product_names, starts, hours, session_starts, flags, scales, gross, paid, refunded, net, currencies, sites, agents, places,
    referrers, landing_pages, first, last, last_non_direct, last_paid, linear, "position", time_decay, visitors, first_touches, keys,
    buyers, positions, told)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29,
        $30, $31, $32, $33)
