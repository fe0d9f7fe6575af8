//! The load tool's report, as numbers.

use serde::Serialize;

/// What one run of wrk has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Load {
    /// Complete answers.
    pub requests: u64,
    /// How long it ran.
    pub seconds: f64,
    /// The median latency.
    pub p50_us: f64,
    /// The latency that one answer in a hundred exceeds.
    pub p99_us: f64,
    /// Answers whose status was neither 2xx nor 3xx.
    pub refused: u64,
    /// Connections that failed, by connecting, reading, writing or by time-out.
    pub socket_errors: u64,
}

/// Reads wrk's output (with `--latency`); `None` if it is not that.
pub(crate) fn parse(text: &str) -> Option<Load> {
    let mut load = Load::default();
    let mut complete = false;
    for line in text.lines().map(str::trim) {
        if let Some((requests, rest)) = line.split_once(" requests in ") {
            load.requests = requests.parse().ok()?;
            load.seconds = microseconds(rest.split(',').next()?)? / 1e6;
            complete = true;
        } else if let Some(rest) = line.strip_prefix("50%") {
            load.p50_us = microseconds(rest.trim())?;
        } else if let Some(rest) = line.strip_prefix("99%") {
            load.p99_us = microseconds(rest.trim())?;
        } else if let Some(rest) = line.strip_prefix("Non-2xx or 3xx responses:") {
            load.refused = rest.trim().parse().ok()?;
        } else if let Some(rest) = line.strip_prefix("Socket errors:") {
            load.socket_errors = errors(rest)?;
        }
    }
    complete.then_some(load)
}

/// The sum of `connect 0, read 5, write 0, timeout 1`.
fn errors(list: &str) -> Option<u64> {
    list.split(',').map(|item| item.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

/// `1.23ms` and the like.
fn microseconds(text: &str) -> Option<f64> {
    let end = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let number: f64 = text[..end].parse().ok()?;
    let factor = match &text[end..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 6e7,
        "h" => 3.6e9,
        _ => return None,
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
Running 3s test @ http://127.0.0.1:19001/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   446.63us  256.47us   4.70ms   89.68%
    Req/Sec   102.07k    11.84k  118.62k    60.00%
  Latency Distribution
     50%  370.00us
     75%  564.00us
     90%  702.00us
     99%    1.37ms
  304468 requests in 3.00s, 74.33MB read
Requests/sec: 101370.16
Transfer/sec:     24.75MB
";

    #[test]
    fn a_good_run() {
        let expected = Load {
            requests: 304_468,
            seconds: 3.0,
            p50_us: 370.0,
            p99_us: 1370.0,
            refused: 0,
            socket_errors: 0,
        };
        assert_eq!(parse(GOOD), Some(expected));
    }

    #[test]
    fn a_bad_run() {
        let text = "\
  12 requests in 1.00m, 1.00KB read
  Socket errors: connect 0, read 5, write 1, timeout 64
  Non-2xx or 3xx responses: 11
";
        let load = parse(text).unwrap();
        assert_eq!((load.requests, load.refused, load.socket_errors), (12, 11, 70));
        assert_eq!(load.seconds, 60.0);
        assert_eq!(parse("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
    }
}
