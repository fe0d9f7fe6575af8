//! The box between its two networks: three machines, each a network namespace of the kernel, with a
//! cable from the outside to the box and one from the box to the inside. The proxy runs on the box.
//!
//! What is bound to a device (`interface = "…"`) Gatehouse holds by itself. By address alone it is
//! the kernel's routes that decide, and an address of one adapter answers at the other: that is the
//! firewall's and the kernel settings' part. Tests that show both say so.

mod late;
mod listeners;
mod network;
mod outages;
mod upstream;
