//! `gatehouse run`

use std::path::Path;

use crate::control::{self, Settings};
use crate::observe::say_now;

use super::check::{print, read};
use super::{FAILED, REFUSED};

pub(super) fn run(file: &Path) -> u8 {
    let config = match read(file) {
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
    let running = match control::start(config, Settings { talkative: true }) {
        Ok(running) => running,
        Err(why) => {
            say_now(&format!("{why}"));
            return FAILED;
        }
    };
    say_now("ready");
    if control::wait_for_signal().is_ok() {
        say_now("stopping; running requests may end, a second signal stops at once");
    }
    running.stop(second_signal());
    0
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
