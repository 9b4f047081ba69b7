//! What operators and visitors see of the request path: the access log, ids of requests, pages of the proxy's own.

use std::time::Duration;

use http::HeaderName;

use super::super::reader::{Table, Value};
use super::super::{AccessLog, AccessLogFormat, ErrorPage, Maintenance, StatusPattern, StoreIp, values};
use super::shop::some_time;

/// Largest page, bytes.
const PAGE_BYTES: usize = 1 << 20;

/// `[proxy.access_log]`; addresses are written as they are stored unless it says otherwise.
pub(super) fn access_log(table: &Table<'_>, store_ip: StoreIp) -> AccessLog {
    AccessLog {
        format: table.or("format", AccessLogFormat::Off, |value| value.choice(&AccessLogFormat::NAMES)),
        path: table.optional("path", |value| match value.text()?.as_str() {
            "stdout" => None,
            _ => value.path().and_then(|path| match path.parent() {
                Some(folder) if !folder.is_dir() => {
                    value.refuse(format!("there is no folder {}", folder.display()))
                }
                _ => Some(path),
            }),
        }),
        address: table.or("address", store_ip, |value| value.choice(&StoreIp::NAMES)),
    }
}

/// The name of a field that requests' ids may travel in.
pub(super) fn request_id_header(value: &Value<'_>) -> Option<HeaderName> {
    value.parse(|text| {
        let name = text.parse::<HeaderName>().map_err(|_| format!("`{text}` cannot be a header's name"))?;
        let is_taken = ["host", "cookie", "content-length", "transfer-encoding", "connection", "forwarded"]
            .contains(&name.as_str())
            || ["x-utm-", "x-forwarded-"].iter().any(|prefix| name.as_str().starts_with(prefix));
        if is_taken { Err(format!("`{text}` has another meaning")) } else { Ok(name) }
    })
}

/// All `[[proxy.error_page]]`; none when one is wrong.
pub(super) fn error_pages(proxy: &Table<'_>) -> Option<Vec<ErrorPage>> {
    let pages: Vec<Option<ErrorPage>> = proxy.tables("error_page").iter().map(error_page).collect();
    pages.into_iter().collect()
}

fn error_page(table: &Table<'_>) -> Option<ErrorPage> {
    let status = table.required("status", status_pattern);
    let file = table.required("file", |value| {
        let is_known = |extension: &str| ["html", "htm", "txt", "json"].contains(&extension);
        let path = value.path()?;
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        if !extension.is_some_and(|extension| is_known(&extension)) {
            return value.refuse("a page is an .html, .txt or .json file: by that it is told what it is");
        }
        let text = value.content()?;
        if text.len() > PAGE_BYTES { value.refuse("a page has at most 1MiB") } else { Some((path, text)) }
    });
    let (file, text) = file?;
    Some(ErrorPage { status: status?, file, text })
}

fn status_pattern(value: &Value<'_>) -> Option<StatusPattern> {
    let text = match value.plain_number() {
        Some(number) => number.to_string(),
        None => value.text()?,
    };
    let pattern = match text.strip_suffix("xx") {
        Some(class) => class.parse().ok().map(StatusPattern::Class),
        None => text.parse().ok().map(StatusPattern::Exact),
    };
    match pattern {
        Some(pattern @ (StatusPattern::Class(4 | 5) | StatusPattern::Exact(400..=599))) => Some(pattern),
        _ => value.refuse(format!("`{text}` is no status of an error: write it as in \"502\" or \"5xx\"")),
    }
}

/// `[proxy.maintenance]`
pub(super) fn maintenance(table: &Table<'_>) -> Maintenance {
    Maintenance {
        on: table.or("on", false, |value| value.flag()),
        flag_file: table.optional("flag_file", |value| value.path()),
        allow: table.or("allow", Vec::new(), |value| value.list(|item| item.parse(values::network))),
        retry_after: table.or("retry_after", Duration::from_secs(300), some_time),
    }
}
