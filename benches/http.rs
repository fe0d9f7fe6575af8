//! What a head costs: reading it, and reading and rewriting it. Goals: under 400 ns for a
//! browser's request of about 500 bytes, under 250 ns for an answer of about 250.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gatehouse::http::{
    AnswerPolicy, Chunked, Forwarded, HeadLimits, Method, OutgoingBody, Parsed, RequestPolicy,
    ResponseTo, Sink, Slots, Version, chunk_size_line, parse_request, parse_response,
    write_request, write_response,
};

const REQUEST: &[u8] = b"GET /lwa/WebPages/LwaClient.aspx?culture=en-US HTTP/1.1\r\n\
Host: webext.contoso.com\r\n\
Connection: keep-alive\r\n\
User-Agent: Mozilla/5.0 (Windows NT 6.1; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.9\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Referer: https://webext.contoso.com/lwa/\r\n\
Upgrade-Insecure-Requests: 1\r\n\
Sec-Fetch-Mode: navigate\r\n\
Cookie: session=0123456789abcdef; theme=light\r\n\r\n";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
Cache-Control: private\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Content-Length: 10240\r\n\
Server: Microsoft-IIS/8.5\r\n\
X-AspNet-Version: 4.0.30319\r\n\
X-Powered-By: ASP.NET\r\n\
X-MS-Server-Fqdn: fe01.contoso.local\r\n\
Date: Tue, 05 Mar 2024 10:00:00 GMT\r\n\r\n";

/// A block of a worker: fixed, filled from the front.
struct Block {
    bytes: [u8; 4096],
    used: usize,
}

impl Sink for Block {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.used + bytes.len();
        self.bytes[self.used..end].copy_from_slice(bytes);
        self.used = end;
    }
}

fn requests(criterion: &mut Criterion) {
    let limits = HeadLimits::default();
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Bytes(REQUEST.len() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let mut slots = Slots::new();
            let Ok(Parsed::Complete(head)) = parse_request(black_box(REQUEST), &mut slots, &limits)
            else {
                panic!("the request is good");
            };
            black_box(head.facts)
        });
    });
    let policy = RequestPolicy {
        forwarded: Forwarded::Drop,
        extra: b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n",
    };
    let mut block = Block { bytes: [0; 4096], used: 0 };
    group.bench_function("parse and write", |bencher| {
        bencher.iter(|| {
            let mut slots = Slots::new();
            let Ok(Parsed::Complete(head)) = parse_request(black_box(REQUEST), &mut slots, &limits)
            else {
                panic!("the request is good");
            };
            block.used = 0;
            write_request(&head, &policy, &mut block);
            black_box((&block.bytes, head.facts));
        });
    });
    group.bench_function("unfinished by one byte", |bencher| {
        let unfinished = &REQUEST[..REQUEST.len() - 1];
        bencher.iter(|| {
            let mut slots = Slots::new();
            black_box(parse_request(black_box(unfinished), &mut slots, &limits).is_ok())
        });
    });
    group.finish();
}

fn answers(criterion: &mut Criterion) {
    let limits = HeadLimits::default();
    let to = ResponseTo { method: Method::Get, upgrade_sent: false };
    let mut group = criterion.benchmark_group("answer");
    group.throughput(Throughput::Bytes(ANSWER.len() as u64));
    let mut block = Block { bytes: [0; 4096], used: 0 };
    group.bench_function("parse and write", |bencher| {
        bencher.iter(|| {
            let mut slots = Slots::new();
            let parsed = parse_response(black_box(ANSWER), &mut slots, &limits, to);
            let Ok(Parsed::Complete(head)) = parsed else { panic!("the answer is good") };
            block.used = 0;
            let body = OutgoingBody::choose(&head.facts, Version::Http11);
            let answer = AnswerPolicy { version: Version::Http11, body, keep_alive: true };
            write_response(&head, &answer, &mut block);
            black_box((&block.bytes, head.facts));
        });
    });
    group.finish();
}

fn bodies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunked");
    for size in [64, 4096] {
        let mut body = Vec::new();
        let mut room = [0; 18];
        while body.len() < 64 * 1024 {
            body.extend_from_slice(chunk_size_line(size, &mut room));
            body.resize(body.len() + size, b'x');
            body.extend_from_slice(b"\r\n");
        }
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("decode, chunks of {size}"), |bencher| {
            let mut buffer = body.clone();
            bencher.iter(|| {
                buffer.copy_from_slice(&body);
                black_box(Chunked::new().decode(&mut buffer).is_ok())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, requests, answers, bodies);
criterion_main!(benches);
