# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# Dependencies first, so that an edit of the sources does not build them again.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
RUN mkdir -p src tests/it tests/process && touch src/lib.rs tests/it/main.rs tests/process/main.rs \
    && echo 'fn main() {}' > src/main.rs && cargo build --profile dist --locked && rm -rf src
COPY src src
COPY config config
RUN touch src/lib.rs src/main.rs && cargo build --profile dist --locked \
    && mkdir -m 0700 /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /source/target/dist/nearside /nearside
COPY --from=build --chown=65532:65532 /data /data
# The base image's nonroot, as a number: Kubernetes' runAsNonRoot cannot look up a name.
USER 65532:65532
VOLUME /data
EXPOSE 8000 8100
STOPSIGNAL SIGTERM
# It listens on loopback, which is right for a sidecar: callers are not verified and have the rights of the container.
# docs/operations.md, "Run in a container", says how a published port reaches it.
ENV NEARSIDE_DATA_DIR=/data
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s CMD ["/nearside", "healthcheck"]
ENTRYPOINT ["/nearside"]
