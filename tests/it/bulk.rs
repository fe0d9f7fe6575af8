//! Bodies far larger than the proxy's memory, by TLS on both legs.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use crate::rig::{Gatehouse, Real, apache, curl, nginx};

const BYTES: u64 = 600_000_000;

/// Resident memory that the proxy must not reach, in kB.
const MEMORY_MAX: u64 = 64 * 1024;

/// Writes bytes of which no two blocks are the same.
fn fill(file: &Path) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file).unwrap());
    for number in 0..BYTES / 8 {
        out.write_all(&(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).unwrap();
    }
    out.flush().unwrap();
}

#[track_caller]
fn sha256(file: &Path) -> Vec<u8> {
    let mut file = File::open(file).unwrap();
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hash.finish().as_ref().to_vec(),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[track_caller]
fn expect_little_memory(gatehouse: &Gatehouse, after: &str) {
    let most = gatehouse.memory("VmHWM:");
    assert!(most < MEMORY_MAX, "{most} kB after {after}");
}

fn download(real: &Real) {
    fill(&real.file("big"));
    let gatehouse = Gatehouse::publish_secure(&[real.tls], "");
    let target = gatehouse.folder().at("copy");
    let to = target.display().to_string();
    curl(&gatehouse, &["-o", &to, "https://a.test/big"]).finish().expect_success();
    expect_little_memory(&gatehouse, "the download");
    assert_eq!(sha256(&target), sha256(&real.file("big")));
    let record = &gatehouse.records(1)[0];
    assert!(record["bytes_out"].as_u64().unwrap() >= BYTES, "{record}");
}

#[test]
fn six_hundred_megabytes_from_nginx() {
    download(&nginx());
}

#[test]
fn six_hundred_megabytes_from_apache() {
    download(&apache());
}

#[test]
fn six_hundred_megabytes_to_nginx() {
    let real = nginx();
    let gatehouse = Gatehouse::publish_secure(&[real.tls], "");
    let source = gatehouse.folder().at("source");
    fill(&source);
    let (expected, source) = (sha256(&source), source.display().to_string());
    for (name, more) in
        [("by-length", &[][..]), ("chunked", &["-H", "Transfer-Encoding: chunked"][..])]
    {
        let url = format!("https://a.test/put/{name}");
        curl(&gatehouse, &[more, &["-f", "-T", &source, &url]].concat()).finish().expect_success();
        expect_little_memory(&gatehouse, name);
        let arrived = real.file(&format!("put/{name}"));
        assert_eq!(sha256(&arrived), expected, "{name}");
        std::fs::remove_file(arrived).unwrap();
    }
}
