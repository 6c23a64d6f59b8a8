//! The load of a round: connections that send one request after the other and time the answers, and what a round gives.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::histogram::Histogram;
use crate::process::Server;

/// Makes the request of that number.
pub(crate) type Numbered = Rc<dyn Fn(usize) -> Vec<u8>>;

/// A load of some length.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) duration: Duration,
}

/// What one round gave.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) requests_per_second: f64,
    /// Of the server for each request; NaN if its process is not known.
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    /// The part of the reads that Nearside says it answered from memory; NaN where that was not looked at.
    pub(crate) hits: f64,
}

impl Measured {
    /// From the latencies of a round that began at `started`, when the server's processes had used `cpu_before`.
    pub(crate) fn of(latencies: &Histogram, started: Instant, server: &Server, cpu_before: f64) -> Self {
        let count = latencies.total() as f64;
        Self {
            requests_per_second: count / started.elapsed().as_secs_f64(),
            cpu_us: (server.cpu_us() - cpu_before) / count,
            p50_us: latencies.percentile_us(0.5),
            p99_us: latencies.percentile_us(0.99),
            p999_us: latencies.percentile_us(0.999),
            hits: f64::NAN,
        }
    }
}

impl Load {
    /// Sends request after request on every connection for the load's duration. A slow server is asked less often: this measures
    /// what a server can do and what it costs, and [`crate::arrivals`] what its clients wait.
    pub(crate) async fn run(&self, server: &Server, request: &Numbered) -> Measured {
        let local = tokio::task::LocalSet::new();
        let latencies = RefCell::new(Histogram::default());
        let latencies = Rc::new(latencies);
        let connections = local.run_until(self.open_all(server)).await;
        let cpu_before = server.cpu_us();
        let started = Instant::now();
        for (index, mut connection) in connections.into_iter().enumerate() {
            let (request, duration, latencies) = (Rc::clone(request), self.duration, Rc::clone(&latencies));
            local.spawn_local(async move {
                // Prime strides keep the connections on different items.
                let mut number = index * 7919;
                while started.elapsed() < duration {
                    let bytes = request(number);
                    let sent = Instant::now();
                    connection.exchange(&bytes).await;
                    latencies.borrow_mut().record(sent.elapsed());
                    number += 1;
                }
            });
        }
        local.await;
        let latencies = latencies.borrow();
        Measured::of(&latencies, started, server, cpu_before)
    }

    async fn open_all(&self, server: &Server) -> Vec<Connection> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(server.connect().await);
        }
        connections
    }
}
