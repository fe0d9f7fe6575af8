//! The doctor: connects to a server as the proxy would, finds out what it can, and says which
//! settings work and who has to change what.
//!
//! ```text
//! line.rs      a connection with a deadline
//! look.rs      question after question to one server
//! findings.rs  what was found
//! advice.rs    what follows: profile, trust, name
//! changes.rs   what has to be changed at the server, and how
//! told.rs      all of it for people, and for programs
//! patients.rs  from what the operator typed to addresses
//! ```

mod advice;
mod changes;
mod findings;
mod line;
mod look;
mod patients;
#[cfg(test)]
mod tests;
mod told;

pub use advice::{Advice, Change, Kept, Lines, Verdict, advise, file_lines};
pub use findings::{FileSays, Findings, Reach, Speaks, Subject, Web};
pub use look::{Patient, examine};
pub(super) use patients::site_name;
pub use patients::{Found, Unknown, patients};
pub use told::{as_json, as_text};

pub(super) use look::certificate_end;
