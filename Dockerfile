# The program alone: no PostgreSQL is in the image, so `database.managed = true` and `demo` do not work here; give
# `database.url` or `database.url_file`.
#
#   docker build -t utm-dispatcher .
#   docker run -v ./config.toml:/etc/utm-dispatcher/config.toml:ro -v utm-dispatcher:/var/lib/utm-dispatcher \
#       -p 80:8080 -p 127.0.0.1:9090:9090 utm-dispatcher
#
# With --build-arg COUNTED=yes the compiler goes by what a first build counted under load (`./dev dist`): 15 to 20 % fewer
# instructions a request, three times as long to build, on two cores at least.
#
# In a container, listen on all addresses: `proxy.listen = ["0.0.0.0:8080"]`, `stats.listen = "0.0.0.0:9090"`.

FROM rust:1-slim-trixie AS builder
ARG COUNTED=no
RUN [ "$COUNTED" != yes ] || { apt-get update && apt-get install -y --no-install-recommends \
        python3 nginx-light wrk nghttp2-client openssl postgresql && rustup component add llvm-tools; }
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    if [ "$COUNTED" = yes ]; then ./dev dist && cp target/counted/utm-dispatcher /utm-dispatcher; else \
        cargo build --locked --profile dist --bin utm-dispatcher && cp target/dist/utm-dispatcher /utm-dispatcher; fi

FROM debian:trixie-slim
RUN groupadd --system --gid 10001 utm-dispatcher \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/utm-dispatcher \
        --shell /usr/sbin/nologin utm-dispatcher \
    && install -d -m 0700 -o utm-dispatcher -g utm-dispatcher /var/lib/utm-dispatcher /var/lib/utm-dispatcher/journal \
    && install -d -m 0755 /etc/utm-dispatcher
COPY --from=builder /utm-dispatcher /usr/local/bin/utm-dispatcher
# Whose certificates are believed of https:// servers.
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY LICENSE-MIT LICENSE-APACHE /usr/local/share/doc/utm-dispatcher/
USER 10001:10001

# The journal holds what the database does not have yet, and the keys of cookies and customer hashes: it has to
# outlive the container.
VOLUME ["/var/lib/utm-dispatcher"]
EXPOSE 8080 9090
STOPSIGNAL SIGTERM

# Probes belong to whoever runs the container: GET /healthz and GET /readyz on the stats port.
HEALTHCHECK NONE

ENTRYPOINT ["utm-dispatcher"]
CMD ["run"]
