//! ARCHITECTURE.md names what is there, and imports point one way.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules, each above all that it may import: what all share, the request path, the office, what joins them. The
/// request path stands below the office, so that nothing in it can come to wait for a database.
const BOTTOM_UP: [&str; 4] = [SHARED, REQUEST_PATH, OFFICE, "reload app demo cli"];
const SHARED: &str =
    "path clock exclusion action certificates erasure hit config files telemetry journal keys customer terms";
const REQUEST_PATH: &str = "bodies capture forward route accept salts assets inspect record exchange proxy";
const OFFICE: &str = "ingest store ship dashboard stats managed";

/// What of the request path the office may import all the same: it is pure, or a plain value.
const COMMON_GROUND: &str = "capture salts inspect";

/// What capture may know of the rest: it is pure.
const CAPTURE_IMPORTS: &str = "action config erasure exclusion hit keys path";

/// Folders in which ARCHITECTURE.md names things.
const FOLDERS: [&str; 9] =
    ["src/", "tests/", "benches/", "config/", "migrations/", "fuzz/", "dist/", "examples/", ".ci/"];

fn holds(list: &str, module: &str) -> bool {
    list.split(' ').any(|known| known == module)
}

fn height(module: &str) -> Option<usize> {
    BOTTOM_UP.join(" ").split(' ').position(|known| known == module)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// What lies directly in `src/`, with a `/` behind folders.
fn modules() -> Vec<String> {
    let entries = fs::read_dir(root().join("src")).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let is_folder = entry.file_type().unwrap().is_dir();
            entry.file_name().into_string().unwrap() + if is_folder { "/" } else { "" }
        })
        .collect()
}

fn module_name(entry: &str) -> &str {
    entry.trim_end_matches('/').trim_end_matches(".rs")
}

fn rust_files(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| rust_files(&entry.unwrap().path(), files));
    } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
        files.push(path.to_owned());
    }
}

/// Code of a module without comments and unit tests; `super` of its outermost file is the crate.
fn code(entry: &str) -> String {
    let mut files = Vec::new();
    let path = root().join("src").join(entry);
    rust_files(&path, &mut files);
    let mut code = String::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let is_outermost = file == path || file == path.join("mod.rs");
        for line in text.split("#[cfg(test)]").next().unwrap().lines() {
            let line = line.split("//").next().unwrap();
            code += &if is_outermost { line.replace("super::", "crate::") } else { line.to_owned() };
            code.push('\n');
        }
    }
    code
}

/// The crate's own modules that a module names.
fn imports(entry: &str) -> BTreeSet<String> {
    let code = code(entry);
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let mut named = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let list = list.split_inclusive(['{', '}', ',']).take_while(|piece| {
                    let is_open = depth >= 0;
                    depth += i32::from(piece.ends_with('{')) - i32::from(piece.ends_with('}'));
                    is_open
                });
                named.extend(list.map(word));
            }
            None => _ = named.insert(word(after)),
        }
    }
    named.retain(|name| name != module_name(entry) && height(name).is_some());
    named
}

#[test]
fn the_architecture_names_every_module_and_nothing_that_is_not_there() {
    let text = architecture();
    for entry in modules() {
        assert!(text.contains(&format!("src/{entry}")), "ARCHITECTURE.md does not name src/{entry}");
    }
    let words = text.split(|c: char| c.is_whitespace() || "`(),;:".contains(c));
    let paths = words.filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)));
    let mut named = 0;
    for path in paths.map(|path| path.trim_end_matches('.')).filter(|path| !path.contains(['*', '<'])) {
        assert!(root().join(path).exists(), "ARCHITECTURE.md names {path}, which is not there");
        named += 1;
    }
    assert!(named > modules().len(), "paths are found in the text");
}

#[test]
fn imports_point_one_way() {
    let mut seen = 0;
    for entry in modules() {
        let module = module_name(&entry);
        if matches!(module, "lib" | "main") {
            continue;
        }
        let own = height(module).unwrap_or_else(|| panic!("{module} has no place in the order"));
        for import in imports(&entry) {
            seen += 1;
            assert!(height(&import).unwrap() < own, "{module} imports {import}, which stands above it");
            let is_of_requests = holds(REQUEST_PATH, &import) && !holds(COMMON_GROUND, &import);
            assert!(
                !(holds(OFFICE, module) && is_of_requests),
                "{module} is of the office and imports {import}, which is of the request path"
            );
            assert!(
                (module, import.as_str()) != ("ship", "stats"),
                "ship imports stats: the database is all that they share"
            );
            if (module, import.as_str()) == ("stats", "ship") {
                let code = code(&entry);
                let of = |path: &str| code.matches(path).count();
                assert_eq!(
                    of("crate::ship::"),
                    of("crate::ship::enrich::") + of("crate::ship::export::"),
                    "stats imports ship: beside the database they share where somebody came from, which is pure, and the \
                     list of what is stored of a person"
                );
            }
            assert!(
                module != "capture" || holds(CAPTURE_IMPORTS, &import),
                "capture imports {import}, and is more than a pure function of its arguments"
            );
        }
    }
    assert!(seen > 40, "imports are found in the code");
}

#[test]
fn capture_has_no_clock_and_no_io() {
    let code = code("capture/");
    for word in
        ["tokio::", "Instant", "SystemTime", "std::fs", "std::io", "std::thread", "rand::", "::now", "async "]
    {
        assert!(!code.contains(word), "capture uses {word}");
    }
}
