//! The server over real HTTP on 127.0.0.1: every test starts one of its own over a fresh data folder.

mod app;
mod boards;
mod disk;
mod http;
mod limits;
mod management;
mod objects;
mod releases;
mod restarts;
mod rollouts;
mod uploads;
