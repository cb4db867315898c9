//! What a request costs whose token or login was seen a moment ago. Fails when the median of
//! a token passes its bound of one microsecond.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark reports on standard output"
)]

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metahub_auth::{AuthConfig, Authenticator, Credentials, MemoryAccounts, Scope, SigningKey};
use metahub_catalog::Catalog;
use tokio::sync::watch;

const BOUND: Duration = Duration::from_micros(1);
const ROUNDS: usize = 1_000;
const CALLS: u32 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(measure())
}

async fn measure() -> Result<(), Box<dyn Error>> {
    let (_sender, receiver) = watch::channel(Arc::new(Catalog::builtin()));
    let config = AuthConfig {
        recheck: Duration::from_secs(600),
        ..AuthConfig::default()
    };
    let store = Arc::new(MemoryAccounts::default());
    let authenticator = Authenticator::new(store, receiver, config, SigningKey::new(&[1; 32]));

    let login = Credentials::basic("zen3+cuda=12.4", "any password")?;
    let identity = authenticator.authenticate(&login, None).await?;
    let scopes = Scope::parse_all(["repository:qnib/gromacs-2021.5:pull"]);
    let token = authenticator.issue(&identity, &scopes)?;
    let header = format!("Bearer {}", token.token());

    let basic = median(&authenticator, &login).await?;
    println!("a login seen before: {basic:?}");
    let bearer = median(
        &authenticator,
        &Credentials::parse(Some(header.as_bytes()))?,
    )
    .await?;
    println!(
        "a token of {} bytes seen before: {bearer:?}",
        token.token().len()
    );
    if bearer > BOUND {
        return Err(format!("a known token took {bearer:?}, more than {BOUND:?}").into());
    }
    Ok(())
}

/// The median time of one call.
async fn median(who: &Authenticator, sent: &Credentials) -> Result<Duration, Box<dyn Error>> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(who.authenticate(black_box(sent), None).await?);
        }
        times.push(start.elapsed() / CALLS);
    }
    times.sort();
    times
        .get(ROUNDS / 2)
        .copied()
        .ok_or_else(|| "nothing was measured".into())
}
