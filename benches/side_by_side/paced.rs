//! A load that asks at its own pace, whatever the answers: latencies under it are those of a client, and not of a queue that
//! the load itself has made.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::connection::{Connection, Protocol};
use crate::load::Numbered;
use crate::sheet::median;

/// Requests at a pace, spread over connections.
#[derive(Clone, Copy)]
pub(crate) struct Paced {
    pub(crate) connections: usize,
    /// Of all connections together.
    pub(crate) per_second: f64,
    pub(crate) duration: Duration,
}

/// One request.
pub(crate) struct Sample {
    pub(crate) sent: Instant,
    pub(crate) latency: Duration,
    /// Of the answer; 0 when the connection broke instead.
    pub(crate) status: u16,
}

impl Paced {
    /// Sends the requests of all numbers from 0.
    pub(crate) async fn run(&self, address: SocketAddr, request: &Numbered) -> Vec<Sample> {
        let local = tokio::task::LocalSet::new();
        let workers = (0..self.connections)
            .map(|first| local.spawn_local(self.one_connection(first, address, Rc::clone(request))));
        let workers: Vec<_> = workers.collect();
        local
            .run_until(async {
                let mut samples = Vec::new();
                for worker in workers {
                    samples.extend(worker.await.expect("a connection runs to its end"));
                }
                samples
            })
            .await
    }

    /// As [`Paced::run`], in a thread of its own: what it does is not felt by loads elsewhere.
    pub(crate) fn spawn(
        self,
        address: SocketAddr,
        request: impl Fn(usize) -> Vec<u8> + Send + 'static,
    ) -> JoinHandle<Vec<Sample>> {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let request: Numbered = Rc::new(request);
            runtime.expect("a runtime can be built").block_on(self.run(address, &request))
        })
    }

    async fn one_connection(self, first: usize, address: SocketAddr, request: Numbered) -> Vec<Sample> {
        let interval = Duration::from_secs_f64(self.connections as f64 / self.per_second);
        let end = tokio::time::Instant::now() + self.duration;
        // Not all at one time.
        let mut next = tokio::time::Instant::now() + interval.mul_f64(fastrand::f64());
        let mut connection = Connection::open(address, Protocol::Http).await;
        let (mut samples, mut number) = (Vec::new(), first);
        while next < end {
            tokio::time::sleep_until(next).await;
            let bytes = request(number);
            number += self.connections;
            let sent = Instant::now();
            let status = connection.ask(&bytes).await;
            samples.push(Sample { sent, latency: sent.elapsed(), status: status.unwrap_or(0) });
            if status.is_none() {
                connection = Connection::open(address, Protocol::Http).await;
            }
            // Whoever had to wait does not make up for it.
            next = (next + interval).max(tokio::time::Instant::now());
        }
        samples
    }
}

/// The latency that 99 of 100 samples of a second do not exceed, in microseconds; of the seconds' figures the median, so that
/// another process that takes the processor for a moment does not show.
pub(crate) fn p99_us<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> f64 {
    let samples: Vec<&Sample> = samples.into_iter().collect();
    let Some(begun) = samples.iter().map(|sample| sample.sent).min() else { return 0.0 };
    let mut seconds: BTreeMap<u64, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        seconds.entry((sample.sent - begun).as_secs()).or_default().push(sample);
    }
    // The last one is most often cut off.
    let whole = seconds.len().max(2) - 1;
    median(seconds.into_values().take(whole).map(|samples| percentile_us(samples, 0.99)))
}

/// The latency that so large a part of the samples does not exceed, in microseconds.
pub(crate) fn percentile_us<'a>(samples: impl IntoIterator<Item = &'a Sample>, part: f64) -> f64 {
    let mut latencies: Vec<Duration> = samples.into_iter().map(|sample| sample.latency).collect();
    latencies.sort_unstable();
    let position = (latencies.len() as f64 * part) as usize;
    let latency = latencies.get(position.min(latencies.len().saturating_sub(1)));
    latency.map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
}
