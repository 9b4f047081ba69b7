-- What the shop says by the API that somebody did. The row of events is written at once; here stands by what it is known
-- when it is told again, and which session it still waits for.

CREATE TABLE told_actions (
    site_id    integer     NOT NULL,
    kind_id    integer     NOT NULL,
    reference  text        NOT NULL,             -- the teller's own id of it, else a hash of what was told
    content    bigint      NOT NULL,             -- hash of what was told: the same reference with another is refused
    at         timestamptz NOT NULL,
    points     smallint    NOT NULL,
    session_id uuid,                             -- in which it is to be counted; null: it is, or it names none
    visitor_id uuid,                             -- whose it is, when it names no session
    PRIMARY KEY (site_id, kind_id, reference)
);
CREATE INDEX told_actions_session ON told_actions (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX told_actions_visitor ON told_actions (visitor_id) WHERE visitor_id IS NOT NULL;
CREATE INDEX told_actions_at ON told_actions USING brin (at);
COMMENT ON TABLE told_actions IS 'Actions that the API told, each once; of a reference what came first stands.';
