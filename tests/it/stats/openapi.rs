//! `/openapi.json` names every address, and what is answered has the shape it says.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::reports::random_shop;
use super::seed::Seed;
use super::server::Server;

async fn document(server: &Server) -> Value {
    server.get("/openapi.json").send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn every_address_is_documented() {
    let seed = Seed::new().await;
    let server = Server::start(&seed.database.url).await;
    let document = document(&server).await;
    let source = include_str!("../../../src/stats/mod.rs");
    let mut routes = BTreeSet::new();
    for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
        let (path, methods) = line.split_once("\", ").unwrap();
        for method in ["get", "put", "post", "delete"] {
            if methods.starts_with(&format!("{method}(")) || methods.contains(&format!(").{method}(")) {
                routes.insert(format!("{method} {path}"));
            }
        }
    }
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            documented.insert(format!("{method} {path}"));
            assert!(!operation["summary"].as_str().unwrap().is_empty());
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["schema"].is_object(), "{path}: {parameter}");
                assert_ne!(parameter["description"], "", "{method} {path}: {parameter}");
            }
        }
    }
    assert_eq!(routes, documented);
    assert!(routes.len() > 40);
}

/// Whether a value has the shape of a schema, with nothing in it that the schema does not name.
struct Shapes<'a> {
    document: &'a Value,
}

impl<'a> Shapes<'a> {
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => self.resolve(self.document.pointer(&reference[1..]).expect(reference)),
            None => schema,
        }
    }

    /// The properties of an object, of all schemas that hold together; whether others may be there.
    fn properties(&self, schema: &'a Value, all: &mut Map<String, Value>) -> bool {
        let schema = self.resolve(schema);
        let own = schema["properties"].as_object().into_iter().flatten();
        all.extend(own.map(|(name, schema)| (name.clone(), schema.clone())));
        let mut open = matches!(&schema["additionalProperties"], Value::Bool(true) | Value::Object(_));
        for part in ["allOf", "anyOf", "oneOf"] {
            for schema in schema[part].as_array().into_iter().flatten() {
                open |= self.properties(schema, all);
            }
        }
        open
    }

    fn check(&self, value: &Value, schema: &'a Value, at: &str) -> Result<(), String> {
        let schema = self.resolve(schema);
        let wrong = |what: &str| Err(format!("{at}: {what}: {value}"));
        if let Some(types) = schema.get("type") {
            let types: Vec<&str> = types.as_array().map_or_else(
                || vec![types.as_str().unwrap()],
                |types| types.iter().map(|one| one.as_str().unwrap()).collect(),
            );
            let is = |name: &&str| match *name {
                "null" => value.is_null(),
                "boolean" => value.is_boolean(),
                "string" => value.is_string(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "array" => value.is_array(),
                _ => value.is_object(),
            };
            if !types.iter().any(is) {
                return wrong(&format!("is none of {types:?}"));
            }
        }
        if schema["enum"].as_array().is_some_and(|choices| !choices.contains(value)) {
            return wrong("is no choice");
        }
        for part in ["anyOf", "oneOf"] {
            if let Some(schemas) = schema[part].as_array()
                && !schemas.iter().any(|schema| self.check(value, schema, at).is_ok())
            {
                let reasons: Vec<_> =
                    schemas.iter().filter_map(|schema| self.check(value, schema, at).err()).collect();
                return wrong(&format!("is none of {reasons:?}"));
            }
        }
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = schema.get("items") {
                        self.check(item, schema, &format!("{at}/{index}"))?;
                    }
                }
            }
            Value::Object(fields) => {
                for name in schema["required"].as_array().into_iter().flatten() {
                    if !fields.contains_key(name.as_str().unwrap()) {
                        return wrong(&format!("lacks {name}"));
                    }
                }
                let own = schema["properties"].as_object();
                for (name, value) in fields {
                    if let Some(schema) = own.and_then(|own| own.get(name)) {
                        self.check(value, schema, &format!("{at}/{name}"))?;
                    } else if schema["additionalProperties"].is_object() {
                        self.check(value, &schema["additionalProperties"], &format!("{at}/{name}"))?;
                    }
                }
                let mut all = Map::new();
                let is_any = schema.as_bool() == Some(true)
                    || schema
                        .as_object()
                        .is_some_and(|one| !one.contains_key("type") && !one.contains_key("anyOf"));
                if !is_any
                    && !self.properties(schema, &mut all)
                    && let Some(name) = fields.keys().find(|name| !all.contains_key(*name))
                {
                    return wrong(&format!("{name} is not documented"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[tokio::test]
async fn answers_have_the_shape_that_is_documented() {
    let seed = Seed::new().await;
    let (visits, orders) = random_shop();
    let mut session = None;
    for visit in visits.iter().take(120) {
        let id = seed.visit(visit).await;
        seed.action(id, visit.visitor, visit.at, "product_view", Some("a")).await;
        session = Some(id);
    }
    for order in orders.iter().take(40) {
        seed.order(order).await;
        seed.entry(&order.id, order.at, None, Some("phone"), None).await;
    }
    let server = Server::start(&seed.database.url).await;
    let document = document(&server).await;
    let shapes = Shapes { document: &document };
    let window = "from=2026-11-01&to=2026-11-20";
    let mut checked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let content = &methods["get"]["responses"]["200"]["content"];
        let (true, Some(schema)) =
            (path.starts_with("/api/"), content["application/json"]["schema"].as_object())
        else {
            continue;
        };
        let target = match path.as_str() {
            "/api/v1/sessions/{id}" => format!("/api/v1/sessions/{}", session.unwrap()),
            "/api/v1/orders/{id}/explain" => format!("/api/v1/orders/{}/explain", orders[1].id),
            "/api/v1/visitors/{id}" => continue,
            "/api/v1/aliases" | "/api/v1/exclusions" | "/api/v1/inspect" | "/api/v1/realtime" => path.clone(),
            "/api/v1/ab-test" => format!("{path}?{window}&campaign=spring"),
            "/api/v1/timeseries" => format!("{path}?{window}&compare=previous_period"),
            _ => format!("{path}?{window}"),
        };
        let response = server.get(&target).send().await.unwrap();
        assert_eq!(response.status(), 200, "{target}");
        let answer: Value = response.json().await.unwrap();
        let schema = Value::Object(schema.clone());
        let schema: &Value = Box::leak(Box::new(schema));
        if let Err(wrong) = shapes.check(&answer, schema, path) {
            panic!("{target}: {wrong}");
        }
        checked += 1;
        let one_story = ["{id}", "aliases", "exclusions", "inspect"];
        let has_file = content["text/csv"].is_object();
        assert_ne!(has_file, one_story.iter().any(|part| path.contains(part)), "{path}");
        if has_file {
            let mark = if target.contains('?') { '&' } else { '?' };
            let file = server.get(&format!("{target}{mark}format=csv")).send().await.unwrap();
            assert_eq!(file.headers()["content-type"], "text/csv; charset=utf-8", "{path}");
            let text = file.text().await.unwrap();
            assert!(text.starts_with('\u{feff}') && text.lines().count() > 1, "{path}: {text}");
        }
        // An error is a problem.
        let refused = server.get(&format!("{path}?nonsense=1")).send().await.unwrap();
        if refused.status() == 400 {
            let problem = &document["components"]["responses"]["Problem"]["content"]["application/problem+json"]
                ["schema"];
            shapes.check(&refused.json().await.unwrap(), problem, "problem").unwrap();
        }
    }
    assert!(checked > 30, "{checked}");
}
