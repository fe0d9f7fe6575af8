//! What the tests are made of.

mod authority;
mod child;
mod folder;
mod gatehouse;
mod load;
pub(crate) mod name_server;
mod named;
mod origin;
mod program;
mod real;
pub(crate) mod reply;
mod schannel;
mod time;
pub(crate) mod websocket;
mod wire;

pub(crate) use authority::{Kind, leaf, trusting};
pub(crate) use child::Child;
pub(crate) use folder::{Folder, free_port};
pub(crate) use gatehouse::{Gatehouse, MANAGER, SYSTEM, log_lines};
pub(crate) use load::{Shot, load, median};
pub(crate) use named::{named, named_at};
pub(crate) use origin::Origin;
pub(crate) use program::{Outcome, Program, begin_with_input, curl, run};
pub(crate) use real::{Real, apache, apache_ntlm, nginx, nginx_for_days, nginx_in_front};
pub(crate) use schannel::{StandIn, WINDOWS};
pub(crate) use time::{LIMIT, SOON, expect_within, now, until, until_moment};
pub(crate) use websocket::base64;
pub(crate) use wire::{End, Wire};
