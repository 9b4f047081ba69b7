//! Who is a bot and who is none; also by the cases of uap-core's own tests (https://github.com/ua-parser/uap-core), read from the
//! checkout that `UAP_CORE` names: they are too large to be here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

const PERSON: Signs = Signs { accept_language: true, sec_fetch: true, headless_brand: false, https: true };

fn judge(user_agent: &str) -> Verdict {
    super::judge(user_agent.as_bytes(), b"/", PERSON)
}

#[test]
fn bots_that_say_so_are_certain() {
    for (user_agent, bot, reason) in [
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "googlebot",
            Reason::Crawler,
        ),
        (
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0)",
            "bingbot",
            Reason::Crawler,
        ),
        (
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "facebookexternalhit",
            Reason::LinkPreview,
        ),
        ("TelegramBot (like TwitterBot)", "telegrambot", Reason::LinkPreview),
        ("WhatsApp/2.23.20.0", "whatsapp", Reason::LinkPreview),
        ("curl/8.5.0", "curl", Reason::HttpLibrary),
        ("python-requests/2.31.0", "python-requests", Reason::HttpLibrary),
        (
            "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0.0.0 Safari/537.36",
            "headlesschrome",
            Reason::Headless,
        ),
        (
            "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
            "uptimerobot",
            Reason::Monitor,
        ),
        ("SomeNew Bot/1.0", "bot", Reason::Crawler),
        ("FreshlyMadeBot/1.0", "bot", Reason::Crawler),
        ("", "(no user agent)", Reason::NoUserAgent),
        ("  ", "(no user agent)", Reason::NoUserAgent),
    ] {
        let verdict = judge(user_agent);
        assert!(verdict.is_certain(), "{user_agent}");
        assert_eq!((verdict.bot, verdict.reasons), (bot, reason as u32), "{user_agent}");
    }
}

#[test]
fn people_pass() {
    for user_agent in [
        "Mozilla/5.0 (Linux; U; Android 4.1.1; ru-kz; HTC_Butterfly Build/JRO03C) AppleWebKit/534.30 Mobile Safari/534.30",
        "Mozilla/5.0 (Linux; Android 4.2.2; HTC J butterfly Build/JDQ39) AppleWebKit/537.36 Chrome/29.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 9; Cubot X19) AppleWebKit/537.36 Chrome/80.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 8.1; CUBOT_NOTE_S) AppleWebKit/537.36 Chrome/80.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 10; CUBOT) AppleWebKit/537.36 Chrome/80.0 Mobile Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 [LinkedInApp]/9.29",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/21A329 [FBAN/FBIOS;FBAV/440.0]",
        "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Chrome/117.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/440.0]",
        "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Chrome/117.0 Mobile Safari/537.36 Instagram 300.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) Twitter for iPhone/9.60",
        "Mozilla/5.0 (Linux; arm_64; Android 12) YaApp_Android/22.116 YaSearchBrowser/22.116",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) musical_ly_33.5.0 BytedanceWebview/d8a21c6",
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/124.0 Mobile Safari/537.36 Telegram-Android/10.14.2",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Telegram-iOS/10.1",
        "Mozilla/5.0 (Linux; Android 13; SM-A536B) Chrome/120.0 Mobile Safari/537.36 Viber/21.3",
        "Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 Silk/108.4 like Chrome/108.0 Safari/537.36",
    ] {
        assert_eq!(judge(user_agent), Verdict::default(), "{user_agent}");
    }
}

/// The sample strings that come with the list.
#[test]
fn nearly_all_samples_of_the_list_are_bots() {
    let samples: Vec<&str> = include_str!("../data/bot-agents.txt").lines().collect();
    let left: Vec<&&str> = samples.iter().filter(|agent| !judge(agent).is_certain()).collect();
    println!("{} of {} samples are bots; left: {left:#?}", samples.len() - left.len(), samples.len());
    assert!(samples.len() > 2000);
    assert!(left.len() * 100 <= samples.len(), "{left:#?}");
}

/// Agents of people: all that uap-core's cases of devices, and its list of Firefoxes, do not call a spider.
#[test]
#[ignore = "needs a checkout of uap-core: UAP_CORE=… cargo test --lib -- --ignored people_are_rarely"]
fn people_are_rarely_taken_for_bots() {
    let mut all = cases("tests/test_device.yaml");
    all.extend(cases("test_resources/firefox_user_agent_strings.yaml"));
    let is = |case: &Case, family| case.get("family").is_some_and(|known| known == family);
    let agents = all.iter().filter(|case| !is(case, "Spider")).map(|case| &case["user_agent_string"]);
    let people: Vec<&String> = agents.filter(|agent| agent.starts_with("Mozilla/5.0")).collect();
    let taken: Vec<_> = people.iter().filter(|agent| judge(agent).is_certain()).collect();
    println!("{} of {} people are taken for bots: {taken:#?}", taken.len(), people.len());
    assert!(people.len() > 9_000 && taken.len() * 200 <= people.len());
    let spiders: Vec<_> = all.iter().filter(|case| is(case, "Spider")).collect();
    let missed: Vec<_> =
        spiders.iter().filter(|case| !judge(&case["user_agent_string"]).is_certain()).collect();
    println!("{} of {} spiders are taken for people", missed.len(), spiders.len());
}

#[test]
fn a_chromium_without_its_headers_is_doubtful_or_worse() {
    let chrome = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36";
    let judge = |signs| super::judge(chrome, b"/", signs);
    assert_eq!(judge(PERSON).score, 0);
    assert_eq!(judge(Signs { accept_language: false, ..PERSON }).score, 60);
    assert_eq!(judge(Signs { sec_fetch: false, ..PERSON }).score, 60);
    assert_eq!(judge(Signs { sec_fetch: false, https: false, ..PERSON }).score, 0, "plain http has none");
    assert!(judge(Signs { sec_fetch: false, accept_language: false, https: true, ..PERSON }).is_certain());
    assert!(judge(Signs { headless_brand: true, ..PERSON }).is_certain());
}

#[test]
fn who_looks_for_holes_is_no_visitor() {
    let firefox = b"Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0";
    let score = |path: &str| super::judge(firefox, path.as_bytes(), PERSON).score;
    for path in ["/.env", "/.ENV.bak", "/.git/config", "/phpMyAdmin/index.php", "/cgi-bin/x"] {
        assert_eq!(score(path), CERTAIN, "{path}");
    }
    assert_eq!(score("/wp-login.php"), 60, "a shop's staff may go there");
    for path in ["/", "/environment", "/p/.env", "/git/", "/wp-admin/admin-ajax.php", "/wp-content/x"] {
        assert_eq!(score(path), 0, "{path}");
    }
}

/// The fields of a case: `user_agent_string`, and what is to be read of it.
pub(crate) type Case = BTreeMap<String, String>;

/// The cases of a file. Null and empty values are left out.
pub(crate) fn cases(file: &str) -> Vec<Case> {
    let folder = PathBuf::from(std::env::var_os("UAP_CORE").expect("UAP_CORE"));
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().map(str::trim) {
        let Some((name, value)) = line.trim_start_matches("- ").split_once(':') else { continue };
        if name == "user_agent_string" {
            cases.push(Case::new());
        }
        let value = unquoted(value.trim());
        if let Some(case) = cases.last_mut().filter(|_| !matches!(value.as_str(), "" | "~" | "null")) {
            case.insert(name.to_owned(), value);
        }
    }
    cases.retain(|case| case.contains_key("user_agent_string"));
    cases
}

fn unquoted(value: &str) -> String {
    let within = |sign: char| value.strip_prefix(sign).and_then(|rest| rest.strip_suffix(sign));
    match (within('\''), within('"')) {
        (Some(text), _) => text.replace("''", "'"),
        (None, Some(text)) => text.replace("\\\"", "\"").replace("\\\\", "\\"),
        (None, None) => value.to_owned(),
    }
}
