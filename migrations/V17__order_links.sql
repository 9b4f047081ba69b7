-- Orders that no cookie, session or visitor joins find their visitor by the customer, or by a click that the shop names.

CREATE INDEX order_entries_phone   ON order_entries (phone)   WHERE phone IS NOT NULL;
CREATE INDEX order_entries_email   ON order_entries (email)   WHERE email IS NOT NULL;
CREATE INDEX order_entries_user_id ON order_entries (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX order_entries_clicks  ON order_entries USING gin (click_ids jsonb_path_ops) WHERE click_ids IS NOT NULL;
CREATE INDEX touches_clicks        ON touches       USING gin (click_ids jsonb_path_ops) WHERE click_ids IS NOT NULL;

COMMENT ON COLUMN order_entries.phone IS 'Keyed hash, 16 bytes; of who is forgotten what replaces it, 17 bytes. email and user_id likewise.';
COMMENT ON COLUMN orders.joined_by IS 'Which rule joined it: cookie, session, visitor; else customer, click_id.';
