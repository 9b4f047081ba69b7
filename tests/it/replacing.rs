//! docs/replacing-the-in-app-dispatcher.md names what is there.

use std::fs;
use std::path::Path;

/// Tables of the configuration, of which a word of the page may be a key.
const TABLES: [&str; 5] = ["proxy.", "tracking.", "geo.", "stats.", "exclude."];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|_| panic!("no {path}"))
}

/// What stands between back-quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// `file::function`, the file in `tests/it/` unless it is of `src/`.
fn assert_is_a_test(name: &str) {
    let (file, function) = name.split_once("::").unwrap_or_else(|| panic!("`{name}` is no test"));
    let text = read(&if file.starts_with("src/") { file.to_owned() } else { format!("tests/it/{file}") });
    let at = text.find(&format!("fn {function}()")).unwrap_or_else(|| panic!("no test {name}"));
    let before: Vec<&str> = text[..at].lines().rev().take(3).collect();
    assert!(before.iter().any(|line| line.contains("test")), "{name} is no test");
}

fn assert_is_there(word: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if word.starts_with("/api/") || word == "/readyz" {
        assert!(read("src/stats/mod.rs").contains(&format!("\"{word}\"")), "no address {word}");
    } else if let Some(command) = word.strip_prefix("utm-dispatcher ") {
        let file = root.join("src/cli").join(command.split(' ').next().unwrap());
        assert!(file.exists() || file.with_extension("rs").exists(), "no command {command}");
    } else if TABLES.iter().any(|table| word.starts_with(table)) || word == "trust_events" {
        let key = word.rsplit('.').next().unwrap();
        let example = read("config/example.toml");
        let is_key = |line: &str| {
            let line = line.trim_start_matches('#');
            line.starts_with(key)
                || line.starts_with(&format!("exclude.{key}"))
                || line == format!("[{word}]")
        };
        assert!(example.lines().any(is_key), "no key {word}");
    } else if word.contains('/') {
        assert!(root.join(word).exists(), "no {word}");
    }
}

#[test]
fn every_part_has_its_place_and_a_test_or_says_not_yet() {
    let page = read("docs/replacing-the-in-app-dispatcher.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| in "));
    let (mut shown, mut missing) = (0, 0);
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let ["", _, here, place, tests, ""] = cells[..] else { panic!("{row}: four cells") };
        quoted(place).for_each(assert_is_there);
        quoted(tests).for_each(assert_is_a_test);
        if tests.is_empty() {
            assert!(here.contains("not yet"), "{row}: neither a test nor \"not yet\"");
            missing += 1;
        } else {
            assert!(!place.is_empty(), "{row}: no place");
            shown += 1;
        }
    }
    assert!(shown > 60 && missing > 5, "rows are found on the page: {shown}, {missing}");
}
