//! Brings the schema to this binary's version. Migrations are plain SQL in `migrations/`, append-only.
//!
//! Others write and read meanwhile. So a migration waits for its locks only briefly: whoever comes after one that waits
//! for a table waits too. It is tried again until it finds a gap.

use std::time::Duration;

use deadpool_postgres::{Client, Transaction};
use jiff::Timestamp;
use refinery_core::Migration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{Store, StoreError, locks};

/// How long to wait before looking again while another process migrates.
const RETRY: Duration = Duration::from_millis(300);
/// How long a statement of a migration waits for a lock.
const LOCK_TIMEOUT_MS: &str = "2000";
/// Pause after it did not get one, in which those who queued behind it come first.
const GAP: Duration = Duration::from_secs(1);
/// How long a migration may stand still, by a process that is frozen or cut off, before the server undoes it.
const IDLE_TIMEOUT_MS: &str = "5000";

/// Names of files in `migrations/`, each with its text.
macro_rules! files {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_str!(concat!("../../migrations/", $name, ".sql")))),+] };
}

const FILES: &[(&str, &str)] = files![
    "V1__spine",
    "V2__reports",
    "V3__roles",
    "V4__strict_rights",
    "V5__rollups",
    "V6__retention",
    "V7__erasure",
    "V8__agents_read_later",
    "V9__identity",
    "V10__channels",
    "V11__left_out",
    "V12__one_visit",
    "V13__client_hints",
    "V14__rules",
    "V15__ad_spend",
    "V16__told_actions",
    "V17__order_links",
    "V18__money",
    "V22__fewer_lookups",
    "V23__exchange_rates",
    "V26__columns",
    "V28__first_steps",
    "V29__customers",
    "V30__identifications",
    "V31__order_columns",
    "V32__order_keys",
    "V33__session_actions",
    "V34__followed",
    "V35__session_facts",
    "V36__keys_in_use",
    "V37__sessions_by_start",
    "V38__sessions_started_once",
    "V39__first_hour",
    "V40__beginnings",
    "V41__order_positions",
    "V43__session_names",
    "V44__fuller_pages",
    "V45__told_and_continued",
];

/// How the database's schema stands to this binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// It is the one this binary was made for.
    Current,
    /// Migrations are missing; `found` is 0 for an empty database.
    Older {
        /// Newest migration applied.
        found: i64,
        /// Newest migration of this binary.
        wanted: i64,
    },
    /// A newer binary migrated it.
    Newer {
        /// Newest migration applied.
        found: i64,
        /// Newest migration of this binary.
        wanted: i64,
    },
}

/// The migrations of this binary.
pub fn migrations() -> Vec<Migration> {
    FILES.iter().filter_map(|(name, sql)| Migration::unapplied(name, sql).ok()).collect()
}

/// Looks, and changes nothing.
pub async fn schema_state(store: &Store) -> Result<SchemaState, StoreError> {
    state_against(&store.office().await?, &migrations()).await
}

/// Applies what is missing, and says how the schema stands afterwards: `Current`, or `Newer`, which is left alone.
/// Several processes may call this at once. Waits for those who are in the way, however long.
pub async fn migrate(store: &Store) -> Result<SchemaState, StoreError> {
    bring_to(store, &migrations()).await
}

/// As [`migrate`], to another version than this binary's.
pub async fn bring_to(store: &Store, migrations: &[Migration]) -> Result<SchemaState, StoreError> {
    let mut has_waited = false;
    loop {
        match advance_to(store, migrations).await {
            Ok(SchemaState::Older { .. }) => tokio::time::sleep(RETRY).await,
            Err(error) if error.is_in_the_way() => {
                if !std::mem::replace(&mut has_waited, true) {
                    tracing::info!(
                        "a migration waits for whoever uses its tables; nobody waits for it for long"
                    );
                }
                tokio::time::sleep(GAP).await;
            }
            outcome => return outcome,
        }
    }
}

/// Applies what can be applied now. `Older` says that another process is at it; an error may say that somebody uses the
/// tables. Both pass.
pub async fn advance(store: &Store) -> Result<SchemaState, StoreError> {
    advance_to(store, &migrations()).await
}

async fn advance_to(store: &Store, migrations: &[Migration]) -> Result<SchemaState, StoreError> {
    // The connection goes back before anybody waits: it might be the one that is needed.
    let mut client = store.office().await?;
    loop {
        let state = state_against(&client, migrations).await?;
        if !matches!(state, SchemaState::Older { .. }) || !apply_next(&mut client, migrations).await? {
            return Ok(state);
        }
    }
}

/// Tells if the database does not compare letters as the program does.
pub async fn look_at_letters(client: &Client) -> Result<(), StoreError> {
    let row = client.query_typed_one(include_str!("sql/letters.sql"), &[]).await?;
    if !row.get::<_, bool>("folds") {
        tracing::warn!(
            "the database does not know small and capital letters as this program does (its LC_CTYPE or ICU locale): tags in \
             other alphabets are not compared in lower case; make it with LC_CTYPE 'C.UTF-8'"
        );
    }
    Ok(())
}

/// Applies one migration in a transaction, which also holds the lock; false when another process is at it.
async fn apply_next(client: &mut Client, migrations: &[Migration]) -> Result<bool, StoreError> {
    let transaction = client.transaction().await?;
    let settings = [(&LOCK_TIMEOUT_MS as _, Type::TEXT), (&IDLE_TIMEOUT_MS as _, Type::TEXT)];
    transaction.query_typed(include_str!("sql/begin_migration.sql"), &settings).await?;
    let number = [(&locks::MIGRATE as _, Type::INT8)];
    let row = transaction.query_typed_one(include_str!("sql/try_lock.sql"), &number).await?;
    if !row.get::<_, bool>("taken") {
        return Ok(false);
    }
    transaction.query_typed(include_str!("sql/schema_history.sql"), &[]).await?;
    let found: i64 =
        transaction.query_typed_one(include_str!("sql/schema_version.sql"), &[]).await?.get("version");
    let missing = migrations.iter().filter(|migration| i64::from(migration.version()) > found);
    let Some(next) = missing.min_by_key(|migration| migration.version()) else { return Ok(true) };
    apply(&transaction, next)
        .await
        .map_err(|source| StoreError::Migration { name: next.to_string(), source })?;
    transaction.commit().await?;
    tracing::info!(migration = %next, "database schema migrated");
    Ok(true)
}

async fn apply(transaction: &Transaction<'_>, migration: &Migration) -> Result<(), tokio_postgres::Error> {
    transaction.batch_execute(migration.sql().unwrap_or_default()).await?;
    let (version, name) = (migration.version(), migration.name());
    let (now, checksum) = (Timestamp::now().to_string(), migration.checksum().to_string());
    let parameters = [
        (&version as _, Type::INT4),
        (&name as _, Type::TEXT),
        (&now as _, Type::TEXT),
        (&checksum as _, Type::TEXT),
    ];
    transaction.query_typed(include_str!("sql/note_migration.sql"), &parameters).await.map(drop)
}

/// Lets a writer and a reader do what they need; whoever calls this owns the schema.
pub async fn grant_rights(
    store: &Store,
    writer: Option<&str>,
    reader: Option<&str>,
) -> Result<(), StoreError> {
    let mut client = store.office().await?;
    let transaction = client.transaction().await?;
    // Two changes of one table's entry in the catalog at the same time: the second fails.
    transaction.query_typed(include_str!("sql/lock.sql"), &[(&locks::PARTITIONS, Type::INT8)]).await?;
    let roles = [(&writer as _, Type::TEXT), (&reader as _, Type::TEXT)];
    transaction.query_typed(include_str!("sql/grant_rights.sql"), &roles).await?;
    Ok(transaction.commit().await?)
}

/// Makes the views of the schema `bi`, or brings them to this version, and lets a role read them and nothing else. The
/// caller owns the tables, and the schema if it is there.
pub async fn grant_views(store: &Store, analyst: &str) -> Result<(), StoreError> {
    let mut client = store.office().await?;
    let transaction = client.transaction().await?;
    transaction.query_typed(include_str!("sql/lock.sql"), &[(&locks::PARTITIONS, Type::INT8)]).await?;
    transaction.batch_execute(include_str!("views.sql")).await?;
    let role = [(&analyst as _, Type::TEXT)];
    let grants = transaction.query_typed_one(include_str!("sql/grant_views.sql"), &role).await?;
    transaction.batch_execute(grants.get(0)).await?;
    Ok(transaction.commit().await?)
}

impl StoreError {
    /// Whether somebody else's lock was the reason, which goes by itself.
    pub(super) fn is_in_the_way(&self) -> bool {
        let in_the_way = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
        self.code().is_some_and(|code| in_the_way.contains(code))
    }
}

async fn state_against(client: &Client, migrations: &[Migration]) -> Result<SchemaState, StoreError> {
    let versions = migrations.iter().map(|migration| i64::from(migration.version()));
    let wanted = versions.max().unwrap_or(0);
    let present = client.query_typed_one(include_str!("sql/schema_present.sql"), &[]).await?;
    let found: i64 = if present.get::<_, bool>(0) {
        client.query_typed_one(include_str!("sql/schema_version.sql"), &[]).await?.get(0)
    } else {
        0
    };
    Ok(match found.cmp(&wanted) {
        std::cmp::Ordering::Equal => SchemaState::Current,
        std::cmp::Ordering::Less => SchemaState::Older { found, wanted },
        std::cmp::Ordering::Greater => SchemaState::Newer { found, wanted },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_is_a_migration_of_its_own() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let files: BTreeSet<String> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), files);
        let versions: BTreeSet<i32> = migrations().iter().map(Migration::version).collect();
        assert_eq!(versions.len(), files.len());
        let texts = migrations().into_iter().map(|migration| migration.sql().unwrap().len());
        assert_eq!(texts.sum::<usize>(), FILES.iter().map(|(_, sql)| sql.len()).sum::<usize>());
    }
}
