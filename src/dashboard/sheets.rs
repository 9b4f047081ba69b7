//! Which page shows what: each is one report of the API, part by part. A new report needs a line here and a word.

/// A page about one report.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// The report's name in the API; its page's address and word, too.
    pub(crate) name: &'static str,
    /// The heading under which the navigation has it.
    pub(crate) group: &'static str,
    /// What of the answer is shown, in order.
    pub(crate) parts: &'static [Part],
    /// What is asked where the page's address says nothing.
    pub(crate) defaults: Defaults,
}

/// A part of an answer. `at` is a JSON pointer into the results, names are those of fields or paths within a row.
#[derive(Debug)]
pub(crate) enum Part {
    /// Single numbers.
    Figures { title: &'static str, at: &'static str, fields: &'static [&'static str] },
    /// What is known of one thing; what is absent is left out.
    Facts { title: &'static str, at: &'static str, fields: &'static [&'static str] },
    /// What there are several of.
    Rows(Table),
    /// What belongs to all rows, those that are not shown included.
    Sums { title: &'static str, fields: &'static [&'static str] },
    /// Columns in the course of time, of each of these numbers.
    Series { fields: &'static [&'static str] },
    /// What each cohort did in each period.
    Matrix,
}

/// A table: what rows are about, then their numbers.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its heading, where the page's own does not say it.
    pub(crate) title: &'static str,
    pub(crate) at: &'static str,
    pub(crate) labels: &'static [&'static str],
    pub(crate) numbers: &'static [&'static str],
    /// The number that is drawn beside its text.
    pub(crate) bar: &'static str,
}

use crate::dashboard::question::Defaults;
use crate::terms::MEASURES;

use Part::{Facts, Figures, Matrix, Rows, Series, Sums};

/// Headings of the navigation.
pub(crate) const GROUPS: [&str; 6] =
    ["group.now", "group.acquisition", "group.people", "group.sales", "group.visits", "group.quality"];

/// The most important of [`MEASURES`], where there is little room, and where there is less.
pub(crate) const FEW_MEASURES: &[&str] = &["sessions", "conversions", "conversion_rate", "revenue"];
pub(crate) const FEWER_MEASURES: &[&str] = &["sessions", "conversion_rate", "revenue"];

/// The numbers of a bucket of time.
const IN_TIME: &[&str] = &["sessions", "visitors", "page_views", "conversions", "orders", "revenue"];

/// The same, and those of the bucket beside it, where there is one.
const IN_TIME_BESIDE: &[&str] = &[
    "sessions",
    "previous/sessions",
    "visitors",
    "previous/visitors",
    "page_views",
    "conversions",
    "orders",
    "previous/orders",
    "revenue",
    "previous/revenue",
];

/// Amounts of an order.
const AMOUNTS: &[&str] = &["gross", "paid", "cancelled", "refunded", "net"];

const TOUCH: &[&str] = &[
    "at",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_content",
    "utm_term",
    "click_ids",
    "inferred_from",
    "referrer",
    "landing_page",
];

/// A page.
const fn sheet(name: &'static str, group: &'static str, parts: &'static [Part]) -> Sheet {
    Sheet { name, group, parts, defaults: &[] }
}

/// A table of the lists' numbers.
const fn measures(labels: &'static [&'static str]) -> Part {
    rows("", "", labels, MEASURES, "sessions")
}

const fn rows(
    title: &'static str,
    at: &'static str,
    labels: &'static [&'static str],
    numbers: &'static [&'static str],
    bar: &'static str,
) -> Part {
    Rows(Table { title, at, labels, numbers, bar })
}

/// The pages of the navigation, in its order.
pub(crate) const SHEETS: &[Sheet] = &[
    Sheet {
        name: "realtime",
        group: "group.now",
        defaults: &[],
        parts: &[
            Figures { title: "minutes.5", at: "/last_5_minutes", fields: NOW },
            Figures { title: "minutes.30", at: "/last_30_minutes", fields: NOW },
            rows("sources", "/sources", &["source"], NOW_IN_ROWS, "last_30_minutes/visitors"),
            rows("pages", "/pages", &["path", "host"], NOW_IN_ROWS, "last_30_minutes/visitors"),
        ],
    },
    Sheet {
        name: "timeseries",
        group: "group.now",
        defaults: &[],
        parts: &[Series { fields: IN_TIME }, rows("", "", &["from"], IN_TIME_BESIDE, "sessions")],
    },
    sheet("channels", "group.acquisition", &[measures(&["channel"])]),
    sheet("sources", "group.acquisition", &[measures(&["source"])]),
    sheet("campaigns", "group.acquisition", &[measures(&["campaign", "source", "medium"])]),
    sheet("content", "group.acquisition", &[measures(&["content", "campaign", "source"])]),
    sheet("landing-pages", "group.acquisition", &[measures(&["landing_page", "landing_host"])]),
    sheet("referrers", "group.acquisition", &[measures(&["referrer"])]),
    Sheet {
        name: "attribution",
        group: "group.acquisition",
        defaults: &[],
        parts: &[
            Figures {
                title: "numbers",
                at: "",
                fields: &["orders", "median_touches", "median_days_to_order"],
            },
            rows("models.revenue", "/rows", CREDITED, REVENUE_BY_MODEL, ""),
            rows("models.orders", "/rows", CREDITED, ORDERS_BY_MODEL, ""),
            rows("paths", "/paths", &["touches"], &["orders", "revenue"], "orders"),
        ],
    },
    Sheet {
        name: "ab-test",
        group: "group.acquisition",
        defaults: &[("period", "month")],
        parts: &[
            Facts { title: "numbers", at: "", fields: &["campaign", "winner", "conclusion", "design"] },
            rows("variants", "/variants", &["content"], VARIANT, "conversion_rate"),
        ],
    },
    sheet("geo", "group.people", &[measures(&["country_name", "country"])]),
    sheet("geo/regions", "group.people", &[measures(&["region", "country"])]),
    sheet("geo/cities", "group.people", &[measures(&["city", "region", "country"])]),
    sheet("devices", "group.people", &[measures(&["device", "brand", "model"])]),
    sheet("browsers", "group.people", &[measures(&["browser", "version"])]),
    sheet("operating-systems", "group.people", &[measures(&["os", "version"])]),
    Sheet {
        name: "returning-visitors",
        group: "group.people",
        defaults: &[],
        parts: &[
            Figures {
                title: "numbers",
                at: "",
                fields: &[
                    "total_sessions",
                    "first_visits",
                    "first_visit_rate",
                    "returning_visits",
                    "returning_visit_rate",
                    "median_days_between_sessions",
                ],
            },
            rows("by_number", "/sessions_by_number", &["session_number"], &["sessions", "rate"], "sessions"),
        ],
    },
    Sheet {
        name: "cohort-analysis",
        group: "group.people",
        defaults: &[("period", "90d")],
        parts: &[
            Matrix,
            rows("totals", "/totals", &["cohort"], &["size", "converted", "orders", "revenue"], "size"),
        ],
    },
    Sheet {
        name: "ltv-comparison",
        group: "group.people",
        defaults: &[("period", "year")],
        parts: &[rows(
            "",
            "",
            &["source"],
            &[
                "visitors",
                "customers",
                "orders",
                "revenue",
                "ltv_per_visitor",
                "ltv_per_customer",
                "orders_per_customer",
                "avg_order_value",
                "ltv_per_visitor_30",
                "ltv_per_visitor_60",
                "ltv_per_visitor_90",
            ],
            "ltv_per_visitor",
        )],
    },
    Sheet {
        name: "repeat-rate",
        group: "group.people",
        defaults: &[("period", "year")],
        parts: &[
            Figures {
                title: "numbers",
                at: "",
                fields: &[
                    "total_customers",
                    "repeat_customers",
                    "one_time_customers",
                    "repeat_rate",
                    "total_orders",
                    "avg_orders_per_customer",
                    "median_days_between_orders",
                ],
            },
            rows(
                "within",
                "/within",
                &["days"],
                &["customers", "repeat_customers", "repeat_rate"],
                "repeat_rate",
            ),
        ],
    },
    Sheet {
        name: "funnel",
        group: "group.sales",
        defaults: &[("mode", "open")],
        parts: &[rows(
            "",
            "",
            &["step"],
            &["sessions", "rate_of_total", "rate_of_previous", "drop_off", "median_seconds"],
            "rate_of_total",
        )],
    },
    sheet(
        "products",
        "group.sales",
        &[rows(
            "",
            "",
            &["name", "product_id"],
            &[
                "views",
                "cart_adds",
                "cart_removes",
                "purchases",
                "quantity",
                "revenue",
                "view_to_cart_rate",
                "cart_to_purchase_rate",
                "view_to_purchase_rate",
            ],
            "views",
        )],
    ),
    sheet(
        "orders",
        "group.sales",
        &[
            rows(
                "",
                "",
                &[
                    "order_id",
                    "order_number",
                    "placed_at",
                    "source",
                    "medium",
                    "campaign",
                    "joined_by",
                    "currency",
                ],
                AMOUNTS,
                "",
            ),
            Sums { title: "sums", fields: &["orders", "paid_orders", "gross", "paid", "refunds", "revenue"] },
        ],
    ),
    Sheet {
        name: "roi",
        group: "group.sales",
        defaults: &[],
        parts: &[Figures {
            title: "numbers",
            at: "",
            fields: &[
                "revenue",
                "ad_spend",
                "profit",
                "roi",
                "roas",
                "conversions",
                "cost_per_conversion",
                "new_customers",
                "cac",
                "avg_order_value",
            ],
        }],
    },
    sheet(
        "sessions",
        "group.visits",
        &[rows(
            "",
            "",
            &[
                "session_id",
                "first_seen",
                "source",
                "medium",
                "campaign",
                "landing_page",
                "device_type",
                "country_name",
            ],
            &["session_number", "page_views", "actions", "score", "orders"],
            "",
        )],
    ),
    sheet(
        "inspect",
        "group.visits",
        &[rows(
            "",
            "",
            &["at", "method", "host", "path", "status", "verdict", "bot", "why", "session_id"],
            &[],
            "",
        )],
    ),
    Sheet {
        name: "coverage",
        group: "group.quality",
        defaults: &[],
        parts: &[
            Figures {
                title: "sessions",
                at: "/sessions",
                fields: &[
                    "counted",
                    "page_views",
                    "without_cookie",
                    "without_cookie_rate",
                    "joined_landings",
                    "flagged",
                    "excluded",
                ],
            },
            Figures {
                title: "orders",
                at: "/orders",
                fields: &[
                    "orders",
                    "seen",
                    "reported",
                    "seen_and_reported",
                    "seen_rate",
                    "with_visitor",
                    "visitor_rate",
                    "with_touch",
                    "touch_rate",
                ],
            },
            Figures { title: "denied", at: "/denied", fields: &["page_views", "landings", "orders"] },
            rows("bots.names", "/bots/names", &["bot", "reasons"], &["hits"], "hits"),
            rows("exclusions", "/exclusions", &["kind"], &["hits", "sessions"], "hits"),
            rows(
                "orders.days",
                "/orders/days",
                &["day"],
                &[
                    "orders",
                    "seen",
                    "reported",
                    "by_rule",
                    "by_header",
                    "by_import",
                    "by_api",
                    "with_visitor",
                    "with_touch",
                ],
                "orders",
            ),
        ],
    },
    sheet(
        "tag-health",
        "group.quality",
        &[rows(
            "",
            "",
            &["finding", "source", "medium", "campaign", "content", "term", "landing_page"],
            &["hits"],
            "hits",
        )],
    ),
];

const NOW: &[&str] = &["visitors", "page_views", "actions", "orders"];

const NOW_IN_ROWS: &[&str] = &[
    "last_5_minutes/visitors",
    "last_5_minutes/page_views",
    "last_5_minutes/actions",
    "last_30_minutes/visitors",
    "last_30_minutes/page_views",
    "last_30_minutes/actions",
];

const CREDITED: &[&str] = &["campaign", "content", "source", "medium", "channel"];

const REVENUE_BY_MODEL: &[&str] = &[
    "models/last_non_direct/revenue",
    "models/first/revenue",
    "models/last/revenue",
    "models/last_paid/revenue",
    "models/linear/revenue",
    "models/position/revenue",
    "models/time_decay/revenue",
];

const ORDERS_BY_MODEL: &[&str] = &[
    "models/last_non_direct/orders",
    "models/first/orders",
    "models/last/orders",
    "models/last_paid/orders",
    "models/linear/orders",
    "models/position/orders",
    "models/time_decay/orders",
    "assisted_conversions",
];

const VARIANT: &[&str] = &[
    "visitors",
    "conversions",
    "conversion_rate",
    "conversion_rate_interval",
    "revenue",
    "revenue_per_visitor",
    "probability_to_be_best",
    "against_baseline/difference",
    "against_baseline/adjusted_p_value",
    "against_baseline/is_significant",
    "missing_visitors",
];

/// One session.
pub(crate) const SESSION: Sheet = Sheet {
    name: "session",
    group: "",
    defaults: &[],
    parts: &[
        Facts {
            title: "facts",
            at: "/session",
            fields: &[
                "first_seen",
                "last_seen",
                "seconds",
                "session_number",
                "visitor_id",
                "identity",
                "site",
                "source",
                "medium",
                "campaign",
                "content",
                "term",
                "channel",
                "inferred_from",
                "click_ids",
                "referrer",
                "landing_host",
                "landing_page",
                "device_type",
                "os_name",
                "browser_name",
                "country_name",
                "region",
                "city",
                "ip_address",
                "page_views",
                "actions",
                "score",
                "is_converted",
                "is_bot",
                "bot_score",
                "bot_reasons",
                "is_excluded",
            ],
        },
        rows("touches", "/touches", TOUCH, &[], ""),
        rows(
            "actions",
            "/actions",
            &["at", "type", "host", "path", "product_name", "order_id", "status"],
            &["seconds", "value", "points"],
            "",
        ),
        rows("orders", "/orders", &["order_id", "placed_at", "joined_by", "currency"], AMOUNTS, ""),
    ],
};

/// Why one order is credited as it is.
pub(crate) const ORDER: Sheet = Sheet {
    name: "order",
    group: "",
    defaults: &[],
    parts: &[
        Facts {
            title: "facts",
            at: "/order",
            fields: &[
                "order_id",
                "order_number",
                "site",
                "placed_at",
                "paid_at",
                "delivered_at",
                "currency",
                "gross",
                "paid",
                "cancelled",
                "refunded",
                "net",
                "session_id",
                "visitor_id",
                "points",
            ],
        },
        Facts { title: "join", at: "/join", fields: &["rule", "explanation"] },
        rows("touches", "/touches", TOUCH_OF_ORDER, &[], ""),
        rows("ignored", "/ignored", &["at", "host", "page", "why", "reason", "session_id"], &[], ""),
        rows(
            "credits",
            "/credits",
            &["model", "touch_at", "source", "medium", "campaign", "referrer"],
            &["credit"],
            "",
        ),
        rows(
            "entries",
            "/entries",
            &["at", "status", "way", "reference", "received_at", "currency"],
            &["value"],
            "",
        ),
    ],
};

const TOUCH_OF_ORDER: &[&str] = &[
    "at",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "click_ids",
    "inferred_from",
    "referrer",
    "verdict",
    "reason",
    "session_id",
];

/// What can be had as a file.
pub(crate) const EXPORTS: [&str; 6] =
    ["sessions", "actions", "orders", "touches", "google-offline-conversions", "meta-conversions"];

impl Sheet {
    /// The one of this name.
    pub(crate) fn of(name: &str) -> Option<&'static Sheet> {
        SHEETS.iter().find(|sheet| sheet.name == name)
    }

    /// What is kept from page to page and means nothing here: all models stand side by side, bots are told apart.
    pub(crate) fn fixed(&self) -> &'static [&'static str] {
        match self.name {
            "attribution" => &["model"],
            "coverage" => &["bots"],
            _ => &[],
        }
    }

    /// All fields that it shows, with their paths.
    pub(crate) fn fields(&self) -> impl Iterator<Item = String> {
        self.parts.iter().flat_map(move |part| {
            let within = match part {
                Figures { at, .. } | Facts { at, .. } | Rows(Table { at, .. }) => at,
                Sums { .. } | Series { .. } | Matrix => "",
            };
            let (labels, numbers): (&[&str], &[&str]) = match part {
                Figures { fields, .. } | Facts { fields, .. } | Sums { fields, .. } | Series { fields } => {
                    (&[], fields)
                }
                Rows(table) => (table.labels, table.numbers),
                Matrix => (&["cohort"], &["size"]),
            };
            labels.iter().chain(numbers).map(move |field| format!("{}{within}/{field}", self.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::words::known;
    use crate::terms::{Locale, Term};

    #[test]
    fn everything_that_is_shown_has_a_word_and_a_definition() {
        let mut missing: Vec<String> = Vec::new();
        for sheet in SHEETS.iter().chain([&SESSION, &ORDER]) {
            missing.extend(sheet.fields().filter(|field| Term::of(field).is_none()));
            let titles = sheet.parts.iter().filter_map(|part| match part {
                Figures { title, .. }
                | Facts { title, .. }
                | Sums { title, .. }
                | Rows(Table { title, .. }) => Some(*title),
                Series { .. } | Matrix => None,
            });
            let words = titles.filter(|title| !title.is_empty()).chain([sheet.name]);
            missing.extend(words.filter(|word| known(word, Locale::default()).is_none()).map(str::to_owned));
        }
        let groups = GROUPS.into_iter().filter(|word| known(word, Locale::default()).is_none());
        missing.extend(groups.map(str::to_owned));
        assert!(missing.is_empty(), "{missing:?}");
        assert!(SHEETS.iter().all(|sheet| GROUPS.contains(&sheet.group)));
    }
}
