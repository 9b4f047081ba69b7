//! nginx and HAProxy as Debian has them, as plain reverse proxies before the same shop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::{DEADLINE, eventually, free_address};

const NGINX: &str = "worker_processes 1;
daemon off;
master_process off;
pid @dir@/nginx.pid;
error_log @dir@/error.log;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path @dir@/body;
    proxy_temp_path @dir@/proxy;
    fastcgi_temp_path @dir@/fastcgi;
    uwsgi_temp_path @dir@/uwsgi;
    scgi_temp_path @dir@/scgi;
    upstream shop {
        server @shop@;
        keepalive 16;
    }
    server {
        listen @listen@;
        location / {
            proxy_pass http://shop;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
        }
    }
}
";

const HAPROXY: &str = "global
    nbthread 1
defaults
    mode http
    timeout connect 3s
    timeout client 10s
    timeout server 10s
frontend all
    bind @listen@
    default_backend shop
backend shop
    http-reuse safe
    server shop @shop@
";

/// Both, running; they end when this is dropped.
pub(super) struct Neighbours {
    pub(super) nginx: SocketAddr,
    pub(super) haproxy: SocketAddr,
    children: [Child; 2],
    _files: TempDir,
}

impl Neighbours {
    /// Starts both before the shop at this address; none where one is not installed.
    pub(super) async fn start(shop: SocketAddr) -> Option<Self> {
        let (nginx_program, haproxy_program) = (program("nginx")?, program("haproxy")?);
        let files = tempfile::tempdir().unwrap();
        let (nginx, haproxy) = (free_address(), free_address());
        let write = |name: &str, text: &str, listen: SocketAddr| {
            let path = files.path().join(name);
            let text = text
                .replace("@dir@", files.path().to_str().unwrap())
                .replace("@listen@", &listen.to_string())
                .replace("@shop@", &shop.to_string());
            std::fs::write(&path, text).unwrap();
            path
        };
        let start = |program: &Path, arguments: &[&str], config: PathBuf| {
            let mut command = Command::new(program);
            command.args(arguments).arg(config).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let children = [
            start(&nginx_program, &["-c"], write("nginx.conf", NGINX, nginx)),
            start(&haproxy_program, &["-db", "-f"], write("haproxy.cfg", HAPROXY, haproxy)),
        ];
        let neighbours = Neighbours { nginx, haproxy, children, _files: files };
        for address in [nginx, haproxy] {
            eventually("a proxy listens", DEADLINE, || async move {
                tokio::net::TcpStream::connect(address).await.ok()
            })
            .await;
        }
        Some(neighbours)
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];
    places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists())
}
