//! The cases of uap-core's own tests (https://github.com/ua-parser/uap-core), read from the checkout that `UAP_CORE` names: they
//! are too large to be here.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The fields of a case: `user_agent_string`, and what is to be read of it.
pub(crate) type Case = BTreeMap<String, String>;

/// The cases of a file. Null and empty values are left out.
pub(crate) fn cases(file: &str) -> Vec<Case> {
    let folder = PathBuf::from(std::env::var_os("UAP_CORE").expect("UAP_CORE"));
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().map(str::trim) {
        let Some((name, value)) = line.trim_start_matches("- ").split_once(':') else { continue };
        if name == "user_agent_string" {
            cases.push(Case::new());
        }
        let value = unquoted(value.trim());
        if let Some(case) = cases.last_mut().filter(|_| !matches!(value.as_str(), "" | "~" | "null")) {
            case.insert(name.to_owned(), value);
        }
    }
    cases.retain(|case| case.contains_key("user_agent_string"));
    cases
}

fn unquoted(value: &str) -> String {
    let within = |sign: char| value.strip_prefix(sign).and_then(|rest| rest.strip_suffix(sign));
    match (within('\''), within('"')) {
        (Some(text), _) => text.replace("''", "'"),
        (None, Some(text)) => text.replace("\\\"", "\"").replace("\\\\", "\\"),
        (None, None) => value.to_owned(),
    }
}
