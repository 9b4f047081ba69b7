//! Crashes, doubles and poison cost nothing and add nothing.

use std::collections::BTreeSet;

use utm_dispatcher::hit::ReportOutcome;
use utm_dispatcher::ship::{ReplayError, Replayed, ShipError, replay};
use utm_dispatcher::store::migrate::{self, SchemaState};
use utm_dispatcher::store::{Store, locks, partitions};

use super::*;
use crate::harness::link::Link;
use crate::harness::postgres;

#[tokio::test]
async fn a_stale_shipper_is_fenced() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let (mut one, mut two) = (shipper(&database), shipper(&database));
    let mut journal = Journal::new();
    one.checkpoints(&[journal.id]).await.unwrap();
    let batch = journal.batch(&[hit(page_view(identity(1, 1, TEN), TEN))]);
    assert_eq!(one.ship(batch.clone()).await.unwrap().records, 1);
    let refused = two.ship(batch).await;
    assert!(matches!(refused, Err(ShipError::CheckpointMoved(id)) if id == journal.id), "{refused:?}");
    assert_eq!(value(&client, "SELECT count(*) FROM events").await.unwrap(), "1");
    let at = two.checkpoints(&[journal.id]).await.unwrap()[&journal.id];
    assert_eq!(at, Position { segment: 0, offset: 100 });
}

#[tokio::test]
async fn what_was_set_aside_comes_back_once_when_its_cause_is_gone() {
    let database = postgres::migrated().await;
    let mut client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    client.batch_execute("ALTER TABLE pages ADD CONSTRAINT odd CHECK (path NOT LIKE '/odd%')").await.unwrap();
    let mut records: Vec<_> = (0..3)
        .map(|page| {
            let at = TEN + page * MINUTE;
            hit(Hit { path: format!("/odd{page}").into(), ..page_view(identity(1, 1, TEN), at) })
        })
        .collect();
    records.push(hit(Hit { path: "/nul\0".into(), ..page_view(identity(2, 1, TEN), TEN) }));
    assert_eq!(shipper.ship(journal.batch(&records)).await.unwrap().quarantined, 4);
    let (store, before) = (database.store(), dump(&client).await);
    let refused = replay(&store, settings()).await.unwrap();
    assert_eq!(refused, Replayed { refused: 4, ..Replayed::default() });
    assert_eq!(dump(&client).await, before, "nothing but what they are refused for is written");

    // Who is killed between the commit and the end of one is not stored twice.
    client
        .batch_execute(
            "ALTER TABLE pages DROP CONSTRAINT odd;
             CREATE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'cut off'; END $$;
             CREATE TRIGGER cut_off BEFORE DELETE ON quarantine FOR EACH ROW EXECUTE FUNCTION cut_off()",
        )
        .await
        .unwrap();
    replay(&store, settings()).await.unwrap_err();
    assert_eq!(value(&client, "SELECT count(*) FROM events").await.unwrap(), "1");
    client.batch_execute("DROP TRIGGER cut_off ON quarantine").await.unwrap();
    assert_eq!(
        replay(&store, settings()).await.unwrap(),
        Replayed { stored: 3, refused: 1, past_retention: 0 }
    );
    assert_eq!(value(&client, "SELECT page_views FROM sessions").await.unwrap(), "3");
    assert_eq!(value(&client, "SELECT count(*) FROM quarantine").await.unwrap(), "1");
    assert_eq!(replay(&store, settings()).await.unwrap(), Replayed { refused: 1, ..Replayed::default() });
    let busy = client.transaction().await.unwrap();
    busy.batch_execute(&format!("SELECT pg_advisory_xact_lock({})", locks::REPLAY)).await.unwrap();
    assert!(matches!(replay(&store, settings()).await, Err(ReplayError::Busy)));
}

#[tokio::test]
async fn a_record_that_cannot_be_stored_is_set_aside_alone() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let mut records: Vec<_> =
        (0..9).map(|minute| hit(page_view(identity(1, 1, TEN), TEN + minute * MINUTE))).collect();
    records.insert(4, hit(Hit { path: "/nul\0".into(), ..page_view(identity(2, 1, TEN), TEN) }));
    let mut report = fact("1", OrderEntryKind::Placed, TEN);
    report.items = Some("no json".into());
    report.receipt = Some((Uuid::nil(), 3));
    records.insert(6, order(report));
    let mut stretch = journal.stretch(&records);
    stretch.records.push(Located { payload: Bytes::from_static(b"\x01\x63"), position: stretch.next });
    stretch.next.offset += 100;
    let shipped = shipper.ship(Batch::new(vec![stretch])).await.unwrap();
    assert_eq!((shipped.records, shipped.quarantined), (9, 3));
    assert_eq!(shipper.set_aside_records().await.unwrap(), 3);
    assert!(matches!(&shipped.outcomes[..], [((_, 3), ReportOutcome::Refused(_))]));
    assert_eq!(value(&client, "SELECT count(*) FROM events").await.unwrap(), "9");
    assert_eq!(value(&client, "SELECT count(*) FROM visitors").await.unwrap(), "1");
    let places = value(&client, "SELECT array_agg(\"offset\" ORDER BY \"offset\") FROM quarantine").await;
    assert_eq!(places.unwrap(), "{400,600,1100}");
    let at = shipper.checkpoints(&[journal.id]).await.unwrap()[&journal.id];
    assert_eq!(at.offset, 1200);
}

/// What was asked to be written meanwhile must not wait until the last of many has been found.
#[tokio::test]
async fn a_batch_that_is_halved_for_long_is_left_between_two_parts() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let records: Vec<_> = (0..16)
        .map(|minute| {
            let path = if minute % 8 == 5 { "/nul\0" } else { "/" };
            hit(Hit { path: path.into(), ..page_view(identity(1, 1, TEN), TEN + minute * MINUTE) })
        })
        .collect();
    let Stretch { journal: id, next, mut records, .. } = journal.stretch(&records);
    let (mut shipped, mut turns) = (Shipped::default(), 0);
    loop {
        let expected = shipper.checkpoints(&[id]).await.unwrap()[&id];
        records.retain(|record| record.position >= expected);
        assert_eq!(shipped.records + shipped.quarantined, 16 - records.len() as u64);
        if records.is_empty() {
            break;
        }
        let rest = Stretch { journal: id, expected, next, records: records.clone(), damaged: Vec::new() };
        let folding = shipper.fold(Batch::new(vec![rest]));
        shipper.ship_folded(folding, &mut shipped, Duration::ZERO).await.unwrap();
        turns += 1;
    }
    assert_eq!((shipped.records, shipped.quarantined), (14, 2));
    assert!(turns > 4, "{turns}");
    assert_eq!(value(&client, "SELECT page_views FROM sessions").await.unwrap(), "14");
    let places = value(&client, "SELECT array_agg(\"offset\" ORDER BY \"offset\") FROM quarantine").await;
    assert_eq!(places.unwrap(), "{500,1300}");
}

#[tokio::test]
async fn an_event_that_cannot_be_stored_is_set_aside_alone() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let wish = |currency: &'static str, minute| {
        let action = Action {
            currency: Some(currency.into()),
            properties: vec![("colour".into(), "blue".into())],
            ..action("wish")
        };
        hit(Hit { actions: vec![action], ..page_view(identity(1, 1, TEN), TEN + minute * MINUTE) })
    };
    let records = [wish("UAH", 0), wish("U\0", 1), wish("EUR", 2)];
    let shipped = shipper.ship(journal.batch(&records)).await.unwrap();
    assert_eq!((shipped.records, shipped.quarantined), (2, 1));
    assert_eq!(value(&client, "SELECT \"offset\" FROM quarantine").await.unwrap(), "100");
    let stored = "SELECT array_agg(currency || (properties ->> 'colour') ORDER BY at) FROM events
                  WHERE currency IS NOT NULL";
    assert_eq!(value(&client, stored).await.unwrap(), "{UAHblue,EURblue}");
    assert_eq!(value(&client, "SELECT page_views FROM sessions").await.unwrap(), "2");
}

/// A batch is halved for a record's sake, and the database goes when half of it is in.
#[tokio::test]
async fn half_a_batch_that_is_committed_is_counted_and_its_senders_are_told() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let trouble = "CREATE SEQUENCE tries;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') = 1 THEN RAISE 'a value' USING ERRCODE = '22000'; END IF;
            RAISE 'the disk' USING ERRCODE = '53100';
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON order_entries FOR EACH ROW WHEN (NEW.order_id = 'b')
            EXECUTE FUNCTION refuse()";
    client.batch_execute(trouble).await.unwrap();
    let request = Uuid::now_v7();
    let reports: Vec<_> = (0..)
        .zip(["a", "b"])
        .map(|(index, id)| {
            order(OrderFact { receipt: Some((request, index)), ..fact(id, OrderEntryKind::Placed, TEN) })
        })
        .collect();
    let mut shipped = Shipped::default();
    let folding = shipper.fold(journal.batch(&reports));
    shipper.ship_folded(folding, &mut shipped, Duration::MAX).await.unwrap_err();
    assert_eq!(shipped.records, 1);
    assert_eq!(shipped.outcomes, [((request, 0), ReportOutcome::Recorded)]);
    // The rest comes when it can, and again nothing is counted twice.
    client.batch_execute("DROP TRIGGER refuse ON order_entries").await.unwrap();
    let at = shipper.checkpoints(&[journal.id]).await.unwrap()[&journal.id];
    assert_eq!(at, Position { segment: 0, offset: 100 });
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not_doubled() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let link = Link::to(&database.url).await;
    let mut shipper = Shipper::new(Store::new(link.url()).unwrap(), settings());
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    // Makes the partitions, so that the next COMMIT is the batch's.
    shipper.ship(journal.batch(&[hit(page_view(identity(1, 1, TEN), TEN))])).await.unwrap();

    link.cut_after_commit();
    let batch = journal.batch(&[hit(page_view(identity(1, 1, TEN), TEN + MINUTE))]);
    let lost = shipper.ship(batch.clone()).await;
    assert!(matches!(lost, Err(ShipError::Store(_))), "{lost:?}");
    link.mend();

    let at = shipper.checkpoints(&[journal.id]).await.unwrap()[&journal.id];
    assert_eq!(at, batch.stretches()[0].next);
    assert!(matches!(shipper.ship(batch).await, Err(ShipError::CheckpointMoved(_))));
    assert_eq!(value(&client, "SELECT page_views FROM sessions").await.unwrap(), "2");
}

/// Nothing failed: it was idle when the database was restored, and is told so where it asks how far its journals are.
#[tokio::test]
async fn a_restored_database_gets_again_what_facts_point_at() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    let start = shipper.checkpoints(&[journal.id]).await.unwrap()[&journal.id];
    let batch = journal.batch(&[hit(page_view(identity(1, 1, TEN), TEN))]);
    shipper.ship(batch.clone()).await.unwrap();
    let restored = "UPDATE journal_checkpoint SET segment = 0, \"offset\" = 0;
        DELETE FROM events; DELETE FROM sessions; DELETE FROM visitors;
        DELETE FROM pages WHERE page_id <> 0; DELETE FROM agents WHERE agent_id <> 0";
    client.batch_execute(restored).await.unwrap();
    assert_eq!(shipper.checkpoints(&[journal.id]).await.unwrap()[&journal.id], start);
    shipper.ship(batch).await.unwrap();
    let told = "SELECT count(*) FROM events JOIN pages USING (page_id) JOIN sessions USING (session_id)
        JOIN agents USING (agent_id) JOIN visitors v ON v.visitor_id = sessions.visitor_id";
    assert_eq!(value(&client, told).await.unwrap(), "1");
}

#[tokio::test]
async fn late_and_future_facts_find_a_partition() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = shipper(&database);
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let years = 365 * 86_400_000;
    let records: Vec<_> =
        [TEN - 2 * years, TEN, TEN + 3 * years].map(|at| hit(page_view(identity(1, 1, at), at))).into();
    assert_eq!(shipper.ship(journal.batch(&records)).await.unwrap().records, 3);
    assert_eq!(value(&client, "SELECT count(*) FROM sessions").await.unwrap(), "3");
    // Somebody dropped one meanwhile.
    client.batch_execute("DROP TABLE events_2026_11").await.unwrap();
    let again = journal.batch(&[hit(page_view(identity(1, 1, TEN), TEN + MINUTE))]);
    assert_eq!(shipper.ship(again).await.unwrap().records, 1);
    // A clock of another age is set aside, not given a table.
    let broken = journal.batch(&[hit(page_view(identity(1, 1, TEN), 5))]);
    assert_eq!(shipper.ship(broken).await.unwrap().quarantined, 1);
}

#[tokio::test]
async fn partitions_are_made_by_several_at_once() {
    let database = postgres::migrated().await;
    let stores: Vec<Store> = (0..6).map(|_| database.store()).collect();
    for year in 2031..2036 {
        let now: jiff::Timestamp = format!("{year}-05-01T00:00:00Z").parse().unwrap();
        // One month alone: with many, Postgres' caches catch up by themselves.
        let month = BTreeSet::from([partitions::Month::of(now).unwrap()]);
        let works: Vec<_> = stores
            .iter()
            .map(|store| {
                let (store, month) = (store.clone(), month.clone());
                tokio::spawn(async move {
                    let mut client = store.office().await.unwrap();
                    partitions::ensure(&mut client, &month).await.unwrap();
                })
            })
            .collect();
        for work in works {
            work.await.unwrap();
        }
    }
    let client = database.connect().await;
    let made = value(&client, "SELECT count(*) FROM pg_class WHERE relname ~ '^events_203[1-5]_05$'").await;
    assert_eq!(made.unwrap(), "5");
    partitions::ahead(&stores[0], "2040-01-01T00:00:00Z".parse().unwrap()).await.unwrap();
    let ahead = "SELECT count(*) FROM pg_class WHERE relname ~ '^touches_(2039_12|2040_0[123])$'";
    assert_eq!(value(&client, ahead).await.unwrap(), "4");
}

#[tokio::test]
async fn several_may_migrate_at_once() {
    let database = postgres::database().await;
    let works: Vec<_> = (0..4)
        .map(|_| {
            let store = database.store();
            tokio::spawn(async move { migrate::migrate(&store).await.unwrap() })
        })
        .collect();
    for work in works {
        assert_eq!(work.await.unwrap(), SchemaState::Current);
    }
}

#[tokio::test]
async fn random_values_do_not_fill_the_disk() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut shipper = Shipper::new(database.store(), ShipSettings { new_values_per_day: 5, ..settings() });
    let mut journal = Journal::new();
    shipper.checkpoints(&[journal.id]).await.unwrap();
    let path = |number: u64| Hit {
        path: format!("/{number}").into(),
        ..page_view(identity(1, 1, TEN), TEN + number * MINUTE)
    };
    let mut overflowed = Vec::new();
    for portion in [0..3, 3..9, 9..12] {
        let records: Vec<_> = portion.map(|number| hit(path(number))).collect();
        let shipped = shipper.ship(journal.batch(&records)).await.unwrap();
        overflowed.push(shipped.overflowed.get("page").copied().unwrap_or(0));
    }
    assert_eq!(overflowed, [0, 4, 3]);
    assert_eq!(value(&client, "SELECT count(*) FROM pages WHERE page_id <> 0").await.unwrap(), "5");
    assert_eq!(value(&client, "SELECT count(*) FROM events WHERE page_id = 0").await.unwrap(), "7");
    let growth = "SELECT (added, refused) FROM dictionary_growth WHERE kind = 'page'";
    assert_eq!(value(&client, growth).await.unwrap(), "(5,7)");
    // What is known already is still told apart.
    shipper.ship(journal.batch(&[hit(path(0))])).await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM events WHERE page_id = 0").await.unwrap(), "7");
}
