//! `gatehouse run`

use std::path::Path;

use crate::control::{self, Disk, Service};
use crate::observe::say_now;

use super::check::read_aloud;
use super::{FAILED, REFUSED};

pub(super) fn run(file: &Path) -> u8 {
    let disk = Disk::default();
    let Some(config) = read_aloud(file, &disk) else { return REFUSED };
    if let Err(error) = control::block_signals() {
        say_now(&format!("cannot wait for signals: {error}"));
        return FAILED;
    }
    match Service::start(file, disk, config) {
        Ok(service) => {
            say_now("ready");
            service.run();
            0
        }
        Err(why) => {
            say_now(&why.to_string());
            FAILED
        }
    }
}
