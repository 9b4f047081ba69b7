//! The access log: what a line says, what it never says, and whom it never holds up.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use utm_dispatcher::config::{AccessLog, AccessLogFormat, StoreIp};
use utm_dispatcher::telemetry::metrics::Reason;

use crate::harness::program::{Program, Settings};
use crate::harness::{Client, DEADLINE, Proxy, Reply, Upstream, config, eventually, free_address, proxy};

/// A proxy before `upstream` that logs to `path`.
fn logging(upstream: &Upstream, format: AccessLogFormat, address: StoreIp, path: &Path) -> Proxy {
    let mut config = config(&[upstream.address()]);
    config.proxy.access_log = AccessLog { format, path: Some(path.to_owned()), address };
    config.proxy.request_id_header = Some("x-request-id".parse().unwrap());
    config.proxy.health_path = Some("/healthz".to_owned());
    proxy(config)
}

/// The log, once it has this many lines.
async fn lines(path: &Path, count: usize) -> Vec<String> {
    eventually("the log has its lines", DEADLINE, || async {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

#[tokio::test]
async fn each_answered_request_is_a_line_that_tells_no_secret() {
    let upstream = Upstream::start(|request| match request.method() {
        "POST" => Reply::with("201 Created", &[], "made"),
        _ => Reply::ok("hello"),
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("access.log");
    let proxy = logging(&upstream, AccessLogFormat::Json, StoreIp::Truncated, &path);
    let mut client = proxy.connect().await;
    client
        .send(
            "GET /shoes?utm_source=s3cret&email=s3cret HTTP/1.1\r\nHost: shop.test\r\nCookie: a=s3cret\r\n\
             Authorization: Bearer s3cret\r\nReferer: https://www.google.com/search?q=s3cret\r\n\
             User-Agent: Moz\"illa\r\nX-Request-Id: s3cret\r\n\r\n",
        )
        .await;
    let id = client.answer().await.value("x-request-id").unwrap().to_owned();
    client.send("POST /cart HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\n12345").await;
    assert_eq!(client.answer().await.status(), 201);
    client.send("HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    client.answer_to_head().await;
    assert_eq!(client.get("/healthz").await.status(), 200);
    client.send("TRACE / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 405);

    let lines = lines(&path, 5).await;
    assert_eq!(lines.len(), 5, "{lines:?}");
    let text = lines.join("\n");
    assert!(!text.contains("s3cret") && !text.contains("utm_source"), "{text}");
    let logged: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = &logged[0];
    for (field, value) in [
        ("client", "127.0.0.0"),
        ("method", "GET"),
        ("path", "/shoes"),
        ("protocol", "HTTP/1.1"),
        ("upstream", "shop"),
        ("server", &upstream.address().to_string()),
        ("request_id", &id),
        ("host", "shop.test"),
        ("referer_host", "www.google.com"),
        ("user_agent", "Moz\"illa"),
        ("site", "default"),
        ("route", "default"),
        ("end", "complete"),
    ] {
        assert_eq!(first[field], value, "{field}: {first}");
    }
    for (field, value) in [("status", 200), ("bytes_sent", 5), ("upstream_status", 200), ("query_bytes", 30)]
    {
        assert_eq!(first[field], value, "{field}: {first}");
    }
    let ms = |field: &str| first[field].as_f64().unwrap_or_else(|| panic!("{field}: {first}"));
    assert!(ms("duration_ms") >= ms("upstream_header_ms") && ms("upstream_header_ms") > 0.0);
    assert!(ms("upstream_connect_ms") > 0.0, "the first request opens a connection");
    assert!(logged[1]["upstream_connect_ms"].is_null(), "the second one finds it open");
    let head_of_post = "POST /cart HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\n".len();
    assert_eq!(logged[1]["request_bytes"], head_of_post + 5);
    assert_eq!((&logged[2]["bytes_sent"], &logged[2]["end"]), (&0.into(), &"complete".into()));
    assert_eq!((&logged[3]["reason"], &logged[3]["upstream"]), (&"health".into(), &Value::Null));
    assert_eq!((&logged[4]["reason"], &logged[4]["status"]), (&"method".into(), &405.into()));
}

#[tokio::test]
async fn a_line_says_who_broke_off() {
    let upstream = Upstream::start(|request| match request.target() {
        "/hangs" => Reply::new().until_closed(),
        "/breaks" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").close(),
        _ => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\nhalf").until_closed(),
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("access.log");
    let proxy = logging(&upstream, AccessLogFormat::Json, StoreIp::None, &path);
    assert!(!proxy.get("/breaks").await.complete);
    lines(&path, 1).await;
    let mut client = proxy.connect().await;
    client.send("GET /hangs HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    crate::harness::until("the shop has it", || upstream.received().len() == 2).await;
    drop(client);
    lines(&path, 2).await;
    let mut client = proxy.connect().await;
    client.send("GET /goes-on HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let mut some = [0; 16];
    tokio::io::AsyncReadExt::read_exact(&mut client.tcp, &mut some).await.unwrap();
    drop(client);
    let logged = lines(&path, 3).await;
    let logged: Vec<Value> = logged.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends: Vec<_> = logged.iter().map(|line| (line["status"].as_u64(), line["end"].as_str())).collect();
    assert_eq!(
        ends,
        [
            (Some(200), Some("upstream_truncated")),
            (Some(499), Some("client_gone")),
            (Some(200), Some("client_gone"))
        ]
    );
    assert_eq!(logged[0]["bytes_sent"], 4);
    assert!(logged[0]["client"].is_null(), "no address with none");
}

/// An upload cut off is the client's leaving, not a malformed body, and nobody was sent an answer.
#[tokio::test]
async fn a_client_that_goes_away_within_its_upload_is_499() {
    let upstream = Upstream::start(|_| Reply::new().until_closed()).await;
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("access.log");
    let proxy = logging(&upstream, AccessLogFormat::Json, StoreIp::Full, &path);
    for (count, upload) in [
        "Content-Length: 9\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "Content-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = proxy.connect().await;
        client.send(format!("POST /slow HTTP/1.1\r\nHost: shop.test\r\n{upload}")).await;
        crate::harness::until("the shop hears of it", || upstream.opened() == count + 1).await;
        drop(client);
        let line: Value = serde_json::from_str(lines(&path, count + 1).await.last().unwrap()).unwrap();
        let told = (line["status"].as_u64(), line["bytes_sent"].as_u64(), line["end"].as_str());
        assert_eq!(told, (Some(499), Some(0), Some("client_gone")), "{line}");
        assert!(line["reason"].is_null(), "{line}");
    }
    let refused = proxy.metrics.requests_refused.get_or_create(&Reason { reason: "body" }).get();
    assert_eq!(refused, 0);
}

/// A tunnel is one line, at its end.
#[tokio::test]
async fn a_tunnel_is_logged_at_its_end_with_what_it_passed_on() {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello";
    let upstream = Upstream::start(move |_| Reply::raw(switched).until_closed()).await;
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("access.log");
    let proxy = logging(&upstream, AccessLogFormat::Json, StoreIp::Full, &path);
    let head = "GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    let mut client = proxy.connect().await;
    client.send(format!("{head}abc")).await;
    assert_eq!(client.answer().await.status(), 101);
    let mut hello = [0; 5];
    client.read_exact(&mut hello).await;
    client.send("defg").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), "", "it goes on");
    drop(client);
    let line: Value = serde_json::from_str(&lines(&path, 1).await[0]).unwrap();
    let told = (line["status"].as_u64(), line["bytes_sent"].as_u64(), line["request_bytes"].as_u64());
    assert_eq!(told, (Some(101), Some(5), Some(head.len() as u64 + 7)), "{line}");
    assert!(line["duration_ms"].as_f64().unwrap() >= 400.0, "{line}");
}

#[tokio::test]
async fn what_was_no_request_is_shown_as_far_as_it_was_read() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let files = tempfile::tempdir().unwrap();
    for format in [AccessLogFormat::Combined, AccessLogFormat::Json] {
        let path = files.path().join(format!("{format:?}"));
        let proxy = logging(&upstream, format, StoreIp::Full, &path);
        let long = format!("PUT /long HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70 << 10));
        for (count, (request, status, shown)) in [
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, ["", "", ""]),
            ("\x16\x03\x01\r\n", 400, ["", "", ""]),
            ("GET /a?x=s3cret HTTP/1.2\r\n", 505, ["", "", ""]),
            (
                "DELETE /<a>?x=s3cret HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                400,
                ["DELETE", "/%3Ca%3E", "HTTP/1.1"],
            ),
            (
                "POST http://a/p?s3cret HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
                ["POST", "/p", "HTTP/1.0"],
            ),
            ("GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, ["GET", "", "HTTP/1.1"]),
            (&long, 431, ["PUT", "/long", "HTTP/1.1"]),
        ]
        .into_iter()
        .enumerate()
        {
            let mut client = proxy.connect().await;
            // Whoever is refused may be so before it has sent everything.
            let _ = client.try_send(request).await;
            assert_eq!(client.answer().await.status(), status, "{shown:?}");
            let line = lines(&path, count + 1).await.pop().unwrap();
            assert!(!line.contains("s3cret"), "{line}");
            let [method, target, protocol] = shown;
            if format == AccessLogFormat::Json {
                let line: Value = serde_json::from_str(&line).unwrap();
                let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
                assert_eq!([field("method"), field("path"), field("protocol")], shown, "{line}");
                let bytes = line["request_bytes"].as_u64().unwrap();
                assert!(bytes > 0 && bytes <= request.len() as u64, "{line}");
                assert!(bytes == request.len() as u64 || status == 431, "{line}");
            } else if method.is_empty() {
                assert!(line.contains(&format!("] \"-\" {status} ")), "{line}");
            } else {
                let target = if target.is_empty() { "-" } else { target };
                let said = format!("] \"{method} {target} {protocol}\" {status} ");
                assert!(line.contains(&said), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn an_upstream_that_is_away_is_named_with_the_reason() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("access.log");
    let mut config = config(&[free_address()]);
    config.proxy.access_log =
        AccessLog { format: AccessLogFormat::Combined, path: Some(path.clone()), address: StoreIp::Full };
    let combined = proxy(config.clone());
    assert_eq!(combined.get("/a b?x").await.status(), 400);
    // Lines of two workers stand in any order.
    lines(&path, 1).await;
    assert_eq!(combined.get("/a?x=1").await.status(), 502);
    let logged = lines(&path, 2).await;
    let last = logged.last().unwrap();
    assert!(last.starts_with("127.0.0.1 - - ["), "{last}");
    assert!(last.ends_with(" +0000] \"GET /a HTTP/1.1\" 502 11 \"-\" \"-\""), "{last}");

    let path = files.path().join("access.json");
    config.proxy.access_log =
        AccessLog { format: AccessLogFormat::Json, path: Some(path.clone()), address: StoreIp::Full };
    assert_eq!(proxy(config).get("/").await.status(), 502);
    let line: Value = serde_json::from_str(&lines(&path, 1).await[0]).unwrap();
    assert_eq!((line["reason"].as_str(), line["upstream"].as_str()), (Some("unreachable"), Some("shop")));
    assert!(line["upstream_status"].is_null() && line["upstream_connect_ms"].is_number(), "{line}");
}

#[tokio::test]
async fn a_frozen_disk_costs_lines_and_no_request() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // A pipe that nobody reads takes 64 KiB and then nothing: a frozen disk.
    let mut reader = File::options().read(true).write(true).open(&path).unwrap();
    let proxy = logging(&upstream, AccessLogFormat::Combined, StoreIp::Full, &path);
    let request = format!(
        "GET /{} HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: {}\r\nReferer: http://{}/\r\n\r\n",
        "a".repeat(2_000),
        "\"".repeat(512),
        "\"".repeat(512)
    );
    let (mut sent, deadline) = (0, std::time::Instant::now() + Duration::from_secs(60));
    let mut client = proxy.connect().await;
    // About 6 KiB a line; 16 MiB may wait.
    while proxy.metrics.access_log_dropped.get() == 0 {
        assert!(sent < 6_000 && std::time::Instant::now() < deadline, "lines are dropped in the end");
        for _ in 0..16 {
            client.tcp.write_all(request.as_bytes()).await.unwrap();
        }
        for _ in 0..16 {
            assert_eq!(client.answer().await.status(), 200);
        }
        sent += 16;
    }
    // It thaws: what waited is written, in whole lines.
    let thawed = std::thread::spawn(move || {
        let mut some = vec![0; 1 << 20];
        reader.read_exact(&mut some).unwrap();
        let text = String::from_utf8(some).unwrap();
        assert!(text.lines().count() > 100);
        let whole = text.rsplit_once('\n').unwrap().0;
        assert!(whole.lines().all(|line| line.starts_with("127.0.0.1 - - [") && line.ends_with("\\x22\"")));
        reader
    });
    let _reader = tokio::task::spawn_blocking(move || thawed.join().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_follows_a_renamed_file_and_loses_no_line() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let files = tempfile::tempdir().unwrap();
    let (path, renamed) = (files.path().join("access.log"), files.path().join("access.log.1"));
    let mut settings =
        Settings::new(upstream.address(), "postgres://nobody@127.0.0.1:1/nothing", files.path());
    settings.more = format!("[proxy.access_log]\nformat = \"combined\"\npath = \"{}\"\n", path.display());
    let mut program = Program::with(settings);
    program.start().await;
    let get = async |target: &str| Client::connect(program.proxy).await.get(target).await.status();
    assert_eq!(get("/before").await, 200);
    lines(&path, 1).await;
    std::fs::rename(&path, &renamed).unwrap();
    assert_eq!(get("/between").await, 200);
    lines(&renamed, 2).await;
    program.signal("USR1");
    eventually("the file is there again", DEADLINE, || async { path.exists().then_some(()) }).await;
    assert_eq!(get("/after").await, 200);
    // The last lines are written at the end, not a while later.
    assert!(program.terminate().await.success(), "{}", program.log());
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert!(text(&renamed).contains("/before") && text(&renamed).contains("/between"));
    assert!(text(&path).contains("/after") && !text(&path).contains("/between"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o7, 0, "not for everybody");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_log_sigusr1_ends_nothing() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(upstream.address(), "postgres://nobody@127.0.0.1:1/nothing", files.path());
    program.start().await;
    program.signal("USR1");
    assert_eq!(Client::connect(program.proxy).await.get("/").await.status(), 200);
    assert!(program.terminate().await.success(), "{}", program.log());
}
