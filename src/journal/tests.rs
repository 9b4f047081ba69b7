//! The journal on a real disk: what is written is read, whatever happens to the files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::directory::{RunDirectory, held_bytes};
use super::frame::{FORMAT, append};
use super::hand::Hand;
use super::reader::{ReadError, Reader, segment_path, segments};
use super::writer::{Ack, Answer, Batch, Writer, WriterConfig};
use super::{HEADER_BYTES, Position};
use crate::config::Fsync;
use crate::hit::{BotCount, Hit, OrderEntryKind, OrderFact, Record, Touch, Way};
use crate::telemetry::metrics::{Lost, Metrics};

fn numbered(number: u64) -> Record<'static> {
    Record::BotCount(BotCount {
        at_ms: number,
        site: "default".into(),
        bot: "bot".into(),
        reasons: 1,
        rules: 2,
    })
}

fn frames(records: &[Record<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    records.iter().for_each(|record| append(record, &mut out).unwrap());
    out
}

fn start(root: &Path, segment_bytes: u64, max_bytes: u64, metrics: &Arc<Metrics>) -> Writer {
    let config = WriterConfig { journal_dir: root.to_owned(), fsync: Fsync::Never, segment_bytes, max_bytes };
    Writer::start(config, Arc::clone(metrics)).unwrap()
}

fn write(writer: &Writer, frames: Vec<u8>, durable: bool) -> Ack {
    let (ack, answer) = oneshot::channel();
    writer.batches.send(Batch { frames, durable, format: FORMAT, ack }).unwrap();
    answer.blocking_recv().unwrap().ack
}

fn end(writer: Writer) {
    drop(writer.batches);
    writer.ended.blocking_recv().unwrap();
}

/// The numbers of all records that a reader gives, and how many stretches it found damaged.
fn read_all(path: &Path, until: Option<Position>, chunk_bytes: usize) -> (Vec<u64>, usize) {
    let mut reader = Reader::new(path, Position::default());
    let mut numbers = Vec::new();
    let mut damaged = 0;
    loop {
        let chunk = reader.read(until, chunk_bytes).unwrap();
        damaged += chunk.damaged.len();
        if chunk.is_empty() {
            return (numbers, damaged);
        }
        for (_, payload) in &chunk.frames {
            match Record::decode(payload).unwrap() {
                Record::BotCount(count) => numbers.push(count.at_ms),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn what_is_written_is_read_in_order_over_segments() {
    let root = tempfile::tempdir().unwrap();
    let writer = start(root.path(), 300, 1 << 30, &Arc::default());
    for number in 0..100 {
        assert_eq!(write(&writer, frames(&[numbered(number)]), number % 7 == 0), Ack::Written);
    }
    let written = writer.progress.written();
    let path = writer.progress.directory().unwrap().path.clone();
    let expected: Vec<u64> = (0..100).collect();
    assert!(segments(&path).unwrap().len() > 5);
    assert_eq!(read_all(&path, Some(written), 1), (expected.clone(), 0), "while it is written");
    end(writer);
    assert_eq!(read_all(&path, None, 1), (expected, 0), "afterwards");
}

#[test]
fn a_live_reader_sees_nothing_beyond_what_is_published() {
    let root = tempfile::tempdir().unwrap();
    let writer = start(root.path(), 1 << 20, 1 << 30, &Arc::default());
    write(&writer, frames(&[numbered(1)]), false);
    let published = writer.progress.written();
    let path = writer.progress.directory().unwrap().path.clone();
    write(&writer, frames(&[numbered(2)]), false);
    assert_eq!(read_all(&path, Some(published), 1 << 20), (vec![1], 0));
    end(writer);
}

#[test]
fn only_free_directories_are_adopted_and_torn_tails_are_cut() {
    let root = tempfile::tempdir().unwrap();
    let writer = start(root.path(), 1 << 20, 1 << 30, &Arc::default());
    write(&writer, frames(&[numbered(1), numbered(2)]), false);
    let directory = Arc::clone(writer.progress.directory().unwrap());
    let journal = directory.journal;
    end(writer);
    assert!(RunDirectory::adopt_free(root.path(), None, 9).unwrap().adopted.is_empty(), "its owner lives");

    let path = segment_path(&directory.path, 0);
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(held_bytes(root.path()).unwrap(), whole.len() as u64, "whoever holds it");
    assert_eq!(held_bytes(&root.path().join("none")).unwrap(), 0);
    let torn = [&whole[..], &frames(&[numbered(3)])[..9]].concat();
    std::fs::write(&path, torn).unwrap();
    drop(directory);
    let adopted = RunDirectory::adopt_free(root.path(), None, 9).unwrap().adopted;
    assert_eq!(adopted.iter().map(|directory| directory.journal).collect::<Vec<_>>(), [journal]);
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    assert_eq!(read_all(&adopted[0].path, None, 1 << 20), (vec![1, 2], 0));
    assert!(RunDirectory::adopt_free(root.path(), None, 9).unwrap().adopted.is_empty(), "we hold it now");

    adopted[0].delete_shipped(Position::default(), true, Duration::ZERO).unwrap();
    assert!(adopted[0].remove_if_empty());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn zeros_that_a_power_cut_left_are_no_records() {
    let root = tempfile::tempdir().unwrap();
    let writer = start(root.path(), 1 << 20, 1 << 30, &Arc::default());
    write(&writer, frames(&[numbered(1)]), false);
    let directory = writer.progress.directory().unwrap().path.clone();
    end(writer);
    let path = segment_path(&directory, 0);
    let bytes = [std::fs::read(&path).unwrap(), vec![0; 5000]].concat();
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(read_all(&directory, None, 1 << 20).0, [1]);
}

#[test]
fn a_full_journal_drops_page_views_first_and_orders_last() {
    let root = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::default());
    let writer = start(root.path(), 1 << 20, 10_000, &metrics);
    let view = Record::Hit(Box::default());
    let touch = Record::Hit(Box::new(Hit { touch: Some(Touch::default()), ..Hit::default() }));
    let order = Record::Order(Box::new(OrderFact {
        site: "default".into(),
        order_id: "1".into(),
        kind: OrderEntryKind::Placed,
        reference: String::new(),
        way: Way::Api,
        at_ms: 0,
        value: None,
        currency: None,
        order_number: None,
        session_id: None,
        visitor_id: None,
        click_ids: Vec::new(),
        customer: Vec::new(),
        items: None,
        properties: None,
        received_ms: 0,
        receipt: None,
    }));
    let set_used = |bytes| writer.progress.bytes_on_disk.store(bytes, Ordering::Relaxed);
    let dropped = || ["page_view", "action", "rest"].map(|kind| dropped(&metrics, kind, "journal_full"));
    set_used(8_900);
    write(&writer, frames(std::slice::from_ref(&view)), false);
    assert_eq!(dropped(), [0, 0, 0]);
    set_used(9_100);
    write(&writer, frames(&[view.clone(), touch.clone(), view]), false);
    assert_eq!(dropped(), [2, 0, 0]);
    assert_eq!(write(&writer, frames(std::slice::from_ref(&order)), true), Ack::Written);
    set_used(10_000);
    write(&writer, frames(&[touch]), false);
    assert_eq!(dropped(), [2, 0, 1]);
    assert_eq!(write(&writer, frames(&[order]), true), Ack::Refused, "its sender is told");
    assert_eq!(dropped(), [2, 0, 1]);
    end(writer);
}

/// The writer may put the lock back meanwhile.
fn remove_all(path: &Path) {
    while std::fs::remove_dir_all(path).is_err() {}
}

/// Longer than the writer waits between two looks at its files.
const LOOKED: Duration = Duration::from_millis(2500);

#[test]
fn what_is_removed_while_it_is_written_is_put_back_with_what_it_had() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("journal");
    let writer = start(&dir, 1 << 20, 1 << 30, &Arc::default());
    write(&writer, frames(&[numbered(1)]), false);
    let path = writer.progress.directory().unwrap().path.clone();
    let removed: [&dyn Fn(); 5] = [
        &|| std::fs::remove_file(segment_path(&path, 0)).unwrap(),
        &|| std::fs::rename(segment_path(&path, 0), root.path().join("elsewhere")).unwrap(),
        &|| std::fs::remove_file(path.join("lock")).unwrap(),
        &|| remove_all(&path),
        &|| remove_all(&dir),
    ];
    let mut expected = vec![1];
    for remove in removed {
        remove();
        // Before it is noticed, and after.
        for wait in [Duration::ZERO, LOOKED] {
            std::thread::sleep(wait);
            expected.push(expected.len() as u64 + 1);
            assert_eq!(write(&writer, frames(&[numbered(expected.len() as u64)]), false), Ack::Written);
        }
        assert_eq!(read_all(&path, Some(writer.progress.written()), 1 << 20), (expected.clone(), 0));
        assert!(RunDirectory::adopt_free(&dir, None, 9).unwrap().adopted.is_empty(), "it is held");
    }
    assert_eq!(write(&writer, frames(&[numbered(12)]), true), Ack::Written);
    std::fs::remove_file(segment_path(&path, 0)).unwrap();
    expected.push(12);
    end(writer);
    assert_eq!(read_all(&path, None, 1 << 20), (expected, 0), "also at the end");
}

#[test]
fn what_is_moved_away_is_told_and_refuses_what_must_not_be_lost_until_it_is_back() {
    let root = tempfile::tempdir().unwrap();
    let (dir, elsewhere) = (root.path().join("journal"), root.path().join("elsewhere"));
    let metrics = Arc::new(Metrics::default());
    let writer = start(&dir, 1 << 20, 1 << 30, &metrics);
    write(&writer, frames(&[numbered(1)]), false);
    let is_misplaced = || metrics.state.journal_misplaced.load(Ordering::Relaxed);
    std::fs::rename(&dir, &elsewhere).unwrap();
    std::thread::sleep(LOOKED);
    assert!(is_misplaced());
    assert_eq!(write(&writer, frames(&[numbered(2)]), true), Ack::Refused);
    assert_eq!(write(&writer, frames(&[numbered(3)]), false), Ack::Written);
    std::fs::rename(&elsewhere, &dir).unwrap();
    std::thread::sleep(LOOKED);
    assert!(!is_misplaced());
    assert_eq!(write(&writer, frames(&[numbered(4)]), true), Ack::Written);
    let path = writer.progress.directory().unwrap().path.clone();
    end(writer);
    assert_eq!(read_all(&path, None, 1 << 20), (vec![1, 3, 4], 0));
}

#[test]
fn a_directory_without_a_lock_is_its_owners_for_a_while() {
    let root = tempfile::tempdir().unwrap();
    let directory = RunDirectory::create(root.path()).unwrap();
    let (journal, path) = (directory.journal, directory.path.clone());
    std::fs::remove_file(path.join("lock")).unwrap();
    let adopted = |own| RunDirectory::adopt_free(root.path(), own, 9).unwrap().adopted.len();
    assert_eq!(adopted(None), 0, "its owner may be about to put it back");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(60);
    std::fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(adopted(Some(journal)), 0, "it is our own");
    assert_eq!(adopted(None), 1);
}

#[test]
fn a_segment_that_is_missing_is_damage_and_one_of_elsewhere_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let writer = start(root.path(), 1, 1 << 30, &Arc::default());
    for number in 0..4 {
        write(&writer, frames(&[numbered(number)]), false);
    }
    let path = writer.progress.directory().unwrap().path.clone();
    end(writer);
    assert_eq!(read_all(&path, None, 1 << 20), (vec![0, 1, 2, 3], 0));
    let copy = root.path().join(Uuid::now_v7().to_string());
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(segment_path(&path, 0), segment_path(&copy, 0)).unwrap();
    // The first has nothing but its header.
    std::fs::remove_file(segment_path(&path, 3)).unwrap();
    assert_eq!(read_all(&path, None, 1 << 20), (vec![0, 1, 3], 1));
    for number in [0, 1] {
        std::fs::remove_file(segment_path(&path, number)).unwrap();
    }
    assert_eq!(read_all(&path, None, 1 << 20), (vec![1, 3], 2), "also the first");
    std::fs::rename(segment_path(&path, 4), segment_path(&path, 5)).unwrap();
    for (from, wrong) in [(Position { segment: 5, offset: 0 }, &path), (Position::default(), &copy)] {
        let read = Reader::new(wrong, from).read(None, 1 << 20);
        assert!(matches!(read, Err(ReadError::Elsewhere { .. })), "{read:?}");
    }
}

#[test]
fn what_cannot_be_adopted_does_not_keep_others_back() {
    let root = tempfile::tempdir().unwrap();
    let journal = RunDirectory::create(root.path()).unwrap().journal;
    let no_directory = Uuid::from_u128(7);
    std::fs::write(root.path().join(no_directory.to_string()), "no directory").unwrap();
    let later = RunDirectory::create(root.path()).unwrap().journal;
    let adopted = |most| -> Vec<_> {
        let found = RunDirectory::adopt_free(root.path(), None, most).unwrap();
        assert_eq!(found.refused.iter().map(|(journal, _)| *journal).collect::<Vec<_>>(), [no_directory]);
        found.adopted.iter().map(|directory| directory.journal).collect()
    };
    assert_eq!(adopted(9), [journal, later]);
    assert_eq!(adopted(1), [journal], "the oldest first");
}

#[test]
fn a_journal_that_could_not_be_made_is_made_later_and_has_what_was_held() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("journal");
    std::fs::write(&dir, "in the way").unwrap();
    let metrics = Arc::new(Metrics::default());
    let writer = start(&dir, 1 << 20, 1 << 30, &metrics);
    assert_eq!(write(&writer, frames(&[numbered(1)]), false), Ack::Held);
    assert_eq!(write(&writer, frames(&[numbered(2)]), true), Ack::Refused);
    let refused = || metrics.state.journal_refused.lock().unwrap().clone();
    assert!(refused().unwrap().starts_with("its disk refuses: "));
    std::fs::remove_file(&dir).unwrap();
    while refused().is_some() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(write(&writer, frames(&[numbered(3)]), false), Ack::Written);
    let path = writer.progress.directory().unwrap().path.clone();
    end(writer);
    assert_eq!(read_all(&path, None, 1 << 20), (vec![1, 3], 0));
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "failed attempts left nothing");
}

/// Runs a worker's hand-over to a journal that the test plays.
fn with_hand<F: Future<Output = ()>>(
    wait: Duration,
    test: impl FnOnce(Hand, Receiver<Batch>, Arc<Metrics>) -> F,
) {
    let (batches, receiver) = channel();
    let metrics = Arc::new(Metrics::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let hand = Hand::start(batches, wait, Arc::clone(&metrics));
        test(hand, receiver, metrics).await;
    });
}

fn dropped(metrics: &Metrics, kind: &'static str, reason: &'static str) -> u64 {
    metrics.hits_dropped.get_or_create(&Lost { kind, reason }).get()
}

#[test]
fn records_that_a_dead_journal_does_not_take_are_counted() {
    with_hand(Duration::from_secs(5), |hand, receiver, metrics| async move {
        drop(receiver);
        let tickets = [1, 2, 3].map(|number| hand.push(&numbered(number)).unwrap());
        for ticket in tickets {
            hand.written(ticket).await;
        }
        assert_eq!(dropped(&metrics, "page_view", "journal_closed"), 3);
        assert_eq!(metrics.responses_ahead_of_journal.get(), 3);
    });
}

#[test]
fn a_worker_leaves_nothing_behind_when_it_ends_while_the_journal_hangs() {
    with_hand(Duration::from_millis(1), |hand, receiver, metrics| async move {
        hand.written(hand.push(&numbered(1)).unwrap()).await;
        hand.written(hand.push(&numbered(2)).unwrap()).await;
        assert_eq!(metrics.responses_ahead_of_journal.get(), 2);
        assert!(metrics.state.journal_stalled.load(Ordering::Relaxed));
        assert!(
            tokio::time::timeout(Duration::from_millis(50), hand.close()).await.is_err(),
            "nobody answers"
        );
        let handed_over: Vec<_> = receiver.try_iter().map(|batch| batch.frames).collect();
        assert_eq!(handed_over, [frames(&[numbered(1)]), frames(&[numbered(2)])]);
    });
}

#[test]
fn a_response_waits_no_longer_than_it_may_behind_a_slow_batch() {
    let wait = Duration::from_millis(200);
    with_hand(wait, |hand, receiver, _| async move {
        let first = hand.push(&numbered(1)).unwrap();
        let slow = std::thread::spawn(move || {
            let mut held = Vec::new();
            for batch in receiver {
                std::thread::sleep(wait * 4 / 5);
                if held.is_empty() {
                    let _ = batch.ack.send(Answer { ack: Ack::Written, buffer: Vec::new() });
                    held.push(batch.frames);
                }
            }
        });
        tokio::time::sleep(wait / 10).await;
        let begun = Instant::now();
        hand.written(hand.push(&numbered(2)).unwrap()).await;
        assert!(begun.elapsed() < wait * 3 / 2, "{:?}", begun.elapsed());
        hand.written(first).await;
        drop(hand);
        drop(slow);
    });
}

#[test]
fn damage_of_the_last_record_is_counted_and_a_torn_one_is_not() {
    let root = tempfile::tempdir().unwrap();
    let directory = RunDirectory::create(root.path()).unwrap();
    let header =
        super::frame::Header { format: 1, journal: directory.journal, segment: 0, created_ms: 0 }.encode();
    let mut bytes = header.to_vec();
    append(&numbered(1), &mut bytes).unwrap();
    let second = bytes.len();
    append(&numbered(2), &mut bytes).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    bytes.extend_from_within(second..second + 11);
    std::fs::write(segment_path(&directory.path, 0), &bytes).unwrap();
    assert_eq!(read_all(&directory.path, None, 1000), (vec![1], 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever bytes are damaged, every frame that they are not part of is read, and nothing else is.
    #[test]
    fn damage_costs_only_the_frames_that_it_hits(
        sizes in proptest::collection::vec(1..200_usize, 1..30),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..6),
        chunk_bytes in 1..5000_usize,
    ) {
        let root = tempfile::tempdir().unwrap();
        let directory = RunDirectory::create(root.path()).unwrap();
        let path = segment_path(&directory.path, 0);
        let header = super::frame::Header { format: 1, journal: directory.journal, segment: 0, created_ms: 0 }.encode();
        let mut bytes = header.to_vec();
        let mut ranges = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let bot = "b".repeat(*size);
            let record = BotCount { at_ms: number as u64, site: "s".into(), bot: bot.into(), reasons: 0, rules: 2 };
            let start = bytes.len();
            append(&Record::BotCount(record), &mut bytes).unwrap();
            ranges.push(start..bytes.len());
        }
        let damaged: Vec<usize> = flips
            .iter()
            .map(|(index, flip)| {
                let at = HEADER_BYTES + index.index(bytes.len() - HEADER_BYTES);
                bytes[at] ^= flip;
                at
            })
            .collect();
        // Two flips of one byte may undo each other; what then differs is what counts.
        let intact: Vec<u64> = ranges
            .iter()
            .enumerate()
            .filter(|(_, range)| {
                damaged.iter().filter(|at| range.contains(at)).count() == 0
                    || matches!(super::frame::look(&bytes[range.start..range.end]), super::frame::Look::Frame(_))
            })
            .map(|(number, _)| number as u64)
            .collect();
        std::fs::write(&path, &bytes).unwrap();
        prop_assert_eq!(read_all(&directory.path, None, chunk_bytes).0, intact);
    }
}

/// A journal that answers each batch within the wait, but late.
#[tokio::test]
async fn no_response_waits_for_two_batches_longer_than_for_one() {
    let (batches, taken) = std::sync::mpsc::channel::<Batch>();
    let journal = std::thread::spawn(move || {
        for batch in taken {
            std::thread::sleep(Duration::from_millis(300));
            let _ = batch.ack.send(Answer { ack: Ack::Written, buffer: Vec::new() });
        }
    });
    let wait = Duration::from_millis(400);
    let responses = async {
        let hand = Hand::start(batches, wait, Arc::new(Metrics::default()));
        let first = hand.push(&numbered(1)).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let pushed = std::time::Instant::now();
        let second = hand.push(&numbered(2)).unwrap();
        hand.written(first).await;
        assert!(pushed.elapsed() < wait);
        hand.written(second).await;
        assert!(pushed.elapsed() < Duration::from_millis(500), "{:?}", pushed.elapsed());
        hand.close().await;
    };
    tokio::task::LocalSet::new().run_until(responses).await;
    journal.join().unwrap();
}

#[test]
fn an_erasure_stands_alone_where_an_older_binary_stops() {
    use super::frame::{ERASURE_FORMAT, Header, HeaderError};
    use crate::erasure::{Erasure, Subject};

    let root = tempfile::tempdir().unwrap();
    let writer = start(root.path(), 1 << 20, 1 << 30, &Arc::new(Metrics::default()));
    let forget = |number: u128| {
        let erasure_id = uuid::Uuid::from_u128(number);
        let subject = Subject::Visitor(uuid::Uuid::from_u128(7));
        frames(&[Record::Erasure(Erasure { erasure_id, at_ms: 1, subject })])
    };
    let send = |frames, format| {
        let (ack, answer) = oneshot::channel();
        writer.batches.send(Batch { frames, durable: true, format, ack }).unwrap();
        answer
    };
    let answers = [
        send(frames(&[numbered(1)]), FORMAT),
        send(forget(1), ERASURE_FORMAT),
        send(forget(2), ERASURE_FORMAT),
        send(frames(&[numbered(2)]), FORMAT),
        send(frames(&[numbered(3)]), FORMAT),
    ];
    assert!(answers.into_iter().all(|answer| answer.blocking_recv().unwrap().ack == Ack::Written));
    let path = writer.progress.directory().unwrap().path.clone();
    end(writer);
    let formats: Vec<(u16, usize)> = segments(&path)
        .unwrap()
        .into_iter()
        .map(|number| {
            let bytes = std::fs::read(segment_path(&path, number)).unwrap();
            let records = super::frame::payloads(&bytes[HEADER_BYTES..]).count();
            (Header::decode(&bytes).unwrap().format, records)
        })
        .collect();
    // A binary with records of version 1 knows formats 1 and 2, and refuses what is greater, as this one does with 5.
    assert_eq!(formats, [(3, 1), (4, 1), (4, 1), (3, 2)]);
    let newer = Header { format: 5, journal: uuid::Uuid::nil(), segment: 0, created_ms: 0 };
    assert_eq!(Header::decode(&newer.encode()), Err(HeaderError::Newer(5)));
    let mut reader = Reader::new(&path, Position::default());
    let mut kinds = Vec::new();
    loop {
        let chunk = reader.read(None, 1 << 20).unwrap();
        if chunk.is_empty() {
            break;
        }
        kinds.extend(chunk.frames.iter().map(|(_, payload)| payload[1]));
    }
    assert_eq!(kinds, [5, 6, 6, 5, 5]);
}
