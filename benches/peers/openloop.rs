//! Requests at a steady rate, whatever the answers do, and how long each took from the moment at
//! which it was *due*: a server that stalls still gets the requests that a waiting client would not
//! have sent (no coordinated omission).
//!
//!     openloop ADDRESS RATE SECONDS CONNECTIONS REQUEST TOKENS
//!
//! REQUEST is a file with one request of HTTP/1.1, in which @TOKEN@ stands for a line of the file
//! TOKENS. One thread a connection, with blocking calls: the system's timers are exact to some
//! 50 µs, those of asynchronous runtimes to a millisecond. The standard library is all it needs.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Answers to requests that were due before this are not counted.
const WARM_UP: Duration = Duration::from_millis(500);

struct Plan {
    address: String,
    requests: Vec<Vec<u8>>,
    connections: u32,
    /// Between two requests of one connection.
    pause: Duration,
    seconds: Duration,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, rate, seconds, connections, request, tokens] = arguments.as_slice() else {
        return Err(Error::other("usage: openloop ADDRESS RATE SECONDS CONNECTIONS REQUEST TOKENS"));
    };
    let number = |text: &String| text.parse::<f64>().map_err(Error::other);
    let (rate, seconds, connections) = (number(rate)?, number(seconds)?, number(connections)?);
    let template = std::fs::read_to_string(request)?;
    let tokens = std::fs::read_to_string(tokens)?;
    let plan = Plan {
        address: address.clone(),
        requests: tokens.lines().map(|token| template.replace("@TOKEN@", token).into_bytes()).collect(),
        connections: connections as u32,
        pause: Duration::from_secs_f64(connections / rate),
        seconds: Duration::from_secs_f64(seconds),
    };
    let begin = Instant::now() + Duration::from_millis(100);
    let served = std::thread::scope(|scope| {
        let plan = &plan;
        let threads: Vec<_> =
            (0..plan.connections).map(|place| scope.spawn(move || serve(plan, place, begin))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(Error::other("a thread has failed"))))
            .collect::<Result<Vec<_>>>()
    })?;
    let failed: usize = served.iter().map(|(_, failed)| failed).sum();
    // Longer than planned when the server could not keep up.
    let took = begin.elapsed().max(plan.seconds) - WARM_UP;
    let mut micros: Vec<f64> = served.into_iter().flat_map(|(micros, _)| micros).collect();
    micros.sort_by(f64::total_cmp);
    let percentile = |share: f64| micros.get((micros.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    println!(
        r#"{{"requests":{},"failed":{failed},"seconds":{},"p50_us":{:.1},"p99_us":{:.1},"p999_us":{:.1}}}"#,
        micros.len(),
        took.as_secs_f64(),
        percentile(0.5),
        percentile(0.99),
        percentile(0.999),
    );
    Ok(())
}

/// One connection: the times of its answers in microseconds, and how many were no 200.
fn serve(plan: &Plan, place: u32, begin: Instant) -> Result<(Vec<f64>, usize)> {
    let mut stream = TcpStream::connect(&plan.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut micros, mut failed, mut answer) = (Vec::new(), 0, Vec::with_capacity(4096));
    // The connections take turns.
    let first = begin + plan.pause * place / plan.connections;
    let mut sent = place as usize;
    for turn in 0.. {
        let due = first + plan.pause * turn;
        if due >= begin + plan.seconds {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(&plan.requests[sent % plan.requests.len()])?;
        sent += plan.connections as usize;
        let good = read_answer(&mut stream, &mut answer)?;
        if due >= begin + WARM_UP {
            micros.push(due.elapsed().as_secs_f64() * 1e6);
            failed += usize::from(!good);
        }
    }
    Ok((micros, failed))
}

/// Reads one whole answer, which states its length; whether it is a 200.
fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<bool> {
    answer.clear();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&piece[..count]);
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|text| text.trim().parse().ok()).ok_or(ErrorKind::InvalidData)?;
        if answer.len() >= end + 4 + length {
            return Ok(answer.starts_with(b"HTTP/1.1 200"));
        }
    }
}
