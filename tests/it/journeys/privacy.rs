//! What is kept of a person, and why a request was counted or not.

use serde_json::Value;
use utm_dispatcher::config::{OwnParameter, ParameterMeaning, UtmField};

use super::stage::{MINUTE, Stage};
use crate::harness::eventually;

/// Switches the notes on.
async fn look(stage: &Stage) {
    stage.report("inspect").await;
}

/// The last note, when there are `number` of them.
async fn note(stage: &Stage, number: usize) -> Value {
    eventually("a note", std::time::Duration::from_secs(20), || async {
        let notes = stage.report("inspect").await;
        let notes = notes.as_array().unwrap();
        assert!(notes.len() <= number, "{notes:#?}");
        (notes.len() == number).then(|| notes.last().unwrap().clone())
    })
    .await
}

/// A note in one line, and what it says to people.
fn told(note: &Value) -> String {
    let word = |name: &str| note[name].as_str().unwrap_or("-").to_owned();
    let words = ["verdict", "reason", "no_page_view", "identity", "session", "cookie", "evidence", "journal"];
    let why: Vec<&str> = note["why"].as_array().unwrap().iter().map(|why| why.as_str().unwrap()).collect();
    format!("{}\n{}", words.map(word).join(" "), why.join("\n"))
}

async fn pages(stage: &Stage) -> String {
    let pages = "SELECT string_agg(path, ' ' ORDER BY path) FROM pages WHERE page_id <> 0";
    stage.value(pages).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_reset_link_leaves_no_token() {
    let mut stage = Stage::open().await;
    look(&stage).await;
    let mut olena = stage.visitor();
    olena
        .clicks(&stage, "/reset/MQ/c3w1p7-8f3a2b1c9d8e7f6a5b4c3d2e1f0a9b8c/?utm_source=mail&token=s3cret")
        .await;
    let note = note(&stage, 1).await;
    assert_eq!(note["path"], "/reset/MQ/{token}/");
    assert_eq!(note["target"], "/reset/MQ/{token}/?utm_source=mail&token=…");
    assert_eq!(note["forwarded"], "/reset/MQ/{token}/?token=…");
    assert_eq!(pages(&stage).await, "/reset/MQ/{token}/");
    let received = stage.shop_received();
    assert!(received[0].target().ends_with("e1f0a9b8c/?token=s3cret"), "the shop gets all of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_key_and_an_address_in_paths_are_masked_and_numbers_and_slugs_are_not() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    for path in [
        "/checkout/order-received/1042/wc_order_Xh3Tq9ZbL0aPw/",
        "/unsubscribe/olena@example.com",
        "/product/red-shirt-42/",
        "/product/red-shirt-43/",
    ] {
        olena.types(&stage, path).await;
    }
    let expected = "/checkout/order-received/1042/wc_order_{token}/ /product/red-shirt-42/ /product/red-shirt-43/ \
                    /unsubscribe/{email}";
    assert_eq!(pages(&stage).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_searches_for_an_address_or_a_number_is_not_stored_by_it() {
    let mut stage = Stage::open().await;
    look(&stage).await;
    let mut olena = stage.visitor();
    olena.browses(&stage, "/search?shoes%20olena@example.com%20%2B380%2067%20123-45-67").await;
    let note = note(&stage, 1).await;
    assert_eq!(note["actions"], serde_json::json!(["search"]));
    assert!(!note.to_string().contains("olena"), "{note}");
    let query = "SELECT properties->>'query' FROM events WHERE properties IS NOT NULL";
    assert_eq!(stage.value(query).await.as_deref(), Some("shoes {email} {phone}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_in_tags_are_masked_and_redacted_parameters_are_not_stored() {
    let mut stage =
        Stage::with(|config| config.tracking.privacy.redact_parameters = vec!["utm_term".to_owned()]).await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?utm_source=crm&utm_content=olena%40example.com&utm_term=id-77").await;
    let stored = "SELECT concat_ws(' ', source, content, term) FROM campaigns WHERE campaign_id > 0 OR campaign_id < -1";
    assert_eq!(stage.value(stored).await.as_deref(), Some("crm {email} (redacted)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_parameter_is_stored_nowhere_whatever_field_it_stands_for() {
    let mut stage = Stage::with(|config| {
        let own = |name: &str, field| OwnParameter {
            name: name.to_owned(),
            meaning: ParameterMeaning::Instead(field),
        };
        config.tracking.parameters = vec![own("ref", UtmField::Source), own("mail", UtmField::Content)];
        config.tracking.privacy.redact_parameters =
            ["ref", "MAIL", "mtm_keyword"].map(str::to_owned).to_vec();
    })
    .await;
    look(&stage).await;
    let mut olena = stage.visitor();
    olena.clicks(&stage, "/?Ref=secret-1&mail=secret-2&MTM_Keyword=secret-3&mtm_campaign=march").await;
    let note = note(&stage, 1).await;
    assert_eq!(note["touch"]["source"], "(redacted)");
    assert!(!note.to_string().contains("secret"), "{note}");
    let stored = "SELECT string_agg(c::text, '') FROM campaigns c";
    assert!(!stage.value(stored).await.unwrap().contains("secret"));
    let stored =
        "SELECT concat_ws(' ', source, campaign, content, term) FROM campaigns WHERE campaign IS NOT NULL";
    let expected = "(redacted) march (redacted) (redacted)";
    assert_eq!(stage.value(stored).await.as_deref(), Some(expected));
    stage.pass(MINUTE);
    // The tag itself, where the other name stands beside it, is not the redacted one.
    let mut petro = stage.visitor();
    petro.clicks(&stage, "/?ref=secret-4&utm_source=viber").await;
    let sources = "SELECT string_agg(source, ' ' ORDER BY source) FROM campaigns WHERE campaign_id <> 0";
    assert_eq!(stage.value(sources).await.as_deref(), Some("(redacted) viber"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_gets_through_in_a_click_id_a_search_or_by_being_encoded_twice() {
    let mut stage = Stage::with(|config| {
        config.tracking.parameters =
            vec![OwnParameter { name: "aff".to_owned(), meaning: ParameterMeaning::ClickId }];
    })
    .await;
    look(&stage).await;
    for target in [
        "/?aff=olena%40example.com",
        "/?mc_cid=olena@example.com&gclid=olena%2540example.com",
        "/?utm_source=olena%2540example.com&utm_content=olena%252540example%252Ecom",
        "/search?olena%2540example.com",
        "/unsubscribe/olena%25%34%30example.com",
        "/unsubscribe/olena%252540example.com",
        "/product?boots%20of%20olena%40example.com",
    ] {
        stage.visitor().clicks(&stage, target).await;
        stage.pass(MINUTE);
    }
    let notes = stage.report("inspect").await;
    assert_eq!(notes.as_array().unwrap().len(), 7);
    assert!(!notes.to_string().contains("olena"), "{notes}");
    for table in ["campaigns", "touches", "events", "pages", "products", "sessions"] {
        let rows = stage.texts(&format!("SELECT t::text FROM {table} t")).await.concat();
        assert!(!rows.contains("olena"), "{table}: {rows}");
    }
    let ids = "SELECT string_agg(click_ids::text, ' ' ORDER BY at) FROM touches WHERE click_ids IS NOT NULL";
    let expected = r#"{"aff": "{email}"} {"gclid": "{email}", "mc_cid": "{email}"}"#;
    assert_eq!(stage.value(ids).await.as_deref(), Some(expected));
    assert_eq!(
        stage.value("SELECT name FROM products WHERE product_id = '7'").await.as_deref(),
        Some("boots of {email}")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_or_a_number_beside_another_one_is_not_stored() {
    let mut stage = Stage::open().await;
    for query in [
        "4111%201111%201111%201111%2012/26%20123",
        "0671234567%200501234567",
        "%2B380%2067%20123-45-67%204111%201111%201111%201111",
        "380671234567%201",
    ] {
        stage.visitor().browses(&stage, &format!("/search?{query}")).await;
        stage.pass(MINUTE);
    }
    let queries =
        stage.texts("SELECT properties->>'query' FROM events WHERE properties IS NOT NULL ORDER BY at").await;
    assert_eq!(queries, ["{card} 12/26 123", "{phone} {phone}", "{phone} {card}", "{phone} 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_denies_being_known_is_told_so() {
    let mut stage = Stage::open().await;
    look(&stage).await;
    let mut olena = stage.visitor().saying("Sec-GPC: 1");
    olena.types(&stage, "/").await;
    let note = note(&stage, 1).await;
    let told = told(&note);
    assert!(told.contains(" denied none "), "{told}");
    assert!(told.contains("Sec-GPC: 1 or the consent cookie denies being known"), "{told}");
    assert!(note["visitor_id"].is_null() && olena.cookie("_utmd").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefetch_is_not_counted_and_says_why() {
    let mut stage = Stage::open().await;
    look(&stage).await;
    let mut olena = stage.visitor().saying("Sec-Purpose: prefetch");
    olena.types(&stage, "/p/boots").await;
    insta::assert_snapshot!(told(&note(&stage, 1).await), @r"
    not_recorded no_page prefetch none none not_due none -
    not recorded
    no page view: the browser fetched it ahead, nobody looked at it yet
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_is_counted_as_one_with_its_reasons() {
    let mut stage = Stage::open().await;
    look(&stage).await;
    let mut robot = stage.visitor().with_agent("Mozilla/5.0 (compatible; Googlebot/2.1)");
    robot.types(&stage, "/p/boots").await;
    let note = note(&stage, 1).await;
    assert_eq!(note["bot"]["score"], 100);
    assert_eq!(note["bot"]["reasons"], serde_json::json!(["crawler"]));
    insta::assert_snapshot!(told(&note), @r"
    counted - - none none not_due none written
    only counted
    bot score 100 of 100: crawler (googlebot)
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excluded_path_names_the_rule() {
    let mut stage = Stage::with(|config| config.tracking.exclude.paths = vec!["/staff/".to_owned()]).await;
    look(&stage).await;
    let mut olena = stage.visitor();
    olena.types(&stage, "/staff/today").await;
    let note = note(&stage, 1).await;
    let told = told(&note);
    assert!(told.starts_with("not_recorded excluded"), "{told}");
    assert!(told.contains("/staff/"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excluded_visitor_is_told_as_one() {
    let mut stage = Stage::open().await;
    let mut olena = stage.visitor();
    olena.types(&stage, "/").await;
    let visitor = stage.value("SELECT visitor_id FROM visitors").await.unwrap();
    let (status, rule) =
        stage.put("exclusions", &format!(r#"{{"kind": "visitor", "value": "{visitor}"}}"#)).await;
    assert_eq!(status, 200, "{rule}");
    // Workers have it within seconds.
    look(&stage).await;
    let mut note = Value::Null;
    for page in 0..200 {
        olena.browses(&stage, &format!("/p/{page}")).await;
        let notes = stage.report("inspect").await;
        note = notes.as_array().unwrap().last().cloned().unwrap_or_default();
        if note["verdict"] == "not_recorded" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let told = told(&note);
    assert!(told.starts_with("not_recorded excluded - "), "{told}");
    assert!(told.contains(&visitor), "the rule is named: {told}");
    assert!(note["journal"].is_null(), "{note}");
    // Her order is the shop's.
    olena.orders(&mut stage, "7", "100.00").await;
    assert_eq!(stage.value("SELECT gross FROM orders").await.as_deref(), Some("100"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_without_a_cookie_says_why_and_the_next_one_has_it() {
    let mut stage = Stage::open().await;
    look(&stage).await;
    let mut olena = stage.visitor();
    olena.arrives_from(&stage, "https://www.google.com/", "/cached/p").await;
    insta::assert_snapshot!(told(&note(&stage, 1).await), @r"
    page_view - - cookieless of_the_day shareable touch written
    counted as a page view
    no cookie: the response says that a cache may hand it to others
    came from google / organic, inferred from referrer
    ");
    olena.browses(&stage, "/p/boots").await;
    assert!(told(&note(&stage, 2).await).starts_with("page_view - - minted first set "));
    olena.browses(&stage, "/p/boots?utm_source=x").await;
    olena.keeps("_utmd", "forged");
    olena.types(&stage, "/").await;
    let notes = stage.report("inspect?verdict=page_view").await;
    let last = notes.as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["identity"], &last["cookie"]), (&Value::from("replaced"), &Value::from("set")));
    let few = stage.report("inspect?path=/cached&limit=5").await;
    assert_eq!(few.as_array().unwrap().len(), 1);
}

/// Table, column and what an erasure does with it.
fn personal() -> Vec<(&'static str, &'static str, &'static str)> {
    let lines = include_str!("../../../src/ship/data/personal.tsv").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let words: Vec<&str> = line.split('\t').collect();
            (words[0], words[1], words[2])
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_the_schema_is_named_in_the_list_of_what_is_kept_of_a_person() {
    let stage = Stage::open().await;
    let columns = stage
        .texts(
            "SELECT format('%s.%s', c.relname, a.attname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
               AND a.attnum > 0 AND NOT a.attisdropped",
        )
        .await;
    let list = personal();
    let is_named = |column: &String| {
        let (table, column) = column.split_once('.').unwrap();
        list.iter().any(|(known, name, _)| *known == table && (*name == column || *name == "*"))
    };
    let unnamed: Vec<&String> = columns.iter().filter(|column| !is_named(column)).collect();
    assert!(unnamed.is_empty(), "say in src/ship/data/personal.tsv what becomes of {unnamed:?}");
    let gone = list.iter().filter(|(table, column, _)| match *column {
        "*" => !columns.iter().any(|known| known.starts_with(&format!("{table}."))),
        column => !columns.contains(&format!("{table}.{column}")),
    });
    assert_eq!(gone.collect::<Vec<_>>(), Vec::<&(&str, &str, &str)>::new(), "not in the schema");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_everything_of_a_person_and_an_erasure_takes_what_it_names() {
    let mut stage = Stage::with(|config| config.tracking.cookies = vec!["_fbp".to_owned()]).await;
    let mut olena = stage.visitor();
    olena.keeps("_fbp", "fb.1.1700000000000.1234567890");
    olena.clicks(&stage, "/p/boots?utm_source=facebook&utm_medium=paid_social&fbclid=AbC").await;
    olena.browses(&stage, "/search?boots").await;
    olena.orders(&mut stage, "1042", "1499.00").await;
    let customer = serde_json::json!({"phone": "+380671234567", "email": "olena@example.com"});
    stage
        .shop_reports("1042", "paid", serde_json::json!({"value": "1499.00", "customer": customer.clone()}))
        .await;
    let visitor = stage.value("SELECT visitor_id FROM visitors").await.unwrap();
    let called =
        serde_json::json!({"type": "lead", "reference": "call", "visitor_id": visitor, "customer": customer});
    stage.shop_tells(called).await;
    let (status, text) = stage.ask(&format!("/api/v1/visitors/{visitor}")).await;
    assert_eq!(status, 200, "{text}");
    let export: Value = serde_json::from_str(&text).unwrap();
    let mut old_names = Vec::new();
    for (table, column, erasure) in personal().into_iter().filter(|(_, column, _)| *column != "*") {
        let rows = export[table].as_array().unwrap_or_else(|| panic!("{table} is not exported"));
        let may_be_empty = ["product_views", "visitor_months", "told_actions", "quarantine"].contains(&table);
        assert!(may_be_empty || !rows.is_empty(), "nothing of {table}: {text}");
        for row in rows.iter().filter(|_| table != "quarantine") {
            assert!(row.get(column).is_some(), "{table}.{column}: {row}");
            if erasure == "renamed" && !row[column].is_null() {
                old_names.push(row[column].to_string().trim_matches('"').to_owned());
            }
        }
    }
    assert!(old_names.len() > 10 && text.contains("fb.1.1700000000000.1234567890"), "{text}");
    assert!(!text.contains("olena@example.com") && !text.contains("380671234567"), "hashes only");

    stage.forget(&visitor).await;
    for (table, column, erasure) in personal() {
        let left = match erasure {
            "emptied" => format!("SELECT count(*) FROM {table} WHERE {column} IS NOT NULL"),
            "deleted" => format!("SELECT count(*) FROM {table}"),
            _ => continue,
        };
        assert_eq!(stage.value(&left).await.as_deref(), Some("0"), "{table}.{column}");
    }
    for table in personal().into_iter().map(|(table, ..)| table).collect::<std::collections::BTreeSet<_>>() {
        let rows = stage.texts(&format!("SELECT t::text FROM {table} t")).await.concat();
        let kept: Vec<&String> = old_names.iter().filter(|name| rows.contains(name.as_str())).collect();
        assert!(kept.is_empty(), "{kept:?} in {table}");
    }
    let (status, text) = stage.ask(&format!("/api/v1/visitors/{visitor}")).await;
    let export: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, export["visitors"].as_array().unwrap().len()), (200, 0), "{text}");
    assert_eq!(export["erasures"].as_array().unwrap().len(), 1, "that it was forgotten is told: {text}");
    let (status, _) = stage.ask("/api/v1/visitors/019aa000-6c1e-7d3b-9f42-5b0e7a1c88d4").await;
    assert_eq!(status, 404);
}
