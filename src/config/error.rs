//! Says where a configuration file is wrong: file, line, column, the line itself and a caret under the place.
//!
//! What is shown of a line never holds a secret: passwords in URLs and values of secret-looking keys are starred.

use std::fmt::{self, Write as _};
use std::ops::Range;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// What is wrong, without the place.
    pub(super) message: String,
    /// Bytes of the text that are meant; none when something is absent from the file as a whole.
    pub(super) span: Option<Range<usize>>,
    /// What to do about it; stands beside the caret.
    pub(super) help: Option<String>,
}

/// Everything that is wrong with a configuration file, in the order of the file. `Display` is what people read.
#[derive(Debug, Clone)]
pub struct ConfigErrors {
    name: String,
    text: String,
    problems: Vec<Problem>,
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    /// Orders what was found in `text`, the content of the file `name`.
    pub(super) fn new(name: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
        Self { name: name.to_owned(), text: text.to_owned(), problems }
    }

    /// The file as a whole cannot be had.
    pub(super) fn unreadable(name: &str, message: String) -> Self {
        Self::new(name, "", vec![Problem { message, span: None, help: None }])
    }

    /// How many things are wrong; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.problems.len()
    }

    /// One line for a log: the first problem and how many more there are.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut line = String::new();
        if let Some(first) = self.problems.first() {
            line.push_str(&first.message);
            if let Some(span) = &first.span {
                let before = &self.text[..self.text.floor_char_boundary(span.start)];
                let _ = write!(line, " ({}:{})", self.name, before.matches('\n').count() + 1);
            }
        }
        if self.problems.len() > 1 {
            let _ = write!(line, ", and {} more", self.problems.len() - 1);
        }
        line
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "error: {}", problem.message)?;
            match &problem.span {
                Some(span) => self.point(f, span, problem.help.as_deref())?,
                None => {
                    write!(f, "\n --> {}", self.name)?;
                    if let Some(help) = &problem.help {
                        write!(f, "\n  = {help}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl ConfigErrors {
    fn point(&self, f: &mut fmt::Formatter<'_>, span: &Range<usize>, help: Option<&str>) -> fmt::Result {
        let start = self.text.floor_char_boundary(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let rest = &self.text[line_start..];
        let line = rest.split('\n').next().unwrap_or(rest).trim_end_matches('\r');
        let number = self.text[..line_start].matches('\n').count() + 1;
        let before = &self.text[line_start..start];
        let end = self.text.floor_char_boundary(span.end).min(line_start + line.len());
        let width = self.text.get(start..end).map_or(0, |meant| meant.chars().count()).max(1);

        let gutter = " ".repeat(number.to_string().len());
        let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "\n{gutter}--> {}:{number}:{}", self.name, before.chars().count() + 1)?;
        write!(f, "\n{gutter} |\n{number} | {}\n{gutter} | {indent}{}", starred(line), "^".repeat(width))?;
        match help {
            Some(help) => write!(f, " {help}"),
            None => Ok(()),
        }
    }
}

/// `word` as the wrong spelling of one of `names`, if it is near enough to one of them.
pub(super) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let (distance, name) = names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.chars().count() / 3).max(1)).then_some(name)
}

/// `did you mean` with [`nearest`], or what is allowed at all.
pub(super) fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, names).map(|name| format!("did you mean `{name}`?"))
}

/// The line with what must not be shown replaced by stars, character for character, so that carets hold.
pub(super) fn starred(line: &str) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    let key: String = chars.iter().take_while(|c| **c != '=').collect::<String>().to_lowercase();
    if ["hash", "password", "secret", "token"].iter().any(|word| key.contains(word)) && !key.contains("_file")
    {
        let from = key.chars().count() + 1;
        for c in chars.iter_mut().skip(from).filter(|c| !c.is_whitespace() && **c != '"' && **c != '\'') {
            *c = '*';
        }
    }
    star_url_passwords(&mut chars);
    chars.into_iter().collect()
}

/// A database URL with its passwords starred.
pub(super) fn starred_url(url: &str) -> String {
    let mut chars: Vec<char> = url.chars().collect();
    star_url_passwords(&mut chars);
    chars.into_iter().collect()
}

/// Stars `secret` in `scheme://user:secret@host` and in `password=secret`, up to the closing quote.
fn star_url_passwords(chars: &mut [char]) {
    let quote = |c: char| c == '"' || c == '\'';
    let mut at = 0;
    while at < chars.len() {
        let end = (at..chars.len()).find(|i| quote(chars[*i])).unwrap_or(chars.len());
        if chars[at..].starts_with(&[':', '/', '/']) {
            let from = at + 3;
            let user_info_end = (from..end).rev().find(|i| chars[*i] == '@').unwrap_or(from);
            let password =
                (from..user_info_end).find(|i| chars[*i] == ':').map(|colon| colon + 1..user_info_end);
            // A reference to the environment is no secret.
            if let Some(password) =
                password.filter(|password| !chars[password.clone()].starts_with(&['$', '{']))
            {
                chars[password].fill('*');
            }
            at = from;
        } else if chars[at..].starts_with(&['p', 'a', 's', 's', 'w', 'o', 'r', 'd', '=']) {
            let from = at + "password=".len();
            let stop = (from..end).find(|i| matches!(chars[*i], '&' | ' ')).unwrap_or(end);
            chars[from..stop.max(from)].fill('*');
            at = stop.max(from);
        } else {
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_line_holds_no_secret() {
        assert_eq!(starred(r#"url = "postgres://u:p:w@x@h/d""#), r#"url = "postgres://u:*****@h/d""#);
        assert_eq!(
            starred(r#"url = "postgres://u@h/d?password=abc&x=1""#),
            r#"url = "postgres://u@h/d?password=***&x=1""#
        );
        assert_eq!(starred(r#"url = "postgres://u:${PW}@h/d""#), r#"url = "postgres://u:${PW}@h/d""#);
        assert_eq!(starred("a://@:"), "a://@:");
        assert_eq!(starred(r#"hash = "abc""#), r#"hash = "***""#);
        assert_eq!(starred(r#"hash_file = "/run/x""#), r#"hash_file = "/run/x""#);
        assert_eq!(starred(r#"servers = ["http://127.0.0.1:80"]"#), r#"servers = ["http://127.0.0.1:80"]"#);
    }

    #[test]
    fn suggestions_are_near() {
        assert_eq!(nearest("listn", ["listen", "workers"]), Some("listen"));
        assert_eq!(nearest("Recrod", ["record", "off"]), Some("record"));
        assert_eq!(nearest("whatever", ["listen", "workers"]), None);
    }
}
