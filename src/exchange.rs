//! One request and its answer, from the head of the one to the last byte of the other: what of them is counted.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};

use crate::capture::CLIENT_CLOSED_REQUEST;
use crate::forward::{BodyError, Passage, Received, ResponseBody};
use crate::route::NO_ROUTE;
use crate::telemetry::traffic::Meter;

/// An exchange under way. Whatever becomes of it, it is told when this is dropped: with the future that answers, if the
/// client goes away before the head of the answer is there; else with the answer's body.
#[derive(Debug)]
pub struct Exchange {
    meter: Rc<Meter>,
    begun_at: Instant,
    /// How much of its body has come.
    received: Received,
    /// Number of its route.
    pub route: usize,
    /// Its way to an upstream.
    pub passage: Passage,
    /// Of the answer; none while there is none.
    status: Option<u16>,
}

impl Exchange {
    /// A request's head is there.
    pub fn begin(meter: &Rc<Meter>, received: Received) -> Self {
        meter.begin();
        Exchange {
            meter: Rc::clone(meter),
            begun_at: Instant::now(),
            received,
            route: NO_ROUTE,
            passage: Passage::default(),
            status: None,
        }
    }

    /// The head of the answer goes out; the exchange lasts as long as its body.
    pub fn answer(mut self, response: Response<ResponseBody>) -> Response<AnswerBody> {
        self.note_status(response.status().as_u16());
        response.map(|body| AnswerBody { body, exchange: self })
    }

    fn note_status(&mut self, status: u16) {
        self.status = Some(status);
        self.meter.answer(status);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.note_status(CLIENT_CLOSED_REQUEST);
        }
        let status = self.status.unwrap_or(CLIENT_CLOSED_REQUEST);
        let time = self.begun_at.elapsed();
        self.meter.end(self.route, status, time, self.passage.header, self.received.bytes());
    }
}

/// The body of an answer, with the exchange that ends with it.
#[derive(Debug)]
pub struct AnswerBody {
    body: ResponseBody,
    exchange: Exchange,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.exchange.meter.send(data.len());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
