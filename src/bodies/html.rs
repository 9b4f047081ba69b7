//! Finds parts of a page while it passes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use lol_html::{ElementContentHandlers, HandlerResult, HtmlRewriter, MemorySettings, Settings, html_content};

use crate::action::{HtmlPart, Part};

/// Longest value, bytes.
const VALUE_BYTES: usize = 16 << 10;

type Nothing = fn(&[u8]);

/// Reads a page for some parts of it.
pub(super) struct PageReader {
    rewriter: Option<HtmlRewriter<'static, Nothing>>,
    found: Rc<RefCell<Vec<Found>>>,
}

/// A part that is wanted.
struct Found {
    part: HtmlPart,
    value: String,
    /// Whether nothing is added to the value any more.
    is_done: bool,
}

impl PageReader {
    /// Keeps no more than `limit` bytes of the page at a time.
    pub(super) fn new(parts: &[&HtmlPart], limit: usize) -> Self {
        let found: Vec<Found> = parts
            .iter()
            .map(|part| Found { part: (*part).clone(), value: String::new(), is_done: false })
            .collect();
        let found = Rc::new(RefCell::new(found));
        let memory = MemorySettings::new()
            .with_preallocated_parsing_buffer_size(1024)
            .with_max_allowed_memory_usage(limit.max(64 << 10));
        let mut settings = Settings::new().with_memory_settings(memory).with_strict(false);
        for (index, part) in parts.iter().enumerate() {
            let Some(selector) = part.css.selector() else { continue };
            let mut handlers = ElementContentHandlers::default().element(on_element(index, &found));
            if part.part == Part::Text {
                handlers = handlers.text(on_text(index, &found));
            }
            settings = settings.append_element_content_handler((Cow::Owned(selector), handlers));
        }
        let nothing: Nothing = |_| {};
        Self { rewriter: Some(HtmlRewriter::new(settings, nothing)), found }
    }

    pub(super) fn read(&mut self, text: &[u8]) {
        if let Some(rewriter) = &mut self.rewriter
            && rewriter.write(text).is_err()
        {
            // It has to be left alone from now on; what was found stays.
            self.rewriter = None;
        }
    }

    /// Whether something in the page is longer than what may be kept of it.
    pub(super) fn is_broken(&self) -> bool {
        self.rewriter.is_none()
    }

    /// Whether there is nothing more to be found.
    pub(super) fn has_all(&self) -> bool {
        self.found.borrow().iter().all(|found| found.is_done)
    }

    pub(super) fn value(&self, part: &HtmlPart) -> Option<String> {
        let found = self.found.borrow();
        let value = &found.iter().find(|found| found.part == *part)?.value;
        (!value.trim().is_empty()).then(|| text_of(value.trim()))
    }
}

type OnElement = Box<dyn FnMut(&mut html_content::Element<'_, '_>) -> HandlerResult>;
type OnText = Box<dyn FnMut(&mut html_content::TextChunk<'_>) -> HandlerResult>;

/// The first element that has a value is the one.
fn on_element(index: usize, found: &Rc<RefCell<Vec<Found>>>) -> OnElement {
    let found = Rc::clone(found);
    Box::new(move |element| {
        let mut found = found.borrow_mut();
        let found = &mut found[index];
        if found.is_done {
            return Ok(());
        }
        match &found.part.part {
            Part::Attribute(name) => {
                if let Some(value) = element.get_attribute(name).filter(|value| !value.trim().is_empty()) {
                    found.value = value;
                    found.value.truncate(found.value.floor_char_boundary(VALUE_BYTES));
                    found.is_done = true;
                }
            }
            // Another one begins: the text of the one before is complete.
            Part::Text => found.is_done = !found.value.trim().is_empty(),
        }
        Ok(())
    })
}

fn on_text(index: usize, found: &Rc<RefCell<Vec<Found>>>) -> OnText {
    let found = Rc::clone(found);
    Box::new(move |text| {
        let mut found = found.borrow_mut();
        let found = &mut found[index];
        if !found.is_done {
            let room = VALUE_BYTES - found.value.len().min(VALUE_BYTES);
            let text = text.as_str();
            found.value.push_str(&text[..text.floor_char_boundary(room)]);
            found.is_done = room < text.len();
        }
        Ok(())
    })
}

/// Character references resolved: the few names that programs write, and numbers.
fn text_of(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.char_indices().take(12).find(|(_, char)| *char == ';').map(|(end, _)| end);
        let resolved = end.and_then(|end| Some((character(&rest[1..end])?, end)));
        match resolved {
            Some((character, end)) => {
                text.push(character);
                rest = &rest[end + 1..];
            }
            None => {
                text.push('&');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

fn character(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(number)?
        }
    })
}

impl fmt::Debug for PageReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageReader").finish_non_exhaustive()
    }
}
