//! `gatehouse run`

use std::path::Path;

use crate::config;
use crate::control::{self, Disk, Service};
use crate::observe::say_now;

use super::check::{now, print};
use super::{FAILED, REFUSED};

pub(super) fn run(file: &Path) -> u8 {
    let disk = Disk::default();
    let config = match config::read(file, &disk, now()) {
        Ok((config, warnings)) => {
            print(&warnings);
            config
        }
        Err(complaints) => {
            print(&complaints);
            return REFUSED;
        }
    };
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

/// Tells whether another signal has come since.
pub(super) fn second_signal() -> impl FnMut() -> bool {
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        if control::wait_for_signal().is_ok() {
            // Nobody asks any more if the stop was quicker.
            let _ = told.send(());
        }
    });
    move || heard.try_recv().is_ok()
}
