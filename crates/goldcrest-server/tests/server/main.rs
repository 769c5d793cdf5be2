//! The server over real HTTP on 127.0.0.1: every test starts one of its own over a fresh data folder.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adapters;
mod app;
mod boards;
mod deltas;
mod disk;
mod enrolments;
mod gogs;
mod http;
mod insighio;
mod killed;
mod limits;
mod management;
mod mqtt;
mod objects;
mod releases;
mod restarts;
mod rollouts;
mod uploads;
