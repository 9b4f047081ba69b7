//! Finds the rules of a path: one walk along its segments, without allocating.

use std::collections::BTreeMap;

use crate::action::{Segment, Template, segments};

/// Templates by their segments.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    literals: BTreeMap<String, Tree>,
    parts: Vec<(Segment, Tree)>,
    /// Rules whose template ends here.
    here: Vec<usize>,
    /// Rules whose template goes on with any rest.
    open: Vec<usize>,
}

impl Tree {
    pub(super) fn add(&mut self, template: &Template, rule: usize) {
        let mut node = self;
        for segment in template.segments() {
            node = match segment {
                // Case of what is encoded does not count, which no map knows.
                Segment::Literal(text) if !text.contains('%') => {
                    node.literals.entry(text.clone()).or_default()
                }
                other => {
                    let known = node.parts.iter().position(|(known, _)| known == other);
                    let index = known.unwrap_or_else(|| {
                        node.parts.push((other.clone(), Tree::default()));
                        node.parts.len() - 1
                    });
                    &mut node.parts[index].1
                }
            };
        }
        if template.is_open() { node.open.push(rule) } else { node.here.push(rule) }
    }

    /// Tells the number of each rule that means the path, some twice. No node is visited twice.
    pub(super) fn find(&self, path: &str, tell: &mut dyn FnMut(usize)) {
        self.walk(segments(path), tell);
    }

    fn walk<'p>(&self, mut rest: impl Iterator<Item = &'p str> + Clone, tell: &mut dyn FnMut(usize)) {
        self.open.iter().for_each(|rule| tell(*rule));
        let Some(segment) = rest.next() else {
            self.here.iter().for_each(|rule| tell(*rule));
            return;
        };
        if let Some(next) = self.literals.get(segment) {
            next.walk(rest.clone(), tell);
        }
        for (known, next) in &self.parts {
            if known.matches(segment, &mut |_, _| {}) {
                next.walk(rest.clone(), tell);
            }
        }
    }
}
