//! Every statement fits the schema.

use std::path::{Path, PathBuf};

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

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
}
