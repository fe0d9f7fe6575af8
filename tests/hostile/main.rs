//! Hostile input against the real program: nginx and Apache stand behind Gatehouse, and a
//! collector behind them writes down every request as they read it.
//!
//! What is refused must not reach them, neither the request nor anything behind it; what is
//! forwarded must mean to them what it meant to us. And the other way round: whatever a server
//! answers, a client gets something that is strictly valid, or sees that it is not whole.
//!
//! `GATEHOUSE_FUZZ_ROUNDS` sets the number of mutated connections, `GATEHOUSE_FUZZ_SEED` where the
//! dice start, and `GATEHOUSE_FUZZ_ROUND` repeats a single one of them.

mod answer;
mod answers;
mod collector;
mod dice;
mod malformed;
mod mutate;
mod mutations;
mod odd_answers;
mod oracle;
mod origin;
mod process;
mod proper;
mod proper_cases;
mod stage;
mod tables;
mod words;
