//! `check`, as a person meets it: the real program, its exit code and what it prints.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

fn utm_dispatcher(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"));
    command.args(arguments).env_remove("UTM_DISPATCHER_CONFIG").output().unwrap()
}

fn check(config: &Path) -> Output {
    utm_dispatcher(&["check", "--config", config.to_str().unwrap()])
}

fn delivered(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn minimal() -> String {
    std::fs::read_to_string(delivered("minimal.toml")).unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn the_readme_shows_a_configuration_that_works() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, shown) = readme.split_once("```toml\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, shown.split("```").next().unwrap()).unwrap();
    let output = check(&file);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn the_delivered_files_are_fine() {
    for name in ["minimal.toml", "example.toml"] {
        let output = check(&delivered(name));
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        assert!(stdout(&output).contains("session_timeout = \"30m\""), "{}", stdout(&output));
    }
}

#[test]
fn a_wrong_key_ends_check_with_64_and_is_pointed_at() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, minimal().replace("[journal]", "[journal]\nfsnc = \"always\"")).unwrap();
    let output = check(&file);
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(stdout(&output), "");
    let line = 1 + minimal().lines().position(|line| line == "[journal]").unwrap() + 1;
    let place = format!("--> {}:{line}:1", file.display());
    let caret =
        format!("| fsnc = \"always\"\n{} | ^^^^ did you mean `fsync`?", " ".repeat(line.to_string().len()));
    assert!(stderr(&output).contains(&place), "{}", stderr(&output));
    assert!(stderr(&output).contains(&caret), "{}", stderr(&output));
}

#[test]
fn check_prints_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let token = format!("[[stats.token]]\nname = \"dashboard\"\nscope = \"read\"\nhash = \"{hash}\"\n");
    std::fs::write(&file, minimal().replace("utm@", "utm:hunter2@") + &token).unwrap();
    let output = check(&file);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("url = \"postgres://utm:*******@127.0.0.1/utm\""),
        "{}",
        stdout(&output)
    );
    assert!(stdout(&output).contains("name = \"dashboard\""), "{}", stdout(&output));
    assert!(!stdout(&output).contains("hunter2") && !stdout(&output).contains(hash), "{}", stdout(&output));
}

#[test]
fn check_warns_of_a_certificate_that_ends_soon() {
    let files = tempfile::tempdir().unwrap();
    let (pem, key_file) = (files.path().join("a.pem"), files.path().join("a.key"));
    let now = SystemTime::now();
    let day = Duration::from_secs(24 * 60 * 60);
    for (end, said) in [
        (now - day, Some("has expired; browsers refuse it")),
        (now + 3 * day, Some("expires in 71 hours")),
        (now + 30 * day, None),
    ] {
        let mut params = rcgen::CertificateParams::new(vec!["shop.test".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = end.into();
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&pem, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        let config = files.path().join("config.toml");
        let (pem, key_file) = (pem.display(), key_file.display());
        let table = format!("[[proxy.tls]]\ncertificate = \"{pem}\"\nkey = \"{key_file}\"\n[[upstream]]");
        let text = minimal().replacen("[proxy]", "[proxy]\ntls_listen = [\"127.0.0.1:0\"]", 1);
        std::fs::write(&config, text.replacen("[[upstream]]", &table, 1)).unwrap();
        let output = check(&config);
        assert!(output.status.success(), "{}", stderr(&output));
        match said {
            Some(said) => {
                let warning = format!("warning: the certificate in {pem} {said}");
                assert!(stderr(&output).contains(&warning), "{}", stderr(&output));
            }
            None => assert_eq!(stderr(&output), ""),
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let output = check(Path::new("/nonexistent/config.toml"));
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("cannot read the configuration"), "{}", stderr(&output));
    assert!(stderr(&output).contains("/nonexistent/config.toml"), "{}", stderr(&output));
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_utm-dispatcher"));
    let output =
        command.arg("check").env("UTM_DISPATCHER_CONFIG", delivered("minimal.toml")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn bad_usage_ends_with_64_and_help_with_0() {
    for arguments in
        [&["chekc"][..], &[], &["check", "--nonsense"], &["token", "create", "a", "--scope", "all"]]
    {
        assert_eq!(utm_dispatcher(arguments).status.code(), Some(64), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["token", "--help"]] {
        assert_eq!(utm_dispatcher(arguments).status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn check_warns_of_upstreams_of_one_site_that_undo_each_others_sticky_cookie() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let upstream = |name: &str, port: u16, cookie: &str| {
        format!(
            "[[upstream]]\nname = \"{name}\"\nservers = [\"http://127.0.0.1:{port}\"]\nsticky_cookie = \"{cookie}\"\n"
        )
    };
    let route = |path: &str, name: &str, site: &str| {
        format!("[[route]]\npath = \"{path}\"\nupstream = \"{name}\"\nsite = \"{site}\"\n")
    };
    let warned = |cookie: &str, blogs_site: &str| {
        let tables = [
            upstream("shop", 1, "server"),
            upstream("blog", 2, cookie),
            route("/", "shop", "main"),
            route("/blog", "blog", blogs_site),
            route("/news", "blog", blogs_site),
        ];
        let text = minimal();
        let (begin, rest) =
            (text.split_once("[[upstream]]").unwrap().0, text.split_once("[database]").unwrap().1);
        std::fs::write(&file, format!("{begin}{}[database]{rest}", tables.concat())).unwrap();
        let output = check(&file);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output).to_owned()
    };
    assert_eq!(
        warned("server", "main"),
        "warning: upstreams shop and blog of site main have the same sticky_cookie, server; each undoes what the other \
         chose\n"
    );
    assert_eq!(warned("server", "blogs"), "");
    assert_eq!(warned("blog_server", "main"), "");
}

/// A day in the life of a shop, as nginx wrote it.
const LOG: &str = concat!(
    "203.0.113.5 - - [24/Nov/2026:10:00:00 +0000] \"GET /shoes?utm_source=mail&id=s3cret HTTP/1.1\" 200 5 \"-\" \"x\"\n",
    "203.0.113.5 - - [24/Nov/2026:10:00:01 +0000] \"GET /a?q=\\x22s3cret\\x22 HTTP/1.1\" 200 5 \"-\" \"x\"\n",
    "203.0.113.5 - - [24/Nov/2026:10:00:02 +0000] \"TRACE / HTTP/1.1\" 405 5\n",
    "203.0.113.5 - - [24/Nov/2026:10:00:03 +0000] \"POST /cart?utm_source=mail HTTP/2.0\" 302 5 \"-\" \"x\"\n",
    "203.0.113.5 - - [24/Nov/2026:10:00:04 +0000] \"-\" 400 0 \"-\" \"-\"\n",
    "203.0.113.5 - - [24/Nov/2026:10:00:05 +0000] \"GET  /two-blanks HTTP/1.1\" 200 5 \"-\" \"x\"\n",
    "{\"method\":\"GET\",\"path\":\"/fine\",\"protocol\":\"HTTP/1.1\",\"status\":200,\"host\":\"shop.test\"}\n",
    "this is no line of a log\n",
    "203.0.113.5 - - [24/Nov/2026:10:00:06 +0000] \"TRACE /of/anna@example.com/3b7e9a40f1c85d26e4b0 HTTP/1.1\" 405 5\n",
    "203.0.113.5 - - [24/Nov/2026:10:00:07 +0000] \"GET http://anna:s3cret@shop.test/a HTTP/1.1\" 200 5 \"-\" \"x\"\n",
    "203.0.113.5 - - [24/Nov/2026:10:00:08 +0000] \"s3cret of anna@example.com\" 400 0 \"-\" \"-\"\n",
);

#[test]
fn check_says_what_would_become_of_the_requests_of_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let config = delivered("minimal.toml");
    let long = format!("x - - [t] \"GET /{} HTTP/1.1\" 200 5\n", "a".repeat(40_000));
    let plain = folder.path().join("access.log");
    std::fs::write(&plain, format!("{LOG}{long}")).unwrap();
    let packed = folder.path().join("access.log.1.gz");
    let gzip = Command::new("gzip").arg("-c").arg(&plain).output().unwrap();
    std::fs::write(&packed, gzip.stdout).unwrap();
    let told = |log: &Path| {
        let arguments =
            ["check", "--config", config.to_str().unwrap(), "--access-log", log.to_str().unwrap()];
        let output = utm_dispatcher(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).to_owned()
    };
    let text = told(&plain);
    for line in [
        "access.log: 12 lines, 10 requests\n",
        "\nrefused: 6\n",
        "  2  malformed, answered with 400 (1 of them were answered with less than 400)\n",
        "      line 11: no request line, 26 bytes\n",
        "      line 6: GET /two-blanks\n",
        "  2  method, answered with 405 (0 of them were answered with less than 400)\n      line 3: TRACE /\n\
         \x20     line 9: TRACE /of/{email}/{token}\n",
        "      line 10: GET http://shop.test/a\n",
        "  1  target_too_long, answered with 414 (1 of them",
        "\nchanged: 2\n",
        "  1  bytes of the target that no URL may have",
        "      line 2: GET /a?…\n",
        "  1  parameters are taken off its query (strip) (1 of them",
        "      line 1: GET /shoes?…\n",
        "  1  no request came on the connection",
        "  1  came over HTTP/2 or 3",
        "      line 4: POST /cart?…\n",
        "\nlines that could not be read: 1\n    line 8\n",
    ] {
        assert!(text.contains(line), "{line:?} in:\n{text}");
    }
    assert!(!text.contains("s3cret") && !text.contains("anna") && !text.contains("203.0.113"), "{text}");
    assert_eq!(told(&packed).split_once('\n').unwrap().1, text.split_once('\n').unwrap().1);

    let missing = folder.path().join("missing.log");
    let arguments =
        ["check", "--config", config.to_str().unwrap(), "--access-log", missing.to_str().unwrap()];
    assert_eq!(utm_dispatcher(&arguments).status.code(), Some(1));
}
