//! `GET /openapi.json`: every address of the API, what it takes and what it answers (OpenAPI 3.1). Shapes come from the types that are
//! answered, descriptions from their documentation; parameters from what each address accepts.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::stats::action_item::ActionName;
use crate::stats::answer::Answer;
use crate::stats::filters::FIELDS;
use crate::stats::given::known_names;
use crate::stats::params::{Accepts, MODELS, MOST_ROWS};
use crate::stats::period::PERIODS;
use crate::stats::problem::Problem;
use crate::stats::spend_item::SpendName;
use crate::stats::{
    AppState, ab_test, action_item, aliases, attribution, breakdown, cohort, compare, coverage, exclusions,
    explain, forget, funnel, general, ingest, inspect, ltv, order_item, orders, products, realtime, repeat,
    returning, roi, rows_export, sessions, spend_item, tag_health, timeseries,
};
use crate::terms::LOCALES;

/// `GET /openapi.json`
pub(crate) async fn openapi(State(shared): AppState) -> Response {
    ([(CONTENT_TYPE, "application/json")], shared.openapi.clone()).into_response()
}

/// The document.
pub(crate) fn document() -> Bytes {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    let mut paths = Paths { generator: settings.into_generator(), paths: Map::new() };
    paths.reports();
    paths.lists();
    paths.people_and_orders();
    paths.administration();
    paths.machines();
    let problem = paths.generator.subschema_for::<Problem>();
    let schemas = paths.generator.take_definitions(true);
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "utm-dispatcher",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Statistics of the shop behind the proxy. Rates are percent with two decimals, null over nothing; \
                money is decimal text in the minor units of meta.currency; times are RFC 3339; windows are half-open.",
        },
        "paths": paths.paths,
        "components": {
            "schemas": schemas,
            "responses": {"Problem": {
                "description": "Why there is no answer.",
                "content": {"application/problem+json": {"schema": problem}},
            }},
            "securitySchemes": {"token": {
                "type": "http",
                "scheme": "bearer",
                "description": "Not needed on a loopback address while no token exists.",
            }},
        },
        "security": [{"token": []}, {}],
    });
    Bytes::from(document.to_string())
}

struct Paths {
    generator: SchemaGenerator,
    paths: Map<String, Value>,
}

impl Paths {
    fn reports(&mut self) {
        self.report::<Answer<general::GeneralStats>>(
            "general-stats",
            "The numbers of a window.",
            &general::ACCEPTS,
        );
        self.report::<Answer<Vec<timeseries::Point>, timeseries::Totals>>(
            "timeseries",
            "The numbers of a window by hour, day, week or month of the zone.",
            &timeseries::ACCEPTS,
        );
        self.report::<Answer<compare::Compared>>(
            "compare",
            "The numbers of a window beside those of one before it that is exactly as long.",
            &compare::ACCEPTS,
        );
        self.report::<Answer<Vec<funnel::Reached>>>(
            "funnel",
            "How far sessions come, step by step.",
            &funnel::ACCEPTS,
        );
        self.report::<Answer<returning::Returning>>(
            "returning-visitors",
            "Whether sessions are somebody's first, and how often and how soon people come again.",
            &returning::ACCEPTS,
        );
        self.report::<Answer<roi::Roi>>("roi", "What advertising brought for what it cost.", &roi::ACCEPTS);
        self.report::<Answer<repeat::RepeatRate>>(
            "repeat-rate",
            "How many customers buy again, and how soon.",
            &repeat::ACCEPTS,
        );
        self.report::<Answer<Vec<ltv::Value>, ltv::Totals>>(
            "ltv-comparison",
            "What visitors are worth, by the source that brought them first.",
            &ltv::ACCEPTS,
        );
        self.report::<Answer<cohort::Cohorts>>(
            "cohort-analysis",
            "Visitors by the period of their first session, and what they did in each one since.",
            &cohort::ACCEPTS,
        );
        self.report::<Answer<ab_test::AbTest>>(
            "ab-test",
            "The contents of one campaign beside each other, with what can be concluded. Observational.",
            &ab_test::ACCEPTS,
        );
        self.report::<Answer<attribution::Attribution, std::collections::BTreeMap<String, attribution::Credited>>>(
            "attribution",
            "What each attribution model credits, side by side, and the ways by which orders came.",
            &attribution::ACCEPTS,
        );
        self.report::<Answer<coverage::Coverage>>(
            "coverage",
            "What is in the numbers and what is not.",
            &coverage::ACCEPTS,
        );
        self.report::<Answer<realtime::Now>>(
            "realtime",
            "The last 5 and 30 minutes; with Accept: text/event-stream again and again.",
            &realtime::ACCEPTS,
        );
    }

    fn lists(&mut self) {
        let lists = [
            ("sources", "Sources compared."),
            ("campaigns", "Campaigns compared, by source and medium."),
            ("content", "Contents compared, by campaign and source."),
            ("channels", "GA4's default channels compared."),
            ("devices", "Devices compared: type, brand, model."),
            ("browsers", "Browsers compared, by major version."),
            ("operating-systems", "Operating systems compared, by version."),
            ("geo", "Countries compared."),
            ("geo/regions", "Regions compared."),
            ("geo/cities", "Cities compared."),
            ("referrers", "Referring hosts compared."),
            ("landing-pages", "Landing pages compared."),
        ];
        for (name, summary) in lists {
            self.report::<Answer<Vec<breakdown::Group>, breakdown::Sums>>(name, summary, &breakdown::ACCEPTS);
        }
        self.report::<Answer<Vec<products::Product>, products::Sums>>(
            "products",
            "How often each product was seen, put into the cart and bought.",
            &products::ACCEPTS,
        );
        self.report::<Answer<Vec<tag_health::Finding>, tag_health::Count>>(
            "tag-health",
            "What is wrong with the tags of links.",
            &tag_health::ACCEPTS,
        );
        let rows = json!({"type": "string"});
        let content = json!({"text/csv": {"schema": rows}, "application/x-ndjson": {"schema": rows}});
        let mut export = operation("All rows of a window, as they are read.", &rows_export::ACCEPTS, &[]);
        export["responses"]["200"] = json!({"description": "A file of rows.", "content": content});
        self.add("/api/v1/export", "get", export);
    }

    fn people_and_orders(&mut self) {
        self.report::<Answer<Vec<sessions::Session>, sessions::Count>>(
            "sessions",
            "Sessions, newest first.",
            &sessions::LIST,
        );
        let id = ("id", "Its id.");
        let schema = self.generator.subschema_for::<Answer<sessions::SessionStory>>();
        let story = operation("One session with its touches, actions and orders.", &sessions::ONE, &[id]);
        self.add("/api/v1/sessions/{id}", "get", answered(story, "200", &schema.into()));
        self.report::<Answer<Vec<orders::Order>, orders::Totals>>(
            "orders",
            "Orders, newest first.",
            &orders::ACCEPTS,
        );
        self.batch::<ingest::OrderName>(
            "orders",
            "Tells of orders: what became of each.",
            order_item::FIELDS,
            &["order_id", "status"],
        );
        self.batch::<ActionName>(
            "actions",
            "Tells what people did where the proxy does not see it: what became of each.",
            action_item::FIELDS,
            &["type"],
        );
        self.batch::<ActionName>(
            "registrations",
            "Tells of people who registered: what became of each.",
            action_item::REGISTRATION_FIELDS,
            &[],
        );
        self.batch::<SpendName>(
            "ad-spend",
            "Tells what advertising cost, by day and tags: what became of each.",
            spend_item::FIELDS,
            &["day", "cost"],
        );
        let schema = self.generator.subschema_for::<Answer<explain::Explanation>>();
        let explained = operation(
            "Why an order is credited as it is.",
            &explain::ACCEPTS,
            &[("id", "The shop's id of it.")],
        );
        self.add("/api/v1/orders/{id}/explain", "get", answered(explained, "200", &schema.into()));
        let visitor = ("id", "The visitor's id, a UUID.");
        let export = operation("Everything that is stored of a visitor.", &NONE, &[visitor]);
        self.add("/api/v1/visitors/{id}", "get", answered(export, "200", &json!({"type": "object"})));
        let schema: Value = self.generator.subschema_for::<forget::Results>().into();
        let erasure = operation("Forgets a visitor.", &NONE, &[visitor]);
        self.add(
            "/api/v1/visitors/{id}",
            "delete",
            answered(answered(erasure, "200", &schema), "202", &schema),
        );
    }

    fn administration(&mut self) {
        let alias = ("alias", "The name that is reported as another.");
        let list = self.generator.subschema_for::<aliases::Results<Vec<aliases::Alias>>>().into();
        self.add(
            "/api/v1/aliases",
            "get",
            answered(operation("Sources under other names.", &NONE, &[]), "200", &list),
        );
        let body =
            json!({"type": "object", "required": ["source"], "properties": {"source": {"type": "string"}}});
        let one = self.generator.subschema_for::<aliases::Results<aliases::Alias>>().into();
        let mut put = operation("Reports a source under another name.", &NONE, &[alias]);
        put["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": body}}});
        self.add("/api/v1/aliases/{alias}", "put", answered(put, "200", &one));
        let mut delete = operation("Takes an alias of the API away.", &NONE, &[alias]);
        delete["responses"]["204"] = json!({"description": "It is gone."});
        self.add("/api/v1/aliases/{alias}", "delete", delete);
        let list = self.generator.subschema_for::<exclusions::Results<Vec<exclusions::Exclusion>>>().into();
        self.add(
            "/api/v1/exclusions",
            "get",
            answered(operation("What is left out.", &NONE, &[]), "200", &list),
        );
        let body = json!({"type": "object", "required": ["kind", "value"], "properties": {
            "kind": {"enum": ["ip", "user_agent", "visitor", "cookie", "path", "host"]},
            "value": {"type": "string"},
            "note": {"type": ["string", "null"]},
        }});
        let mut put = operation("Leaves something out.", &NONE, &[]);
        put["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": body}}});
        self.add("/api/v1/exclusions", "put", answered(put, "200", &json!({"type": "object"})));
        let mut delete = operation("Takes an exclusion of the API away.", &NONE, &[("id", "Its number.")]);
        delete["responses"]["204"] = json!({"description": "It is gone."});
        self.add("/api/v1/exclusions/{id}", "delete", delete);
        let schema = self.generator.subschema_for::<inspect::Answer>();
        let mut inspected = operation("The last requests, and why each was counted or not.", &NONE, &[]);
        inspected["parameters"] = ["limit", "path", "verdict", "site", "me", "after", "wait"]
            .iter()
            .map(|name| parameter(name))
            .collect();
        self.add("/api/v1/inspect", "get", answered(inspected, "200", &schema.into()));
    }

    fn machines(&mut self) {
        let texts = [
            ("/api", "text/html", "A page that lists the addresses of the API."),
            ("/healthz", "text/plain", "The process answers."),
            ("/readyz", "text/plain", "ready or degraded, with reasons; 503 while nobody can be served."),
            ("/metrics", "application/openmetrics-text", "Metrics as Prometheus takes them."),
        ];
        for (path, media_type, summary) in texts {
            let content = json!({media_type: {"schema": {"type": "string"}}});
            let operation = json!({"summary": summary, "responses": {"200": {"description": summary, "content": content}}});
            self.add(path, "get", operation);
        }
        let summary = "This document.";
        let content = json!({"application/json": {"schema": {"type": "object"}}});
        self.add(
            "/openapi.json",
            "get",
            json!({"summary": summary, "responses": {"200": {"description": summary, "content": content}}}),
        );
    }

    fn report<Body: JsonSchema>(&mut self, name: &str, summary: &str, accepts: &Accepts) {
        let schema: Value = self.generator.subschema_for::<Body>().into();
        let mut operation = answered(operation(summary, accepts, &[]), "200", &schema);
        if accepts.csv || accepts.list.is_some() {
            operation["responses"]["200"]["content"]["text/csv"] = json!({"schema": {"type": "string"}});
        }
        if name == "realtime" {
            operation["responses"]["200"]["content"]["text/event-stream"] =
                json!({"schema": {"type": "string"}});
        }
        if accepts.window {
            operation["responses"]["304"] =
                json!({"description": "The window is over and the report still as If-None-Match says."});
            operation["responses"]["200"]["headers"] = json!({"ETag": {
                "description": "Where the window is over: changes only with the report.",
                "schema": {"type": "string"},
            }});
        }
        self.add(&format!("/api/v1/{name}"), "get", operation);
    }

    /// What the shop tells in batches, each item answered by its name.
    fn batch<Name: JsonSchema>(&mut self, name: &str, summary: &str, fields: &[&str], required: &[&str]) {
        let schema: Value = self.generator.subschema_for::<ingest::Results<Name>>().into();
        let fields: Map<String, Value> =
            fields.iter().map(|field| ((*field).to_owned(), json!(true))).collect();
        let item = json!({"type": "object", "required": required, "properties": fields, "additionalProperties": false});
        let mut post = operation(summary, &NONE, &[]);
        post["requestBody"] = json!({"required": true, "content": {
            "application/json": {"schema": {"type": "array", "items": item}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        }});
        self.add(
            &format!("/api/v1/{name}"),
            "post",
            answered(answered(post, "200", &schema), "202", &schema),
        );
    }

    fn add(&mut self, path: &str, method: &str, operation: Value) {
        let methods = self.paths.entry(path).or_insert_with(|| json!({}));
        methods[method] = operation;
    }
}

/// No parameters at all.
const NONE: Accepts = Accepts::NOTHING;

fn operation(summary: &str, accepts: &Accepts, in_path: &[(&str, &str)]) -> Value {
    let in_path = in_path.iter().map(|(name, text)| {
        json!({"name": name, "in": "path", "required": true, "description": text, "schema": {"type": "string"}})
    });
    let takes = accepts.window || accepts.site || std::ptr::eq(accepts, &sessions::ONE);
    let mut parameters: Vec<Value> = in_path.collect();
    for name in known_names(accepts).into_iter().filter(|_| takes) {
        let mut one = parameter(name);
        if let ("sort", Some((_, columns))) = (name, accepts.list) {
            one["schema"] =
                json!({"type": "string", "pattern": format!("^({})(:asc|:desc)?$", columns.join("|"))});
        }
        parameters.push(one);
        if accepts.filters && FIELDS.contains(&name) {
            let more =
                [("!", "None of these."), ("~", "Contains one of these."), ("!~", "Contains none of these.")];
            parameters.extend(more.map(|(sign, text)| filter(&format!("{name}{sign}"), text)));
        }
    }
    let problem = json!({"$ref": "#/components/responses/Problem"});
    let statuses = ["400", "401", "403", "404", "405", "413", "415", "421", "422", "500", "503"];
    let responses: Map<String, Value> =
        statuses.iter().map(|status| ((*status).to_owned(), problem.clone())).collect();
    json!({"summary": summary, "parameters": parameters, "responses": responses})
}

fn answered(mut operation: Value, status: &str, schema: &Value) -> Value {
    operation["responses"][status] =
        json!({"description": "The answer.", "content": {"application/json": {"schema": schema}}});
    operation
}

fn filter(name: &str, text: &str) -> Value {
    let schema = json!({"type": "array", "items": {"type": "string"}});
    json!({"name": name, "in": "query", "description": text, "schema": schema, "style": "form", "explode": true})
}

/// A parameter of a query string.
fn parameter(name: &str) -> Value {
    if FIELDS.contains(&name) || name == "site" || name == "verdict" {
        return filter(name, "Any of these.");
    }
    let text = json!({"type": "string"});
    let (schema, description) = match name {
        "timezone" => (text, "Zone of days and of times in the answer, as Europe/Kyiv."),
        "period" => (json!({"enum": PERIODS}), "A named window; either this or from and to."),
        "from" => (text, "A date (its first instant in the zone) or an RFC 3339 time."),
        "to" => (text, "The same; not in the window itself."),
        "bots" => (json!({"enum": ["exclude", "include", "only"]}), "Whether sessions of programs count."),
        "date_basis" => (
            json!({"enum": ["order", "session"]}),
            "Money of orders placed in the window, or of the sessions that began in it.",
        ),
        "model" => (json!({"enum": MODELS}), "The attribution model by which orders are credited."),
        "limit" => (json!({"type": "integer", "minimum": 1, "maximum": MOST_ROWS}), "Rows to give."),
        "cursor" => (text, "A next_cursor of an answer to the same question."),
        "sort" => (text, "A column, greatest first; column:asc for least first."),
        "format" => (json!({"enum": ["json", "csv", "ndjson"]}), "Shape of the answer."),
        "q" => (text, "Text to look for."),
        "interval" => (json!({"enum": ["hour", "day", "week", "month"]}), "What a bucket is."),
        "compare" => (json!({"enum": ["previous_period", "previous_year"]}), "The window to compare with."),
        "mode" => (json!({"enum": ["closed", "open"]}), "Whether steps count in order only."),
        "steps" => (text, "Names of actions in order, separated by commas."),
        "ad_spend" => (text, "What the advertising cost, in the report's currency."),
        "margin" => (text, "Percent of revenue that is left before advertising."),
        "cohort_type" => (json!({"enum": ["day", "week", "month"]}), "The period of a cohort."),
        "metric" => (json!({"enum": ["retention", "ltv", "orders", "revenue"]}), "What the matrix tells."),
        "periods" => (json!({"type": "integer", "minimum": 1, "maximum": 100}), "Columns of the matrix."),
        "baseline" => (text, "The content that the others are compared with."),
        "minimum_effect" => (text, "Percent of the baseline's rate that is to be found."),
        "by" => {
            (json!({"enum": ["source", "campaign", "content", "channel"]}), "What credits are grouped by.")
        }
        "type" => (text, "What is exported."),
        "locale" => (json!({"enum": LOCALES}), "Language of the columns' names in CSV."),
        "conversion_name" => (text, "What Google Ads calls the conversion."),
        "path" => (text, "The beginning of a path."),
        "me" => (text, "Only requests of the machine that asks."),
        "after" => (json!({"type": "integer"}), "Only requests after this number."),
        "wait" => (json!({"type": "integer"}), "Seconds to wait for one."),
        _ => (text, ""),
    };
    json!({"name": name, "in": "query", "description": description, "schema": schema})
}
