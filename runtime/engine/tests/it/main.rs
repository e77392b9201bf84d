//! The engine over a backend in memory.

mod bed;
mod caching;
mod failing;
mod fake;
mod outputs;
mod random;
mod telling;
