//! Measures how soon many watchers of one key are told: `watchers HOST:PORT [COUNT]`. The time is
//! from before the change is sent until the last watcher has read what it is told.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// How often it is measured; all are told.
const ROUNDS: u32 = 5;

type Failure = Box<dyn std::error::Error>;

async fn request(address: &str, head: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{head} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    Ok(stream)
}

/// Reads until what has come contains a text.
async fn until(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut have = Vec::with_capacity(1024);
    while !have.windows(text.len()).any(|window| window == text) {
        if stream.read_buf(&mut have).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(have)
}

async fn watching(address: &str) -> Result<usize, Failure> {
    let mut stream = request(address, "GET /v2/stats/store").await?;
    let told = String::from_utf8(until(&mut stream, b"\"watchers\":").await?)?;
    let count = told.rsplit(':').next().unwrap_or_default();
    Ok(count.trim_matches(|c: char| !c.is_ascii_digit()).parse()?)
}

async fn measure(address: &str, count: usize) -> Result<Duration, Failure> {
    let (sender, mut times) = mpsc::unbounded_channel();
    for _ in 0..count {
        let mut stream = request(address, "GET /v2/keys/watched?wait=true").await?;
        let sender = sender.clone();
        tokio::spawn(
            async move { until(&mut stream, b"\"action\"").await.map(|_| sender.send(Instant::now())) },
        );
    }
    drop(sender);
    while watching(address).await? < count {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let start = Instant::now();
    let mut writer = request(address, "PUT /v2/keys/watched?value=now").await?;
    until(&mut writer, b"\"action\"").await?;
    let mut told = Vec::with_capacity(count);
    while let Some(time) = times.recv().await {
        told.push(time - start);
    }
    if told.len() < count {
        return Err(format!("{} of {count} were told", told.len()).into());
    }
    Ok(told.into_iter().max().unwrap_or_default())
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (address, count) = (words.next(), words.next().map_or(Ok(10_000), |count| count.parse()));
    let (Some(address), Ok(count)) = (address, count) else {
        eprintln!("usage: watchers HOST:PORT [COUNT]");
        return ExitCode::from(2);
    };
    splay_etcd::server::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let rounds = runtime.map_err(Failure::from).and_then(|runtime| {
        runtime.block_on(async {
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                rounds.push(measure(&address, count).await?);
            }
            Ok(rounds)
        })
    });
    match rounds {
        Ok(mut rounds) => {
            rounds.sort_unstable();
            let shown: Vec<String> =
                rounds.iter().map(|round| format!("{:.1}", round.as_secs_f64() * 1e3)).collect();
            println!("{count} watchers told after, in ms: {}", shown.join(" "));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("watchers: {error}");
            ExitCode::FAILURE
        }
    }
}
