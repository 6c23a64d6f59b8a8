# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# Dependencies first, so that an edit of the sources does not build them again.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
RUN mkdir -p src tests/it tests/process && touch src/lib.rs tests/it/main.rs tests/process/main.rs \
    && echo 'fn main() {}' > src/main.rs && cargo build --release --locked --features aws-credentials && rm -rf src
COPY src src
COPY config config
RUN touch src/lib.rs src/main.rs && cargo build --release --locked --features aws-credentials && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /source/target/release/nearside /nearside
COPY --from=build --chown=nonroot:nonroot /data /data
USER nonroot
VOLUME /data
EXPOSE 8000 9100
STOPSIGNAL SIGTERM
# A container's loopback cannot be reached from outside it; publish the ports on the host's loopback only
# (-p 127.0.0.1:8000:8000), because callers are not verified.
ENV NEARSIDE_LISTEN=0.0.0.0:8000 NEARSIDE_ADMIN_LISTEN=0.0.0.0:9100 NEARSIDE_DATA_DIR=/data \
    NEARSIDE_I_ACCEPT_UNAUTHENTICATED=true
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s CMD ["/nearside", "healthcheck"]
ENTRYPOINT ["/nearside"]
