//! `utm-dispatcher rules test FILE.har`: what the action rules make of a visit that a browser recorded, or why not.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Subcommand;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use serde::Deserialize;

use crate::bodies::{BodyReader, Copies, Wanted};
use crate::capture::actions::{ActionRules, Bodies, BodyText, Outcome, Stage};
use crate::capture::host;
use crate::config;
use crate::hit::Action;
use crate::route::Router;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say for each request of a recorded visit which rules fire, with which values, or why they do not
    Test {
        /// The recording, as a browser's developer tools save it (HAR, with content)
        file: PathBuf,
    },
}

/// What is read of a recording: HTTP Archive 1.2.
#[derive(Debug, Deserialize)]
struct Archive {
    log: Log,
}

#[derive(Debug, Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    request: Request,
    response: Response,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Field>,
    post_data: Option<PostData>,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    params: Vec<Parameter>,
}

#[derive(Debug, Deserialize)]
struct Parameter {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Deserialize)]
struct Response {
    status: i64,
    #[serde(default)]
    headers: Vec<Field>,
    #[serde(default)]
    content: Content,
}

#[derive(Debug, Default, Deserialize)]
struct Content {
    text: Option<String>,
    encoding: Option<String>,
}

pub(super) fn run(config: &Path, args: &Args) -> anyhow::Result<()> {
    let What::Test { file } = &args.action;
    let config = config::load(config)?;
    if config.actions.is_empty() {
        anyhow::bail!(
            "there are no action rules: write some under [[action]], or name a set in tracking.presets"
        );
    }
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let archive: Archive = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no recording in HAR form", file.display()))?;
    let rules = ActionRules::new(&config.actions, &config.tracking);
    let router = Router::new(&config);
    let (mut out, mut fired) = (String::new(), 0);
    for entry in &archive.log.entries {
        fired += entry.test(&rules, &router, &mut out);
    }
    let _ = writeln!(out, "{} requests, {fired} actions", archive.log.entries.len());
    // A reader that has seen enough is no reason to fail.
    let _ = std::io::stdout().write_all(out.as_bytes());
    Ok(())
}

impl Entry {
    /// Tells of one exchange, if there are rules on its path; answers how many actions it is.
    fn test(&self, rules: &ActionRules, router: &Router, out: &mut String) -> usize {
        let (Ok(method), Ok(url)) =
            (Method::from_bytes(self.request.method.as_bytes()), self.request.url.parse::<Uri>())
        else {
            return 0;
        };
        let mut headers = fields(&self.request.headers);
        let (request, form_type) = self.request.body();
        if let Some(form_type) = form_type.and_then(|form_type| HeaderValue::from_str(&form_type).ok()) {
            headers.insert(header::CONTENT_TYPE, form_type);
        }
        let site = &router.find(&host::host_of(url.host().unwrap_or_default()), url.path()).site;
        let Some(asked) = rules.try_out(site, &method, &url, &headers) else { return 0 };
        let status = u16::try_from(self.response.status).ok().and_then(|it| StatusCode::from_u16(it).ok());
        let _ = write!(out, "{method} {} → ", url.path());
        let Some(status) = status else {
            out.push_str("no answer\n");
            return 0;
        };
        let _ = writeln!(out, "{}", status.as_u16());
        let response_headers = fields(&self.response.headers);
        let (wants_text, parts) = rules.wanted(&asked);
        let limit = rules.body_bytes();
        let request = read(&request, &headers, Wanted { text: true, parts: &[], limit });
        let body = self.response.content.bytes();
        let response = read(&body, &response_headers, Wanted { text: wants_text, parts: &parts, limit });
        let texts =
            [&request, &response].map(|it| BodyText::new(it.text().unwrap_or_default(), it.lack().is_none()));
        let part = |part: &_| response.part(part);
        let bodies = Bodies { request: Some(&texts[0]), response: Some(&texts[1]), part: Some(&part) };
        let answered = rules.answered(status, &response_headers);
        let outcomes = rules.actions(&asked, &answered, bodies, Stage::Trial, &|_, _, value| {
            (!value.is_empty()).then_some([0; 16])
        });
        let lacks = [
            ("request", request.lack_of_json(|| texts[0].is_json())),
            ("response", response.lack_of_json(|| texts[1].is_json())),
        ];
        for (whose, lack) in lacks.into_iter().filter_map(|(whose, lack)| Some((whose, lack?))) {
            let _ = writeln!(out, "    of the {whose} only a part is read: {}", lack.sentence());
        }
        outcomes.iter().filter(|(number, outcome)| tell(rules, *number, outcome, out)).count()
    }
}

/// Tells what a rule does; answers whether it fires.
fn tell(rules: &ActionRules, number: usize, outcome: &Outcome, out: &mut String) -> bool {
    let kind = rules.get(number).map_or("", |rule| &rule.kind);
    match outcome {
        Ok(action) => {
            let values = values(action);
            let _ = writeln!(out, "    {kind}{}{values}", if values.is_empty() { "" } else { ": " });
        }
        Err(miss) => {
            let _ = writeln!(out, "    no {kind}: {miss}");
        }
    }
    outcome.is_ok()
}

fn values(action: &Action<'_>) -> String {
    let mut values: Vec<String> = Vec::new();
    let texts = [
        ("order_id", &action.order_id),
        ("order_number", &action.order_number),
        ("reference", &action.reference),
        ("product_id", &action.product_id),
        ("product_name", &action.product_name),
    ];
    values
        .extend(texts.into_iter().filter_map(|(name, value)| Some(format!("{name} = {}", value.as_ref()?))));
    values.extend(action.value.map(|value| format!("value = {value}")));
    values.extend(action.currency.iter().map(|code| format!("currency = {code}")));
    values.extend(action.properties.iter().map(|(name, value)| format!("{name} = {value}")));
    values.extend(action.customer.iter().map(|(kind, _)| format!("customer by {kind:?}, as a hash")));
    values.join(", ")
}

impl Request {
    /// The body, and its type where it has to be put together.
    fn body(&self) -> (Vec<u8>, Option<String>) {
        let Some(data) = &self.post_data else { return (Vec::new(), None) };
        if !data.text.is_empty() || data.params.is_empty() {
            return (
                data.text.clone().into_bytes(),
                Some(data.mime_type.clone()).filter(|it| !it.is_empty()),
            );
        }
        let pairs = data.params.iter().map(|parameter| (&parameter.name, &parameter.value));
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        (text.into_bytes(), Some("application/x-www-form-urlencoded".to_owned()))
    }
}

impl Content {
    fn bytes(&self) -> Vec<u8> {
        let text = self.text.as_deref().unwrap_or_default();
        match self.encoding.as_deref() {
            Some("base64") => STANDARD.decode(text).unwrap_or_default(),
            _ => text.as_bytes().to_vec(),
        }
    }
}

/// Reads a body. A recording has bodies without their encodings, whatever the fields say.
fn read(body: &[u8], headers: &HeaderMap, wanted: Wanted<'_>) -> BodyReader {
    let mut headers = headers.clone();
    headers.remove(header::CONTENT_ENCODING);
    let mut reader = BodyReader::new(&headers, wanted, &Copies::default());
    for piece in body.chunks(16 << 10) {
        reader.take(&Bytes::copy_from_slice(piece));
        while reader.step() {}
    }
    reader.end();
    reader
}

fn fields(fields: &[Field]) -> HeaderMap {
    fields
        .iter()
        .filter_map(|field| {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(&field.value).ok()?))
        })
        .collect()
}
