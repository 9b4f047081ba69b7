//! A raw HTTP/1.1 client: sends exactly the bytes given, shows exactly the head received.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::DEADLINE;

/// A connection.
pub(crate) struct Client {
    pub(crate) tcp: TcpStream,
    buffer: Vec<u8>,
    /// The connection ended with an error.
    was_reset: bool,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status line and fields, without the empty line; bytes above ASCII shown as Latin-1.
    pub(crate) head: String,
    /// The body, chunks joined.
    pub(crate) body: Vec<u8>,
    /// Lines after the last chunk.
    pub(crate) trailers: Vec<String>,
    /// Whether the body ended as its framing says.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// Values of all lines of a field, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        super::field_values(&self.head, name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        Client::on(tcp)
    }

    /// On a connection that is there.
    pub(crate) fn on(tcp: TcpStream) -> Self {
        Client { tcp, buffer: Vec::new(), was_reset: false }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tcp.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends what a server that has closed may refuse.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.tcp.write_all(bytes.as_ref()).await
    }

    /// The next response, to HEAD or not; none when the server closes before it.
    pub(crate) async fn try_answer(&mut self, has_body: bool) -> Option<Answer> {
        while !self.buffer.windows(4).any(|window| window == b"\r\n\r\n") {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.read_answer(has_body).await)
    }

    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n")).await;
        self.answer().await
    }

    /// The next response to anything but HEAD.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.read(true).await
    }

    /// The next response to HEAD.
    pub(crate) async fn answer_to_head(&mut self) -> Answer {
        self.read(false).await
    }

    /// These many bytes, of whatever they are.
    pub(crate) async fn read_exact(&mut self, bytes: &mut [u8]) {
        let (read, complete) = tokio::time::timeout(DEADLINE, self.exactly(bytes.len())).await.unwrap();
        assert!(complete, "closed before");
        bytes.copy_from_slice(&read);
    }

    /// Whether the server has closed; waits for it.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill().await
    }

    /// Whether the server closes within `time`.
    pub(crate) async fn closes_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.is_closed()).await.unwrap_or(false)
    }

    async fn read(&mut self, has_body: bool) -> Answer {
        tokio::time::timeout(DEADLINE, self.read_answer(has_body)).await.expect("no response in time")
    }

    async fn read_answer(&mut self, has_body: bool) -> Answer {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await {
                panic!("closed within a head: {:?}", String::from_utf8_lossy(&self.buffer));
            }
        };
        let head: String = self.buffer[..end].iter().map(|byte| char::from(*byte)).collect();
        self.buffer.drain(..end + 4);
        let mut answer = Answer { head, body: Vec::new(), trailers: Vec::new(), complete: true };
        let status = answer.status();
        if !has_body || matches!(status, 100..=199 | 204 | 304) {
            return answer;
        }
        let (body, complete) = if answer.value("transfer-encoding").is_some() {
            self.chunks(&mut answer.trailers).await
        } else if let Some(length) = answer.value("content-length") {
            self.exactly(length.parse().unwrap()).await
        } else {
            while self.fill().await {}
            (std::mem::take(&mut self.buffer), !self.was_reset)
        };
        (answer.body, answer.complete) = (body, complete);
        answer
    }

    async fn exactly(&mut self, length: usize) -> (Vec<u8>, bool) {
        while self.buffer.len() < length {
            if !self.fill().await {
                return (std::mem::take(&mut self.buffer), false);
            }
        }
        (self.buffer.drain(..length).collect(), true)
    }

    async fn chunks(&mut self, trailers: &mut Vec<String>) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let Some(line) = self.line().await else { return (body, false) };
            let size = usize::from_str_radix(line.split(';').next().unwrap(), 16).unwrap();
            if size == 0 {
                while let Some(trailer) = self.line().await {
                    if trailer.is_empty() {
                        return (body, true);
                    }
                    trailers.push(trailer);
                }
                return (body, false);
            }
            let (chunk, complete) = self.exactly(size).await;
            body.extend(chunk);
            if !complete || self.line().await.is_none() {
                return (body, false);
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return Some(line);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads something; false at the end, be it orderly or a reset.
    async fn fill(&mut self) -> bool {
        let mut chunk = vec![0; 64 << 10];
        match self.tcp.read(&mut chunk).await {
            Ok(0) => false,
            Err(_) => {
                self.was_reset = true;
                false
            }
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                true
            }
        }
    }
}
