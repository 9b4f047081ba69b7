//! README's first recipe, word for word: Debian's nginx with TLS in front, the shop behind.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::app::{Running, app_config};
use crate::harness::{DEADLINE, Reply, Upstream, eventually, free_address, postgres, skip, until};

/// A program that is installed; Debian keeps servers in /usr/sbin, which is not on everybody's PATH.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    path.split(':').map(|folder| Path::new(folder).join(name)).find(|program| program.is_file())
}

/// The location that README gives, with the proxy's address.
fn recipe(proxy: SocketAddr) -> String {
    let readme = include_str!("../../README.md");
    let (_, after) = readme.split_once("```nginx\n").unwrap();
    let (recipe, _) = after.split_once("```").unwrap();
    assert!(recipe.contains("http://127.0.0.1:8080"), "{recipe}");
    recipe.replace("127.0.0.1:8080", &proxy.to_string())
}

/// A running nginx; it ends when dropped.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Nginx {
    /// With TLS on `listen`, by a certificate of its own for `shop.test`.
    fn start(program: &Path, openssl: &Path, listen: SocketAddr, proxy: SocketAddr, files: &Path) -> Self {
        let folder = files.display();
        let made = Command::new(openssl)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-subj", "/CN=shop.test", "-days", "2"])
            .args(["-keyout", &format!("{folder}/key.pem"), "-out", &format!("{folder}/certificate.pem")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
            .concat();
        let location = recipe(proxy);
        let config = format!(
            "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}server {{\nlisten {listen} ssl;\n\
             ssl_certificate {folder}/certificate.pem;\nssl_certificate_key {folder}/key.pem;\n{location}}}\n}}\n"
        );
        let file = files.join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let child = Command::new(program)
            .arg("-p")
            .arg(files)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Nginx(child)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_the_shop_sees_https_its_name_and_each_visitor() {
    let (Some(nginx), Some(openssl), Some(curl)) =
        (installed("nginx"), installed("openssl"), installed("curl"))
    else {
        return skip("nginx, openssl or curl is not installed");
    };
    let database = postgres::migrated().await;
    let page = ["Content-Type: text/html"];
    let upstream = Upstream::start(move |_| Reply::with("200 OK", &page, "<p>shoes</p>")).await;
    let files = tempfile::tempdir().unwrap();
    let mut config = app_config(upstream.address(), &database.url, files.path());
    config.proxy.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let program = Running::start(config).await;
    let listen = free_address();
    let _nginx = Nginx::start(&nginx, &openssl, listen, program.proxy, files.path());
    until("nginx listens", || std::net::TcpStream::connect(listen).is_ok()).await;

    for visitor in ["127.0.0.7", "127.0.0.8"] {
        let mut command = Command::new(&curl);
        command.args(["-sk", "--noproxy", "*", "--interface", visitor, "--http1.1"]);
        command.args(["--resolve", &format!("shop.test:{}:127.0.0.1", listen.port())]);
        // What a stranger may try: nginx lets all of it through but X-Forwarded-For, which it appends to.
        command.args(["-H", "X-Forwarded-For: 6.6.6.6", "-H", "X-Real-IP: 6.6.6.6"]);
        command.args([
            "-H",
            "Forwarded: for=6.6.6.6",
            "-H",
            "Accept: text/html",
            "-H",
            "Accept-Language: uk",
        ]);
        command.args(["-H", "Sec-Fetch-Mode: navigate", "-H", "Sec-Fetch-Site: none", "-D", "-"]);
        command.args(["-A", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"]);
        command.arg(format!("https://shop.test:{}/?utm_source=mail", listen.port()));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(answer.ends_with("<p>shoes</p>"), "{answer}{}", String::from_utf8_lossy(&output.stderr));
        let cookie =
            answer.lines().find(|line| line.to_lowercase().starts_with("set-cookie: _utmd=")).unwrap();
        assert!(cookie.contains("Secure"), "the visitor's own connection is encrypted: {cookie}");

        let request = upstream.received().pop().unwrap();
        assert_eq!(request.values("x-forwarded-proto"), ["https"]);
        assert_eq!(request.values("host"), ["shop.test"]);
        let list = format!("6.6.6.6, {visitor}, 127.0.0.1");
        assert_eq!(request.values("x-forwarded-for"), [list]);
        assert_eq!(request.values("x-real-ip"), [visitor]);
        assert_eq!(request.value("forwarded"), None);
        assert_eq!(request.target(), "/");
    }
    eventually("both visitors are in the statistics", DEADLINE, || async {
        let report = program.report("general-stats?period=today").await?;
        let results = &report["results"];
        (results["total_sessions"] == 2 && results["unique_visitors"] == 2).then_some(())
    })
    .await;
    let (status, ready) = program.ask("/readyz").await;
    assert_eq!((status, ready.contains("undeclared proxy")), (200, false), "{ready}");
    program.stop().await;
}
