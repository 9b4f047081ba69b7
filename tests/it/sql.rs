//! Every statement fits the schema.

use std::path::{Path, PathBuf};

use utm_dispatcher::telemetry::causes::Causes;

use crate::harness::postgres;

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let database = postgres::migrated().await;
    let client = database.connect().await;
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20, "found {files:?}");
    for file in files {
        let sql = std::fs::read_to_string(&file).unwrap();
        if let Err(error) = client.prepare(&sql).await {
            panic!("{}: {error}: {:?}", file.display(), error.as_db_error());
        }
    }
}

/// Postgres quotes whole rows where it says what is wrong with them.
#[tokio::test]
async fn what_is_logged_of_a_refused_row_does_not_quote_it() {
    let database = postgres::database().await;
    let client = database.connect().await;
    client.batch_execute("CREATE TABLE t (address text, other text NOT NULL)").await.unwrap();
    let error = client.execute("INSERT INTO t VALUES ('203.0.113.9')", &[]).await.unwrap_err();
    assert!(error.as_db_error().unwrap().detail().unwrap().contains("203.0.113.9"));
    let said = Causes(&error).to_string();
    assert!(said.contains("null value in column") && said.contains("23502"), "{said}");
    assert!(!said.contains("203.0.113.9"), "{said}");
}

/// Statements are in folders of that name, by themselves; what makes things stands elsewhere.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if folder.ends_with("sql") && path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
}
