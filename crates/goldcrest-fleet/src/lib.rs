//! Virtual boards: real MicroPython processes on littlefs images, supervised so that resets, watchdogs,
//! timers and power cuts end them as they end a real board.
//!
//! A [`Board`] is made once ([`Board::create`] formats its flash), then started, cut and powered on at will;
//! what happens on it arrives as [`BoardEvent`]s. The board's side of this crate is `board/*.py`.
//!
//! Where a virtual board is not like a real one:
//! - A program that waits in a call (a socket, `time.sleep`) when a timer is due is interrupted for good, then the callback
//!   runs (seen in /proc, so only on Linux). One that lets no callback run gets a hard reset after a second.
//! - A soft reset closes no files and sockets in order: it is a new process.
//! - Objects are those of a 64-bit build, about twice as large as on a board; the network is the computer's.

mod board;
mod control;
mod emulator;
mod event;
mod image;
mod leash;
mod micropython;
mod process;
mod supervisor;

pub use board::{Board, BoardSettings};
pub use event::{BoardEvent, Events, ResetCause};
pub use image::Tree;
pub use micropython::{HOW_TO_GET_MICROPYTHON, MICROPYTHON_VARIABLE, Micropython};
pub use supervisor::FlashCounters;
