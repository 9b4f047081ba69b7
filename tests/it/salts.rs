//! Salts of cookieless ids in the database: one for a day, whoever makes it, and none for longer than it is needed.

use std::collections::BTreeSet;

use utm_dispatcher::store::salts::shared_salts;

use crate::harness::postgres;

#[tokio::test]
async fn proxies_share_the_salts_of_three_days_and_none_outlives_the_day_after_its_own() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let days = "INSERT INTO cookieless_salts (day, salt)
                SELECT (now() AT TIME ZONE 'UTC')::date - n, decode(repeat('0' || n, 16), 'hex') FROM generate_series(1, 3) n";
    client.batch_execute(days).await.unwrap();
    // As many proxies at once as there may be: each makes all days, and the first of each day stands.
    let (one, other) = (database.store(), database.store());
    let (first, second) = tokio::join!(shared_salts(&one), shared_salts(&other));
    first.unwrap();
    second.unwrap();
    let known: BTreeSet<_> = shared_salts(&one).await.unwrap().into_iter().collect();
    let told: BTreeSet<_> = shared_salts(&other).await.unwrap().into_iter().collect();
    assert_eq!(known, told);
    let today: i32 = client
        .query_one("SELECT (now() AT TIME ZONE 'UTC')::date - date '1970-01-01'", &[])
        .await
        .unwrap()
        .get(0);
    let today = u64::try_from(today).unwrap();
    let days: Vec<u64> = known.iter().map(|(day, _)| *day).collect();
    assert_eq!(
        days,
        [today - 1, today, today + 1, today + 2],
        "yesterday's is there for hits that come late"
    );
    assert_eq!(known.iter().next().unwrap().1, [1; 16], "the one that it had");
    assert_eq!(known.iter().map(|(_, salt)| salt).collect::<BTreeSet<_>>().len(), 4, "random");
}
