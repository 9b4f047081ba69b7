//! `GET /api/v1/visitors/{id}`: everything that is stored of a visitor. It is read where tokens are: a replica's reader may
//! not see who was forgotten.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::erasure::Subject;
use crate::ship::export::{Export, ExportError};
use crate::stats::AppState;
use crate::stats::database::{DatabaseError, ReportDatabase};
use crate::stats::problem::StatsError;
use crate::telemetry::causes::Causes;

/// Pieces that may wait for a slow reader.
pub(super) const PIECES: usize = 4;

/// `GET /api/v1/visitors/{id}`
pub(super) async fn visitor(
    State(shared): AppState,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, StatsError> {
    let id = id.ok().and_then(|Path(id)| Uuid::parse_str(&id).ok()).ok_or(StatsError::NoVisitorId)?;
    let (found, is_found) = oneshot::channel();
    let (out, pieces) = mpsc::channel(PIECES);
    let is_whole = Arc::new(AtomicBool::new(false));
    let database = shared.context.tokens.clone();
    tokio::spawn(read(database, Subject::Visitor(id), found, out, Arc::clone(&is_whole)));
    match is_found.await {
        Ok(Ok(true)) => {
            Ok(([(CONTENT_TYPE, "application/json")], Body::new(Pieces { pieces, is_whole })).into_response())
        }
        Ok(Ok(false)) => Err(StatsError::NotFound("nothing is stored of a visitor with this id")),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(DatabaseError::Failed.into()),
    }
}

/// Says first whether there is anything, then sends it.
async fn read(
    database: ReportDatabase,
    subject: Subject,
    found: oneshot::Sender<Result<bool, DatabaseError>>,
    out: mpsc::Sender<Bytes>,
    is_whole: Arc<AtomicBool>,
) {
    let mut client = match database.client().await {
        Ok(client) => client,
        Err(error) => {
            // Nobody waits any more when this fails.
            let _ = found.send(Err(error));
            return;
        }
    };
    let prepared = async {
        let transaction = Export::begin(&mut client).await?;
        let export = Export::of(&transaction, &subject).await?;
        let is_there = !export.is_empty(&transaction).await?;
        Ok((transaction, export, is_there))
    };
    let (transaction, export, is_there) = match prepared.await {
        Ok(prepared) => prepared,
        Err(error) => {
            let _ = found.send(Err(match error {
                ExportError::Database(error) => error.into(),
                ExportError::TooMany | ExportError::Closed => DatabaseError::Failed,
            }));
            return;
        }
    };
    if found.send(Ok(is_there)).is_err() || !is_there {
        return;
    }
    match export.send(&transaction, &out).await {
        Ok(()) => is_whole.store(true, Ordering::Release),
        Err(ExportError::Closed) => {}
        Err(error) => tracing::warn!(error = %Causes(&error), "an export broke off"),
    }
}

/// The pieces as a body; one that breaks off is no answer, and the connection ends.
pub(super) struct Pieces {
    pub(super) pieces: mpsc::Receiver<Bytes>,
    pub(super) is_whole: Arc<AtomicBool>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.pieces.poll_recv(context).map(|piece| match piece {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None if self.is_whole.load(Ordering::Acquire) => None,
            None => Some(Err(std::io::ErrorKind::UnexpectedEof.into())),
        })
    }
}
