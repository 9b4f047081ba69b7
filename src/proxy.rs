//! One request: route → capture → forward → record. Read this first.
