//! What files do: the two that are delivered, and a dozen that are wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::*;

const MINIMAL: &str = include_str!("../../config/minimal.toml");
const EXAMPLE: &str = include_str!("../../config/example.toml");

fn env(name: &str) -> Option<String> {
    match name {
        "WORKERS" => Some("3".to_owned()),
        "DB_PASSWORD" => Some("s3cret".to_owned()),
        "SHOP" => Some("http://10.0.0.1:81".to_owned()),
        _ => None,
    }
}

fn read(text: &str) -> Config {
    parse(text, "/etc/x/config.toml", &env).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(text: &str) -> String {
    parse(text, "config.toml", &env).unwrap_err().to_string()
}

/// The minimal file with `from` replaced by `to`.
fn minimal_with(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from} is not in minimal.toml");
    MINIMAL.replace(from, to)
}

/// The example with all its keys: `#key` is a key, `# text` a comment.
fn whole_example() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    EXAMPLE.lines().map(line).collect()
}

/// The example with as many of its keys as one file may have, and the files that it names in `files`.
fn loadable_example(files: &Path) -> String {
    let alternatives = [
        "consent_pattern",
        "consent_cookie",
        "url_file",
        "managed",
        "data_dir",
        "database_url_file",
        "hash_file",
        "tls.ca",
        // A page that is not here.
        "[[proxy.error_page]]",
        "status = \"5xx\"",
        "file = \"/etc/utm-dispatcher/5xx.html\"",
    ];
    let whole = whole_example();
    let lines = whole.lines().filter(|line| !alternatives.iter().any(|key| line.starts_with(key)));
    write_certificate(files, "shop.example");
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    text.replace("/etc/utm-dispatcher/tls", files.to_str().unwrap())
}

/// `fullchain.pem` and `privkey.pem`.
fn write_certificate(files: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(files.join("fullchain.pem"), made.cert.pem()).unwrap();
    std::fs::write(files.join("privkey.pem"), made.signing_key.serialize_pem()).unwrap();
}

/// Paths of all tables and keys that are written in `text`.
fn written_keys(text: &str) -> BTreeSet<String> {
    fn walk(table: &toml::Table, path: &str, keys: &mut BTreeSet<String>) {
        for (key, value) in table {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match value {
                toml::Value::Table(inner) => walk(inner, &path, keys),
                toml::Value::Array(items) => {
                    items.iter().filter_map(toml::Value::as_table).for_each(|inner| walk(inner, &path, keys));
                }
                _ => {}
            }
            keys.insert(path);
        }
    }
    let mut keys = BTreeSet::new();
    walk(&text.parse().unwrap(), "", &mut keys);
    keys
}

#[test]
fn the_example_states_the_defaults() {
    assert_eq!(read(EXAMPLE).to_string(), read(MINIMAL).to_string());
}

#[test]
fn the_example_names_every_key() {
    let whole = whole_example();
    let outcome = file::read(&whole, Path::new("/"), &env);
    assert_eq!(written_keys(&whole), outcome.keys);
    // It gives every way to name the database and to keep a token, which no real file may, and files that are not here.
    let messages = outcome.problems.into_iter().map(|problem| problem.message);
    let messages: Vec<String> = messages.filter(|message| !message.starts_with("cannot read")).collect();
    assert_eq!(
        messages,
        [
            "`consent_cookie` needs mode = \"consent\"",
            "the database is in one place: give one of `url`, `url_file` and `managed = true`",
            "the replica is in one place: give one of `database_url` and `database_url_file`",
            "a token has one of `hash` and `hash_file`",
        ]
    );
}

/// Paths of the keys of the example, and the comment that stands before each.
fn documented_keys() -> Vec<(String, String)> {
    let (mut keys, mut table, mut comment) = (Vec::new(), String::new(), String::new());
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        match bare.split_once(" = ") {
            _ if line.is_empty() => comment.clear(),
            _ if line.starts_with("# ") => comment.push_str(line),
            _ if bare.starts_with('[') => {
                table = bare.trim_matches(['[', ']']).to_owned();
                comment.clear();
            }
            Some((key, _)) if key.starts_with(|c: char| c.is_ascii_lowercase()) => {
                keys.push((format!("{table}.{key}"), std::mem::take(&mut comment)));
            }
            _ => {}
        }
    }
    keys
}

#[test]
fn every_key_has_an_answer_to_a_reload_and_the_example_says_which() {
    let documented = documented_keys();
    let names: BTreeSet<&str> = documented.iter().map(|(key, _)| key.as_str()).collect();
    let answered: BTreeSet<&str> = reload::KEYS.iter().map(|(key, _)| *key).collect();
    assert_eq!(names, answered, "keys of example.toml and of config/reload.rs");
    assert!(reload::KEYS.is_sorted_by_key(|(key, _)| *key));
    for (key, comment) in &documented {
        let needs_restart = reload::KEYS.contains(&(key, reload::Takes::Restart));
        assert_eq!(comment.contains("(restart)"), needs_restart, "what example.toml says at {key}");
    }
}

/// Values that one key or another takes.
const VALUES: [&str; 27] = [
    "true",
    "false",
    "2",
    "3",
    "\"7s\"",
    "\"900MiB\"",
    "\"9KiB\"",
    "[\"127.0.0.1:7\"]",
    "[\"http://127.0.0.1:7\"]",
    "[\"/seven\"]",
    "[\"seven\"]",
    "[\"10.0.0.0/8\"]",
    "[\"seven = eight\"]",
    "[\"text:seven\"]",
    "[\"seven = text:eight\"]",
    "[\"woocommerce\"]",
    "[\"00000000-0000-0000-0000-000000000007\"]",
    "\"/seven\"",
    "\"seven.example\"",
    "\"http://seven.example\"",
    "\"127.0.0.1:7\"",
    "\"Europe/Kyiv\"",
    "\"forever\"",
    "\"14 months\"",
    "\"20 months\"",
    "\"postgres://utm@seven/utm\"",
    "\"0700000000000000000000000000000000000000000000000000000000000000\"",
];
/// The same for keys that take one of a few words.
const WORDS: [&str; 17] = [
    "round_robin",
    "off",
    "upstream",
    "full",
    "paid",
    "json",
    "debug",
    "always",
    "admin",
    "both",
    "PL",
    "PLN",
    "cookieless",
    "1.3",
    "404",
    "text:seven",
    "seven",
];

#[test]
fn a_reload_changes_what_the_table_says_and_keeps_the_rest() {
    let files = tempfile::tempdir().unwrap();
    let whole = loadable_example(files.path());
    let old = read(&whole);
    let words = WORDS.map(|word| format!("\"{word}\""));
    let mut changed = BTreeSet::new();
    let mut table = String::new();
    for line in whole.lines() {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).to_owned();
        }
        let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with('#')) else {
            continue;
        };
        let path = format!("{table}.{key}");
        // A list that goes on in the next lines ends with them.
        let rest = whole.split_once(&format!("{line}\n")).unwrap().1;
        let end = if line.ends_with('[') { &rest[..=rest.find("\n]").unwrap() + 2] } else { "" };
        for value in VALUES.into_iter().chain(words.iter().map(String::as_str)) {
            let text = whole.replacen(&format!("{line}\n{end}"), &format!("{key} = {value}\n"), 1);
            let Ok(new) = parse(&text, "/etc/x/config.toml", &env) else { continue };
            let (before, wanted) = (old.settings(), new.settings());
            let change = Change::between(&old, new);
            if before == wanted {
                continue;
            }
            let differs = |setting: &&(usize, String, String)| !before.contains(*setting);
            for (_, key, _) in wanted.iter().filter(differs) {
                let needs_restart = reload::KEYS.contains(&(key, reload::Takes::Restart));
                assert_eq!(change.needs_restart.contains(key), needs_restart, "{key} = {value}");
                assert_eq!(change.changed.contains(key), !needs_restart, "{key} = {value}");
            }
            for setting in change.config.settings() {
                let takes_restart = reload::KEYS.contains(&(&setting.1, reload::Takes::Restart));
                let source = if takes_restart { &before } else { &wanted };
                assert!(source.contains(&setting), "{path} = {value}: {setting:?} is in force");
            }
            changed.insert(path.clone());
            break;
        }
    }
    let written = written_keys(&whole);
    let all = documented_keys().into_iter().map(|(path, _)| path);
    let untried: Vec<String> = all.filter(|path| written.contains(path) && !changed.contains(path)).collect();
    // None of these can change alone: a redirect that values are taken from, names of the one upstream, a certificate and
    // its key, who may send a header.
    let bound = [
        "action.location",
        "upstream.name",
        "route.upstream",
        "proxy.tls.certificate",
        "proxy.tls.key",
        "proxy.proxy_protocol",
    ];
    let untried: Vec<String> = untried.into_iter().filter(|path| !bound.contains(&path.as_str())).collect();
    assert!(untried.is_empty(), "no other value is known here for {untried:?}");
}

#[test]
fn a_configuration_that_is_the_same_changes_nothing() {
    let change = Change::between(&read(EXAMPLE), read(MINIMAL));
    assert_eq!((change.changed, change.needs_restart), (Vec::new(), Vec::new()));
}

#[test]
fn a_changed_secret_is_seen_and_not_shown() {
    let with = |password: &str| read(&minimal_with("utm@127", &format!("utm:{password}@127")));
    let change = Change::between(&with("one"), with("two"));
    assert_eq!(change.needs_restart, ["database.url"]);
    assert!(!format!("{change:?}").contains("two"));
}

#[test]
fn what_is_printed_reads_back_the_same() {
    let files = tempfile::tempdir().unwrap();
    let whole = loadable_example(files.path());
    let shown = read(&whole).to_string();
    let masked = shown.replace(&"*".repeat(64), &"0".repeat(64));
    assert_eq!(read(&masked).to_string(), shown);
    // Presets are printed as the rules that they are.
    let mut written = written_keys(&whole);
    assert!(written.remove("tracking.presets"));
    assert_eq!(written_keys(&shown), written);
}

#[test]
fn certificates_that_cannot_be_used_are_pointed_at() {
    let files = tempfile::tempdir().unwrap();
    let with = |certificate: &str, key: &str| {
        let table = format!(
            "tls_listen = [\"127.0.0.1:0\"]\n[[proxy.tls]]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"
        );
        let text = minimal_with("[[upstream]]", &format!("{table}[[upstream]]"));
        match parse(&text, files.path().join("config.toml").to_str().unwrap(), &env) {
            Ok(config) => format!("{} certificates", config.proxy.tls.len()),
            Err(errors) => errors.to_string().replace(files.path().to_str().unwrap(), "DIR"),
        }
    };
    write_certificate(files.path(), "other.example");
    std::fs::rename(files.path().join("privkey.pem"), files.path().join("other.pem")).unwrap();
    write_certificate(files.path(), "shop.example");
    assert_eq!(with("fullchain.pem", "privkey.pem"), "1 certificates");
    let foreign = with("fullchain.pem", "other.pem");
    assert!(
        foreign.contains("the key in DIR/other.pem does not belong to the certificate in DIR/fullchain.pem")
    );
    assert!(
        foreign.contains("key = \"other.pem\"\n") && foreign.contains("|       ^^^^^^^^^^^"),
        "{foreign}"
    );
    let missing = with("missing.pem", "privkey.pem");
    assert!(missing.contains("cannot read DIR/missing.pem: No such file or directory"), "{missing}");
    assert!(
        missing.contains("certificate = \"missing.pem\"\n") && missing.contains("^^^^^^^^^^^^^"),
        "{missing}"
    );
    assert!(with("privkey.pem", "privkey.pem").contains("there is no certificate in DIR/privkey.pem"));
    assert!(with("fullchain.pem", "fullchain.pem").contains("there is no private key in DIR/fullchain.pem"));
}

#[test]
fn a_certificate_that_would_not_be_used_is_pointed_at() {
    let files = tempfile::tempdir().unwrap();
    for name in ["one.example", "two.example"] {
        write_certificate(files.path(), name);
        for file in ["fullchain.pem", "privkey.pem"] {
            std::fs::rename(files.path().join(file), files.path().join(format!("{name}-{file}"))).unwrap();
        }
    }
    let with = |tables: &[(&str, &str)]| {
        let table = |(certificate, more): &(&str, &str)| {
            format!(
                "[[proxy.tls]]\ncertificate = \"{certificate}.example-fullchain.pem\"\n\
                 key = \"{certificate}.example-privkey.pem\"\n{more}\n"
            )
        };
        let tables: String = tables.iter().map(table).collect();
        let tables = format!("tls_listen = [\"127.0.0.1:0\"]\n{tables}");
        let text = minimal_with("[[upstream]]", &format!("{tables}[[upstream]]"));
        match parse(&text, files.path().join("config.toml").to_str().unwrap(), &env) {
            Ok(config) => format!("{} certificates", config.proxy.tls.len()),
            Err(errors) => errors.to_string(),
        }
    };
    let both = "names = [\"one.example\", \"two.example\"]";
    assert_eq!(with(&[("one", ""), ("two", "")]), "2 certificates");
    assert_eq!(with(&[("one", ""), ("two", both)]), "2 certificates");
    assert_eq!(with(&[("one", "names = [\"a.example\"]"), ("one", "")]), "2 certificates");
    let again = with(&[("one", both), ("two", "names = [\"three.example\", \"Two.example\"]")]);
    assert!(again.contains("an earlier [[proxy.tls]] is for `two.example`"), "{again}");
    assert!(
        again.contains("| names = [\"three.example\", \"Two.example\"]\n")
            && again.contains("|         ^^^^"),
        "{again}"
    );
    for tables in [[("one", ""), ("one", "")], [("one", both), ("two", "")]] {
        let unused = with(&tables);
        assert!(unused.contains("this would never be used"), "{unused}");
        assert!(unused.contains("| certificate = ") && unused.contains("|               ^^^^"), "{unused}");
    }
}

#[test]
fn a_servers_cookie_is_no_other_of_our_own() {
    for name in ["_utmd", "_utmd_off"] {
        let text = minimal_with("[[upstream]]", &format!("[[upstream]]\nsticky_cookie = \"{name}\""));
        let errors = errors(&text);
        assert!(
            errors.contains(&format!("`{name}` is the name of another cookie of the proxy's own")),
            "{errors}"
        );
        assert!(errors.contains("^^^^"), "{errors}");
    }
    let other = "[tracking.identity]\ncookie = \"visitor\"\n[[upstream]]\nsticky_cookie = \"_utmd\"";
    read(&minimal_with("[[upstream]]", other));
}

#[test]
fn what_is_encrypted_and_what_is_not_is_told_apart() {
    let with = |keys: &str| errors(&minimal_with("[proxy]", &format!("[proxy]\n{keys}")));
    for (keys, wrong) in [
        ("tls_listen = [\"127.0.0.1:1\"]", "there is no [[proxy.tls]] with a certificate for it"),
        ("tls_listen = [\"127.0.0.1:8080\"]", "127.0.0.1:8080 is in `listen` as well"),
        ("redirect_http = true", "there is no `tls_listen` to send anybody to"),
        ("proxy_protocol = true", "name in `trusted_proxies` who sends it"),
        ("tls = [{ certificate = \"a\", key = \"b\" }]", "`tls_listen` is missing from [proxy]"),
        (
            "tls = [{ certificate = \"a\", key = \"b\", min_version = \"1.1\" }]",
            "`min_version` is `1.2` or `1.3`",
        ),
    ] {
        let errors = with(keys);
        assert!(errors.contains(wrong), "{keys}: {errors}");
    }
}

#[test]
fn a_private_database_takes_a_folder_beside_the_file() {
    let url = "url = \"postgres://utm@127.0.0.1/utm\"";
    let config = read(&minimal_with(url, "managed = true\ndata_dir = \"pg\""));
    assert!(matches!(config.database.place, DatabasePlace::Managed(dir) if dir == Path::new("/etc/x/pg")));
    assert!(errors(&minimal_with(url, "managed = true")).contains("needs `data_dir`"));
    assert!(errors(&minimal_with(url, "")).contains("`url` is missing"));
    assert!(
        errors(&minimal_with(url, &format!("{url}\ndata_dir = \"pg\""))).contains("`data_dir` belongs to")
    );
    assert_eq!(errors(&minimal_with(url, "managed = 1\ndata_dir = \"pg\"")).matches("error:").count(), 1);
}

#[test]
fn variables_come_from_the_environment() {
    let text = MINIMAL
        .replace("http://127.0.0.1:9000", "${SHOP}")
        .replace("utm@127", "utm:${DB_PASSWORD}@127")
        .replace("[proxy]", "[proxy]\nworkers = \"${WORKERS}\"\nhealth_path = \"/$${x}\"");
    let config = read(&text);
    assert_eq!(config.upstreams[0].servers[0].url(), "http://10.0.0.1:81");
    assert_eq!(config.proxy.workers, 3);
    assert_eq!(config.proxy.health_path.as_deref(), Some("/${x}"));
    assert!(matches!(&config.database.place, DatabasePlace::Url(url) if url.contains("s3cret")));
    assert!(!config.to_string().contains("s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn secrets_come_from_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("url"), "postgres://utm:pw@db/utm\n").unwrap();
    std::fs::write(dir.path().join("hash"), format!("{}\n", "Ab".repeat(32))).unwrap();
    let text = MINIMAL.replace("url = \"postgres://utm@127.0.0.1/utm\"", "url_file = \"url\"")
        + "\n[[stats.token]]\nname = \"a\"\nscope = \"ingest\"\nhash_file = \"hash\"\n";
    let config = parse(&text, dir.path().join("config.toml").to_str().unwrap(), &env).unwrap();
    assert!(matches!(&config.database.place, DatabasePlace::Url(url) if url == "postgres://utm:pw@db/utm"));
    assert_eq!(config.stats.tokens[0].sha256, [0xab; 32]);
    assert_eq!(config.stats.tokens[0].scope, Scope::Ingest);
}

#[test]
fn fsync_is_always_never_or_a_time() {
    let with =
        |fsync: &str| read(&MINIMAL.replace("[journal]", &format!("[journal]\nfsync = \"{fsync}\""))).journal;
    assert_eq!(with("always").fsync, Fsync::Always);
    assert_eq!(with("never").fsync, Fsync::Never);
    assert_eq!(with("1s").fsync, Fsync::Every(Duration::from_secs(1)));
    assert_eq!(read(MINIMAL).journal.fsync, Fsync::Every(Duration::from_millis(100)));
}

#[test]
fn the_most_specific_route_stands_first() {
    let route = |place: &str| format!("\n[[route]]\nupstream = \"shop\"\n{place}\n");
    let text = MINIMAL.to_owned()
        + &route("path = \"/a\"")
        + &route("host = \"*.example\"")
        + &route("host = \"*.shop.example\"\nstrip = []")
        + &route("host = \"Shop.example\"")
        + &route("host = \"shop.example\"\npath = \"/cart\"");
    let routes = read(&text).routes;
    let places: Vec<(&str, &str)> =
        routes.iter().map(|route| (route.host.as_deref().unwrap_or(""), route.path.as_str())).collect();
    let expected = [
        ("shop.example", "/cart"),
        ("shop.example", "/"),
        ("*.shop.example", "/"),
        ("*.example", "/"),
        ("", "/a"),
    ];
    assert_eq!(places, expected);
    assert_eq!(routes[0].strip, ["utm_*"]);
    assert!(routes[2].strip.is_empty());
}

#[test]
fn a_misspelt_key_is_pointed_at() {
    insta::assert_snapshot!(errors(&minimal_with("listen = [", "listn = [")));
}

#[test]
fn a_key_in_the_wrong_table_is_sent_to_its_own() {
    insta::assert_snapshot!(errors(&minimal_with(
        "[database]",
        "[tracking]\nsession_timeout = \"1h\"\n[database]"
    )));
}

#[test]
fn an_unknown_table_is_refused() {
    insta::assert_snapshot!(errors(&minimal_with("[stats]", "[statistics]")));
}

#[test]
fn a_misspelt_word_is_pointed_at() {
    insta::assert_snapshot!(errors(
        &(MINIMAL.to_owned() + "\n[tracking]\nmode = \"recrod\"\n[log]\nlevel = \"inof\"\n")
    ));
}

#[test]
fn wrong_durations_and_sizes_are_explained() {
    let text = minimal_with(
        "[journal]",
        "[journal]\nwait = 20\nkeep = \"24 hours\"\nmax_bytes = \"4G\"\nfsync = \"alway\"\nsegment_bytes = \"1KiB\"",
    );
    insta::assert_snapshot!(errors(&text));
}

#[test]
fn times_that_nothing_can_be_kept_for_are_explained() {
    let retain = |text: &str| errors(&format!("{MINIMAL}\n[tracking.privacy.retain]\n{text}"));
    insta::assert_snapshot!(
        [
            retain("events = \"3 months\"\nsessions = \"24\""),
            retain("events = \"14 months\"\nsessions = \"13 months\"\nvisitors = \"2 months\""),
            retain("sessions = \"forever\"\nvisitors = \"25 months\""),
        ]
        .join("\n")
    );
    let kept = read(&format!("{MINIMAL}\n[tracking.privacy.retain]\nevents = \"36 months\""))
        .tracking
        .privacy
        .retain;
    assert_eq!(kept, Retain { events: Some(36), sessions: Some(36), visitors: Some(36) });
    let kept =
        read(&format!("{MINIMAL}\n[tracking.privacy.retain]\nevents = \"forever\"")).tracking.privacy.retain;
    assert_eq!(kept, Retain { events: None, sessions: None, visitors: None });
}

#[test]
fn a_route_to_nowhere_is_pointed_at() {
    insta::assert_snapshot!(errors(
        &(MINIMAL.to_owned() + "\n[[route]]\npath = \"/blog\"\nupstream = \"shpo\"\n")
    ));
}

#[test]
fn names_and_places_that_are_taken_are_refused() {
    let text = minimal_with("127.0.0.1:9090", "0.0.0.0:8080")
        + "\n[[upstream]]\nname = \"shop\"\nservers = [\"http://localhost:8080\"]\n";
    insta::assert_snapshot!(errors(&text));
}

#[test]
fn two_equal_routes_are_refused() {
    let route = "\n[[route]]\nhost = \"a.example\"\nupstream = \"shop\"\n";
    insta::assert_snapshot!(errors(&(MINIMAL.to_owned() + route + &route.replace("a.ex", "A.ex"))));
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    insta::assert_snapshot!(errors(""));
}

#[test]
fn what_is_no_toml_is_pointed_at() {
    insta::assert_snapshot!(errors(&minimal_with("\"shop\"", "shop")));
}

#[test]
fn one_bracket_too_few_is_explained() {
    insta::assert_snapshot!(errors(&minimal_with("[[upstream]]", "[upstream]")));
}

#[test]
fn a_missing_variable_is_pointed_at() {
    insta::assert_snapshot!(errors(&minimal_with("utm@127", "utm:${DB_PASS}@127")));
}

#[test]
fn types_and_ranges_are_explained() {
    let text = minimal_with("listen = [\"127.0.0.1:8080\"]", "listen = \"127.0.0.1:8080\"\nworkers = -1")
        + "metrics_public = \"yes\"\ntimezone = \"Europe/Kyev\"\ncurrency = \"uah\"\n\
           [tracking]\nstrip = [\"*\", \"utm_*\", 5]\n[proxy.limits]\nheader_bytes = \"1KiB\"\n";
    insta::assert_snapshot!(errors(&text));
}

#[test]
fn a_cookie_domain_is_one_that_browsers_take() {
    let text = |domain: &str| format!("{MINIMAL}[tracking.identity]\ndomain = \"{domain}\"\n");
    assert_eq!(
        read(&text(".Shop.example")).tracking.identity.domain,
        CookieDomain::Literal("shop.example".to_owned())
    );
    assert!(errors(&text("co.uk")).contains("public suffix"));
    assert!(errors(&text("hots")).contains("did you mean `host`?"));
    assert!(errors(&text("127.0.0.1")).contains("`auto`, `host` or a domain"));
}

#[test]
fn servers_are_urls_or_tables_with_one() {
    let servers = "[\"ftp://shop\", \"shop:9000\", \"http://shop/blog\", { url = \"http://a\", wieght = 2 }, { weight = 0 }]";
    insta::assert_snapshot!(errors(&minimal_with("[\"http://127.0.0.1:9000\"]", servers)));
}

#[test]
fn errors_show_no_secret() {
    let text = minimal_with("postgres://utm@127.0.0.1/utm", "postgers://utm:hunter2@127.0.0.1/utm")
        + "[[stats.token]]\nname = \"a\"\nscope = \"read\"\nhash = \"my-plain-token\"\n";
    let shown = errors(&text);
    assert!(!shown.contains("hunter2") && !shown.contains("my-plain-token"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_missing_file_is_named() {
    let shown = load(Path::new("/nonexistent/config.toml")).unwrap_err().to_string();
    assert!(shown.contains("/nonexistent/config.toml") && shown.contains("No such file"), "{shown}");
}

proptest::proptest! {
    #[test]
    fn any_text_ends_in_a_configuration_or_in_errors(text in "\\PC{0,200}", at in 0..500_usize) {
        let mut broken = MINIMAL.to_owned();
        broken.insert_str(broken.floor_char_boundary(at), &text);
        for text in [&text, &broken] {
            if let Err(errors) = parse(text, "config.toml", &env) {
                assert!(errors.count() > 0 && errors.to_string().starts_with("error: "));
                assert!(!errors.summary().is_empty());
            }
        }
    }

    #[test]
    fn any_value_of_any_key_ends_in_a_configuration_or_in_errors(
        line in 0..200_usize,
        value in "(true|false|-?[0-9]{1,25}|\"\\PC{0,20}\"|\\[(\"[a-z/*.:0-9-]{0,12}\",)*\\]|\\{a = 1\\}|1\\.5|2026-11-22)",
    ) {
        let files = tempfile::tempdir().unwrap();
        let whole = loadable_example(files.path());
        let keys: Vec<&str> = whole.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).collect();
        let key = keys[line % keys.len()];
        let name = key.split(" = ").next().unwrap();
        match parse(&whole.replace(key, &format!("{name} = {value}")), "/etc/x/config.toml", &env) {
            Err(errors) => assert!(errors.count() > 0 && errors.to_string().starts_with("error: ")),
            Ok(config) => {
                let shown = config.to_string();
                assert_eq!(read(&shown.replace(&"*".repeat(64), &"0".repeat(64))).to_string(), shown);
            }
        }
    }
}

#[test]
fn consent_and_own_parameters_read_back_as_they_are_printed() {
    let with = |mode: &str, rest: &str| {
        let parameters = r#"parameters = ["Creo", "ref = utm_source", "aff=click_id"]"#;
        format!("{MINIMAL}\n[tracking]\n{parameters}\n[tracking.identity]\nmode = \"{mode}\"\n{rest}\n")
    };
    for (rest, shown) in [
        (
            "consent_pattern = \"cookiebot\"",
            "consent_cookie = \"CookieConsent\"\nconsent_pattern = \"cookiebot\"",
        ),
        (
            "consent_pattern = \"tcf\"\nconsent_cookie = \"tc\"",
            "consent_cookie = \"tc\"\nconsent_pattern = \"tcf\"",
        ),
        (
            "consent_pattern = \"a=1|a=0\"\nconsent_cookie = \"c\"",
            "consent_cookie = \"c\"\nconsent_pattern = \"a=1|a=0\"",
        ),
    ] {
        let printed = read(&with("consent", rest)).to_string();
        assert!(printed.contains(shown), "{printed}");
        assert!(
            printed.contains(r#"parameters = ["creo", "ref = utm_source", "aff = click_id"]"#),
            "{printed}"
        );
        assert_eq!(read(&printed).to_string(), printed);
    }
    for (mode, rest, message) in [
        ("consent", "", "mode = \"consent\" needs `consent_pattern`"),
        ("consent", "consent_pattern = \"yes\"", "needs `consent_cookie`"),
        ("consent", "consent_pattern = \"|no\"\nconsent_cookie = \"c\"", "is no text of a cookie's value"),
        ("cookie", "consent_pattern = \"tcf\"", "`consent_pattern` needs mode = \"consent\""),
        ("cookies", "", "`mode` is `cookie` or `cookieless` or `consent`"),
    ] {
        let message_of = errors(&with(mode, rest));
        assert!(message_of.contains(message), "{message_of}");
    }
    let wrong = MINIMAL.to_owned() + "\n[tracking]\nparameters = [\"ref = utm_sorce\"]\n";
    assert!(errors(&wrong).contains("`utm_sorce` is none of click_id, utm_source"), "{}", errors(&wrong));
}

#[test]
fn rules_that_cannot_work_are_pointed_at() {
    let rule = |keys: &str| errors(&format!("{MINIMAL}\n[[action]]\n{keys}\n"));
    for (keys, said) in [
        ("type = \"add_to_card\"\npath = \"/\"", "did you mean `add_to_cart`?"),
        ("type = \"Lead\"\npath = \"/\"", "small letters"),
        ("type = \"lead\"\npath = \"cart\"", "it begins with /"),
        ("type = \"lead\"\npth = \"/\"", "did you mean `path`?"),
        ("type = \"lead\"\npath = \"/\"\nproduct_id = \"from:x\"", "did you mean `form`?"),
        ("type = \"lead\"\npath = \"/\"\nproduct_id = \"json:x\"", "a pointer begins with /"),
        ("type = \"lead\"\npath = \"/\"\nvalue = \"response_html:##\"", "no selector"),
        ("type = \"lead\"\npath = \"/{slug}\"\nproduct_id = \"path:slag\"", "did you mean `slug`?"),
        ("type = \"purchase\"\npath = \"/\"\norder_id = \"location:id\"", "needs `location`"),
        ("type = \"page_view\"\npath = \"/\"\nwhen = \"form:x\"", "cannot look at bodies"),
        ("type = \"payment\"\npath = \"/\"", "`order_id` or `reference`"),
        ("type = \"lead\"\npath = \"/\"\ncustomer = [\"phon = form:x\"]", "did you mean `phone`?"),
        ("type = \"lead\"\npath = []", "an empty list"),
    ] {
        let told = rule(keys);
        assert!(told.contains(said) && told.contains(" | "), "{keys}: {told}");
    }
    let told = errors(&format!("{MINIMAL}\n[tracking]\npresets = [\"wocommerce\"]\n"));
    assert!(told.contains("did you mean `woocommerce`?"), "{told}");
    let files = tempfile::tempdir().unwrap();
    let own = files.path().join("own.toml");
    std::fs::write(&own, "[[action]]\ntype = \"lead\"\npath = \"lead\"\n").unwrap();
    let told = errors(&format!("{MINIMAL}\n[tracking]\npresets = [\"{}\"]\n", own.display()));
    assert!(told.contains("own.toml, line 3: `lead` is no path"), "{told}");
}

#[test]
fn points_are_whole_numbers_of_types_that_are_meant() {
    let points = |keys: &str| format!("{MINIMAL}\n[points]\n{keys}\n");
    for (keys, said) in [
        ("add_to_card = 3", "did you mean `add_to_cart`?"),
        ("Lead = 3", "small letters"),
        ("lead = 1.5", "a whole number"),
        ("lead = \"3\"", "a whole number"),
        ("lead = -10001", "from -10000 to 10000"),
    ] {
        let told = errors(&points(keys));
        assert!(told.contains(said) && told.contains(" | "), "{keys}: {told}");
    }
    let read_once = read(&points("lead = -10000\nwishlist = 0x10"));
    assert_eq!((read_once.points.of("lead"), read_once.points.of("wishlist")), (-10_000, 16));
    assert_eq!(read_once.points.of("purchase"), 100);
    assert_eq!(read(&read_once.to_string()).to_string(), read_once.to_string());
}

#[test]
fn presets_are_rules_and_are_printed_as_what_they_are() {
    for preset in ["twocomms", "django-oscar", "woocommerce"] {
        let own = "[[action]]\ntype = \"lead\"\npath = \"/own\"\n";
        let read_once = read(&format!("{MINIMAL}\n{own}[tracking]\npresets = [\"{preset}\"]\n"));
        assert!(read_once.actions.len() > 3, "{preset}");
        assert_eq!(read_once.actions[0].paths[0].to_string(), "/own", "the file's own come first");
        let shown = read_once.to_string();
        assert_eq!(read(&shown).to_string(), shown, "{preset}");
    }
}
