//! Findings in, advice out.
