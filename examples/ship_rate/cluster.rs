//! The private cluster with default settings and its two databases: one is shipped to, into its copy goes bare `COPY`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use deadpool_postgres::Client as Pooled;
use jiff::Timestamp;
use tokio_postgres::{Client, NoTls};
use utm_dispatcher::managed::{Cluster, Settings};
use utm_dispatcher::store::partitions::{self, Month};
use utm_dispatcher::store::{Store, migrate};
use uuid::Uuid;

use crate::mix::HOUR_MS;

/// Both databases.
pub(crate) struct Databases {
    cluster: Cluster,
    /// Shipped to.
    pub(crate) shipped: Store,
    /// Copied to.
    pub(crate) copied: Store,
    /// Sessions that were laid down.
    pub(crate) sessions: i64,
}

impl Databases {
    /// Starts the cluster; makes and fills the databases when they are not there.
    pub(crate) async fn open(home: &Path, sessions: u64) -> anyhow::Result<Self> {
        let mut cluster = Cluster::open_in(home, Settings::default()).context("a private Postgres")?;
        cluster.start().await?;
        let url = |name: &str| cluster.superuser_url(name);
        let maintenance = connect(&url("postgres")).await?;
        let made = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'copied')";
        if !maintenance.query_one(made, &[]).await?.get::<_, bool>(0) {
            maintenance.batch_execute("DROP DATABASE IF EXISTS shipped").await?;
            maintenance.batch_execute("CREATE DATABASE shipped").await?;
            fill(&url("shipped"), sessions).await?;
            // File by file, where the server knows how: all through its log would take as long as filling.
            let version: i32 =
                maintenance.query_one("SELECT current_setting('server_version_num')::int", &[]).await?.get(0);
            let strategy = if version >= 150_000 { " STRATEGY file_copy" } else { "" };
            maintenance.batch_execute(&format!("CREATE DATABASE copied TEMPLATE shipped{strategy}")).await?;
        }
        let (shipped, copied) = (Store::new(&url("shipped"))?, Store::new(&url("copied"))?);
        for store in [&shipped, &copied] {
            migrate::migrate(store).await?;
        }
        let laid_down = "SELECT count(*) FROM sessions WHERE session_hour < '2026-11-22T10:00Z'";
        let sessions = shipped.office().await?.query_one(laid_down, &[]).await?.get(0);
        Ok(Databases { cluster, shipped, copied, sessions })
    }

    /// URL of the database that is shipped to.
    pub(crate) fn shipped_url(&self) -> String {
        self.cluster.superuser_url("shipped")
    }

    /// The beginning of the first hour of which nothing is there, Unix milliseconds.
    pub(crate) async fn next_hour_ms(&self) -> anyhow::Result<u64> {
        let last =
            "SELECT greatest(max(session_hour) + interval '2 hours', '2026-11-22T10:00Z') FROM sessions";
        let at: Timestamp = self.shipped.office().await?.query_one(last, &[]).await?.get(0);
        Ok(u64::try_from(at.as_millisecond())?.next_multiple_of(HOUR_MS))
    }

    /// Makes the partitions of a window in both.
    pub(crate) async fn make_room(&self, begin_ms: u64, end_ms: u64) -> anyhow::Result<()> {
        let month = |ms: u64| anyhow::Ok(Month::of(Timestamp::from_millisecond(i64::try_from(ms)?)?));
        let months = [month(begin_ms)?, month(end_ms)?].into_iter().flatten().collect();
        for store in [&self.shipped, &self.copied] {
            partitions::ensure(&mut store.office().await?, &months).await?;
        }
        Ok(())
    }

    /// About so many of the visitors that are there.
    pub(crate) async fn visitors(&self, about: u64) -> anyhow::Result<Vec<Uuid>> {
        let some = "SELECT visitor_id FROM visitors TABLESAMPLE bernoulli (least(100, $1::float8 * 100
                        / greatest(1, (SELECT reltuples FROM pg_class WHERE oid = 'visitors'::regclass)))::real)";
        let rows = self.shipped.office().await?.query(some, &[&(about as f64)]).await?;
        let mut visitors: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        // The table lies by time; who comes back does not.
        visitors.sort_by_key(|visitor| visitor.as_u128() & u128::from(u64::MAX));
        Ok(visitors)
    }

    /// CPU seconds that the cluster's processes have taken so far.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let postmaster = self.cluster.postmaster_pid().context("a running server")?;
        let mut ticks = 0;
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let Some(fields) = stat(pid) else { continue };
            if pid == postmaster {
                ticks += fields[10..14].iter().sum::<u64>(); // with those that it has waited for
            } else if fields[0] == u64::from(postmaster) {
                ticks += fields[10] + fields[11];
            }
        }
        Ok(ticks as f64 / 100.0)
    }

    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        Ok(self.cluster.stop().await?)
    }
}

/// CPU seconds of this process.
pub(crate) fn own_cpu_seconds() -> f64 {
    stat(std::process::id()).map_or(0.0, |fields| (fields[10] + fields[11]) as f64 / 100.0)
}

/// The numbers of /proc/PID/stat from the parent's pid on.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let numbers = text.rsplit_once(") ")?.1.split(' ').skip(1);
    Some(numbers.take(14).map(|number| number.parse().unwrap_or(0)).collect())
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn fill(url: &str, sessions: u64) -> anyhow::Result<()> {
    println!("laying down {sessions} sessions; this takes minutes");
    let store = Store::new(url)?;
    migrate::migrate(&store).await?;
    let begin: Timestamp = "2026-09-23T10:00:00Z".parse()?;
    let months =
        (0..3).filter_map(|month| Month::of(begin + jiff::SignedDuration::from_hours(month * 720))).collect();
    partitions::ensure(&mut store.office().await?, &months).await?;
    let client = connect(url).await?;
    client.batch_execute(&format!("SET preload.sessions = {sessions}")).await?;
    client.batch_execute(include_str!("preload.sql")).await?;
    client.batch_execute("VACUUM ANALYZE").await?;
    Ok(())
}

/// Bytes of each table, all its partitions together, and of each of its indexes.
pub(crate) async fn sizes(client: &Pooled) -> anyhow::Result<BTreeMap<String, i64>> {
    let sizes = "SELECT CASE WHEN i.indexrelid IS NULL THEN r.relname
                             ELSE r.relname || ' ' || regexp_replace(c.relname, '_\\d{4}_\\d\\d', '') END,
                        sum(CASE WHEN i.indexrelid IS NULL THEN pg_table_size(c.oid) ELSE pg_relation_size(c.oid) END)::bigint
                 FROM pg_class c
                 LEFT JOIN pg_index i ON i.indexrelid = c.oid
                 CROSS JOIN LATERAL (SELECT coalesce(i.indrelid, c.oid) AS oid) t
                 JOIN pg_class r ON r.oid = coalesce(pg_partition_root(t.oid), t.oid)
                 WHERE c.relkind IN ('r', 'i') AND c.relnamespace = 'public'::regnamespace
                 GROUP BY 1";
    Ok(client.query(sizes, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}
