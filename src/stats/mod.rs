//! The stats port: answers about what is in the database, and takes what the shop tells.
//!
//! It runs in the office and starts with the database away. Every address of the API is in `urls`; the pages for people,
//! which ask it, are the [`dashboard`]'s.

pub mod database;
mod ingest;
pub mod replica;
pub mod tokens;

mod ab_test;
mod access;
pub(crate) mod action_item;
mod again;
mod aliases;
mod answer;
mod attribution;
mod bought;
mod breakdown;
mod cohort;
mod compare;
mod coverage;
mod crowd;
mod csv;
mod cursor;
mod customers;
mod details;
mod exclusions;
mod explain;
mod export;
mod filters;
pub(crate) mod forget;
mod funnel;
mod general;
mod given;
mod groups;
mod health;
mod inspect;
mod landing;
mod login;
mod ltv;
mod money;
mod openapi;
pub(crate) mod order_item;
mod order_scan;
mod orders;
mod params;
mod parts;
mod people;
mod period;
mod positions;
mod problem;
mod products;
mod rank;
mod ratio;
mod realtime;
mod repeat;
mod returning;
mod revalidate;
mod roi;
mod rows_export;
mod sales;
mod scan;
mod scope;
mod sessions;
mod significance;
mod sketch;
mod spend;
pub(crate) mod spend_item;
mod tag_health;
mod tally;
mod timeseries;
mod told_orders;
mod visitors;
mod worth;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use bytes::Bytes;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Live};
use crate::customer::CustomerHasher;
use crate::dashboard;
use crate::ingest::Ingest;
use crate::inspect::Inspection;
use crate::stats::access::{Access, Peers};
use crate::stats::database::ReportDatabase;
use crate::stats::login::Logins;
use crate::stats::params::{Accepts, ParameterError, Params};
use crate::stats::problem::StatsError;
use crate::stats::tokens::TokenBook;
use crate::telemetry::metrics::Metrics;

/// Exports at once: each holds a connection for as long as its reader reads.
const EXPORTS: usize = 2;

/// Batches that the shop tells at once: how many may wait for the journal.
const BATCHES: usize = 32;

/// What the port works with.
pub struct StatsContext {
    /// What the program runs by.
    pub config: Live<Config>,
    /// Where reports are read.
    pub database: ReportDatabase,
    /// Where tokens are read: the database that is written, also while a replica is away.
    pub tokens: ReportDatabase,
    /// What the rest of the program counts.
    pub metrics: Arc<Metrics>,
    /// The way to the journal.
    pub ingest: Ingest,
    /// Hashes of customers.
    pub customers: CustomerHasher,
    /// The last requests, and why each was counted.
    pub inspection: Inspection,
}

/// The context with what follows from it.
struct Shared {
    context: StatsContext,
    listen: SocketAddr,
    access: Live<Access>,
    book: TokenBook,
    logins: Logins,
    registry: Registry,
    /// When it is over: what would go on ends.
    shutdown: CancellationToken,
    /// What is left of the exports that may be under way at once.
    exports: Arc<Semaphore>,
    /// What is left of the batches that may be told at once.
    batches: Semaphore,
    /// `/openapi.json`
    openapi: Bytes,
}

type AppState = State<Arc<Shared>>;

impl Shared {
    /// What is in force; a request that looks twice keeps it.
    fn config(&self) -> Arc<Config> {
        self.context.config.now()
    }

    fn access(&self) -> Arc<Access> {
        let (access, config) = (self.access.now(), self.config());
        if access.is_of(&config) {
            return access;
        }
        let access = Arc::new(Access::new(config, self.listen));
        self.access.replace(Arc::clone(&access));
        access
    }

    fn params(&self, query: Option<&str>, accepts: &Accepts) -> Result<Params, ParameterError> {
        let zone = &self.config().stats.timezone;
        Params::parse(query.unwrap_or_default(), accepts, Timestamp::now(), zone)
    }
}

/// Every address of the API.
fn urls() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api", get(landing::landing))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::openapi))
        .route("/api/v1/general-stats", get(general::general_stats))
        .route("/api/v1/timeseries", get(timeseries::timeseries))
        .route("/api/v1/compare", get(compare::compare))
        .route("/api/v1/sources", get(breakdown::sources))
        .route("/api/v1/campaigns", get(breakdown::campaigns))
        .route("/api/v1/content", get(breakdown::content))
        .route("/api/v1/channels", get(breakdown::channels))
        .route("/api/v1/devices", get(breakdown::devices))
        .route("/api/v1/browsers", get(breakdown::browsers))
        .route("/api/v1/operating-systems", get(breakdown::operating_systems))
        .route("/api/v1/geo", get(breakdown::countries))
        .route("/api/v1/geo/regions", get(breakdown::regions))
        .route("/api/v1/geo/cities", get(breakdown::cities))
        .route("/api/v1/referrers", get(breakdown::referrers))
        .route("/api/v1/landing-pages", get(breakdown::landing_pages))
        .route("/api/v1/funnel", get(funnel::funnel))
        .route("/api/v1/returning-visitors", get(returning::returning))
        .route("/api/v1/products", get(products::products))
        .route("/api/v1/roi", get(roi::roi))
        .route("/api/v1/repeat-rate", get(repeat::repeat_rate))
        .route("/api/v1/ltv-comparison", get(ltv::ltv_comparison))
        .route("/api/v1/cohort-analysis", get(cohort::cohort_analysis))
        .route("/api/v1/sessions", get(sessions::sessions))
        .route("/api/v1/sessions/{id}", get(sessions::session))
        .route("/api/v1/coverage", get(coverage::coverage))
        .route("/api/v1/tag-health", get(tag_health::tag_health))
        .route("/api/v1/inspect", get(inspect::inspect))
        .route("/api/v1/ab-test", get(ab_test::ab_test))
        .route("/api/v1/attribution", get(attribution::attribution))
        .route("/api/v1/export", get(rows_export::export))
        .route("/api/v1/realtime", get(realtime::realtime))
        .route("/api/v1/orders", get(orders::orders).post(ingest::orders))
        .route("/api/v1/ad-spend", post(ingest::ad_spend))
        .route("/api/v1/actions", post(ingest::actions))
        .route("/api/v1/registrations", post(ingest::registrations))
        .route("/api/v1/orders/{id}/explain", get(explain::explain))
        .route("/api/v1/exclusions", get(exclusions::list).put(exclusions::put))
        .route("/api/v1/exclusions/{id}", delete(exclusions::delete))
        .route("/api/v1/aliases", get(aliases::list))
        .route("/api/v1/aliases/{alias}", put(aliases::put).delete(aliases::delete))
        .route("/api/v1/visitors/{id}", get(export::visitor).delete(forget::visitor))
}

/// Serves the port until `shutdown`, then lets open requests end.
pub async fn serve(
    listener: TcpListener,
    context: StatsContext,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let listen = listener.local_addr()?;
    let service = router(context, listen, shutdown.clone())?.into_make_service_with_connect_info::<Peers>();
    axum::serve(access::Port(listener), service).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn nothing(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if access::is_for_people(&parts) {
        return dashboard::refused(&parts, StatusCode::NOT_FOUND, "not_found");
    }
    StatsError::NotFound("there is nothing at this address").into_response()
}

fn router(context: StatsContext, listen: SocketAddr, shutdown: CancellationToken) -> std::io::Result<Router> {
    let shared = Arc::new(Shared {
        access: Live::new(Access::new(context.config.now(), listen)),
        listen,
        book: TokenBook::default(),
        logins: Logins::new()?,
        registry: context.metrics.registry(),
        shutdown,
        exports: Arc::new(Semaphore::new(EXPORTS)),
        batches: Semaphore::new(BATCHES),
        openapi: openapi::document(),
        context,
    });
    let api = urls()
        .merge(login::urls())
        .fallback(nothing)
        .method_not_allowed_fallback(|| async { StatsError::Method })
        .layer(from_fn(again::ask))
        .layer(from_fn(revalidate::ask))
        .with_state(Arc::clone(&shared));
    let pages = dashboard::pages(api.clone(), &shared.openapi);
    Ok(api.merge(pages).layer(from_fn_with_state(shared, access::guard)))
}
