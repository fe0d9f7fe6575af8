//! The proxy on a simulated machine: its clock jumps, its network loses, delays, cuts and resets
//! what the dice say, and the same seed gives the same run, to the byte.
//!
//! `GATEHOUSE_SIM_SEEDS` sets how many seeds each scenario is played with, `GATEHOUSE_SIM_SEED`
//! plays a single one again.

mod bugs;
mod client;
mod crossing;
#[path = "../hostile/dice.rs"]
mod dice;
mod machine;
mod network;
mod notes;
mod oracle;
mod patience;
mod planted;
mod play;
mod scenarios;
mod server;
mod stage;
mod tunnels;
mod wire;
mod world;
