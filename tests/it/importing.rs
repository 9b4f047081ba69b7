//! Files of orders, of advertising cost and of exchange rates are taken once, and every row that is not is named.

use std::path::Path;
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};

use crate::harness::app::{Running, app_config};
use crate::harness::postgres::{self, Database};
use crate::harness::{DEADLINE, Reply, Upstream, eventually};

struct Place {
    database: Database,
    files: tempfile::TempDir,
}

impl Place {
    async fn new() -> Place {
        Place { database: postgres::migrated().await, files: tempfile::tempdir().unwrap() }
    }

    fn import(&self, database_url: &str, text: impl AsRef<[u8]>, arguments: &[&str]) -> Output {
        std::fs::write(self.files.path().join("rows.csv"), text).unwrap();
        self.command(database_url, &[arguments, &["rows.csv"]].concat())
    }

    /// With the files of the folder by their names.
    fn command(&self, database_url: &str, arguments: &[&str]) -> Output {
        let files = self.files.path();
        let config = format!(
            "[proxy]\nlisten = [\"127.0.0.1:1\"]\n\n[[upstream]]\nname = \"shop\"\nservers = [\"http://127.0.0.1:3\"]\n\n\
             [database]\nurl = \"{database_url}\"\n\n[journal]\ndir = \"{}\"\n\n[stats]\nlisten = \"127.0.0.1:2\"\n\n\
             [orders]\nphone_country = \"UA\"\ncustomer_key_file = \"{}\"\n",
            files.join("journal").display(),
            files.join("customer-key").display(),
        );
        std::fs::write(files.join("config.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"));
        command.current_dir(files).arg("import").args(arguments);
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
async fn of_an_entry_that_a_file_has_twice_the_first_line_stands() {
    let place = Place::new().await;
    let line = |order, value| format!("{order},paid,{value},UAH,2026-11-21T10:00:00+02:00\n");
    let lines: String = (1..=12).flat_map(|order| [line(order, 5), line(order, 6)]).collect();
    let text = format!("order_id,status,value,currency,at\n{lines}");
    let (done, _) = said(&place.import(&place.database.url, &text, &["orders"]));
    let refused = |order| format!("line {}: this entry was reported before with 5 UAH\n", 2 * order + 1);
    let refused: String = (1..=12).map(refused).collect();
    assert_eq!(done, format!("{refused}rows: 24, recorded: 12, known: 0, refused: 12\n"));
    assert_eq!(place.value("SELECT sum(paid) FROM orders").await, "60");
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

const OLD_VISITOR: &str = "0b9a7c1e-55d0-4c0e-9a51-2f6f0a9f1d11";

/// The tables of the system before, of the day 40 days ago and the next.
fn write_past(files: &Path) -> [String; 2] {
    let moment = Timestamp::now() - SignedDuration::from_hours(40 * 24);
    let [day, next] =
        [0, 24].map(|hours| (moment + SignedDuration::from_hours(hours)).strftime("%F").to_string());
    let sessions = format!(
        "id,session_id,session_key,visitor_id,utm_source,utm_medium,utm_campaign,fbclid,gclid,fbc,ip_address,country,country_name,city,user_agent,referrer,landing_page,first_seen,last_seen,user_registered_at\n\
         1,NULL,k1,{OLD_VISITOR},ig,social,autumn,IwAR1,NULL,fb.1.2.IwAR1,203.0.113.9,UA,Ukraine,Kyiv,Mozilla/5.0 (X11; Linux x86_64) Firefox/132.0,https://l.instagram.com/x?y=1,/product/boots/,{day} 10:00:00.5,{next} 10:00:00,{day} 10:03:00\n\
         2,NULL,k2,{OLD_VISITOR},google,cpc,,,G2,,,,,,,https://www.paypal.com/pay,/,{next} 09:00:00,{next} 09:00:00,\n\
         3,NULL,k3,,chatgpt.com,,,,,,,,,,curl/8.1,,/catalog/,{day} 12:00:00,{day} 12:00:00,\n\
         4,NULL,k4,,x,,,,,,nowhere,,,,,,/,{day} 12:00:00,,\n\
         5,NULL,k5,,x,,,,,,,,,,,,/,,,\n\
         6,NULL,k6,,x,,,,,,,,,,,,/,2999-01-01 00:00:00,,\n\
         1,NULL,k1,,x,,,,,,,,,,,,/,{day} 12:00:00,,\n"
    );
    let actions = format!(
        "id;utm_session_id;action_type;page_path;product_id;product_name;cart_value;order_id;order_number;metadata;timestamp\n\
         10;1;product_view;/product/boots/;7;Boots;;;;{{}};{day} 10:01:00\n\
         11;1;product_view;/product/boots/;7;Boots;;;;;{day} 10:05:00\n\
         12;1;add_to_cart;/cart/add/;7;Boots;899.00;;;\"{{\"\"visitor_id\"\": \"\"x\"\", \"\"first_touch\"\": {{}}, \"\"size\"\": 42}}\";{day} 10:06:00\n\
         13;;product_view;/product/hat/;8;Hat;;;;;{day} 11:00:00\n\
         14;1;purchase;;;;1499.00;100;TWC1;;{day} 10:20:00\n\
         15;;search;/search/;;;;;;\"{{\"\"visitor_id\"\": \"\"{OLD_VISITOR}\"\", \"\"query\"\": \"\"to anna@shop.example\"\"}}\";{next} 09:10:00\n\
         16;99;add_to_cart;;;;1;;;;{day} 10:00:00\n\
         17;1;purchase;;;;7;200;;;{day} 10:21:00\n\
         18;3;lead;;;;250;;;;{day} 12:30:00\n\
         19;1;remove_from_cart;;7;;0;;;;{next} 08:00:00\n"
    );
    let orders = format!(
        "id\torder_number\tuser_id\tphone\tpay_type\tpayment_status\tstatus\ttotal_sum\tutm_session_id\tutm_source\tutm_medium\tutm_campaign\tcreated\n\
         100\tTWC1\t\t0671234567\tonline_full\tpaid\tdone\t1499.00\t1\tig\tsocial\tautumn\t{day} 10:18:00\n\
         101\tTWC2\t5\t\tcod\tunpaid\tcancelled\t500.00\tNULL\tfacebook\tpaid\tsale\t{day} 15:00:00\n\
         102\tTWC3\t\t\tcod\tunpaid\tnew\t300.00\t\t\t\t\t{day} 16:00:00\n\
         103\tTWC4\t\t\tcod\tunpaid\tnew\t-1\t\tviber\t\t\t{day} 16:00:00\n"
    );
    for (name, text) in [("sessions.csv", sessions), ("actions.csv", actions), ("orders.csv", orders)] {
        std::fs::write(files.join(name), text).unwrap();
    }
    [day, next]
}

/// All numbers of the window, which name nobody.
async fn numbers(app: &Running, window: &str) -> String {
    let mut told = String::new();
    for report in ["general-stats", "sources?bots=include", "products", "geo", "funnel?bots=include"] {
        let mark = if report.contains('?') { '&' } else { '?' };
        let answer = app.report(&format!("{report}{mark}{window}")).await.unwrap();
        told += &format!("{report} {}\n", answer["results"]);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_of_the_system_before_is_in_the_reports_once() {
    let place = Place::new().await;
    let (url, files) = (place.database.url.clone(), place.files.path());
    let [day, next] = write_past(files);
    let all = [
        "history",
        "orders.csv",
        "sessions.csv",
        "actions.csv",
        "--host",
        "shop.example",
        "--currency",
        "UAH",
    ];
    let dry = said(&place.command(&url, &[&all[..], &["--dry-run"]].concat()));
    assert_eq!((dry.1, place.value("SELECT count(*) FROM sessions").await.as_str()), (false, "0"));
    let (lines, _) = said(&place.command(&url, &all));
    assert_eq!(lines, dry.0.replace("would be told", "recorded"));

    let upstream = Upstream::start(|_| Reply::with("200 OK", &["Content-Type: text/html"], "hello")).await;
    let app = Running::start(app_config(upstream.address(), &url, files)).await;
    let window = format!("from={day}&to={next}");
    let told = numbers(&app, &window).await;
    let general = app.report(&format!("general-stats?{window}")).await.unwrap()["results"].clone();
    let of = |name: &str| general[name].to_string();
    let facts = [
        "total_sessions",
        "unique_visitors",
        "total_conversions",
        "registrations",
        "total_orders",
        "total_revenue",
        "gross_revenue",
        "paid_revenue",
    ]
    .map(of);
    assert_eq!(facts, ["2", "2", "2", "1", "3", "\"1799.00\"", "\"2299.00\"", "\"1499.00\""]);
    let sources = app.report(&format!("sources?{window}")).await.unwrap();
    let credited: Vec<String> = sources["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {} {}", row["source"], row["sessions"], row["revenue"]))
        .collect();
    assert_eq!(
        credited,
        ["\"instagram\" 1 \"1499.00\"", "\"facebook\" 1 \"0.00\"", "\"(not tracked)\" 0 \"300.00\""]
    );
    let stored = "SELECT string_agg(concat_ws(' ', s.identity, s.session_number, s.actions, s.score, s.last_seen - s.started_at,
                                              s.address, p.city, t.click_ids, r.host), '; ' ORDER BY s.started_at)
                  FROM sessions s LEFT JOIN touches t USING (session_id) LEFT JOIN places p USING (place_id)
                  LEFT JOIN referrers r ON r.referrer_id = t.referrer_id";
    let stored = place.value(stored).await.replace("; ", "\n");
    insta::assert_snapshot!(format!("{}{stored}", dry.0));

    // Whoever is forgotten does not come back with the file.
    assert_eq!(app.forget(OLD_VISITOR).await.0, 200);
    let (lines, _) = said(&place.command(&url, &all));
    assert_eq!(lines.matches("recorded: 0").count(), 3, "{lines}");
    assert_eq!(numbers(&app, &window).await, told);
    let client = place.database.connect().await;
    let traces = [OLD_VISITOR, "IwAR1", "203.0.113"].map(str::to_owned);
    assert_eq!(crate::forgetting::places_of(&client, &traces).await, [""; 0]);

    // What the proxy sees is its own.
    let mut client = app.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\nAccept: text/html\r\nAccept-Language: uk\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/132.0\r\n\r\n").await;
    client.answer().await;
    eventually("the visit is in the database", DEADLINE, async || {
        (place.value("SELECT count(*) FROM sessions WHERE identity = 1").await == "1").then_some(())
    })
    .await;
    let late = format!("id,first_seen\n90,{}\n", Timestamp::now());
    std::fs::write(files.join("sessions.csv"), late).unwrap();
    let terms = &all[4..];
    let (lines, _) = said(&place.command(&url, &[&["history", "sessions.csv"], terms].concat()));
    assert!(lines.contains("the proxy counts by itself") && lines.contains("refused: 1"), "{lines}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_which_table_a_file_of_the_past_is_must_be_plain() {
    let place = Place::new().await;
    let (url, files) = (place.database.url.clone(), place.files.path());
    let write = |name: &str, text: &str| std::fs::write(files.join(name), text).unwrap();
    write("sessions.csv", "id,first_seen\n");
    write("again.csv", "first_seen,id\n");
    write("actions.csv", "id,action_type,timestamp\n");
    write("other.csv", "id,title\n");
    for (given, wrong) in [
        (&["actions.csv"][..], "no file is of storefront_utmsession"),
        (
            &["sessions.csv", "other.csv"],
            "other.csv has the columns of none of storefront_utmsession (id, first_seen);",
        ),
        (&["sessions.csv", "again.csv"], "sessions.csv and again.csv are both of storefront_utmsession"),
    ] {
        let output = place.command(&url, &[&["history"], given, &["--host", "shop.example"]].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(wrong), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exchange_rates_of_a_file_are_taken_once_and_the_last_one_stands() {
    let place = Place::new().await;
    let url = place.database.url.clone();
    let text = "Date;From;To;Units;Rate\n\
                2026-10-15;EUR;UAH;1;48,1055\n\
                15.10.2026;jpy;UAH;100;27.5\n\
                2026-10-15;EUR;UAH;;48.1055\n\
                2026-10-15;EUR;UAH;1;48.2\n\
                2026-13-15;EUR;UAH;1;48.2\n\
                2026-10-15;UAH;UAH;1;1\n\
                2026-10-15;EURO;UAH;1;48.2\n\
                2026-10-16;EUR;UAH;1;48,105\n\
                2026-10-16;EUR;UAH;1;0\n\
                2062-10-16;EUR;UAH;1;48.2\n\
                2026-10-16;EUR;;1;48.2\n\
                2026-10-16;EUR;UAH;12;48.2\n";
    let refused = "line 5: line 2 has another rate of this day and these currencies\n\
                   line 6: day: not written as 2026-11-22, 22.11.2026 or 22 Nov 2026\n\
                   line 7: UAH in UAH is no rate\n\
                   line 8: currency: not a code of three letters, as UAH\n\
                   line 9: rate: 48,105 can be read in two ways: write it with a point, as 41.2567\n\
                   line 10: rate: it must be above zero, below 1000000000000, and have at most 12 digits after the point\n\
                   line 11: day: 2062-10-16 lies before 1990 or ahead\n\
                   line 12: quote: it is missing\n\
                   line 13: units: not 1, 10, 100, …\n";
    let stored =
        "SELECT string_agg(concat_ws(' ', day, currency, quote, rate), '; ' ORDER BY day, currency, quote)
                  FROM exchange_rates";
    let dry = said(&place.import(&url, text, &["rates", "--dry-run"]));
    assert_eq!(dry, (format!("{refused}rows: 12, would be told: 2, refused: 9\n"), false));
    for counts in ["recorded: 2, known: 1", "recorded: 0, known: 3"] {
        let done = said(&place.import(&url, text, &["rates"]));
        assert_eq!(done, (format!("{refused}rows: 12, {counts}, refused: 9\n"), false));
        assert_eq!(place.value(stored).await, "2026-10-15 EUR UAH 48.1055; 2026-10-15 JPY UAH 0.275");
    }
    // What is imported last stands.
    let again = "day,currency,rate\n2026-10-15,EUR,48.2\n";
    let done = said(&place.import(&url, again, &["rates", "--quote", "uah"]));
    assert_eq!(done, ("rows: 1, recorded: 1, known: 0, refused: 0\n".to_owned(), true));
    assert_eq!(place.value(stored).await, "2026-10-15 EUR UAH 48.2; 2026-10-15 JPY UAH 0.275");
    let nothing = place.import(&url, again, &["rates"]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("no column says what rates are in"));
    let unknown = place.import(&url, "day,currency,quote,rate,bank\n", &["rates"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("the column bank is none that is known"));
    let away = place.import("postgres://127.0.0.1:1/none", text, &["rates"]);
    assert!(
        !away.status.success() && String::from_utf8_lossy(&away.stderr).contains("no connection"),
        "{away:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_of_the_european_central_bank_are_read_as_it_exports_them() {
    let place = Place::new().await;
    let url = place.database.url.clone();
    let text = "KEY,FREQ,CURRENCY,CURRENCY_DENOM,EXR_TYPE,EXR_SUFFIX,TIME_PERIOD,OBS_VALUE,OBS_STATUS,TITLE\n\
                EXR.D.USD.EUR.SP00.A,D,USD,EUR,SP00,A,2026-10-15,1.1712,A,\"US dollar/Euro, daily\"\n\
                EXR.D.USD.EUR.SP00.A,D,USD,EUR,SP00,A,2026-10-17,,H,\"US dollar/Euro, daily\"\n\
                EXR.M.USD.EUR.SP00.A,M,USD,EUR,SP00,A,2026-10,1.18,A,\"US dollar/Euro, monthly\"\n";
    let (lines, _) = said(&place.import(&url, text, &["rates"]));
    assert_eq!(
        lines,
        "line 4: it is of more than one day: export daily rates\nrows: 2, recorded: 1, known: 0, refused: 1\n"
    );
    let stored = "SELECT string_agg(concat_ws(' ', day, currency, quote, rate), '; ') FROM exchange_rates";
    assert_eq!(place.value(stored).await, "2026-10-15 EUR USD 1.1712");
}
