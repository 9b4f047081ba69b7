//! Device, system and browser from the `User-Agent` field, by uap-core's tables, and from what Client Hints add to it.
//!
//! The tables are read when the first agent is read, 0.1 to 1 s, never while the program starts. They say
//! what a device is called, but not what it is: that is told from marks in the text.

use std::sync::LazyLock;

use uaparser::{Parser, UserAgentParser};

/// What a `User-Agent` says, and Client Hints beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// `desktop`, `mobile`, `tablet`, `tv` or `unknown`.
    pub device_type: &'static str,
    /// Maker of the device.
    pub device_brand: Option<String>,
    /// Its model.
    pub device_model: Option<String>,
    /// Operating system.
    pub os_name: Option<String>,
    /// Its version, `17.1`.
    pub os_version: Option<String>,
    /// Browser.
    pub browser_name: Option<String>,
    /// Its version, `120.0.6099`.
    pub browser_version: Option<String>,
}

/// The tables: constant data, so that all shippers of a process share them.
static TABLES: LazyLock<Option<UserAgentParser>> = LazyLock::new(load);

impl Agent {
    /// `client_hints` as `capture::hints` writes them. Takes 0.2 to 0.4 ms, the first time up to a second: call it off the
    /// request path, once per agent.
    pub fn of(user_agent: &str, client_hints: &str) -> Agent {
        let Some(parser) = TABLES.as_ref() else { return Agent::unknown() };
        let client = parser.parse(user_agent);
        let os_name = named(&client.os.family);
        let mut agent = Agent {
            device_type: device_type(user_agent, &client.device.family, os_name.as_deref()),
            device_brand: client.device.brand.map(String::from),
            device_model: client.device.model.map(String::from),
            os_name,
            os_version: version(&[client.os.major, client.os.minor, client.os.patch]),
            browser_name: named(&client.user_agent.family),
            browser_version: version(&[
                client.user_agent.major,
                client.user_agent.minor,
                client.user_agent.patch,
            ]),
        };
        for hint in client_hints.split("; ") {
            agent.take(hint, user_agent, &client.device.family);
        }
        agent
    }

    /// Hints come after what a user agent names itself: a browser that calls itself anything but Chrome, or a system
    /// other than Linux, says so on purpose.
    fn take(&mut self, hint: &str, user_agent: &str, family: &str) {
        match hint.split_once('=') {
            Some(("browser", hint))
                if matches!(self.browser_name.as_deref(), Some("Chrome" | "Chrome Mobile")) =>
            {
                let (name, version) = hint.split_once('/').unwrap_or((hint, ""));
                self.browser_name = Some(name.to_owned());
                self.browser_version = Some(version.to_owned());
            }
            Some(("system", name)) if matches!(self.os_name.as_deref(), None | Some("Linux")) => {
                // As the tables call them.
                let name = match name {
                    "Chromium OS" => "Chrome OS",
                    "macOS" => "Mac OS X",
                    name => name,
                };
                (self.os_name, self.os_version) = (Some(name.to_owned()), None);
                self.device_type = device_type(user_agent, family, Some(name));
            }
            None if hint == "mobile" && self.device_type != "tv" => self.device_type = "mobile",
            _ => {}
        }
    }

    fn unknown() -> Agent {
        Agent {
            device_type: "unknown",
            device_brand: None,
            device_model: None,
            os_name: None,
            os_version: None,
            browser_name: None,
            browser_version: None,
        }
    }
}

fn load() -> Option<UserAgentParser> {
    UserAgentParser::builder()
        .with_unicode_support(false)
        .build_from_bytes(include_bytes!("../data/regexes.yaml"))
        .inspect_err(|error| tracing::error!(%error, "user-agent tables are damaged; devices stay unknown"))
        .ok()
}

/// The tables write `Other` for what they do not know.
fn named(family: &str) -> Option<String> {
    (family != "Other" && !family.is_empty()).then(|| family.to_owned())
}

fn version<T: AsRef<str>>(parts: &[Option<T>; 3]) -> Option<String> {
    let known: Vec<&str> = parts.iter().map_while(|part| part.as_ref().map(AsRef::as_ref)).collect();
    (!known.is_empty()).then(|| known.join("."))
}

/// Marks that only television sets and their boxes carry.
const TV: [&str; 14] = [
    "smart-tv",
    "smarttv",
    "smart tv",
    "googletv",
    "android tv",
    "appletv",
    "apple tv",
    "hbbtv",
    "bravia",
    "web0s",
    "netcast",
    "crkey",
    "roku",
    // Fire TV's models.
    "; aft",
];

const DESKTOP_SYSTEMS: [&str; 13] = [
    "Windows",
    "Mac OS X",
    "Linux",
    "Ubuntu",
    "Chrome OS",
    "Fedora",
    "Debian",
    "FreeBSD",
    "OpenBSD",
    "NetBSD",
    "Solaris",
    "Red Hat",
    "Mint",
];

/// In this order: television, tablet, phone, desk. Android says `Mobile` on phones only; an iPad that asks for
/// desktop pages cannot be told from a Mac.
fn device_type(user_agent: &str, family: &str, os: Option<&str>) -> &'static str {
    let text = user_agent.to_ascii_lowercase();
    let has = |token: &str| text.contains(token);
    if TV.iter().any(|token| has(token)) || (os == Some("Tizen") && has(" tv")) {
        return "tv";
    }
    let android_tablet = os == Some("Android") && !has("mobile");
    if family == "iPad" || family == "Kindle" || has("tablet") || has("playbook") || android_tablet {
        return "tablet";
    }
    let phone_system = matches!(os, Some("Android" | "iOS" | "Windows Phone" | "KaiOS" | "BlackBerry OS"));
    if phone_system || matches!(family, "iPhone" | "iPod") || has("mobi") {
        return "mobile";
    }
    match os {
        Some(os) if DESKTOP_SYSTEMS.contains(&os) => "desktop",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::bot::tests::cases;

    /// uap-core's own cases, of the checkout that `UAP_CORE` names; they are too large to be here.
    #[test]
    #[ignore = "needs a checkout of uap-core: UAP_CORE=… cargo test --lib -- --ignored agents_are_read"]
    fn agents_are_read_as_uap_core_says() {
        for (file, fewest) in [("test_ua.yaml", 1_000), ("test_os.yaml", 400), ("test_device.yaml", 10_000)] {
            let all = cases(&format!("tests/{file}"));
            let (mut agree, mut differ) = (0, Vec::new());
            for case in &all {
                let given = |name: &str| case.get(name).cloned();
                let text = &case["user_agent_string"];
                let agent = Agent::of(text, "");
                let family = given("family").and_then(|family| named(&family));
                let of_case = version(&["major", "minor", "patch"].map(given));
                let (read, expected) = match file {
                    "test_ua.yaml" => ([agent.browser_name, agent.browser_version], [family, of_case]),
                    "test_os.yaml" => ([agent.os_name, agent.os_version], [family, of_case]),
                    _ => ([agent.device_brand, agent.device_model], [given("brand"), given("model")]),
                };
                if read == expected {
                    agree += 1;
                } else {
                    differ.push((text, read, expected));
                }
            }
            println!("{file}: {agree} of {} agree", all.len());
            differ.iter().take(20).for_each(|case| println!("  {case:?}"));
            assert!(all.len() > fewest && differ.len() * 1000 <= all.len(), "{} differ", differ.len());
        }
    }

    #[test]
    fn devices_are_what_they_are() {
        let look = |text| Agent::of(text, "");
        let iphone = look(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
             Version/17.1 Mobile/15E148 Safari/604.1",
        );
        assert_eq!((iphone.device_type, iphone.os_name.as_deref()), ("mobile", Some("iOS")));
        assert_eq!(iphone.os_version.as_deref(), Some("17.1"));
        assert_eq!(iphone.browser_name.as_deref(), Some("Mobile Safari"));
        let windows = look(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 \
             Safari/537.36",
        );
        assert_eq!((windows.device_type, windows.browser_version.as_deref()), ("desktop", Some("120.0.0")));
        let galaxy_tab = look(
            "Mozilla/5.0 (Linux; Android 12; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.3987.119 \
             Safari/537.36",
        );
        assert_eq!((galaxy_tab.device_type, galaxy_tab.device_brand.as_deref()), ("tablet", Some("Samsung")));
        let ipad = look(
            "Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
        );
        assert_eq!(ipad.device_type, "tablet");
        let television = look(
            "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/79.0.3945.79 \
             Safari/537.36",
        );
        assert_eq!(television.device_type, "tv");
        let fire = look(
            "Mozilla/5.0 (Linux; Android 9; AFTKA Build/PS7655; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 \
             Chrome/112.0.5615.213 Safari/537.36",
        );
        assert_eq!(fire.device_type, "tv");
        assert_eq!(look(""), Agent::unknown());
    }

    #[test]
    fn client_hints_add_what_the_user_agent_leaves_out() {
        let desk = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
        let look = |hints| {
            let agent = Agent::of(desk, hints);
            (
                agent.device_type,
                agent.os_name.unwrap(),
                agent.browser_name.unwrap(),
                agent.browser_version.unwrap(),
            )
        };
        let told = |device, system: &str, browser: &str, version: &str| {
            (device, system.to_owned(), browser.to_owned(), version.to_owned())
        };
        assert_eq!(look(""), told("desktop", "Linux", "Chrome", "142.0.0"));
        assert_eq!(look("browser=Brave/142"), told("desktop", "Linux", "Brave", "142"));
        assert_eq!(look("system=Chrome OS"), told("desktop", "Chrome OS", "Chrome", "142.0.0"));
        assert_eq!(look("system=Android"), told("tablet", "Android", "Chrome", "142.0.0"));
        assert_eq!(look("system=Android; mobile"), told("mobile", "Android", "Chrome", "142.0.0"));
        // What names itself is believed.
        let edge = Agent::of(
            &format!("{desk} Edg/142.0.0.0").replace("X11; Linux", "Windows NT 10.0; Win64;"),
            "browser=Brave/1; system=Linux",
        );
        assert_eq!((edge.browser_name.as_deref(), edge.os_name.as_deref()), (Some("Edge"), Some("Windows")));
    }
}
