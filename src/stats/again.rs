//! A question that the database interrupted is asked once more: a replica ends reports that read what its primary cleaned
//! up, and a connection ends with the server behind it. What reads changes nothing by being asked twice.

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

/// Marks an answer that says only that the question was interrupted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interruption;

/// Asks, and asks again when interrupted.
pub(crate) async fn ask(request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let (question, _) = request.into_parts();
    let answer = next.clone().run(Request::from_parts(question.clone(), Body::empty())).await;
    if answer.extensions().get::<Interruption>().is_none() {
        return answer;
    }
    next.run(Request::from_parts(question, Body::empty())).await
}
