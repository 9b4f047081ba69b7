//! Rollups of sessions that are no longer there, and plans that leave alone those that are.

use serde_json::{Value, json};

use super::{at, count, roll_up, told};
use crate::harness::postgres;
use crate::stats::seed::Seed;
use crate::stats::server::Server;

/// Many sessions in two months, of 6,000 visitors, half of them from google; a third of them come in both months.
async fn two_busy_months() -> Seed {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "SELECT make_partition(t, m) FROM unnest(ARRAY['sessions', 'touches']) t, unnest(ARRAY['2026-04-01', '2026-05-01']::date[]) m;
             INSERT INTO sites VALUES (1, 'default');
             INSERT INTO campaigns (campaign_id, site_id, source) VALUES (1, 1, 'google'), (2, 1, 'facebook');
             INSERT INTO sessions (session_id, visitor_id, session_hour, started_at, last_seen, entry_at, entry_hash,
                 landing_page_id, agent_id, campaign_id, site_id, session_number, page_views, actions, score, bot_reasons,
                 identity, entry_rank, bot_score)
             SELECT (lpad(to_hex((extract(epoch FROM h.hour) * 1000)::bigint), 12, '0')
                        || substr(md5(n::text), 1, 20))::uuid,
                    md5((n % 4000 + CASE WHEN n >= 10000 THEN 2000 ELSE 0 END)::text)::uuid,
                    h.hour, h.hour + interval '5 minutes', h.hour + interval '6 minutes', h.hour, 0, 0, 0,
                    NULLIF(n % 4, 3) % 2 + 1, 1, 1, 1, 0, 0, 0, 1, 0, 0
             FROM generate_series(0, 19999) n
             CROSS JOIN LATERAL (
                 SELECT CASE WHEN n < 10000 THEN timestamptz '2026-04-02 00:00+00' ELSE '2026-05-02 00:00+00' END
                        + n % 600 * interval '1 hour' AS hour
             ) h",
        )
        .await
        .unwrap();
    roll_up(&database, at("2026-07-01T00:00:00Z")).await;
    Seed { database, client }
}

fn is_about(estimate: &Value, exact: &Value) {
    let (estimate, exact) = (estimate.as_f64().unwrap(), exact.as_f64().unwrap());
    assert!((estimate - exact).abs() <= 0.05 * exact, "{estimate} for {exact}");
}

#[tokio::test]
async fn months_that_were_dropped_are_told_by_their_rollups() {
    let seed = two_busy_months().await;
    let over = "UPDATE sessions SET campaign_id = 0 WHERE session_hour = '2026-04-03T10:00:00Z'";
    seed.client.batch_execute(over).await.unwrap();
    roll_up(&seed.database, at("2026-07-01T00:00:00Z")).await;
    let server = Server::start(&seed.database.url).await;
    let tags = "tag-health?from=2026-04-01&to=2026-05-20";
    let tags_before = told(&server, tags).await;
    let sources: Vec<&Value> =
        tags_before["results"].as_array().unwrap().iter().map(|finding| &finding["source"]).collect();
    assert_eq!(sources, ["google", "facebook"], "{tags_before}");
    let targets = ["general-stats", "sources", "sources?limit=1&"].map(|report| {
        format!("{}{}from=2026-04-01&to=2026-05-20", report, if report.contains('?') { "" } else { "?" })
    });
    let mut before = Vec::new();
    for target in &targets {
        before.push(told(&server, target).await);
    }
    assert_eq!(before[0]["results"]["unique_visitors"], 6000, "counted while all are there");
    assert_eq!(before[0]["meta"]["warnings"], json!([]));
    seed.client.batch_execute("DROP TABLE sessions_2026_04").await.unwrap();
    // Somebody's mark in it must not make the month nothing.
    seed.client.batch_execute("INSERT INTO dirty_hours VALUES ('2026-04-10T10:00:00Z')").await.unwrap();
    roll_up(&seed.database, at("2026-07-01T00:00:00Z")).await;
    assert_eq!(count(&seed.client, "dirty_hours").await, 0);
    for (target, before) in targets.iter().zip(&before) {
        let mut after = told(&server, target).await;
        assert!(
            after["meta"]["warnings"][0]
                .as_str()
                .unwrap()
                .starts_with("visitors of this window are estimated")
        );
        after["meta"]["warnings"] = json!([]);
        for visitors in [
            "/results/unique_visitors",
            "/results/0/visitors",
            "/results/1/visitors",
            "/results/2/visitors",
            "/meta/totals/visitors",
            "/meta/other/visitors",
        ] {
            if let Some(exact) = before.pointer(visitors) {
                let estimate = after.pointer_mut(visitors).unwrap();
                is_about(estimate, exact);
                *estimate = exact.clone();
            }
        }
        assert_eq!(&after, before, "{target}");
    }
    assert_eq!(told(&server, tags).await, tags_before);
    // A window of the month that is there is counted as ever.
    let may = told(&server, "general-stats?from=2026-05-05&to=2026-05-20").await;
    assert_eq!(may["meta"]["warnings"], json!([]));
}

#[tokio::test]
async fn of_the_sessions_only_hours_with_a_mark_are_read() {
    let seed = two_busy_months().await;
    seed.client.batch_execute("INSERT INTO dirty_hours VALUES ('2026-05-10T10:00:00Z')").await.unwrap();
    let nulls = "NULL, ".repeat(15) + "NULL";
    let plan = format!(
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
         SELECT sum(sessions) FROM report_sums(NULL, '2026-06-01T00:00:00Z', NULL, 'exclude', {nulls})"
    );
    let rows = seed.client.query(&plan, &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let april: Vec<&String> = plan.iter().filter(|line| line.contains("on sessions_2026_04")).collect();
    assert!(april.iter().all(|line| line.contains("never executed")), "{plan:#?}");
    let may =
        plan.iter().filter(|line| line.contains("on sessions_2026_05") && !line.contains("never executed"));
    let read: Vec<&String> = may.collect();
    assert!(read.len() == 1 && read[0].contains("sessions_2026_05_pkey"), "{plan:#?}");
}
