//! The page that shows what three proxies do, side by side.

use super::case::{Case, End};
use super::{Outcome, bytes};

pub(super) const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/http-conformance.md");

pub(super) const COMMAND: &str = "UTM_DISPATCHER_WRITE_DOCS=1 ./dev test what_nginx_and_haproxy_do";

const INTRODUCTION: &str = "# HTTP/1: what passes and how, beside nginx and HAProxy

Each row is a case of `tests/it/conformance/`, which has the exact bytes; a test sends them to this proxy, to nginx and to
HAProxy as Debian 12 has them (1.22, 2.6; configured as plain reverse proxies, all else default). A cell has the statuses
of the answers, `cut` when the last one is seen to be incomplete, `–` when there is none. For the other two it also says
what the shop sees where that is not what it sees behind this proxy.

This page is written by `@command@`. A test fails when a difference has no explanation.
";

/// One case, done by all three.
pub(super) struct Row {
    case: Case,
    line: String,
    deviates: bool,
}

impl Row {
    pub(super) fn new(case: Case, ours: &Outcome, others: [&Outcome; 2]) -> Self {
        let cells = others.map(|outcome| cell(ours, outcome));
        let deviates = cells.iter().any(|(_, deviates)| *deviates);
        let why = if deviates { case.why.as_deref().unwrap_or_default() } else { "" };
        let line = format!("| {} | {} | {} | {} | {why} |", case.name, shown(ours), cells[0].0, cells[1].0);
        Row { case, line, deviates }
    }

    pub(super) fn line(&self) -> &str {
        &self.line
    }

    pub(super) fn is_unexplained(&self) -> bool {
        self.deviates && self.case.why.is_none()
    }
}

pub(super) fn page(rows: &[Row]) -> String {
    let mut page = INTRODUCTION.replace("@command@", COMMAND);
    let mut file = "";
    for row in rows {
        if row.case.file != file {
            file = row.case.file;
            let (first, rest) = file.split_at(1);
            page += &format!("\n## {}{rest}\n\n", first.to_uppercase());
            page += "| case | utm-dispatcher | nginx | HAProxy | why they differ |\n|---|---|---|---|---|\n";
        }
        page += &row.line;
        page.push('\n');
    }
    page
}

fn shown(outcome: &Outcome) -> String {
    if outcome.status.is_empty() {
        return "–".to_owned();
    }
    let status: Vec<String> = outcome.status.iter().map(u16::to_string).collect();
    let cut = if outcome.complete { "" } else { ", cut" };
    let closed = if outcome.end == End::Closed && outcome.complete { ", closed" } else { "" };
    format!("{}{cut}{closed}", status.join(" "))
}

/// What another did, and whether that matters.
fn cell(ours: &Outcome, other: &Outcome) -> (String, bool) {
    let (our_sight, their_sight) = (sight(&ours.shop), sight(&other.shop));
    let mut text = shown(other);
    let mut deviates = ours.status != other.status || ours.complete != other.complete;
    if our_sight != their_sight {
        // A body that breaks off is seen or not, depending on buffers.
        deviates |= ours.status.iter().all(|status| *status < 400);
        let lines: Vec<String> = their_sight.iter().map(|line| format!("`{}`", short(line))).collect();
        text += &if lines.is_empty() { "; nothing".to_owned() } else { format!("; {}", lines.join(", ")) };
    } else if let missing = missing(ours, other)
        && !missing.is_empty()
    {
        deviates = true;
        text += &format!("; without {}", missing.join(", "));
    }
    (text, deviates)
}

/// Request lines, up to the version, and bodies that reached the shop.
fn sight(messages: &[Vec<u8>]) -> Vec<String> {
    let of_message = |message: &Vec<u8>| {
        let text = bytes::shown(message);
        let line = text.split(" HTTP/1").next().unwrap_or_default().replace('|', "\\|");
        let body = text.split_once(r"\r\n\r\n").map_or("", |(_, body)| body);
        if body.is_empty() { line } else { format!("{line} … {body}") }
    };
    messages.iter().map(of_message).collect()
}

/// Names of fields that we forward and the other does not.
fn missing(ours: &Outcome, other: &Outcome) -> Vec<String> {
    let names = |outcome: &Outcome| -> Vec<String> {
        let heads = outcome.shop.iter().map(|message| bytes::shown(message));
        let of_head = |head: String| -> Vec<String> {
            let head = head.split(r"\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
            let names = head.split(r"\r\n").skip(1).filter_map(|line| line.split_once(':'));
            names.map(|(name, _)| name.to_owned()).collect()
        };
        heads.flat_map(of_head).collect()
    };
    let theirs = names(other);
    let mut missing: Vec<String> = names(ours).into_iter().filter(|name| !theirs.contains(name)).collect();
    missing.retain(|name| !matches!(name.as_str(), "transfer-encoding" | "content-length" | "te"));
    missing.dedup();
    missing
}

fn short(text: &str) -> String {
    if text.len() > 60 {
        format!("{}…", text.chars().take(60).collect::<String>())
    } else {
        text.to_owned()
    }
}
