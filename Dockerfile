# syntax=docker/dockerfile:1
# docs/container.md says how to run the image; tests/container/run builds and tries its file system without an engine.
FROM rust:1.95-slim-bookworm AS build
ARG TARGETARCH
RUN apt-get update && apt-get install -y --no-install-recommends build-essential python3 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# .dockerignore lists what comes along.
COPY . .
# The caches stay with the builder, so that an edit of the sources does not build the dependencies again.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,id=nearside-$TARGETARCH,target=/source/target \
    cargo build --profile dist --locked --bin nearside && cp target/dist/nearside /nearside && mkdir -m 0700 /data \
    && cp "$(ldd /nearside | awk '/libgcc_s/ {print $3}')" /libgcc_s.so.1 \
    && mkdir /licenses && cp LICENSE /licenses/ && deploy/release/third-party >/licenses/THIRD-PARTY.txt

# The C library, certificates and time zones. OpenSSL and C++ would be there for nobody.
FROM gcr.io/distroless/base-nossl-debian12:nonroot
COPY --from=build /libgcc_s.so.1 /usr/lib/libgcc_s.so.1
COPY --from=build /licenses /licenses
COPY --from=build /nearside /nearside
COPY --from=build --chown=65532:65532 /data /data
# The base image's nonroot, as a number: Kubernetes' runAsNonRoot cannot look up a name.
USER 65532:65532
VOLUME /data
EXPOSE 8000 8100
STOPSIGNAL SIGTERM
# It listens on loopback, which is right for a sidecar: callers are not verified and have the rights of the container.
# docs/container.md says how a published port reaches it.
ENV NEARSIDE_DATA_DIR=/data
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s CMD ["/nearside", "healthcheck"]
ENTRYPOINT ["/nearside"]
