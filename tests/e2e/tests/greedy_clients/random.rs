//! Clients that do at random what a client without an account can do.

use super::*;

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// One client without an account: what it does, chosen by `kind`, and for how long it stays.
async fn greedy(metahub: &MetaHub, kind: u64, number: u64, blob: &str, large: &[u8]) {
    let from = format!("127.0.0.{}:0", 3 + number % 3);
    match kind {
        0 => {
            let mut sender = without_windows(metahub, &from).await;
            let asked: Vec<_> = (0..1 + number % 60)
                .map(|_| sender.send_request(get(metahub, blob)))
                .collect();
            let answers = futures_util::future::join_all(asked).await;
            tokio::task::yield_now().await;
            drop(answers);
        }
        1 => {
            // A body that never ends.
            let mut stream = connect(metahub, &from).await;
            let head = "PUT /v2/site/app/manifests/x HTTP/1.1\r\nHost: x\r\n\
                        Content-Length: 4000000\r\n\r\n{";
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        2 => {
            let login = login_line("alice", &format!("guess {number}"));
            let _ = ask(metahub, &from, &format!("GET /token HTTP/1.1{login}"), b"").await;
        }
        3 => {
            let login = login_line(&format!("made-up-{number}"), "x");
            let _ = ask(metahub, &from, &format!("GET /v2/ HTTP/1.1{login}"), b"").await;
        }
        4 => {
            let head = format!("PUT /v2/site/app/manifests/x HTTP/1.1\r\nContent-Type: {INDEX}");
            let _ = ask(metahub, &from, &head, large).await;
        }
        5 => {
            let path = format!("/v2/name-{number}/manifests/latest");
            let login = login_line(&format!("zen3+site=x{number}"), "any");
            let _ = ask(metahub, &from, &format!("GET {path} HTTP/1.1{login}"), b"").await;
        }
        _ => {
            // A head that never ends.
            let mut stream = connect(metahub, &from).await;
            stream.write_all(b"GET /v2/ HTTP/1.1\r\nX-").await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn random_clients_without_account_make_nothing_grow_and_keep_nobody_out() {
    let Some(metahub) = start("anonymous: write\nlimits: {requests: 300, requests_per_client: 90}")
    else {
        return;
    };
    metahub.add_account("alice", "reader", PASSWORD);
    let pusher = pusher(&metahub);
    let _ = pusher.image("small", "amd64", b"layer");
    let blob = vec![7; 2 * MIB as usize];
    pusher.blob(&blob);
    let path = format!("/v2/site/app/blobs/{}", digest_of(&blob));
    let large = largest_manifest().split_off(2 * MIB as usize);
    let before = metahub.peak_memory();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for round in 0..8 {
        let kinds: Vec<u64> = (0..40).map(|_| dice.below(7)).collect();
        runtime().block_on(async {
            let clients = kinds
                .iter()
                .enumerate()
                .map(|(at, kind)| greedy(&metahub, *kind, round * 100 + at as u64, &path, &large));
            let good = good_client_is_served(&metahub);
            tokio::join!(futures_util::future::join_all(clients), good);
            let head = format!("GET /token HTTP/1.1{}", login_line("alice", PASSWORD));
            let (status, answer) = ask(&metahub, GOOD, &head, b"").await;
            assert_eq!(status, 200, "round {round}: {answer}");
        });
    }
    let grown = metahub.peak_memory() - before;
    assert!(grown < 300 * MIB, "{} MiB", grown / MIB);
    nothing_is_left(&metahub);
}
