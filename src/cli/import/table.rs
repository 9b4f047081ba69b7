//! Files of rows as programs and advertisers write them: comma, semicolon or tab, UTF-8 or UTF-16, lines of titles before
//! the header.

use anyhow::{Context, bail};

/// Lines in which a header is looked for: reports begin with a title and a period.
const HEADER_WITHIN: usize = 10;

/// A file's header and rows.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) header: Vec<String>,
    /// Line in the file, and cells; as many as the header has, empty where the row has fewer.
    pub(super) rows: Vec<(u64, Vec<String>)>,
    /// Rows that have more cells than the header.
    pub(super) too_long: Vec<u64>,
}

impl Table {
    /// Reads a file whose header is the first row that `is_header` says is one.
    pub(super) fn read(bytes: &[u8], is_header: impl Fn(&[String]) -> bool) -> anyhow::Result<Table> {
        let text = text(bytes)?;
        for delimiter in [b',', b';', b'\t'] {
            if let Some(table) = Table::split(&text, delimiter, &is_header)? {
                return Ok(table);
            }
        }
        let first = text.lines().next().unwrap_or_default();
        let first: String = first.chars().filter(|letter| !letter.is_control()).take(200).collect();
        bail!("no header is known within the first {HEADER_WITHIN} lines; the first is: {first}")
    }

    fn split(
        text: &str,
        delimiter: u8,
        is_header: &impl Fn(&[String]) -> bool,
    ) -> anyhow::Result<Option<Table>> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(text.as_bytes());
        let mut table: Option<Table> = None;
        for (index, record) in reader.records().enumerate() {
            let record = record.context("the file is no CSV")?;
            let line = record.position().map_or(0, csv::Position::line);
            let mut cells: Vec<String> = record.iter().map(|cell| cell.trim().to_owned()).collect();
            match &mut table {
                None if is_header(&cells) => {
                    table = Some(Table { header: cells, rows: Vec::new(), too_long: Vec::new() });
                }
                None if index >= HEADER_WITHIN => return Ok(None),
                None => {}
                Some(_) if cells.iter().all(String::is_empty) => {}
                Some(table) => {
                    let width = table.header.len();
                    if cells.iter().skip(width).any(|cell| !cell.is_empty()) {
                        table.too_long.push(line);
                        continue;
                    }
                    cells.resize(width, String::new());
                    table.rows.push((line, cells));
                }
            }
        }
        Ok(table)
    }
}

/// UTF-16 has its mark; all else must be UTF-8.
fn text(bytes: &[u8]) -> anyhow::Result<String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).context("the file is not UTF-16 throughout")
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        _ => utf8(bytes),
    }
}

fn utf8(bytes: &[u8]) -> anyhow::Result<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            bail!("the file is not UTF-8: see line {line}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_behind_titles_and_whatever_separates_cells() {
        let is_header = |cells: &[String]| cells.iter().any(|cell| cell == "Day");
        for text in [
            "Report\n\"1, 2\"\nDay,Cost\n1,2\n\n3\n1,2,3\n",
            "Day;Cost\n1;2\n\n3\n1;2;3",
            "\u{feff}Day\tCost\r\n1\t2\r\n\r\n3\r\n1\t2\t3",
        ] {
            let table = Table::read(text.as_bytes(), is_header).unwrap();
            assert_eq!(table.header, ["Day", "Cost"], "{text}");
            let cells: Vec<_> = table.rows.iter().map(|(_, cells)| cells.join("|")).collect();
            assert_eq!(cells, ["1|2", "3|"], "{text}");
            assert_eq!(table.too_long.len(), 1, "{text}");
        }
        let utf16: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain("Day\tЦіна\n1\t2".encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        assert_eq!(Table::read(&utf16, is_header).unwrap().header, ["Day", "Ціна"]);
        for wrong in [&b"a,b\n1,2"[..], b"Day\n\xff", b""] {
            assert!(Table::read(wrong, is_header).is_err());
        }
    }
}
