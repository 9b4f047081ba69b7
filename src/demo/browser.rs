//! A browser as far as a shop can tell: cookies, referrers, redirects, the headers of a navigation.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, HOST, LOCATION, REFERER, SET_COOKIE, USER_AGENT,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const MOST_REDIRECTS: usize = 5;
const LONGEST_PAGE: usize = 4 << 20;

/// One person's browser.
#[derive(Debug)]
pub(super) struct Browser {
    site: SocketAddr,
    /// Told as `X-Forwarded-For`, as by a load balancer in front of the proxy.
    address: Option<IpAddr>,
    agent: &'static str,
    cookies: BTreeMap<String, String>,
    /// The page that is open.
    referrer: Option<String>,
}

/// A page that was opened.
#[derive(Debug)]
pub(super) struct Page {
    /// Its path, after redirects.
    pub(super) path: String,
    pub(super) status: StatusCode,
}

impl Browser {
    /// A new browser without cookies. With an `address` it says to come from there.
    pub(super) fn new(site: SocketAddr, agent: &'static str, address: Option<IpAddr>) -> Self {
        Self { site, address, agent, cookies: BTreeMap::new(), referrer: None }
    }

    /// Comes to the site from outside.
    pub(super) async fn arrive(&mut self, target: &str, referrer: Option<&str>) -> anyhow::Result<Page> {
        self.referrer = referrer.map(str::to_owned);
        self.navigate(Method::GET, target, "").await
    }

    /// Follows a link.
    pub(super) async fn open(&mut self, target: &str) -> anyhow::Result<Page> {
        self.navigate(Method::GET, target, "").await
    }

    /// Sends a form.
    pub(super) async fn submit(&mut self, target: &str, form: &str) -> anyhow::Result<Page> {
        self.navigate(Method::POST, target, form).await
    }

    async fn navigate(&mut self, method: Method, target: &str, form: &str) -> anyhow::Result<Page> {
        let (mut method, mut target, mut form) = (method, target.to_owned(), form.to_owned());
        for _ in 0..MOST_REDIRECTS {
            let response = self.request(&method, &target, &form).await?;
            self.keep_cookies(&response);
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            if let Some(location) = location.filter(|_| response.status().is_redirection()) {
                (method, target, form) = (Method::GET, location.to_owned(), String::new());
                continue;
            }
            self.referrer = Some(format!("http://{}{target}", self.site));
            let path = target.split('?').next().unwrap_or_default().to_owned();
            return Ok(Page { path, status: response.status() });
        }
        bail!("more than {MOST_REDIRECTS} redirects")
    }

    async fn request(&self, method: &Method, target: &str, form: &str) -> anyhow::Result<Response<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, self.site.to_string())
            .header(USER_AGENT, self.agent)
            .header(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
            .header(ACCEPT_LANGUAGE, "uk,en;q=0.7")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        if let Some(referrer) = &self.referrer {
            request = request.header(REFERER, referrer);
        }
        if let Some(address) = self.address {
            request = request.header("x-forwarded-for", address.to_string());
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        exchange(self.site, request.body(Full::new(Bytes::from(form.to_owned())))?).await
    }

    /// Attributes matter little to somebody who visits one site: only an end of life is looked at.
    fn keep_cookies(&mut self, response: &Response<Bytes>) {
        for line in response.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok()) {
            let pair = line.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            if line.to_ascii_lowercase().contains("max-age=0") {
                self.cookies.remove(name.trim());
            } else {
                self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}

/// Reads a JSON document of the stats port.
pub(super) async fn get_json(server: SocketAddr, target: &str) -> anyhow::Result<serde_json::Value> {
    let request = Request::get(target).header(HOST, server.to_string()).body(Full::default())?;
    let response = exchange(server, request).await?;
    if response.status() != StatusCode::OK {
        bail!("{target} answered {}", response.status());
    }
    serde_json::from_slice(response.body()).with_context(|| format!("{target} is no JSON"))
}

/// One request on a connection of its own.
async fn exchange(server: SocketAddr, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Bytes>> {
    let stream = TcpStream::connect(server).await.with_context(|| format!("connecting to {server}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, LONGEST_PAGE).collect().await.map_err(anyhow::Error::from_boxed)?;
    Ok(Response::from_parts(head, body.to_bytes()))
}
