//! A report of a window that is over is sent again only when it changed.

use reqwest::Response;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};

use super::seed::{Seed, Visit};
use super::server::Server;

const OVER: &str = "/api/v1/sources?from=2026-11-01&to=2026-11-12";

async fn asked_again(server: &Server, target: &str, tag: &str) -> Response {
    server.get(target).header(IF_NONE_MATCH, tag).send().await.unwrap()
}

#[tokio::test]
async fn a_report_of_a_window_that_is_over_is_sent_again_only_when_it_changed() {
    let seed = Seed::new().await;
    seed.visit(&Visit::default()).await;
    let shipped = "INSERT INTO journal_checkpoint (journal, segment, \"offset\", newest_at)
                   VALUES (gen_random_uuid(), 0, 0, '2026-11-12T10:00:00Z')";
    seed.client.batch_execute(shipped).await.unwrap();
    let server = Server::start(&seed.database.url).await;
    let first = server.get(OVER).send().await.unwrap();
    assert_eq!(first.headers()[CACHE_CONTROL], "private, no-cache");
    let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");

    seed.client
        .batch_execute("UPDATE journal_checkpoint SET newest_at = '2026-11-12T11:00:00Z'")
        .await
        .unwrap();
    let same = asked_again(&server, OVER, &format!("\"other\", {tag}")).await;
    assert_eq!((same.status().as_u16(), same.headers()[ETAG].to_str().unwrap()), (304, tag.as_str()));
    assert!(!same.headers().contains_key(CONTENT_TYPE));
    assert_eq!(same.text().await.unwrap(), "");
    let other = asked_again(&server, &format!("{OVER}&limit=1"), &tag).await;
    assert_eq!(other.status(), 200, "another question");

    seed.visit(&Visit { visitor: 2, ..Visit::default() }).await;
    let late = asked_again(&server, OVER, &tag).await;
    assert_eq!(late.status(), 200, "what comes late changes it");
    assert_ne!(late.headers()[ETAG], tag);

    let open = asked_again(&server, "/api/v1/sources?from=2026-11-01&to=2026-11-13", "*").await;
    assert_eq!((open.status().as_u16(), open.headers().get(ETAG)), (200, None));
    let refused = asked_again(&server, &format!("{OVER}&nonsense=1"), "*").await;
    assert_eq!(refused.status(), 400);
}
