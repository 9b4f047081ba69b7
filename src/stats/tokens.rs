//! Tokens: who may ask. A token is shown once; what is kept is its SHA-256, and comparing takes the same time
//! whatever differs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::config::Scope;
use crate::stats::database::{DatabaseError, ReportDatabase};

/// How long what was read of the tokens holds.
const FRESH: Duration = Duration::from_secs(2);

/// How long it holds for a token that is not among them: it may have been made just now.
const FRESH_FOR_UNKNOWN: Duration = Duration::from_millis(250);

/// How long the database is left alone after it did not answer.
const REST: Duration = Duration::from_secs(10);

/// How long where it has not answered yet: then the port waits for it.
const FIRST_REST: Duration = Duration::from_secs(1);

/// Longest wait for the tokens; of a probe.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_millis(1500);
pub(crate) const PROBE_WAIT: Duration = Duration::from_millis(300);

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// Most letters of a token's name.
const NAME_LETTERS: usize = 100;

/// SHA-256 of a token.
pub type TokenHash = [u8; 32];

type Tokens = Arc<Vec<(Scope, TokenHash)>>;

/// Why a token could not be made, listed or ended.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The name is empty, too long or has control characters.
    #[error("a token's name has 1 to {NAME_LETTERS} letters and no control characters")]
    Name,
    /// A valid token has this name.
    #[error("there is a token of this name; revoke it first or choose another name")]
    Taken,
    /// No valid token has this name.
    #[error("there is no valid token of this name")]
    Unknown,
    /// The system gave no random bytes.
    #[error("no random bytes for a new token")]
    Random,
    /// The database did not do it.
    #[error("the database refused: {0}")]
    Database(#[from] tokio_postgres::Error),
}

/// A token as `token list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedToken {
    /// Its name.
    pub name: String,
    /// `read`, `ingest` or `admin`.
    pub scope: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
}

/// Makes a token and returns its text, which is kept nowhere.
pub async fn create(client: &Client, name: &str, scope: Scope) -> Result<String, TokenError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_LETTERS || name.chars().any(char::is_control) {
        return Err(TokenError::Name);
    }
    let mut random = [0; TOKEN_BYTES];
    SysRng.try_fill_bytes(&mut random).map_err(|_| TokenError::Random)?;
    let token = format!("utmd_{}", URL_SAFE_NO_PAD.encode(random));
    let (scope, hash) = (scope_name(scope), hash(&token).to_vec());
    let parameters = [(&name as _, Type::TEXT), (&scope as _, Type::TEXT), (&hash as _, Type::BYTEA)];
    let stored = client.query_typed(include_str!("sql/token_create.sql"), &parameters).await?;
    if stored.is_empty() { Err(TokenError::Taken) } else { Ok(token) }
}

/// All tokens by name, ended ones included.
pub async fn list(client: &Client) -> Result<Vec<ListedToken>, TokenError> {
    let rows = client.query_typed(include_str!("sql/token_list.sql"), &[]).await?;
    let tokens = rows.iter().map(|row| {
        Ok(ListedToken {
            name: row.try_get("name")?,
            scope: row.try_get("scope")?,
            created_at: row.try_get("created_at")?,
            revoked_at: row.try_get("revoked_at")?,
        })
    });
    tokens.collect()
}

/// Ends a token. A running process notices within seconds.
pub async fn revoke(client: &Client, name: &str) -> Result<(), TokenError> {
    let ended = client.query_typed(include_str!("sql/token_revoke.sql"), &[(&name, Type::TEXT)]).await?;
    if ended.is_empty() { Err(TokenError::Unknown) } else { Ok(()) }
}

/// What is stored of a token.
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Ingest => "ingest",
        Scope::Admin => "admin",
    }
}

/// What the database's tokens say of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The token is valid.
    Valid(Scope),
    /// There are tokens, and this is none of them.
    Invalid,
    /// There are no tokens.
    NoTokens,
    /// The database has not answered since the process began.
    Unknown,
}

/// The tokens of the database, read now and then. What was known stays known while the database is away.
#[derive(Default)]
pub(crate) struct TokenBook {
    pages: Mutex<Pages>,
    /// As read last; none before.
    known: ArcSwapOption<Vec<(Scope, TokenHash)>>,
}

#[derive(Default)]
struct Pages {
    read_at: Option<Instant>,
    failed: bool,
}

impl TokenBook {
    /// Judges the token that came with a request, if one did, by what is known when `patience` is over.
    pub(crate) async fn judge(
        &self,
        database: &ReportDatabase,
        token_hash: Option<TokenHash>,
        patience: Duration,
    ) -> Verdict {
        let verdict = verdict(self.tokens(database, FRESH, patience).await.as_deref(), token_hash);
        if matches!(verdict, Verdict::Invalid | Verdict::NoTokens) && token_hash.is_some() {
            return self::verdict(
                self.tokens(database, FRESH_FOR_UNKNOWN, patience).await.as_deref(),
                token_hash,
            );
        }
        verdict
    }

    async fn tokens(&self, database: &ReportDatabase, fresh: Duration, patience: Duration) -> Option<Tokens> {
        let Ok(mut pages) = timeout(patience, self.pages.lock()).await else {
            return self.known.load_full(); // somebody reads them
        };
        let holds = match (pages.failed, self.known.load().is_some()) {
            (false, _) => fresh,
            (true, true) => REST,
            (true, false) => FIRST_REST,
        };
        if pages.read_at.is_none_or(|read_at| read_at.elapsed() >= holds) {
            let read = timeout(patience, read(database)).await;
            if read.is_err() && patience < READ_TIMEOUT {
                return self.known.load_full(); // too soon to say that it fails
            }
            pages.read_at = Some(Instant::now());
            pages.failed = !matches!(read, Ok(Ok(_)));
            if let Ok(Ok(tokens)) = read {
                self.known.store(Some(Arc::new(tokens)));
            }
        }
        self.known.load_full()
    }
}

async fn read(database: &ReportDatabase) -> Result<Vec<(Scope, TokenHash)>, DatabaseError> {
    let snapshot = database.snapshot().await?;
    let rows = snapshot.rows(include_str!("sql/tokens_active.sql"), &[]).await?;
    snapshot.finish().await?;
    let mut tokens = Vec::with_capacity(rows.len());
    for row in rows {
        let scope = match row.try_get("scope")? {
            "read" => Scope::Read,
            "ingest" => Scope::Ingest,
            _ => Scope::Admin,
        };
        if let Ok(hash) = row.try_get::<_, &[u8]>("sha256")?.try_into() {
            tokens.push((scope, hash));
        }
    }
    Ok(tokens)
}

fn verdict(tokens: Option<&Vec<(Scope, TokenHash)>>, token_hash: Option<TokenHash>) -> Verdict {
    let Some(tokens) = tokens else { return Verdict::Unknown };
    if tokens.is_empty() {
        return Verdict::NoTokens;
    }
    let scope = token_hash
        .and_then(|token_hash| find(tokens.iter().map(|(scope, hash)| (*scope, hash)), &token_hash));
    scope.map_or(Verdict::Invalid, Verdict::Valid)
}

/// The scope of the token with this hash. All are compared, in constant time each.
pub(crate) fn find<'a>(
    tokens: impl Iterator<Item = (Scope, &'a TokenHash)>,
    token_hash: &TokenHash,
) -> Option<Scope> {
    let mut found = None;
    for (scope, known) in tokens {
        if bool::from(known.ct_eq(token_hash)) {
            found = Some(scope);
        }
    }
    found
}
