//! Tables of the original's database as CSV: columns by their names, whatever marks a null, times of UTC.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::super::about;
use super::super::table::Table;
use crate::hit::Record;

/// How programs write that a column is null.
const NULLS: [&str; 4] = ["", "NULL", "\\N", "None"];
/// 2000-01-01T00:00:00Z.
const EARLIEST_SECOND: i64 = 946_684_800;

/// The tables there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Sessions,
    Actions,
    Orders,
}

/// The tables, each by the columns that only it has.
const TABLES: [(Of, &[&str]); 3] = [
    (Of::Sessions, &["id", "first_seen"]),
    (Of::Actions, &["id", "action_type", "timestamp"]),
    (Of::Orders, &["id", "created"]),
];

/// One file, and what becomes of it.
#[derive(Debug)]
pub(super) struct Dump {
    path: PathBuf,
    of: Of,
    table: Table,
    /// Records by the line that they are of.
    pub(super) records: Vec<(u64, Record<'static>)>,
    /// Line and reason.
    pub(super) refused: Vec<(u64, String)>,
    /// Lines that need no record, and why.
    pub(super) left_out: Vec<(u64, &'static str)>,
}

/// A row by the names of its columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) line: u64,
    header: &'a [String],
    cells: &'a [String],
}

impl Dump {
    /// Reads a file of one of the tables. Names of foreign keys may lack their `_id`.
    pub(super) fn read(path: &Path) -> anyhow::Result<Dump> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut table = Table::read(&bytes, |cells| cells.iter().any(|cell| column(cell) == "id"))
            .with_context(|| format!("in {}", path.display()))?;
        table.header = table.header.iter().map(|name| column(name)).collect();
        let has = |name: &&str| table.header.iter().any(|have| have == name);
        let Some((of, _)) = TABLES.iter().find(|(_, columns)| columns.iter().all(has)) else {
            let tables = TABLES.map(|(of, columns)| format!("{} ({})", of.name(), columns.join(", ")));
            bail!("{} has the columns of none of {}", path.display(), tables.join("; "));
        };
        let reason = "more cells than the header has";
        let refused = table.too_long.iter().map(|line| (*line, reason.to_owned())).collect();
        Ok(Dump { path: path.to_owned(), of: *of, table, records: Vec::new(), refused, left_out: Vec::new() })
    }

    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let header = &self.table.header;
        self.table.rows.iter().map(|(line, cells)| Row { line: *line, header, cells }).collect()
    }

    /// Which table it is of.
    pub(super) fn table(&self) -> Of {
        self.of
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// As it is named to whoever imports it.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    pub(super) fn count(&self) -> usize {
        self.table.rows.len() + self.table.too_long.len()
    }
}

impl Of {
    pub(super) fn name(self) -> &'static str {
        match self {
            Of::Sessions => "storefront_utmsession",
            Of::Actions => "storefront_useraction",
            Of::Orders => "the orders",
        }
    }
}

fn column(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "session_id" | "utm_session_id" | "site_session_id" | "user_id" => name.replace("_id", ""),
        _ => name,
    }
}

impl<'a> Row<'a> {
    /// A column's text; none where it is null, empty or not there.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        let place = self.header.iter().position(|have| have == name)?;
        let cell = self.cells.get(place)?.as_str();
        (!NULLS.contains(&cell)).then_some(cell)
    }

    pub(super) fn need(&self, name: &str) -> Result<&'a str, String> {
        self.text(name).ok_or_else(|| about(name, "it is empty"))
    }

    /// A time, in Unix milliseconds; without an offset it is of UTC, as Django keeps it.
    pub(super) fn time(&self, name: &str, now: Timestamp) -> Result<Option<u64>, String> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let of_utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
        let at = text.parse::<Timestamp>().ok().or_else(|| Some(of_utc()?.timestamp()));
        let at = at.ok_or_else(|| about(name, "it is no time, as 2026-11-22 10:00:00"))?;
        if at.as_second() < EARLIEST_SECOND || at > now {
            return Err(about(name, "it lies before the year 2000 or ahead"));
        }
        Ok(u64::try_from(at.as_millisecond()).ok())
    }

    pub(super) fn need_time(&self, name: &str, now: Timestamp) -> Result<u64, String> {
        self.time(name, now)?.ok_or_else(|| about(name, "it is empty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_times_are_read_as_databases_write_them() {
        let header = ["id", "a", "b", "c", "d"].map(str::to_owned);
        let cells =
            ["1", "NULL", "2026-07-01 10:00:00.5", "2026-07-01T10:00:00+03:00", "then"].map(str::to_owned);
        let row = Row { line: 2, header: &header, cells: &cells };
        let now = "2026-11-26T00:00:00Z".parse().unwrap();
        assert_eq!((row.text("a"), row.text("e"), row.text("id")), (None, None, Some("1")));
        assert_eq!(row.time("b", now), Ok(Some(1_782_900_000_500)));
        assert_eq!(row.time("c", now), Ok(Some(1_782_889_200_000)));
        assert!(row.time("d", now).is_err() && row.need_time("a", now).is_err());
        assert!(row.time("b", Timestamp::UNIX_EPOCH).is_err(), "not ahead");
    }
}
