//! `forget`: takes a person out of what is stored; the totals stay.

use std::path::Path;

use anyhow::bail;
use clap::Args as ClapArgs;
use uuid::Uuid;

use super::journalled;
use crate::clock::unix_ms;
use crate::config::{self, Config};
use crate::customer::CustomerHasher;
use crate::erasure::{Erasure, Outcome, Receipt, Subject};
use crate::hit::CustomerKeyKind;
use crate::keys::KeyRing;
use crate::stats::forget::ReceiptDetails;

/// Whom to forget, or to tell of.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    subject: SubjectArgs,
    /// The shop that an order or a user id is of
    #[arg(long, default_value = "default")]
    site: String,
}

#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
struct SubjectArgs {
    /// The visitor with this id
    #[arg(long, value_name = "ID")]
    visitor: Option<Uuid>,
    /// Whoever placed this order
    #[arg(long, value_name = "ID")]
    order: Option<String>,
    /// Whoever has this e-mail address (with @), telephone number (with + or at least nine digits) or user id; or say
    /// which it is: email:…, phone:…, user:…
    #[arg(long, value_name = "KEY")]
    customer: Option<String>,
}

/// Does it, and prints the receipt.
pub(super) fn run(config: &Path, args: &Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    let subject = subject(&config, args)?;
    let (erasure_id, receipt) = super::in_office(forget(&config, subject))?;
    let outcome = receipt.as_ref().map(|receipt| receipt.outcome);
    let details = ReceiptDetails::new(erasure_id, receipt, &config.stats.timezone);
    println!("{}", serde_json::to_string_pretty(&details)?);
    if outcome == Some(Outcome::TooMany) {
        bail!("nothing is forgotten: this leads to more orders than one person has");
    }
    Ok(())
}

pub(super) fn subject(config: &Config, args: &Args) -> anyhow::Result<Subject> {
    Ok(match &args.subject {
        SubjectArgs { visitor: Some(id), .. } => Subject::Visitor(*id),
        SubjectArgs { order: Some(id), .. } => {
            Subject::Order { site: args.site.clone(), order_id: id.clone() }
        }
        SubjectArgs { customer: Some(text), .. } => {
            let (kind, value) = customer_key(text);
            let keys = KeyRing::load_or_create(&config.orders.customer_key_file)?;
            if keys.unsaved().is_some() {
                bail!("the key of customers is not there: {}", config.orders.customer_key_file.display());
            }
            let customers = CustomerHasher::new(&keys, config.orders.phone_country.as_deref());
            match customers.hash(kind, &args.site, value) {
                Some(hash) => Subject::Customer(hash),
                None => bail!("--customer identifies nobody"),
            }
        }
        SubjectArgs { .. } => bail!("who?"),
    })
}

/// What kind of identifier a text is, and its value.
fn customer_key(text: &str) -> (CustomerKeyKind, &str) {
    let kinds = [
        ("phone:", CustomerKeyKind::Phone),
        ("email:", CustomerKeyKind::Email),
        ("user:", CustomerKeyKind::UserId),
    ];
    if let Some(said) = kinds.iter().find_map(|(prefix, kind)| Some((*kind, text.strip_prefix(prefix)?))) {
        return said;
    }
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let is_dialled = text.chars().all(|c| c.is_ascii_digit() || "+-() ./".contains(c));
    if text.contains('@') {
        (CustomerKeyKind::Email, text)
    } else if is_dialled && (text.trim_start().starts_with('+') || digits >= 9) {
        (CustomerKeyKind::Phone, text)
    } else {
        (CustomerKeyKind::UserId, text)
    }
}

async fn forget(config: &Config, subject: Subject) -> anyhow::Result<(Uuid, Option<Receipt>)> {
    let erasure_id = Uuid::new_v4();
    let erasure = Erasure { erasure_id, at_ms: unix_ms(), subject };
    let directory = journalled::write_erasure(config, erasure).await?;
    let receipt = match journalled::ship(config, &directory).await {
        Ok(mut shipped) => shipped.receipts.pop(),
        Err(error) => {
            eprintln!("the database cannot be written ({error:#}); the running program does it when it can");
            None
        }
    };
    Ok((erasure_id, receipt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_key_is_told_by_its_form() {
        for (text, kind, value) in [
            ("Anna@Example.com", CustomerKeyKind::Email, "Anna@Example.com"),
            ("+380 67 123-45-67", CustomerKeyKind::Phone, "+380 67 123-45-67"),
            ("0671234567", CustomerKeyKind::Phone, "0671234567"),
            ("1042", CustomerKeyKind::UserId, "1042"),
            ("anna", CustomerKeyKind::UserId, "anna"),
            ("user:0671234567", CustomerKeyKind::UserId, "0671234567"),
            ("phone:112", CustomerKeyKind::Phone, "112"),
        ] {
            assert_eq!(customer_key(text), (kind, value), "{text}");
        }
    }
}
