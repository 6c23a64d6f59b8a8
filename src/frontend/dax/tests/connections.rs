//! What a connection may do and for how long, what it is answered, and what is recorded of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_client_hears_of_nodes_keys_and_items_in_the_order_in_which_it_asks() {
    let mut wire = Wire::begun().await;
    let nodes = wire.ask(&endpoints()).await;
    assert_eq!(nodes.codes, NO_ERROR);
    assert!(nodes.rest.windows(4).any(|window| window == [127, 0, 0, 1]), "{nodes:?}");
    let key = wire.ask(&define_key_schema("tab")).await;
    assert_eq!(key, Reply { codes: vec![], rest: b"\xa1\x62pk\x61S".to_vec() });
    let item = wire.ask(&get_item("tab", "a")).await;
    assert_eq!((item.codes, item.rest[..2].to_vec()), (NO_ERROR.to_vec(), vec![0xa1, 0x00]));
    let requests = wire.frontend.service.requests.lock().unwrap().join("\n");
    assert!(requests.starts_with("AKID in eu-west-1: GetItem {"), "{requests}");
    assert!(requests.contains(r#""Key":{"pk":{"S":"a"}}"#), "{requests}");
    assert_eq!(wire.told(), ["opened", "endpoints ok", "defineKeySchema ok", "GetItem 200 ", "GetItem ok"]);
    drop(wire.client);
    wire.connection.await.unwrap();
    assert_eq!(wire.frontend.observer.0.lock().unwrap().as_slice(), ["closed"]);
}

#[tokio::test(start_paused = true)]
async fn requests_come_in_any_pieces_and_several_in_one() {
    let begin = [preamble(), authorization("AKID", "0", &text_to_sign(), None)].concat();
    let whole = [begin, endpoints(), define_key_schema("tab"), get_item("tab", "a")].concat();
    let mut at_once = Wire::new();
    at_once.send(&whole).await;
    at_once.client.shutdown().await.unwrap();
    let expected = at_once.rest().await;
    assert_eq!(at_once.told().len(), 6);
    for piece in [1, 2, 3, 7, 50] {
        let mut wire = Wire::new();
        for piece in whole.chunks(piece) {
            wire.send(piece).await;
            tokio::task::yield_now().await;
        }
        wire.client.shutdown().await.unwrap();
        assert_eq!(wire.rest().await, expected, "in pieces of {piece}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_table_is_dynamodbs_error_and_the_connection_goes_on() {
    let mut wire = Wire::begun().await;
    for request in [define_key_schema("none"), get_item("none", "a")] {
        let reply = wire.ask(&request).await;
        assert_eq!(reply.codes[0], 4, "{reply:?}");
        assert!(reply.codes.len() >= 2 && reply.error() == "ResourceNotFoundException", "{reply:?}");
    }
    assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
    assert_eq!(wire.told()[1..3], ["defineKeySchema error", "GetItem 400 ResourceNotFoundException"]);
}

#[tokio::test(start_paused = true)]
async fn lists_have_ids_that_mean_the_same_ever_after() {
    let mut wire = Wire::begun().await;
    let id = |reply: &Reply| Reader::new(&reply.rest).int_64().unwrap();
    let first = id(&wire.ask(&define_list(&["n", "x"])).await);
    assert!((2..1 << 53).contains(&first));
    assert_eq!(id(&wire.ask(&define_list(&["n", "x"])).await), first);
    assert_ne!(id(&wire.ask(&define_list(&["x", "n"])).await), first);
    assert_eq!(wire.ask(&define_names(first)).await.rest, b"\x82\x61n\x61x");
    assert_eq!(id(&wire.ask(&define_list(&[])).await), 1);
    assert_eq!(wire.ask(&define_names(1)).await.rest, b"\x80");
    for unknown in [0, -1, 12_345, i64::MAX] {
        assert_eq!(wire.ask(&define_names(unknown)).await.error(), "ValidationException");
    }
}

#[tokio::test(start_paused = true)]
async fn who_shows_nothing_is_denied_and_may_show_something_then() {
    let mut wire = Wire::new();
    wire.send(&preamble()).await;
    for request in [endpoints(), define_key_schema("tab"), get_item("tab", "a")] {
        let reply = wire.ask(&request).await;
        assert_eq!(
            (&*reply.codes, &*reply.error()),
            (&[4, 23, 31, 33][..], "MissingAuthenticationTokenException")
        );
    }
    assert_eq!(
        wire.told()[1..],
        [
            "Unknown 400 MissingAuthenticationTokenExceptionmissing",
            "endpoints error",
            "Unknown 400 MissingAuthenticationTokenExceptionmissing",
            "defineKeySchema error",
            "GetItem 400 MissingAuthenticationTokenExceptionmissing",
            "GetItem error"
        ]
    );
    wire.send(&authorization("AKID", "0", &text_to_sign(), None)).await;
    assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_begun_may_be_silent_for_days() {
    let mut wire = Wire::begun().await;
    assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
    tokio::time::sleep(Duration::from_secs(3 * 24 * 3600)).await;
    assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
    // One that has said nothing but its preamble, too.
    let mut spare = Wire::new();
    spare.send(&preamble()).await;
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert!(!spare.connection.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_preamble_ends_in_time() {
    let mut wire = Wire::new();
    wire.send(&preamble()[..10]).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(wire.rest().await, b"");
    assert_eq!(begun.elapsed(), Settings::default().idle_timeout);
    assert_eq!(wire.told(), ["opened", "rejected timed_out", "closed"]);
    let mut other = Wire::new();
    other.send(b"POST / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(other.rest().await, b"");
    assert_eq!(other.told(), ["opened", "rejected malformed", "closed"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stays_half_is_answered_after_some_seconds_and_ends_the_connection() {
    let mut wire = Wire::begun().await;
    let request = get_item("tab", "a");
    wire.send(&request[..request.len() - 1]).await;
    let begun = tokio::time::Instant::now();
    let reply = wire.reply().await;
    assert_eq!(reply.codes, [4, 37, 38, 39, 41]);
    assert_eq!(begun.elapsed(), Duration::from_secs(20));
    drop(wire.client);
    wire.connection.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_method_that_nobody_knows_is_answered_and_ends_the_connection() {
    let mut wire = Wire::begun().await;
    // describeTable, of which no client has ever said how it goes on.
    let reply = wire.ask(&request(-819_330_193, |writer| writer.bytes(b"tab"))).await;
    assert_eq!(reply.codes, [4, 37, 38, 44]);
    wire.client.shutdown().await.unwrap();
    assert_eq!(wire.rest().await, b"");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_rejected_before_it_is_there() {
    let mut wire = Wire::begun().await;
    let mut large = request(263_244_906, |_| {});
    large.extend([0x5a, 0x10, 0, 0, 0]);
    let reply = wire.ask(&large).await;
    assert_eq!((reply.codes[0], &*reply.error()), (4, "ValidationException"));
    wire.client.shutdown().await.unwrap();
    assert_eq!(wire.rest().await, b"");
    assert_eq!(wire.told()[1], "rejected body_too_large");
}

#[tokio::test(start_paused = true)]
async fn arguments_that_no_method_takes_are_an_error_and_the_connection_goes_on() {
    let mut wire = Wire::begun().await;
    let reply = wire.ask(&request(263_244_906, |writer| (0..3).for_each(|_| writer.int(7)))).await;
    assert_eq!((reply.codes[0], &*reply.error()), (4, "ValidationException"));
    assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_one_requests_misfortune() {
    let mut wire = Wire::begun().await;
    let reply = wire.ask(&get_item("tab", "panic")).await;
    assert_eq!(reply.error(), "InternalServerError");
    assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_its_answer_is_left() {
    let settings = Settings::default();
    let frontend = Frontend::new(Arc::<Fake>::default(), Arc::<Witness>::default(), AnyCaller, settings);
    let (mut client, server) = tokio::io::duplex(16);
    let connection = tokio::spawn(Arc::clone(&frontend).serve_dax(server, Peer::plain(None), None));
    let begin =
        [preamble(), authorization("AKID", "0", &text_to_sign(), None), get_item("none", "a")].concat();
    client.write_all(&begin).await.unwrap();
    let begun = tokio::time::Instant::now();
    connection.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
    assert!(frontend.observer.0.lock().unwrap().contains(&"rejected timed_out".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_end_when_the_front_end_drains_and_then_the_connection() {
    let mut wire = Wire::begun().await;
    wire.frontend.service.waits.store(1, Ordering::Relaxed);
    wire.send(&get_item("tab", "a")).await;
    wire.frontend.service.entered.notified().await;
    wire.frontend.draining.cancel();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!wire.connection.is_finished());
    wire.frontend.service.released.notify_one();
    assert_eq!(wire.reply().await.codes, NO_ERROR);
    assert_eq!(wire.rest().await, b"");
    // An idle one ends at once.
    let mut idle = Wire::begun().await;
    assert_eq!(idle.ask(&endpoints()).await.codes, NO_ERROR);
    idle.frontend.draining.cancel();
    assert_eq!(idle.rest().await, b"");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_at_the_end_of_the_drain_is_counted() {
    let mut wire = Wire::begun().await;
    wire.frontend.service.waits.store(1, Ordering::Relaxed);
    wire.send(&get_item("tab", "a")).await;
    wire.frontend.service.entered.notified().await;
    wire.frontend.draining.cancel();
    wire.frontend.aborting.cancel();
    assert_eq!(wire.rest().await, b"");
    assert_eq!(wire.frontend.cut_off.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn random_bytes_are_answered_or_end_the_connection_and_never_break_it() {
    let seed = std::env::var("NEARSIDE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("replay with NEARSIDE_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let requests =
        [endpoints(), define_key_schema("tab"), get_item("tab", "a"), define_list(&["a"]), define_names(1)];
    for _ in 0..300 {
        let mut wire = Wire::begun().await;
        let mut bytes = requests.concat();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[place] = random.u8(..),
                1 => drop(bytes.drain(place..)),
                _ => bytes.insert(place, random.u8(..)),
            }
            bytes.push(0);
        }
        wire.send(&bytes).await;
        wire.client.shutdown().await.unwrap();
        wire.rest().await;
    }
}

#[test]
fn an_idle_connection_is_small() {
    let frontend =
        Frontend::new(Arc::<Fake>::default(), Arc::<Witness>::default(), AnyCaller, Settings::default());
    let (_, server) = tokio::io::duplex(16);
    let future = Arc::clone(&frontend).serve_dax(server, Peer::plain(None), None);
    let bytes = size_of_val(&future);
    assert!(bytes <= 4096, "{bytes} bytes");
}
