//! Files of orders and of advertising cost are taken once, and every row that is not is named.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::postgres::{self, Database};

struct Place {
    database: Database,
    files: tempfile::TempDir,
}

impl Place {
    async fn new() -> Place {
        Place { database: postgres::migrated().await, files: tempfile::tempdir().unwrap() }
    }

    fn import(&self, database_url: &str, text: impl AsRef<[u8]>, arguments: &[&str]) -> Output {
        let files = self.files.path();
        let config = format!(
            "[proxy]\nlisten = [\"127.0.0.1:1\"]\n\n[[upstream]]\nname = \"shop\"\nservers = [\"http://127.0.0.1:3\"]\n\n\
             [database]\nurl = \"{database_url}\"\n\n[journal]\ndir = \"{}\"\n\n[stats]\nlisten = \"127.0.0.1:2\"\n\n\
             [orders]\nphone_country = \"UA\"\ncustomer_key_file = \"{}\"\n",
            files.join("journal").display(),
            files.join("customer-key").display(),
        );
        std::fs::write(files.join("config.toml"), config).unwrap();
        std::fs::write(files.join("rows.csv"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"));
        command.arg("import").args(arguments).arg(files.join("rows.csv"));
        command.arg("--config").arg(files.join("config.toml")).output().unwrap()
    }

    async fn value(&self, sql: &str) -> String {
        let client = self.database.connect().await;
        client.query_one(&format!("SELECT ({sql})::text"), &[]).await.unwrap().get(0)
    }
}

/// What it printed, and whether it was content.
fn said(output: &Output) -> (String, bool) {
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    (lines, output.status.success())
}

fn journal_is_empty(files: &Path) -> bool {
    !files.join("journal").exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_a_file_are_taken_once_and_by_line() {
    let place = Place::new().await;
    let url = place.database.url.clone();
    // The key of customers is made by whoever comes first.
    let text = "order_id,status,value,currency,at,reference,customer.phone,click_ids.gclid,properties.manager,items\n\
                1,placed,1499.00,uah,2026-11-20T10:00:00+02:00,,067 123 45 67,abc,Olena,\"[{\"\"product_id\"\": \"\"7\"\"}]\"\n\
                1,paid,1499.00,UAH,2026-11-21T10:00:00+02:00,p-7,,,,\n\
                2,payed,5,UAH,2026-11-21T10:00:00+02:00,,,,,\n\
                3,placed,5,UAH,,,,,,\n\
                4,placed,5,UAH,2026-11-21T10:00:00+02:00,,,,,oops\n\
                5,placed,5,UAH,2026-11-21T10:00:00+02:00,,,,,,,more\n";
    let refused = "line 4: status must be one of placed, paid, cancelled, refunded, delivered; did you mean paid?\n\
                   line 5: at is required: when it happened, as 2026-11-22T10:00:00+02:00\n\
                   line 6: items: it is not JSON\n\
                   line 7: more cells than the header has\n";
    let dry = said(&place.import(&url, text, &["orders", "--dry-run"]));
    assert_eq!(dry, (format!("{refused}rows: 6, would be told: 2, refused: 4\n"), false));
    assert!(journal_is_empty(place.files.path()));
    assert_eq!(place.value("SELECT count(*) FROM orders").await, "0");
    for counts in ["recorded: 2, known: 0", "recorded: 0, known: 2"] {
        let done = said(&place.import(&url, text, &["orders"]));
        assert_eq!(done, (format!("{refused}rows: 6, {counts}, refused: 4\n"), false));
    }
    let entries = "SELECT string_agg(concat_ws(' ', kind, way, reference, value, currency, octet_length(phone), click_ids,
                                               properties, items), '; ' ORDER BY kind) FROM order_entries";
    assert_eq!(
        place.value(entries).await,
        "1 3  1499.00 UAH 16 {\"gclid\": \"abc\"} {\"manager\": \"Olena\"} [{\"product_id\": \"7\"}]; 2 3 p-7 1499.00 UAH"
    );
    let other = "order_id;status;value;at\n1;placed;7;2026-11-20T10:00:00+02:00\n";
    let (lines, is_content) = said(&place.import(&url, other, &["orders"]));
    assert!(
        !is_content && lines.starts_with("line 2: this entry was reported before with 1499.00 UAH"),
        "{lines}"
    );
    let unknown = place.import(&url, "order_id,status,at,phone\n", &["orders"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("the column phone is none that is known"));
    let empty = place.import(&url, "a,b\n1,2\n", &["orders"]);
    assert!(String::from_utf8_lossy(&empty.stderr).contains("no header is known"));
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_advertisers_are_read_as_they_export_them() {
    let place = Place::new().await;
    let url = place.database.url.clone();
    let google: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(
            "Campaign report\n1 November 2026 - 30 November 2026\nDay\tCampaign\tCurrency code\tCost\tImpr.\tClicks\n\
             2026-11-20\tWinter\tUAH\t1,234.50\t\"12,000\"\t120\nTotal: Account\t--\tUAH\t1,234.50\t12,000\t120\n"
                .encode_utf16()
                .flat_map(u16::to_le_bytes),
        )
        .collect();
    let meta = "\u{feff}Reporting starts,Reporting ends,Campaign name,Ad set name,Ad name,Amount spent (UAH),Impressions,Link clicks\n\
                2026-11-20,2026-11-20,Winter,Kyiv,Boots,100.50,4000,40\n\
                2026-11-20,2026-11-20,Winter,Lviv,Boots,9.50,,\n\
                2026-11-20,2026-11-30,Winter,Lviv,Hats,7,1,1\n";
    let tiktok = "Campaign name;By Day;Cost;Currency;Impressions;Clicks\nWinter;20.11.2026;12,5;uah;1000;10\n\
                  Total of 1 results;-;12,5;uah;1000;10\n";
    let own = "day,source,medium,campaign,cost,currency\n2026-11-20,rozetka,cpa,Winter,3,UAH\n2026-11-20,rozetka,cpa,Winter,4,UAH\n";
    for (text, rows, refused) in [
        (google, "rows: 1, recorded: 1, known: 0, refused: 0\n", ""),
        (
            meta.into(),
            "rows: 2, recorded: 1, known: 0, refused: 1\n",
            "line 4: it is of more than one day: export the report by day\n",
        ),
        (tiktok.into(), "rows: 1, recorded: 1, known: 0, refused: 0\n", ""),
        (
            own.into(),
            "rows: 2, recorded: 1, known: 0, refused: 1\n",
            "line 3: line 2 has this day and these tags already\n",
        ),
    ] {
        let again = rows.replace("recorded: 1, known: 0", "recorded: 0, known: 1");
        for rows in [rows, &again] {
            let done = said(&place.import(&url, &text, &["ad-spend"]));
            assert_eq!(done, (format!("{refused}{rows}"), refused.is_empty()));
        }
    }
    let stored = "SELECT string_agg(concat_ws(' ', s.day, c.source, c.medium, c.campaign, c.content, s.cost, s.currency, s.clicks,
                                              s.impressions), '; ' ORDER BY s.cost)
                  FROM ad_spend s JOIN campaigns c USING (campaign_id)";
    assert_eq!(
        place.value(stored).await,
        "2026-11-20 rozetka cpa Winter 3 UAH; 2026-11-20 tiktok paid_social Winter 12.5 UAH 10 1000; \
         2026-11-20 facebook paid_social Winter Boots 110.00 UAH 40 4000; 2026-11-20 google cpc Winter 1234.50 UAH 120 12000"
    );
    let no_days = place.import(&url, "Campaign name,Amount spent (UAH)\nWinter,7\n", &["ad-spend"]);
    assert!(String::from_utf8_lossy(&no_days.stderr).contains("the report of Meta has no column of days"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_safe_while_the_database_is_away() {
    let place = Place::new().await;
    let text = "order_id,status,at\n1,placed,2026-11-20T10:00:00+02:00\n";
    let away = place.import("postgres://nobody@127.0.0.1:1/nothing", text, &["orders"]);
    let (lines, is_content) = said(&away);
    assert_eq!(
        (lines.as_str(), is_content),
        ("rows: 1, accepted: 1, for the running program to ship, refused: 0\n", true)
    );
    assert!(!journal_is_empty(place.files.path()));
}
