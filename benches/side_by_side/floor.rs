//! The floor: a bare hyper server that reads each request's body and answers one fixed answer.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves the answer in the file, a whole HTTP answer, on the address until killed.
pub(crate) fn serve(address: &str, answer_file: &str) {
    let answer = std::fs::read(answer_file).expect("the answer's file is readable");
    let (headers, body) = split(&answer);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(async move {
        let listener = TcpListener::bind(address).await.expect("the floor's address is free");
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            stream.set_nodelay(true).expect("a fresh socket takes options");
            let (headers, body) = (headers.clone(), body.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let (headers, body) = (headers.clone(), body.clone());
                    async move {
                        request.into_body().collect().await.ok();
                        let mut response = Response::new(Full::new(body));
                        *response.headers_mut() = headers;
                        Ok::<_, Infallible>(response)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                connection.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
}

fn split(answer: &[u8]) -> (http::HeaderMap, Bytes) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
    let head = std::str::from_utf8(&answer[..end]).expect("a head is text");
    let mut headers = http::HeaderMap::new();
    for line in head.split("\r\n").skip(1) {
        let (name, value) = line.split_once(": ").expect("a header line has a name and a value");
        // hyper writes these two itself.
        if !name.eq_ignore_ascii_case("content-length") && !name.eq_ignore_ascii_case("date") {
            let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
            headers.append(name, value.parse().expect("a header's value"));
        }
    }
    (headers, Bytes::copy_from_slice(&answer[end + 4..]))
}
