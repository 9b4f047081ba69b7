//! The reports, asked as anybody asks them: the same addresses, the same answers, within the process. So a number of a
//! page is the number of the API, and what the API refuses the page says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::dashboard::question::Question;

/// Greatest answer of a report. Lists have at most a thousand rows.
const ANSWER_BYTES: usize = 16 << 20;

/// Reports that pages ask for at once, all together: fewer than the database's pool has connections, so that pages wait
/// for each other, and programs do not wait for pages.
const AT_ONCE: usize = 3;

/// How long a page waits for its turn.
const PATIENCE: Duration = Duration::from_secs(15);

/// What pages do not pass on: other shapes of an answer, waiting for one, and whose machine it is that asks.
pub(crate) const OF_PROGRAMS: [&str; 4] = ["format", "after", "wait", "me"];

/// Where reports are asked.
#[derive(Debug)]
pub(crate) struct Reports {
    api: Router,
    turns: Semaphore,
    /// What each takes, by name.
    takes: BTreeMap<String, Takes>,
}

/// What a report takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Takes {
    /// Names of its parameters.
    pub(crate) names: BTreeSet<String>,
    /// Its parameters with the values that they can have, none where it is any text; in the document's order.
    pub(crate) parameters: Vec<(String, Vec<String>)>,
    /// What its rows can be sorted by.
    pub(crate) sorts: Vec<String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// Its name in the API, or what it is about.
    pub(crate) name: &'static str,
    answer: Value,
    /// Filters that the report does not know.
    pub(crate) left_out: Vec<String>,
}

/// Why there is none.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: u16,
    pub(crate) detail: String,
}

impl Reports {
    /// Those of this API, which describes itself by this document (OpenAPI).
    pub(crate) fn new(api: Router, document: &[u8]) -> Reports {
        let document: Value = serde_json::from_slice(document).unwrap_or_default();
        let paths = document["paths"].as_object().into_iter().flatten();
        let takes = paths.filter_map(|(path, methods)| {
            Some((path.strip_prefix("/api/v1/")?.to_owned(), Takes::read(&methods["get"]["parameters"])))
        });
        Reports { takes: takes.collect(), turns: Semaphore::new(AT_ONCE), api }
    }

    /// What the report of this name takes. `{id}` stands for an id.
    pub(crate) fn takes(&self, name: &str) -> Option<&Takes> {
        self.takes.get(name)
    }

    /// Asks a report: `about` is what it is called on pages, `name` in the API's document, `path` where it is.
    pub(crate) async fn ask(
        &self,
        about: &'static str,
        name: &str,
        path: &str,
        question: &Question,
    ) -> Result<Report, Refusal> {
        let nothing = Takes::default();
        let question = question.of_a_page().without(&OF_PROGRAMS);
        let asked = question.to(&self.takes(name).unwrap_or(&nothing).names);
        let request = Request::builder()
            .uri(format!("/api/v1/{path}?{}", asked.query))
            .body(Body::empty())
            .map_err(|_| Refusal::no_answer())?;
        let Ok(Ok(_turn)) = timeout(PATIENCE, self.turns.acquire()).await else {
            return Err(Refusal { status: 503, detail: "other pages are being made; ask again".to_owned() });
        };
        let response = match self.api.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status();
        let body = to_bytes(response.into_body(), ANSWER_BYTES).await.map_err(|_| Refusal::no_answer())?;
        let answer: Value = serde_json::from_slice(&body).map_err(|_| Refusal::no_answer())?;
        if status.is_success() {
            return Ok(Report { name: about, answer, left_out: asked.left_out });
        }
        let detail = answer["detail"].as_str().unwrap_or_default().to_owned();
        Err(Refusal { status: status.as_u16(), detail })
    }
}

impl Takes {
    /// The values that a parameter can have, with its name; none when it is not taken or can be any text.
    pub(crate) fn values(&self, name: &str) -> Option<(&str, &[String])> {
        let (name, values) = self.parameters.iter().find(|(known, _)| known == name)?;
        (!values.is_empty()).then_some((name.as_str(), values.as_slice()))
    }

    fn read(parameters: &Value) -> Takes {
        let mut takes = Takes::default();
        for parameter in parameters.as_array().into_iter().flatten() {
            let Some(name) = parameter["name"].as_str().filter(|_| parameter["in"] == "query") else {
                continue;
            };
            let values = parameter["schema"]["enum"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            takes.names.insert(name.to_owned());
            takes.parameters.push((name.to_owned(), values));
            if let ("sort", Some(pattern)) = (name, parameter["schema"]["pattern"].as_str()) {
                let columns = pattern.trim_start_matches("^(").split(')').next().unwrap_or_default();
                takes.sorts = columns.split('|').map(str::to_owned).collect();
            }
        }
        takes
    }
}

impl Report {
    /// A part of the results; null where there is none.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.answer["results"].pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The rows there.
    pub(crate) fn rows(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map_or(&[], Vec::as_slice)
    }

    /// What belongs to the numbers.
    pub(crate) fn meta(&self, name: &str) -> &Value {
        &self.answer["meta"][name]
    }

    /// Whether this belongs to the numbers.
    pub(crate) fn has_meta(&self, name: &str) -> bool {
        self.answer["meta"].get(name).is_some()
    }

    /// A parameter as it was understood.
    pub(crate) fn query(&self, name: &str) -> &Value {
        &self.answer["query"][name]
    }

    /// What the reader must know.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &str> {
        self.meta("warnings").as_array().into_iter().flatten().filter_map(Value::as_str)
    }
}

impl Refusal {
    /// The status of a page that has nothing else to say.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn no_answer() -> Refusal {
        Refusal { status: 500, detail: "no answer".to_owned() }
    }
}
