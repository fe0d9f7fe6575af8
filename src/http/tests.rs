//! Tables of hostile and ordinary input, each fed at every length.

use super::*;

mod answers;
mod bodies;
mod requests;

/// Small limits, so that each can be passed in one line.
fn small() -> HeadLimits {
    HeadLimits { head_bytes_max: 400, field_bytes_max: 100, target_bytes_max: 60, fields_max: 8 }
}
